import type { NodeId } from '../machine.ts';

/** Runs of peers whose requests are remembered; the one that was silent longest is forgotten first. */
const ORIGINS_MAX = 1024;
/** Requests of one run that may be in flight at once, and overtake one another. What is older is a copy or too late. */
const FORWARDS_SEEN_MAX = 32_768;

interface Origin {
  readonly ids: Set<number>;
  highest: number;
}

/** Which requests of peers this run has begun: a network may deliver a message twice. */
export class SeenForwards {
  private readonly origins = new Map<string, Origin>();

  /** False: seen before, or so old that it may have been. */
  note(from: NodeId, run: string, id: number): boolean {
    const name = `${from} ${run}`;
    const origin = this.origins.get(name) ?? { ids: new Set(), highest: 0 };
    this.origins.delete(name);
    this.origins.set(name, origin);
    for (const oldest of this.origins.keys()) {
      if (this.origins.size <= ORIGINS_MAX) break;
      this.origins.delete(oldest);
    }
    if (id <= origin.highest - FORWARDS_SEEN_MAX || origin.ids.has(id)) return false;
    origin.ids.add(id);
    origin.highest = Math.max(origin.highest, id);
    for (const first of origin.ids) {
      if (origin.ids.size <= FORWARDS_SEEN_MAX) break;
      // In the order of arrival, which is nearly that of the ids: what goes is below the bound, or will be refused soon.
      if (first > origin.highest - FORWARDS_SEEN_MAX) break;
      origin.ids.delete(first);
    }
    return true;
  }
}
