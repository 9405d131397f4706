import { assert } from '../../lib/assert.ts';
import { hashString } from '../../lib/hash.ts';
import type { Instant, NodeId } from '../machine.ts';
import { isReachable, type Member, type MemberProfile, type MemberState } from './member.ts';
import type { AccusationUpdate, AliveUpdate, MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { KnownMember } from './options.ts';

/** One other member, as this node sees it. `member` is replaced on every change, never altered. */
export interface MemberRecord {
  member: Member;
  /** The signed claim that its state rests on; null for an entry of the address book, of which nothing was heard. */
  claim: MemberUpdate | null;
  /** What it last said of itself; behind `member.incarnation` while only an accusation told that. */
  alive: AliveUpdate | null;
  /** The last round trips, ms, newest first; at most three. */
  rtts: readonly number[];
  /** The last 16 probe outcomes, newest in the lowest bit; 1 is a miss. */
  misses: number;
  readonly idHash: number;
  /** When its state last changed, by the monotonic clock: `member.sinceMs` is for people, and jumps with their clock. */
  changedMs: number;
}

/** Of a member that nothing was measured of. */
export const UNKNOWN_HEALTH = { rttMs: null, missedProbes: 0, errorRate: 0, health: 'healthy' } as const;

/** The other members: their states and what is derived from them. Knows no rules; see evidence.ts. */
export class MemberTable {
  private readonly records = new Map<NodeId, MemberRecord>();
  private readonly counts: Record<MemberState, number> = { alive: 0, suspect: 0, dead: 0, left: 0 };
  /** Incarnations of members that were removed: their old claims must not bring them back. */
  private readonly gone = new Map<NodeId, number>();
  private deadIds: NodeId[] | null = null;
  private reachableIds: NodeId[] | null = null;

  constructor(self: NodeId, known: readonly KnownMember[]) {
    for (const { id, profile } of known) {
      if (id === self || this.records.has(id) || this.records.size >= MEMBERSHIP_LIMITS.membersMax) continue;
      this.records.set(id, newRecord(newMember(id, profile)));
      this.counts.dead += 1;
    }
  }

  get size(): number {
    return this.records.size;
  }

  get aliveCount(): number {
    return this.counts.alive;
  }

  get reachableCount(): number {
    return this.counts.alive + this.counts.suspect;
  }

  get deadCount(): number {
    return this.counts.dead;
  }

  record(id: NodeId): MemberRecord | undefined {
    return this.records.get(id);
  }

  all(): IterableIterator<MemberRecord> {
    return this.records.values();
  }

  /** Ids of members that are alive or suspect. Not to be altered. */
  reachable(): readonly NodeId[] {
    this.reachableIds ??= this.idsWhere(isReachable);
    return this.reachableIds;
  }

  /** Ids of dead members, those of the address book included. Not to be altered. */
  dead(): readonly NodeId[] {
    this.deadIds ??= this.idsWhere((state) => state === 'dead');
    return this.deadIds;
  }

  isReachable(id: NodeId): boolean {
    return isReachable(this.records.get(id)?.member.state);
  }

  /** True for a claim from before a member was removed. */
  isGone({ id, incarnation }: MemberUpdate): boolean {
    return !this.records.has(id) && incarnation <= (this.gone.get(id) ?? 0);
  }

  addresses(id: NodeId): readonly string[] {
    return this.records.get(id)?.member.profile.addresses ?? [];
  }

  /** Adds a stranger, as dead until a claim is applied; the caller made room. */
  add(id: NodeId, profile: MemberProfile): MemberRecord {
    assert(!this.records.has(id) && this.records.size < MEMBERSHIP_LIMITS.membersMax, 'a new member fits');
    const record = newRecord(newMember(id, profile));
    this.records.set(id, record);
    this.counts.dead += 1;
    this.forgetLists();
    return record;
  }

  /** Applies a claim about the member; the former `member` object stays as it was. */
  apply(record: MemberRecord, claim: MemberUpdate, now: Instant): void {
    const before = record.member;
    const { state, incarnation } = claim;
    adopt(record, claim.state === 'alive' ? claim : 'alive' in claim ? claim.alive : undefined);
    const isSame = before.state === state && record.claim !== null;
    const sinceMs = isSame ? before.sinceMs : now.wallMs;
    if (!isSame) record.changedMs = now.monoMs;
    const profile = record.alive?.profile ?? before.profile;
    record.member = { ...before, state, incarnation, profile, sinceMs };
    record.claim = claim;
    if (before.state === state) return;
    if (before.state === 'dead' || before.state === 'left') {
      // Back from the dead, perhaps on another machine: what was measured before does not count.
      record.misses = 0;
      record.rtts = [];
      record.member = { ...record.member, ...UNKNOWN_HEALTH };
    }
    this.counts[before.state] -= 1;
    this.counts[state] += 1;
    this.forgetLists();
  }

  remove(id: NodeId): void {
    const record = this.records.get(id);
    assert(record !== undefined, 'only a known member is removed');
    this.counts[record.member.state] -= 1;
    this.records.delete(id);
    const oldest = this.gone.keys().next();
    if (this.gone.size >= MEMBERSHIP_LIMITS.membersMax && oldest.done !== true) this.gone.delete(oldest.value);
    this.gone.set(id, record.member.incarnation);
    this.forgetLists();
  }

  /** The member to give way when the table is full: the one that left longest ago, else died longest ago. */
  expendable(): NodeId | undefined {
    let best: MemberRecord | undefined;
    for (const record of this.records.values()) {
      if (record.member.state !== 'left' && record.member.state !== 'dead') continue;
      if (best === undefined || isMoreExpendable(record, best)) best = record;
    }
    return best?.member.id;
  }

  private idsWhere(matches: (state: MemberState) => boolean): NodeId[] {
    const ids: NodeId[] = [];
    for (const [id, record] of this.records) if (matches(record.member.state)) ids.push(id);
    return ids;
  }

  private forgetLists(): void {
    this.deadIds = null;
    this.reachableIds = null;
  }
}

/** Keeps what a member said of itself, unless it has said something newer. */
export function adopt(record: MemberRecord, alive: AliveUpdate | undefined): void {
  if (alive === undefined || alive.incarnation <= (record.alive?.incarnation ?? 0)) return;
  record.alive = alive;
  record.member = { ...record.member, profile: alive.profile };
}

/** What this node tells others of a member; undefined of one that nobody has heard from. */
export function updateOf(record: MemberRecord, withAlive: boolean): MemberUpdate | undefined {
  const { claim, alive } = record;
  if (claim === null || claim.state === 'alive' || claim.state === 'left') return claim ?? undefined;
  return withAlive && alive !== null ? { ...withoutAlive(claim), alive } : withoutAlive(claim);
}

/** An accusation as it is passed on where the subject is known. */
export function withoutAlive(accusation: AccusationUpdate): AccusationUpdate {
  const { state, id, incarnation, from, signature } = accusation;
  return accusation.alive === undefined ? accusation : { state, id, incarnation, from, signature };
}

function isMoreExpendable(a: MemberRecord, b: MemberRecord): boolean {
  if (a.member.state !== b.member.state) return a.member.state === 'left';
  return a.changedMs < b.changedMs;
}

const NO_RTTS: readonly number[] = [];

function newRecord(member: Member): MemberRecord {
  const idHash = hashString(member.id);
  return { member, claim: null, alive: null, rtts: NO_RTTS, misses: 0, idHash, changedMs: Number.NEGATIVE_INFINITY };
}

function newMember(id: NodeId, profile: MemberProfile): Member {
  return { id, state: 'dead', incarnation: 0, profile, sinceMs: 0, ...UNKNOWN_HEALTH };
}
