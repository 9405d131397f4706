import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import { isReachable } from './member.ts';
import type { MemberRecord, MemberTable } from './member-table.ts';

/**
 * Who watches whom in a large cluster. On each of K rings, ordered by a hash of its own, every member probes its
 * successor: K hash rings make an expander with overwhelming probability, every member has K observers, and all of
 * it follows from the view alone (Suresh et al., "Stable and Consistent Membership at Scale with Rapid", USENIX ATC
 * 2018, section 4.1). Probing a random member, as SWIM does, would open a connection for nearly every probe, and a
 * connection costs some twenty times as much as the probe.
 */
export class Overlay {
  private readonly table: MemberTable;
  private readonly probeAllMax: number;
  private readonly own: readonly number[];
  private successors: Nearest[];
  private predecessors: Nearest[];
  private isStale = false;
  private subjectIds: readonly NodeId[] | null = null;
  private neighbourIds: ReadonlySet<NodeId> | null = null;

  constructor(self: NodeId, table: MemberTable, timing: { readonly rings: number; readonly probeAllMax: number }) {
    this.table = table;
    this.probeAllMax = timing.probeAllMax;
    const hash = hashString(self);
    this.own = Array.from({ length: timing.rings }, (_, ring) => positionOf(hash, ring));
    this.successors = this.own.map(() => NOBODY);
    this.predecessors = this.own.map(() => NOBODY);
  }

  /** True while everybody watches everybody. */
  get isSmall(): boolean {
    return this.table.reachableCount + 1 <= this.probeAllMax;
  }

  /** The members to probe: everybody in a small cluster. Not to be altered. */
  subjects(): readonly NodeId[] {
    if (this.isSmall) return this.table.reachable();
    this.refresh();
    this.subjectIds ??= idsOf(this.successors);
    return this.subjectIds;
  }

  /** True for members that this one probes or that probe it, and so should have a connection with it. */
  isNeighbour(id: NodeId): boolean {
    if (this.isSmall) return this.table.isReachable(id);
    this.refresh();
    this.neighbourIds ??= new Set([...idsOf(this.successors), ...idsOf(this.predecessors)]);
    return this.neighbourIds.has(id);
  }

  /** A member has come to life: it may stand between us and a neighbour. */
  handleReachable(record: MemberRecord): void {
    if (!this.isStale) this.insert(record);
  }

  /** A member has gone: where it was a neighbour, the next one has to be found. */
  handleUnreachable(id: NodeId): void {
    this.isStale ||= this.successors.some((near) => near.id === id) || this.predecessors.some((near) => near.id === id);
  }

  private refresh(): void {
    if (!this.isStale) return;
    this.isStale = false;
    this.successors = this.own.map(() => NOBODY);
    this.predecessors = this.own.map(() => NOBODY);
    this.subjectIds = null;
    this.neighbourIds = null;
    for (const record of this.table.all()) if (isReachable(record.member.state)) this.insert(record);
  }

  private insert({ member: { id }, idHash }: MemberRecord): void {
    for (const [ring, own] of this.own.entries()) {
      const ahead = (positionOf(idHash, ring) - own) >>> 0;
      const behind = -ahead >>> 0;
      if (ahead < (this.successors[ring] as Nearest).distance) this.replace(this.successors, ring, id, ahead);
      if (behind < (this.predecessors[ring] as Nearest).distance) this.replace(this.predecessors, ring, id, behind);
    }
  }

  private replace(side: Nearest[], ring: number, id: NodeId, distance: number): void {
    side[ring] = { id, distance };
    this.subjectIds = null;
    this.neighbourIds = null;
  }
}

interface Nearest {
  /** Null: nobody yet. */
  readonly id: NodeId | null;
  readonly distance: number;
}

const NOBODY: Nearest = { id: null, distance: Number.POSITIVE_INFINITY };

function idsOf(side: readonly Nearest[]): NodeId[] {
  return [...new Set(side.flatMap(({ id }) => (id === null ? [] : [id])))];
}

/** The place of a member on one ring: an independent mix of its hash for each (the finaliser of MurmurHash3). */
function positionOf(hash: number, ring: number): number {
  let h = hash ^ Math.imul(ring + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
