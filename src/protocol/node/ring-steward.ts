import type { RingPlace } from '../catalog/ring-record.ts';
import type { Instant, NodeId } from '../machine.ts';
import { isReachable, type Member } from '../membership/member.ts';

/** A member that is back is put in once it has stayed for so long. */
const BACK_MS = 5000;
/** Between two steps: each moves data, and the next one may be spared when somebody comes back. */
const STEP_INTERVAL_MS = 5000;

export interface StewardOptions {
  /** How long a member is gone before it is taken out; 0: it never is. */
  readonly outAfterMs: number;
  /** Copies of a key. */
  readonly replicas: number;
}

/** One member's place is to become another one. */
export interface StewardStep {
  readonly id: NodeId;
  readonly place: 'in' | 'missing';
}

/**
 * Keeps the ring in step with who is there, at the quorate leader: a member that has been gone for long is taken out, so
 * that others take over its share, and put in again when it is back. Not where nobody is left who could: with as many
 * members as copies, being out would move no data, and cost a resync on return.
 */
export class RingSteward {
  private readonly options: StewardOptions;
  /** Since when each member of the ring has been gone (of those that are in), or back (of those that are missing). */
  private readonly sinceMs = new Map<NodeId, number>();
  private lastStepMs = Number.NEGATIVE_INFINITY;

  constructor(options: StewardOptions) {
    this.options = options;
  }

  /** To be told whenever members or their places change, at every node: who becomes leader does not begin anew. */
  follow(places: readonly RingPlace[], members: readonly Member[], now: Instant): void {
    const here = new Set(members.filter(({ state }) => isReachable(state)).map(({ id }) => id));
    for (const { id, place } of places) {
      const isHere = here.has(id);
      const waits = (place === 'in' && !isHere) || (place === 'missing' && isHere);
      if (!waits) this.sinceMs.delete(id);
      else if (!this.sinceMs.has(id)) this.sinceMs.set(id, now.monoMs);
    }
  }

  /** What the leader is to do now; null: nothing. Those that come back go first. */
  step(places: readonly RingPlace[], now: Instant): StewardStep | null {
    if (this.options.outAfterMs === 0 || now.monoMs < this.lastStepMs + STEP_INTERVAL_MS) return null;
    const due = places.filter((each) => this.dueMs(each) <= now.monoMs);
    const [first] = [...due.filter(({ place }) => place === 'missing'), ...due];
    const owners = places.filter((each) => each.place === 'in').length;
    if (first === undefined || (first.place === 'in' && owners <= this.options.replicas)) return null;
    this.lastStepMs = now.monoMs;
    this.sinceMs.delete(first.id);
    return { id: first.id, place: first.place === 'in' ? 'missing' : 'in' };
  }

  /** When the next step may be due. */
  nextDeadline(places: readonly RingPlace[]): number | undefined {
    if (this.options.outAfterMs === 0) return undefined;
    const owners = places.filter((each) => each.place === 'in').length;
    const steps = places.filter(({ place }) => place === 'missing' || owners > this.options.replicas);
    const next = Math.min(...steps.map((each) => this.dueMs(each)));
    return Number.isFinite(next) ? Math.max(next, this.lastStepMs + STEP_INTERVAL_MS) : undefined;
  }

  private dueMs({ id, place }: RingPlace): number {
    const sinceMs = this.sinceMs.get(id);
    if (sinceMs === undefined) return Number.POSITIVE_INFINITY;
    return sinceMs + (place === 'in' ? this.options.outAfterMs : BACK_MS);
  }
}
