import { checkLinearizability } from '../linearizability.ts';
import { WALL_START_MS } from '../node-clock.ts';
import type { SimNode } from '../sim-node.ts';
import type { StrongHistory } from '../strong-history.ts';
import type { StrongLosses } from '../strong-losses.ts';
import type { Checker } from './checker.ts';
import type { ElectorateTruth } from './electorates.ts';
import type { Truth } from './truth.ts';

/** Of a report, so that many keys fit on a page. */
const LINES_MAX = 14;
/** Clocks are read at other times than the checker looks at them. */
const CLOCK_SLACK_MS = 50;

/** What the linearizability of a run rests on, besides the answers. */
export interface StrongTruth {
  readonly history: StrongHistory;
  readonly losses: StrongLosses;
  readonly electorates: ElectorateTruth;
}

/**
 * The answers about each strong key are those of one register. Exempt are only
 * - keys of which an acceptor was given an older copy of its disk that knows less of them (`StrongLosses`): it votes until
 *   it notices, as if it had never said what it has forgotten;
 * - all keys of a run in which two electorates were founded, by rings that had been changed apart (`electorates`).
 */
export function linearizabilityChecker({ clock }: Truth, { history, losses, electorates }: StrongTruth): Checker {
  let clockErrorMs = 0;
  const isExempt = (key: string): boolean => electorates.isSplit || losses.isForgotten(key);
  return {
    name: 'linearizability',
    turn: (node: SimNode) => {
      const wallMs = node.running?.node.wallMs(node.clock.now());
      if (wallMs === undefined) return;
      clockErrorMs = Math.max(clockErrorMs, Math.abs(wallMs - WALL_START_MS - clock.nowMs));
    },
    check: () => {
      const problems: string[] = [];
      for (const [key, operations] of history.operations) {
        if (isExempt(key)) continue;
        const finding = checkLinearizability(operations, { expiryUncertaintyMs: clockErrorMs + CLOCK_SLACK_MS });
        if (finding === null) continue;
        const { type, lines } = finding;
        const shown =
          lines.length <= LINES_MAX ? lines : [...lines.slice(0, 4), '  ...', ...lines.slice(5 - LINES_MAX)];
        problems.push(`linearizability: ${key} is ${type}: ${shown.join('\n    ')}`);
      }
      return problems;
    },
    exemptions: () => {
      if (electorates.isSplit || losses.isElectorateForgotten) return [];
      const keys = [...history.operations.keys()].filter(isExempt);
      return keys.length === 0 ? [] : [`${keys.length} of ${history.operations.size} strong keys after a rollback`];
    },
  };
}

/** A running node answers a strong request within two seconds; once all is well, it does as it is told. */
export function strongAnswersChecker({ history, losses, electorates }: StrongTruth): Checker {
  return {
    name: 'strong-answers',
    exemptions: () => {
      const keys = [...history.operations.keys()].filter((key) => losses.isGone(key));
      return keys.length === 0 ? [] : [`${keys.length} strong keys without a majority of their disks`];
    },
    check: () => [
      ...history.late.map((text) => `strong-answers: ${text}`),
      // Of two clusters that were founded apart, each goes on without the other.
      ...(electorates.isSplit ? [] : history.unavailable).map(
        (text) => `strong-answers: nothing works for ${text} at the end`,
      ),
    ],
  };
}
