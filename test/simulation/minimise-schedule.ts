import type { Fault } from './fault.ts';
import { ddmin } from './minimise.ts';
import type { FaultEvent, Schedule } from './schedule.ts';
import { FAIR_WEATHER, type Weather } from './weather.ts';

export interface Minimised {
  readonly schedule: Schedule;
  /** Runs that it took. */
  readonly runs: number;
  /** False when the time was up before nothing smaller was left to try. */
  readonly isMinimal: boolean;
}

/**
 * Looks for the smallest schedule that `fails` in the same way: fewer fault events, fair weather, fewer nodes, and
 * a shorter run. `isOver` bounds the search.
 */
export function minimiseSchedule(
  schedule: Schedule,
  fails: (schedule: Schedule) => boolean,
  isOver: () => boolean,
): Minimised {
  let runs = 0;
  const attempt = (candidate: Schedule): boolean => {
    runs++;
    return fails(candidate);
  };
  let best = schedule;
  const keep = (candidate: Schedule): void => {
    if (!isOver() && attempt(candidate)) best = candidate;
  };
  for (let before: Schedule | null = null; best !== before && !isOver(); ) {
    before = best;
    keep({ ...best, events: [] });
    const events = ddmin(best.events, (part) => attempt({ ...best, events: part }), isOver);
    if (events.length < best.events.length) best = { ...best, events };
    for (const term of Object.keys(FAIR_WEATHER) as (keyof Weather)[]) {
      if (best.weather[term] !== FAIR_WEATHER[term]) {
        keep({ ...best, weather: { ...best.weather, [term]: FAIR_WEATHER[term] } });
      }
    }
    if (best.zones > 1) keep({ ...best, zones: 1 });
    for (const node of best.late) {
      const late = best.late.filter((other) => other !== node);
      const isStart = ({ fault }: FaultEvent): boolean => fault.type === 'start' && fault.node === node;
      keep({ ...best, late, events: best.events.filter((event) => !isStart(event)) });
    }
    while (best.nodes > 2 && !isOver()) {
      const smaller = withoutLastNode(best);
      if (!attempt(smaller)) break;
      best = smaller;
    }
    const lastMs = Math.max(0, ...best.events.map(({ atMs }) => atMs));
    const safetyMs = Math.max(1000, Math.ceil((lastMs - best.calmMs + 1000) / 1000) * 1000);
    if (safetyMs < best.safetyMs) keep({ ...best, safetyMs });
  }
  return { schedule: best, runs, isMinimal: !isOver() };
}

/** The schedule for one node fewer; what names the last one is left out. */
function withoutLastNode(schedule: Schedule): Schedule {
  const nodes = schedule.nodes - 1;
  return {
    ...schedule,
    nodes,
    late: schedule.late.filter((node) => node < nodes),
    events: schedule.events.flatMap(({ atMs, fault }) => {
      const rest = withoutNode(fault, nodes);
      return rest === null ? [] : [{ atMs, fault: rest }];
    }),
  };
}

/** The fault among the other nodes; null when nothing is left of it. */
function withoutNode(fault: Fault, gone: number): Fault | null {
  switch (fault.type) {
    case 'partition': {
      const groups = fault.groups
        .map((group) => group.filter((node) => node !== gone))
        .filter(({ length }) => length > 0);
      return groups.length < 2 ? null : { ...fault, groups };
    }
    case 'cut': {
      const pairs = fault.pairs.filter(([a, b]) => a !== gone && b !== gone);
      return pairs.length === 0 ? null : { ...fault, pairs };
    }
    case 'chain':
      return { ...fault, row: fault.row.filter((node) => node !== gone) };
    case 'one-way': {
      const to = fault.to.filter((node) => node !== gone);
      return fault.from === gone || to.length === 0 ? null : { ...fault, to };
    }
    case 'flap': {
      const peers = fault.peers.filter((node) => node !== gone);
      return fault.node === gone || peers.length === 0 ? null : { ...fault, peers };
    }
    case 'mass-restart':
      return fault;
    case 'forge':
      return fault.node === gone || fault.about === gone ? null : fault;
    case 'ring-out':
    case 'ring-in':
    case 'ring-weight':
      return fault.node === gone || fault.member === gone ? null : fault;
    default:
      return fault.node === gone ? null : fault;
  }
}
