import type { SimNode } from '../sim-node.ts';
import { type Checker, Problems } from './checker.ts';
import { isResponsive, Spans, type Truth } from './truth.ts';

const STEP_MS = 500;
/**
 * Until a process that is gone must be known to be gone, with the worst local health score (8) and six members: its turn
 * to be probed within 2 intervals of 9 s, a window of 8.1 s, a suspicion of 9 s, which one late refutation may start
 * once more (an alive claim that was still on its way): 44 s.
 */
const KNOWN_MS = 45_000;

/** Every crash is eventually known by all that run: nobody holds a member alive or suspect that is long gone. */
export function crashesChecker(truth: Truth): Checker {
  const problems = new Problems('crashes');
  const gone = new Spans();
  const well = new Spans();
  let nextMs = 0;

  const look = (): void => {
    const { nowMs } = truth.clock;
    for (const node of truth.nodes) {
      gone.note(node.id, node.running === null, nowMs);
      well.note(node.id, isResponsive(node), nowMs);
    }
    for (const subject of truth.nodes) {
      if (gone.lengthMs(subject.id, nowMs) < KNOWN_MS) continue;
      for (const observer of truth.nodes) {
        if (well.lengthMs(observer.id, nowMs) >= KNOWN_MS) compare(observer, subject);
      }
    }
  };
  const compare = (observer: SimNode, subject: SimNode): void => {
    const state = observer.running?.node.member(subject.id)?.state;
    if (state !== 'alive' && state !== 'suspect') return;
    problems.add(`${observer.name} holds ${subject.name} ${state}, which has been down for ${KNOWN_MS / 1000} s`);
  };

  return {
    name: 'crashes',
    fault: look,
    turn: () => {
      if (truth.clock.nowMs < nextMs) return;
      nextMs = truth.clock.nowMs + STEP_MS;
      look();
    },
    check: () => problems.all(),
  };
}
