import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { isLinked, isResponsive, Spans, type Truth } from './truth.ts';

const STEP_MS = 100;
/** As for removals: what may still be told was said before. */
const WELL_MS = 20_000;

/**
 * A member that answers is not even suspected, as long as no message to or from it gets lost: also not by one whose own
 * process stood still, and which has missed its answers for that reason.
 */
export function suspicionsChecker(truth: Truth): Checker {
  const problems = new Problems('suspicions');
  const spans = new Spans();
  let nextMs = 0;

  const look = (): void => {
    for (const node of truth.nodes) spans.note(node.id, isBeyondDoubt(truth, node), truth.clock.nowMs);
  };

  return {
    name: 'suspicions',
    fault: look,
    turn: () => {
      if (truth.clock.nowMs < nextMs) return;
      nextMs = truth.clock.nowMs + STEP_MS;
      look();
    },
    event: (observer, event) => {
      if (event.type !== 'member-changed' || event.member.state !== 'suspect' || event.previous === 'suspect') return;
      look();
      const { nowMs } = truth.clock;
      const wellMs = spans.lengthMs(event.member.id, nowMs);
      if (wellMs < WELL_MS) return;
      const { name } = event.member.profile;
      problems.add(
        `${(nowMs / 1000).toFixed(1)} s ${observer.name} suspects ${name}, which has answered everybody for ${(wellMs / 1000).toFixed(1)} s`,
      );
    },
    check: () => problems.all(),
  };
}

/** It runs, and every link from and to it carries all messages; whether the others handle them is their affair. */
function isBeyondDoubt(truth: Truth, node: SimNode): boolean {
  if (!isResponsive(node) || truth.weather.loss > 0) return false;
  for (const [id, link] of node.links) {
    const other = truth.nodes.find((candidate) => candidate.id === id);
    if (other === undefined || link.loss > 0 || !isLinked(truth, node, other)) return false;
  }
  return true;
}
