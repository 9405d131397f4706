import { hashString } from '../../lib/hash.ts';
import type { Prng } from '../../lib/prng.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Awareness } from './awareness.ts';
import type { Dissemination } from './dissemination.ts';
import type { EvidenceSource } from './evidence.ts';
import { isOrigin, isSameProfile, judge } from './evidence.ts';
import type { Member, MemberProfile, MemberState } from './member.ts';
import type { MemberRecord, MemberTable, Transition } from './member-table.ts';
import { updateOf } from './member-table.ts';
import type { AccusationUpdate, AliveUpdate, MemberUpdate } from './message.ts';
import { isUpdateWithinLimits, MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipTiming } from './options.ts';
import type { Outbox } from './outbox.ts';
import type { ProbeFailure, Prober, ProbeSuccess } from './prober.ts';
import type { ViewEntry } from './push-pull.ts';
import type { SelfClaim } from './self-claim.ts';
import type { Suspicions } from './suspicion.ts';

/** A push-pull that brings more strangers than this, and more than we knew, means that we are the newcomer. */
const STRANGERS_TOLD_MAX = 32;

interface ViewModules {
  readonly timing: MembershipTiming;
  readonly prng: Prng;
  readonly table: MemberTable;
  readonly awareness: Awareness;
  readonly outbox: Outbox;
  readonly suspicions: Suspicions;
  readonly claim: SelfClaim;
  readonly dissemination: Dissemination;
  readonly prober: Prober;
}

/** This node's view of all members: applies claims and probe results, and owns every change of state. */
export class View {
  private readonly m: ViewModules;
  private readonly selfHash: number;
  private selfMember: Member;
  private aliveIds: NodeId[] | null = null;

  constructor(modules: ViewModules) {
    this.m = modules;
    const { id, incarnation, profile } = modules.claim;
    this.selfHash = hashString(id);
    this.selfMember = { id, state: 'alive', incarnation, profile, sinceMs: 0, rttMs: null, health: 'healthy' };
  }

  get self(): Member {
    const { awareness, timing } = this.m;
    const health = awareness.score * 2 > timing.awarenessMax ? 'degraded' : 'healthy';
    return health === this.selfMember.health ? this.selfMember : { ...this.selfMember, health };
  }

  members(): Member[] {
    const members = [this.self];
    for (const { member } of this.m.table.all()) members.push(member);
    return members;
  }

  alive(): readonly NodeId[] {
    if (this.aliveIds === null) {
      this.aliveIds = this.selfMember.state === 'alive' ? [this.selfMember.id] : [];
      for (const { member } of this.m.table.all()) if (member.state === 'alive') this.aliveIds.push(member.id);
    }
    return this.aliveIds;
  }

  /** Everything that may be told, self included: what push-pull compares. */
  *entries(): Generator<ViewEntry> {
    const { table, claim } = this.m;
    if (claim.announced !== null) yield { idHash: this.selfHash, update: claim.announced };
    for (const record of table.all()) {
      const update = updateOf(record, true);
      if (update !== undefined) yield { idHash: record.idHash, update };
    }
  }

  handleStart(now: Instant): void {
    this.selfMember = { ...this.selfMember, sinceMs: now.wallMs };
  }

  /** Persists and announces a new own incarnation, as far as either is due. */
  syncClaim(now: Instant): void {
    const { claim, outbox, dissemination } = this.m;
    const incarnation = claim.pollPersist();
    if (incarnation !== undefined) outbox.push({ type: 'persist-incarnation', incarnation });
    const announcement = claim.pollAnnouncement();
    if (announcement === undefined) return;
    dissemination.enqueue(announcement);
    const before = this.selfMember;
    const state: MemberState = announcement.state;
    const isSame = before.state === state && isSameProfile(before.profile, claim.profile);
    const sinceMs = before.state === state ? before.sinceMs : now.wallMs;
    this.selfMember = { ...before, state, incarnation: claim.incarnation, profile: claim.profile, sinceMs };
    if (state === 'left') this.sendLeave(announcement);
    if (isSame) return;
    this.aliveIds = null;
    outbox.push({ type: 'member-changed', member: this.self, previous: before.state });
  }

  /**
   * Applies claims that `from` sent. Returns what it should hear in answer: where it, or an accuser itself,
   * claims what we know to be outdated.
   */
  apply(from: NodeId, updates: readonly MemberUpdate[], source: EvidenceSource, now: Instant): MemberUpdate[] {
    const answers = new Set<NodeId>();
    const isNewcomer = source === 'push-pull' && this.isNewcomer(updates);
    for (const update of updates.slice(0, MEMBERSHIP_LIMITS.updatesPerMessageMax)) {
      if (!isUpdateWithinLimits(update)) continue;
      const isTold = !isNewcomer || update.id === from;
      const isOutdated =
        update.id === this.m.claim.id
          ? this.handleClaimAboutSelf(update)
          : this.handleClaim(update, from, source, isTold, now);
      if (isOutdated) answers.add(update.id);
    }
    if (answers.size > 0) this.syncClaim(now);
    return this.updatesOf(answers);
  }

  updatesOf(ids: Iterable<NodeId>): MemberUpdate[] {
    const { claim, table } = this.m;
    const updates: MemberUpdate[] = [];
    for (const id of ids) {
      const record = table.record(id);
      const update = id === claim.id ? claim.announced : record && updateOf(record, false);
      if (update !== null && update !== undefined) updates.push(update);
    }
    return updates;
  }

  handleProbeSuccess(success: ProbeSuccess): void {
    const record = this.m.table.record(success.target);
    if (record === undefined) return;
    if (success.rttMs !== null) {
      // As TCP smooths its round-trip time: RFC 6298 section 2.3.
      const before = record.member.rttMs;
      const rttMs = before === null ? success.rttMs : before + (success.rttMs - before) / 8;
      record.member = { ...record.member, rttMs };
    }
    if (success.kind === 'round') this.recordOutcome(record, !success.direct);
  }

  handleProbeFailure(failure: ProbeFailure, now: Instant): void {
    const record = this.m.table.record(failure.target);
    if (record === undefined) return;
    if (failure.kind === 'round') this.recordOutcome(record, true);
    this.accuse(record, now);
    // As long as it is suspect it is asked again, with the accusation: the quickest way to a refutation.
    if (record.member.state === 'suspect') this.m.prober.start(record.member.id, 'verify', now.monoMs);
  }

  /** Nothing listens where a moment ago was a connection: only a refutation within a short time helps. */
  handleRefusedRedial(id: NodeId, now: Instant): void {
    const record = this.m.table.record(id);
    if (record === undefined || !this.m.table.isReachable(id)) return;
    this.accuse(record, now);
    this.m.suspicions.shorten(id, this.m.timing.refusedSuspicionMs, now.monoMs);
    this.m.prober.start(id, 'verify', now.monoMs);
  }

  /** Suspicions that ran out. */
  handleTimeout(now: Instant): void {
    const { suspicions, table, claim } = this.m;
    if (suspicions.size === 0 || claim.leaving) return;
    for (const id of suspicions.pollExpired(table.aliveCount, now.monoMs)) {
      const record = table.record(id);
      if (record === undefined) continue;
      const { incarnation } = record.member;
      this.becomeDead(record, { state: 'dead', id, incarnation, from: claim.id }, now);
      // Whatever still stands is stuck, and would block the dials that look for the member later.
      if (this.m.outbox.connected.has(id)) this.m.outbox.push({ type: 'disconnect', peer: id });
    }
  }

  /** Looks at one suspect, unless enough others are expected to. */
  verifySuspect(now: Instant): void {
    const { suspicions, prng, prober } = this.m;
    if (suspicions.size === 0 || !prng.chance(this.verifierShare())) return;
    const id = prng.pick(suspicions.ids().filter((suspect) => prober.kindOf(suspect) === undefined));
    if (id !== undefined) prober.start(id, 'verify', now.monoMs);
  }

  forgetLeft(now: Instant): void {
    const { table, timing } = this.m;
    const gone: NodeId[] = [];
    for (const { member } of table.all()) {
      if (member.state === 'left' && now.wallMs - member.sinceMs > timing.leftRetentionMs) gone.push(member.id);
    }
    for (const id of gone) this.forget(id);
  }

  /** True when the sender should hear our announcement: it, or we ourselves, claimed less than is so. */
  private handleClaimAboutSelf(update: MemberUpdate): boolean {
    const { claim, awareness } = this.m;
    const isOurs = claim.leaving ? update.state === 'left' : update.state === 'alive';
    if (isOurs) {
      // Announced by a former life whose record is lost, or with another boot: go beyond it.
      const isForeign = update.state === 'alive' && update.profile.bootEpoch !== claim.profile.bootEpoch;
      if (update.incarnation > claim.incarnation) claim.bump(update.incarnation);
      else if (update.incarnation === claim.incarnation && isForeign) claim.bump(update.incarnation);
      return false;
    }
    if (update.incarnation >= claim.incarnation) {
      // Refute. Being suspected is a sign that we are slow ourselves (Lifeguard section IV.A).
      if (update.state === 'suspect' || update.state === 'dead') awareness.adjust(1);
      claim.bump(update.incarnation);
    }
    return true;
  }

  private handleClaim(
    update: MemberUpdate,
    from: NodeId,
    source: EvidenceSource,
    isTold: boolean,
    now: Instant,
  ): boolean {
    const record = this.m.table.record(update.id);
    const verdict = judge(record, update, from, source);
    switch (verdict) {
      case 'ignored':
        break;
      case 'stale':
        return update.id === from || isOrigin(update, from);
      case 'alive':
      case 'profile':
        if (update.state === 'alive') this.becomeAlive(record, update, isTold, now);
        break;
      case 'suspect':
      case 'confirmation':
        if (update.state === 'suspect' || update.state === 'dead') {
          // A death told in a push-pull is only the teller's word: it becomes the accuser.
          const accuser = update.state === 'suspect' ? update.from : from;
          this.becomeSuspect(record, { ...update, state: 'suspect', from: accuser }, now);
        }
        break;
      case 'dead':
        if (update.state === 'dead') this.becomeDead(record, update, now);
        break;
      case 'left':
        if (record !== undefined) this.becomeLeft(record, update, now);
        break;
    }
    return false;
  }

  private accuse(record: MemberRecord, now: Instant): void {
    const { id, incarnation } = record.member;
    if (!this.m.table.isReachable(id)) return;
    this.becomeSuspect(record, { state: 'suspect', id, incarnation, from: this.m.claim.id }, now);
  }

  private becomeAlive(record: MemberRecord | undefined, update: AliveUpdate, isTold: boolean, now: Instant): void {
    const { id, incarnation, profile } = update;
    const { suspicions, prober, dissemination } = this.m;
    const isProfileOnly = record !== undefined && record.confirmed && record.member.incarnation === incarnation;
    const state = isProfileOnly ? record.member.state : 'alive';
    const accuser = isProfileOnly ? record.accuser : id;
    const isApplied = this.transit(
      record,
      id,
      { state, incarnation, accuser, profile, profileIncarnation: incarnation },
      now,
    );
    if (!isApplied || isProfileOnly) return;
    suspicions.stop(id);
    if (prober.kindOf(id) === 'verify') prober.stop(id);
    if (isTold || record !== undefined) dissemination.enqueue(update);
    else dissemination.discard(id);
  }

  private becomeSuspect(record: MemberRecord | undefined, accusation: AccusationUpdate, now: Instant): void {
    const { id, incarnation, from } = accusation;
    const { suspicions, table, claim, dissemination, prng, prober } = this.m;
    const told: MemberUpdate = { state: 'suspect', id, incarnation, from };
    if (record?.member.state === 'suspect' && record.member.incarnation === incarnation) {
      if (suspicions.confirm(id, from)) dissemination.enqueue(told);
      return;
    }
    const transition = {
      state: 'suspect',
      incarnation,
      accuser: from,
      profile: this.newProfile(record, accusation),
    } as const;
    if (!this.transit(record, id, transition, now)) return;
    suspicions.start(id, from, table.reachableCount + 1, now.monoMs);
    dissemination.enqueue(told);
    // Independent confirmations come from looking for oneself; the ping also tells the suspect.
    if (from !== claim.id && prng.chance(this.verifierShare())) prober.start(id, 'verify', now.monoMs);
  }

  private becomeDead(record: MemberRecord | undefined, update: AccusationUpdate, now: Instant): void {
    const { id, incarnation, from } = update;
    const { suspicions, prober, dissemination, outbox, claim } = this.m;
    const transition = { state: 'dead', incarnation, accuser: from, profile: this.newProfile(record, update) } as const;
    if (!this.transit(record, id, transition, now)) return;
    suspicions.stop(id);
    prober.stop(id);
    const told: MemberUpdate = { state: 'dead', id, incarnation, from };
    dissemination.enqueue(told);
    // Somebody else's verdict on a peer that we are connected to: give it the chance to refute.
    if (from !== claim.id && outbox.connected.has(id)) outbox.send(id, { type: 'gossip', updates: [told] });
  }

  private becomeLeft(record: MemberRecord, update: MemberUpdate, now: Instant): void {
    const { id, incarnation } = update;
    const { suspicions, prober, dissemination } = this.m;
    this.transit(record, id, { state: 'left', incarnation, accuser: id }, now);
    suspicions.stop(id);
    prober.stop(id);
    dissemination.enqueue({ state: 'left', id, incarnation });
  }

  /** The profile of an accusation, where it is all we have. */
  private newProfile(record: MemberRecord | undefined, update: AccusationUpdate): MemberProfile | undefined {
    return record === undefined || !record.confirmed ? update.profile : undefined;
  }

  /** Writes the change into the table and reports it; false when there was no room for a new member. */
  private transit(record: MemberRecord | undefined, id: NodeId, transition: Transition, now: Instant): boolean {
    const { table, outbox } = this.m;
    if (record === undefined) {
      const { profile } = transition;
      if (profile === undefined || !this.makeRoom()) return false;
      this.aliveIds = null;
      const added = table.add(id, { ...transition, profile }, now.wallMs);
      outbox.push({ type: 'member-changed', member: added.member, previous: null });
      return true;
    }
    const before = record.member;
    table.change(record, transition, now.wallMs);
    if (before.state !== transition.state) this.aliveIds = null;
    const isSame = before.state === transition.state && isSameProfile(before.profile, record.member.profile);
    if (!isSame) outbox.push({ type: 'member-changed', member: record.member, previous: before.state });
    return true;
  }

  private makeRoom(): boolean {
    if (this.m.table.size < MEMBERSHIP_LIMITS.membersMax) return true;
    const id = this.m.table.expendable();
    if (id !== undefined) this.forget(id);
    return id !== undefined;
  }

  private forget(id: NodeId): void {
    this.m.table.remove(id);
    this.m.dissemination.discard(id);
    this.m.outbox.push({ type: 'forget', peer: id });
  }

  private recordOutcome(record: MemberRecord, isMiss: boolean): void {
    const { degradedMisses, degradedRttMs } = this.m.timing;
    record.misses = ((record.misses << 1) | (isMiss ? 1 : 0)) & 0xffff;
    const misses = bitCount(record.misses);
    const { health } = record.member;
    const rttMs = record.member.rttMs ?? 0;
    // Hysteresis: a member on the edge must not flap.
    const factor = health === 'healthy' ? 1 : 0.5;
    const isDegraded = misses >= degradedMisses * factor || rttMs >= degradedRttMs * factor;
    const next = isDegraded ? 'degraded' : 'healthy';
    if (next === health) return;
    record.member = { ...record.member, health: next };
    this.m.outbox.push({ type: 'member-changed', member: record.member, previous: record.member.state });
  }

  private sendLeave(announcement: MemberUpdate): void {
    const { outbox } = this.m;
    const peers = [...outbox.connected].slice(0, MEMBERSHIP_LIMITS.leaveFanoutMax);
    for (const peer of peers) outbox.send(peer, { type: 'gossip', updates: [announcement] });
  }

  /** Probability with which each member looks at a suspect, so that about `verifiers` of them do. */
  private verifierShare(): number {
    return Math.min(1, this.m.timing.verifiers / Math.max(1, this.m.table.reachableCount - 1));
  }

  private isNewcomer(updates: readonly MemberUpdate[]): boolean {
    let strangers = 0;
    for (const update of updates) if (this.m.table.record(update.id) === undefined) strangers += 1;
    return strangers > Math.max(STRANGERS_TOLD_MAX, this.m.table.reachableCount);
  }
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
