import { assert } from '../../lib/assert.ts';
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import type { Member, MemberProfile, MemberState } from './member.ts';
import type { MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { KnownMember } from './options.ts';

/** One other member, as this node sees it. `member` is replaced on every change, never altered. */
export interface MemberRecord {
  member: Member;
  /** The incarnation that `member.profile` belongs to; behind `member.incarnation` while only an accusation told it. */
  profileIncarnation: number;
  /** False for an entry of the address book of which nothing was heard since the start. */
  confirmed: boolean;
  /** Who accused it last; itself where nobody did. */
  accuser: NodeId;
  /** The last 16 probe outcomes, newest in the lowest bit; 1 is a miss. */
  misses: number;
  readonly idHash: number;
}

export interface Transition {
  readonly state: MemberState;
  readonly incarnation: number;
  readonly accuser: NodeId;
  /** Given where the update carries one. */
  readonly profile?: MemberProfile | undefined;
  readonly profileIncarnation?: number;
}

/** The other members: their states and what is derived from them. Knows no rules; see evidence.ts. */
export class MemberTable {
  private readonly records = new Map<NodeId, MemberRecord>();
  private readonly counts: Record<MemberState, number> = { alive: 0, suspect: 0, dead: 0, left: 0 };
  private deadIds: NodeId[] | null = null;
  private reachableIds: NodeId[] | null = null;

  constructor(self: NodeId, known: readonly KnownMember[]) {
    for (const { id, profile } of known) {
      if (id === self || this.records.has(id) || this.records.size >= MEMBERSHIP_LIMITS.membersMax) continue;
      const member = newMember(id, 'dead', 0, profile, 0);
      this.records.set(id, { ...newRecord(member, id), confirmed: false });
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
    this.reachableIds ??= this.idsWhere((state) => state === 'alive' || state === 'suspect');
    return this.reachableIds;
  }

  /** Ids of dead members, those of the address book included. Not to be altered. */
  dead(): readonly NodeId[] {
    this.deadIds ??= this.idsWhere((state) => state === 'dead');
    return this.deadIds;
  }

  isReachable(id: NodeId): boolean {
    const state = this.records.get(id)?.member.state;
    return state === 'alive' || state === 'suspect';
  }

  addresses(id: NodeId): readonly string[] {
    return this.records.get(id)?.member.profile.addresses ?? [];
  }

  /** Adds a member; the caller made room. */
  add(id: NodeId, transition: Transition & { readonly profile: MemberProfile }, wallMs: number): MemberRecord {
    assert(!this.records.has(id) && this.records.size < MEMBERSHIP_LIMITS.membersMax, 'a new member fits');
    const member = newMember(id, transition.state, transition.incarnation, transition.profile, wallMs);
    const record = newRecord(member, transition.accuser);
    record.profileIncarnation = transition.profileIncarnation ?? 0;
    this.records.set(id, record);
    this.counts[member.state] += 1;
    this.forgetLists();
    return record;
  }

  /** Applies a change; the former `member` object stays as it was. */
  change(record: MemberRecord, transition: Transition, wallMs: number): void {
    const before = record.member;
    const stateChanged = before.state !== transition.state || !record.confirmed;
    record.member = {
      ...before,
      state: transition.state,
      incarnation: transition.incarnation,
      profile: transition.profile ?? before.profile,
      sinceMs: stateChanged ? wallMs : before.sinceMs,
    };
    record.confirmed = true;
    record.accuser = transition.accuser;
    if (transition.profile !== undefined) record.profileIncarnation = transition.profileIncarnation ?? 0;
    if (before.state === transition.state) return;
    if (before.state === 'dead' || before.state === 'left') {
      // Back from the dead, perhaps on another machine: what was measured before does not count.
      record.misses = 0;
      record.member = { ...record.member, rttMs: null, health: 'healthy' };
    }
    this.counts[before.state] -= 1;
    this.counts[transition.state] += 1;
    this.forgetLists();
  }

  remove(id: NodeId): void {
    const record = this.records.get(id);
    assert(record !== undefined, 'only a known member is removed');
    this.counts[record.member.state] -= 1;
    this.records.delete(id);
    this.forgetLists();
  }

  /** The member to give way when the table is full: the one that left longest ago, else died longest ago. */
  expendable(): NodeId | undefined {
    let best: Member | undefined;
    for (const { member } of this.records.values()) {
      if (member.state !== 'left' && member.state !== 'dead') continue;
      if (best === undefined || isMoreExpendable(member, best)) best = member;
    }
    return best?.id;
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

/** What this node tells others of a member; undefined of one that nobody has heard from. */
export function updateOf(record: MemberRecord, withProfile: boolean): MemberUpdate | undefined {
  const { id, state, incarnation, profile } = record.member;
  if (!record.confirmed) return undefined;
  switch (state) {
    case 'alive':
      return { state, id, incarnation, profile };
    case 'suspect':
    case 'dead':
      return { state, id, incarnation, from: record.accuser, ...(withProfile ? { profile } : {}) };
    case 'left':
      return { state, id, incarnation };
  }
}

function isMoreExpendable(a: Member, b: Member): boolean {
  if (a.state !== b.state) return a.state === 'left';
  return a.sinceMs < b.sinceMs;
}

function newRecord(member: Member, accuser: NodeId): MemberRecord {
  return { member, profileIncarnation: 0, confirmed: true, accuser, misses: 0, idHash: hashString(member.id) };
}

function newMember(
  id: NodeId,
  state: MemberState,
  incarnation: number,
  profile: MemberProfile,
  sinceMs: number,
): Member {
  return { id, state, incarnation, profile, sinceMs, rttMs: null, health: 'healthy' };
}
