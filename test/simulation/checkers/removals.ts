import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { isLinked, isResponsive, pairId, Spans, type Truth } from './truth.ts';

/** The truth is looked at so often; shorter disturbances remove nobody. */
const STEP_MS = 100;
/**
 * How long all must have been well before a death is an error. A death declared now comes from a suspicion that may
 * have begun before things were well: up to 9 s (1.5 intervals times 6, below 10 members), begun by a probe whose
 * window was up to 8.1 s (0.9 s times the highest local health score + 1). A member that answers refutes within a
 * round trip of the first message that reaches it, so 20 s leave room for everything that began before.
 */
const WELL_MS = 20_000;

/**
 * No live, reachable, responsive member is removed: nobody declares a member dead that has run and answered for
 * WELL_MS, with a working link to the one who declares it, which itself has run without a pause for as long.
 */
export function removalsChecker(truth: Truth): Checker {
  const problems = new Problems('removals');
  const spans = new Spans();
  let nextMs = 0;

  const look = (): void => {
    const { nowMs } = truth.clock;
    for (const [index, a] of truth.nodes.entries()) {
      const isWell = isResponsive(a);
      for (const b of truth.nodes.slice(index + 1)) {
        const isPairWell = isWell && isResponsive(b) && isLinked(truth, a, b);
        spans.note(pairId(a.id, b.id), isPairWell, nowMs);
      }
    }
  };

  return {
    name: 'removals',
    fault: look,
    turn: () => {
      if (truth.clock.nowMs < nextMs) return;
      nextMs = truth.clock.nowMs + STEP_MS;
      look();
    },
    event: (observer: SimNode, event) => {
      if (event.type !== 'member-changed' || event.member.state !== 'dead' || event.previous === null) return;
      if (event.previous === 'dead' || event.member.id === observer.id) return;
      look();
      const { nowMs } = truth.clock;
      const wellMs = spans.lengthMs(pairId(observer.id, event.member.id), nowMs);
      if (wellMs < WELL_MS) return;
      const subject = truth.nodes.find(({ id }) => id === event.member.id);
      problems.add(
        `${seconds(nowMs)} ${observer.name} declares ${subject?.name ?? event.member.id} dead (was ${event.previous}), both well and linked for ${seconds(wellMs)}`,
      );
    },
    check: () => problems.all(),
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
