import type { NodeId } from '../machine.ts';

/** A member of the ring, as this node sees it; suspects are reached until they are gone. */
export interface Sighting {
  readonly id: NodeId;
  readonly standing: 'alive' | 'suspect' | 'gone';
}

export interface ComponentMember {
  readonly id: NodeId;
  readonly isReachable: boolean;
  /** Since when it has been reached, or been lost, by the monotonic clock; null: never reached since this node's start. */
  readonly sinceMs: number | null;
}

export interface Component {
  /** This node's own: itself, and whom it reaches. Else members that were lost together. */
  readonly isOwn: boolean;
  readonly members: readonly ComponentMember[];
  /**
   * Of the own one, when somebody last came or went; of others, when the last of them was lost. Null where none of them
   * was reached since this node's start.
   */
  readonly sinceMs: number | null;
}

interface Known extends ComponentMember {
  /** When the suspicion of it began; null: it is not suspected. */
  readonly suspectMs: number | null;
}

/**
 * Of one cut, a failure detector notices the members one after the other. Few nodes that lost many may take half a minute
 * for all of them, with pauses of eight seconds; whoever is lost so long after the one before was lost to something else.
 */
const TOGETHER_MS = 10_000;

/**
 * How the ring is cut, as far as one node can see: whom it reaches, and whom it has lost at which time. How those beyond
 * a cut are connected among themselves it cannot see.
 */
export class Components {
  private readonly self: NodeId;
  private readonly known = new Map<NodeId, Known>();
  private ownSinceMs: number;

  constructor(self: NodeId, nowMs: number) {
    this.self = self;
    this.known.set(self, { id: self, isReachable: true, sinceMs: nowMs, suspectMs: null });
    this.ownSinceMs = nowMs;
  }

  /** All members of the ring as they are now. */
  handle(seen: readonly Sighting[], nowMs: number): void {
    const present = new Set(seen.map(({ id }) => id));
    for (const { id, isReachable } of this.known.values()) {
      if (present.has(id) || id === this.self) continue;
      this.known.delete(id);
      if (isReachable) this.ownSinceMs = nowMs;
    }
    for (const sighting of seen) if (sighting.id !== this.self) this.follow(sighting, nowMs);
  }

  private follow({ id, standing }: Sighting, nowMs: number): void {
    const before = this.known.get(id);
    const isReachable = standing !== 'gone';
    const suspectMs = standing === 'suspect' ? (before?.suspectMs ?? nowMs) : null;
    if (before?.isReachable === isReachable) {
      this.known.set(id, { ...before, suspectMs });
      return;
    }
    // Who is gone when it is first heard of was lost at a time that nobody here knows. Else it was when the suspicion
    // began: how long one takes differs from member to member.
    const lostMs = before === undefined ? null : (before.suspectMs ?? nowMs);
    const sinceMs = isReachable ? nowMs : lostMs;
    this.known.set(id, { id, isReachable, sinceMs, suspectMs });
    this.ownSinceMs = Math.max(this.ownSinceMs, sinceMs ?? 0);
  }

  /** This node's own first, then the others in the order in which they were lost. */
  all(): readonly Component[] {
    const members = [...this.known.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const own = members.filter(({ isReachable }) => isReachable);
    const lost = lostTogether(members.filter(({ isReachable }) => !isReachable));
    return [{ isOwn: true, members: own, sinceMs: this.ownSinceMs }, ...lost];
  }
}

/** Those of whom nobody knows when they were lost are one component, and the first. */
export function lostTogether(lost: readonly ComponentMember[]): readonly Component[] {
  const ordered = lost.toSorted((a, b) => lossMs(a) - lossMs(b));
  const components: ComponentMember[][] = [];
  for (const member of ordered) {
    const last = components.at(-1);
    const before = last?.at(-1);
    if (last !== undefined && before !== undefined && isTogether(before, member)) last.push(member);
    else components.push([member]);
  }
  return components.map((members) => ({ isOwn: false, members, sinceMs: members.at(-1)?.sinceMs ?? null }));
}

function lossMs({ sinceMs }: ComponentMember): number {
  return sinceMs ?? Number.NEGATIVE_INFINITY;
}

function isTogether(a: ComponentMember, b: ComponentMember): boolean {
  if (a.sinceMs === null || b.sinceMs === null) return a.sinceMs === b.sinceMs;
  return b.sinceMs - a.sinceMs <= TOGETHER_MS;
}
