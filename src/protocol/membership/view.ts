import { sameBytes } from '../../lib/byte-map.ts';
import { hashString } from '../../lib/hash.ts';
import type { Prng } from '../../lib/prng.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Awareness } from './awareness.ts';
import { authorOf, type ClaimAuthority } from './claim.ts';
import { type Coordinate, ORIGIN, predictedRttMs, rounded, type Vivaldi } from './coordinate.ts';
import type { Dissemination } from './dissemination.ts';
import type { EvidenceSource } from './evidence.ts';
import { isAccusation, isSameProfile, judge } from './evidence.ts';
import type { RequestOutcomes } from './input.ts';
import type { Member, MemberState } from './member.ts';
import type { MemberRecord, MemberTable } from './member-table.ts';
import { adopt, UNKNOWN_HEALTH, updateOf, withoutAlive } from './member-table.ts';
import type { AccusationUpdate, AliveUpdate, LeftUpdate, MemberUpdate } from './message.ts';
import { isUpdateWithinLimits, MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipTiming } from './options.ts';
import type { Outbox } from './outbox.ts';
import type { Overlay } from './overlay.ts';
import type { ProbeFailure, Prober, ProbeSuccess } from './prober.ts';
import type { ViewEntry } from './push-pull.ts';
import type { SelfClaim } from './self-claim.ts';
import type { Suspicions } from './suspicion.ts';

/** A push-pull that brings more strangers than this, and more than we knew, means that we are the newcomer. */
const STRANGERS_TOLD_MAX = 32;
/** A peer that passed on a claim that nobody signed is not listened to for so long. */
const DISTRUST_MS = 1000;
const DISTRUSTED_MAX = 1024;
/** So long a newcomer tells nobody what a push-pull has just told it. */
const NEWCOMER_MS = 10_000;

/** Who told a claim and how. */
interface Telling {
  readonly from: NodeId;
  readonly source: EvidenceSource;
  /** Worth passing on. */
  readonly isTold: boolean;
  /** The teller is dealing with this member just now, and wants to hear what it does not know of it. */
  readonly about: NodeId | undefined;
}

interface ViewModules {
  readonly timing: MembershipTiming;
  readonly prng: Prng;
  readonly claims: ClaimAuthority;
  readonly vivaldi: Vivaldi;
  readonly table: MemberTable;
  readonly overlay: Overlay;
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
  private forged = 0;
  /** Until when claims of peers that passed on forgeries are not read: checking them is what they may want. */
  private readonly distrusted = new Map<NodeId, number>();
  private publishedMs = Number.NEGATIVE_INFINITY;
  private newcomerUntilMs = Number.NEGATIVE_INFINITY;

  constructor(modules: ViewModules) {
    this.m = modules;
    const { id, incarnation, profile } = modules.claim;
    this.selfHash = hashString(id);
    this.selfMember = { id, state: 'alive', incarnation, profile, sinceMs: 0, ...UNKNOWN_HEALTH };
  }

  get self(): Member {
    const { awareness, timing } = this.m;
    const health = awareness.score * 2 > timing.awarenessMax ? 'degraded' : 'healthy';
    return health === this.selfMember.health ? this.selfMember : { ...this.selfMember, health };
  }

  /** Claims refused because their author had not signed them. */
  get forgedClaims(): number {
    return this.forged;
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
    const { claim, outbox, dissemination, timing } = this.m;
    const incarnation = claim.pollPersist();
    if (incarnation !== undefined) outbox.push({ type: 'persist-incarnation', incarnation });
    const announcement = claim.pollAnnouncement();
    if (announcement === undefined) return;
    const before = this.selfMember;
    const state: MemberState = announcement.state;
    const isSame = before.state === state && isSameProfile(before.profile, claim.profile);
    dissemination.enqueue(announcement, before.state === state && !isSame ? timing.disseminationSpare / 2 : 0);
    const sinceMs = before.state === state ? before.sinceMs : now.wallMs;
    this.selfMember = { ...before, state, incarnation: claim.incarnation, profile: claim.profile, sinceMs };
    if (state === 'left') this.sendLeave(announcement);
    if (isSame) return;
    this.aliveIds = null;
    outbox.push({ type: 'member-changed', member: this.self, previous: before.state });
  }

  /**
   * Applies claims that `from` sent. Returns what it should hear in answer: where it, or an accuser itself,
   * claims what we know to be outdated, or where it is about the member `about`.
   */
  apply(
    from: NodeId,
    updates: readonly MemberUpdate[],
    source: EvidenceSource,
    now: Instant,
    about?: NodeId,
  ): MemberUpdate[] {
    if (now.monoMs < (this.distrusted.get(from) ?? 0)) return [];
    const answers = new Set<NodeId>();
    const isNewcomer = source === 'push-pull' && this.isNewcomer(updates, now.monoMs);
    const forgedBefore = this.forged;
    for (const update of updates.slice(0, MEMBERSHIP_LIMITS.updatesPerMessageMax)) {
      if (!isUpdateWithinLimits(update)) continue;
      const isTold = !isNewcomer || update.id === from;
      const isOutdated =
        update.id === this.m.claim.id
          ? this.handleClaimAboutSelf(update, now)
          : this.handleClaim(update, { from, source, isTold, about }, now);
      if (isOutdated) answers.add(update.id);
      if (this.forged > forgedBefore) {
        // Whoever passes on one has not checked it, and checking the rest would only cost us.
        this.distrust(from, now);
        break;
      }
    }
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

  handleProbeSuccess(success: ProbeSuccess, coordinate: Coordinate | null, now: Instant): void {
    const record = this.m.table.record(success.target);
    if (record === undefined) return;
    this.m.suspicions.recordProbe(success.target, 'answered');
    if (success.rttMs !== null) {
      // As TCP smooths its round-trip time: RFC 6298 section 2.3.
      const before = record.member.rttMs;
      const rttMs = before === null ? success.rttMs : before + (success.rttMs - before) / 8;
      record.member = { ...record.member, rttMs };
      record.rtts = [success.rttMs, ...record.rtts.slice(0, 2)];
      // A single late answer is no distance.
      if (coordinate !== null && record.rtts.length === 3) this.m.vivaldi.observe(median(record.rtts), coordinate);
      this.publishCoordinate(now);
    }
    if (success.kind === 'round') this.recordOutcome(record, !success.direct);
  }

  /** Of a member that is not probed from here; null unless one of the two is away from the origin. */
  estimatedRttMs(id: NodeId): number | null {
    const theirs = this.m.table.record(id)?.member.profile.coordinate;
    const { vivaldi } = this.m;
    if (theirs === undefined || !vivaldi.isSettled) return null;
    if (theirs === null && !this.isAway(ORIGIN)) return null;
    return predictedRttMs(vivaldi.coordinate, theirs ?? ORIGIN);
  }

  /** Requests for data say more than probes: a member may answer pings while its disk is failing. */
  handleRequests({ peer, answered, failed }: RequestOutcomes): void {
    const record = this.m.table.record(peer);
    const count = answered + failed;
    if (record === undefined || count === 0) return;
    // A few requests move it little, many move it all the way.
    const weight = Math.min(1, count / 20);
    const { errorRate } = record.member;
    record.member = { ...record.member, errorRate: errorRate + (failed / count - errorRate) * weight };
    this.judgeHealth(record);
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
      if (suspicions.lastProbe(id) !== 'failed') {
        // On the word of others alone nobody is declared dead: the refutation may have been lost on its way to us.
        this.m.prober.start(id, 'verify', now.monoMs);
        suspicions.hold(id, now.monoMs + this.m.timing.probeWindowMs * (this.m.awareness.multiplier + 0.5));
        continue;
      }
      this.becomeDead(record, this.accusation('dead', id, record.member.incarnation), now);
      // Whatever still stands is stuck, and would block the dials that look for the member later.
      if (this.m.outbox.connected.has(id)) this.m.outbox.push({ type: 'disconnect', peer: id });
    }
  }

  /** Looks at one suspect, unless enough others are expected to. */
  verifySuspect(now: Instant): void {
    const { suspicions, prng, prober, overlay } = this.m;
    if (suspicions.size === 0 || (overlay.isSmall && !prng.chance(this.verifierShare()))) return;
    const suspects = suspicions.ids().filter((id) => prober.kindOf(id) === undefined);
    const id = prng.pick(overlay.isSmall ? suspects : suspects.filter((suspect) => overlay.isNeighbour(suspect)));
    if (id !== undefined) prober.start(id, 'verify', now.monoMs);
  }

  forgetLeft(now: Instant): void {
    const { table, timing } = this.m;
    const gone: NodeId[] = [];
    for (const { member, changedMs } of table.all()) {
      if (member.state === 'left' && now.monoMs - changedMs > timing.leftRetentionMs) gone.push(member.id);
    }
    for (const id of gone) this.forget(id);
  }

  /** True when the sender should hear our announcement: it, or we ourselves, claimed less than is so. */
  private handleClaimAboutSelf(update: MemberUpdate, now: Instant): boolean {
    const { claim, awareness } = this.m;
    if (update.incarnation > claim.incarnation + MEMBERSHIP_LIMITS.accusationLeadMax && update.state !== 'alive') {
      return false;
    }
    if (update.incarnation >= claim.incarnation && update !== claim.announced && !this.isGenuine(update)) return false;
    const isOurs = claim.leaving ? update.state === 'left' : update.state === 'alive';
    if (isOurs) {
      // Announced by a former life whose record is lost: go beyond it.
      const isOwn = claim.announced !== null && sameBytes(claim.announced.signature, update.signature);
      if (update.incarnation >= claim.incarnation && !isOwn) claim.bump(update.incarnation);
      return false;
    }
    if (update.incarnation >= claim.incarnation) {
      // Refute. Being suspected is a sign that we are slow ourselves (Lifeguard section IV.A).
      if (update.state === 'suspect' || update.state === 'dead') awareness.adjust(1);
      claim.bump(update.incarnation);
    }
    // Until the refutation is durable there is nothing to say: an outdated answer would only be accused again.
    this.syncClaim(now);
    return (claim.announced?.incarnation ?? 0) > update.incarnation;
  }

  private handleClaim(update: MemberUpdate, { from, source, isTold, about }: Telling, now: Instant): boolean {
    const record = this.m.table.record(update.id);
    const verdict = judge(record, update, source);
    // It has forgotten that a former life of it used this number, and goes beyond it when it is told so.
    if (verdict === 'ignored' && update.id === from && contradicts(update, record?.alive)) return true;
    if (verdict === 'ignored' || this.m.table.isGone(update)) return false;
    if (verdict === 'stale') return update.id === from || authorOf(update) === from || update.id === about;
    const isRipe = update.state === 'dead' && verdict === 'dead' && this.isRipe(record, update, now);
    // Signatures cost more than all the rest: repeats of an accusation are not looked at.
    if (isAccusation(update) && !isRipe && this.isRepeated(record, update)) return false;
    if (!this.isGenuine(update, record)) return false;
    switch (update.state) {
      case 'alive':
        if (verdict === 'profile' && record !== undefined) this.adoptProfile(record, update);
        else this.becomeAlive(record, update, isTold, now);
        break;
      case 'suspect':
        this.becomeSuspect(record, update, now);
        break;
      case 'dead':
        if (isRipe) this.becomeDead(record, update, now);
        else this.handleHearsay(record, update, verdict === 'dead', now);
        break;
      case 'left':
        if (record !== undefined) this.becomeLeft(record, update, now);
        break;
    }
    return false;
  }

  /** Checks the signatures; what nobody signed is counted and dropped. */
  private isGenuine(update: MemberUpdate, record?: MemberRecord): boolean {
    const { claims } = this.m;
    let genuine = claims.verify(update);
    if (genuine && 'alive' in update && update.alive !== undefined) {
      const known = record?.alive?.incarnation ?? 0;
      genuine = known >= update.alive.incarnation || claims.verify(update.alive);
    }
    if (!genuine) this.forged += 1;
    return genuine;
  }

  private distrust(peer: NodeId, now: Instant): void {
    if (this.distrusted.size >= DISTRUSTED_MAX) this.distrusted.clear();
    this.distrusted.set(peer, now.monoMs + DISTRUST_MS);
    this.m.outbox.push({ type: 'misbehaviour', peer, reason: 'a claim that its author has not signed' });
  }

  private accusation(state: 'suspect' | 'dead', id: NodeId, incarnation: number): AccusationUpdate {
    const { claims, claim } = this.m;
    const unsigned = { state, id, incarnation, from: claim.id };
    return { ...unsigned, signature: claims.sign(unsigned) };
  }

  /**
   * A verdict of others counts where we have suspected the member ourselves for as long as a refutation takes. A
   * member that was cut off for a while declares everybody dead, and tells it when it is back.
   */
  private isRipe(record: MemberRecord | undefined, { id, incarnation }: AccusationUpdate, now: Instant): boolean {
    if (record === undefined || !this.m.table.isReachable(id)) return true;
    const { suspicions } = this.m;
    const ageMs = incarnation > record.member.incarnation ? undefined : suspicions.ageMs(id, now.monoMs);
    return ageMs !== undefined && ageMs >= this.refutationMs() && suspicions.lastProbe(id) !== 'answered';
  }

  /** Time in which a refutation reaches everybody: gossip takes O(log N) rounds to the accused and back. */
  private refutationMs(): number {
    const { table, timing } = this.m;
    const rounds = Math.log(table.reachableCount + 1) / Math.log(timing.gossipFanout);
    return timing.gossipIntervalMs * (2 + 2 * rounds);
  }

  /** An accusation of a running suspicion that would not count. */
  private isRepeated(record: MemberRecord | undefined, update: AccusationUpdate): boolean {
    const { id, from } = update;
    return isOfRunning(record, update) && (!this.isWitness(from) || !this.m.suspicions.isNews(id, from));
  }

  /**
   * A death that may be old (from a push-pull) or premature becomes a suspicion, of which we tell nobody before we
   * have looked for ourselves. A verdict shortens it: without a refutation we come to the same.
   */
  private handleHearsay(
    record: MemberRecord | undefined,
    update: AccusationUpdate,
    isVerdict: boolean,
    now: Instant,
  ): void {
    const { id, incarnation, alive, from } = update;
    const { suspicions } = this.m;
    if (isOfRunning(record, update)) {
      suspicions.confirm(id, from);
    } else {
      const suspicion = this.accusation('suspect', id, incarnation);
      if (!this.transit(record, alive === undefined ? suspicion : { ...suspicion, alive }, now)) return;
      suspicions.start(id, from, this.m.table.reachableCount + 1, now.monoMs);
    }
    const ageMs = suspicions.ageMs(id, now.monoMs) ?? 0;
    if (isVerdict) suspicions.shorten(id, Math.max(0, this.refutationMs() - ageMs), now.monoMs);
    this.m.prober.start(id, 'verify', now.monoMs);
  }

  private accuse(record: MemberRecord, now: Instant): void {
    const { id, incarnation } = record.member;
    if (!this.m.table.isReachable(id)) return;
    this.becomeSuspect(record, this.accusation('suspect', id, incarnation), now);
    this.m.suspicions.recordProbe(id, 'failed');
  }

  /** The state stands, but the words of this incarnation had been missing. */
  private adoptProfile(record: MemberRecord, update: AliveUpdate): void {
    const before = record.member;
    adopt(record, update);
    if (isSameProfile(before.profile, record.member.profile)) return;
    this.m.outbox.push({ type: 'member-changed', member: record.member, previous: before.state });
  }

  private becomeAlive(record: MemberRecord | undefined, update: AliveUpdate, isTold: boolean, now: Instant): void {
    const { id } = update;
    const { suspicions, prober, dissemination, timing } = this.m;
    const before = record?.member.state;
    if (!this.transit(record, update, now)) return;
    suspicions.stop(id);
    if (prober.kindOf(id) === 'verify') prober.stop(id);
    const isMinor = before === 'alive';
    if (isTold || record !== undefined) dissemination.enqueue(update, isMinor ? timing.disseminationSpare / 2 : 0);
    else dissemination.discard(id);
  }

  private becomeSuspect(record: MemberRecord | undefined, update: AccusationUpdate, now: Instant): void {
    const { id, from } = update;
    const { suspicions, table, claim, dissemination, prober } = this.m;
    if (isOfRunning(record, update)) {
      if (suspicions.confirm(id, from)) dissemination.enqueue(withoutAlive(update));
      return;
    }
    if (!this.transit(record, update, now)) return;
    suspicions.start(id, from, table.reachableCount + 1, now.monoMs);
    dissemination.enqueue(withoutAlive(update));
    // Independent confirmations come from looking for oneself; the ping also tells the suspect.
    if (from !== claim.id && this.isVerifier(id)) prober.start(id, 'verify', now.monoMs);
  }

  /** Whoever is suspect itself confirms nothing: it may have been cut off when it saw nobody. */
  private isWitness(accuser: NodeId): boolean {
    return accuser === this.m.claim.id || this.m.table.record(accuser)?.member.state === 'alive';
  }

  private becomeDead(record: MemberRecord | undefined, update: AccusationUpdate, now: Instant): void {
    const { id, from } = update;
    const { suspicions, prober, dissemination, outbox, claim } = this.m;
    if (!this.transit(record, update, now)) return;
    suspicions.stop(id);
    prober.stop(id);
    const told = withoutAlive(update);
    dissemination.enqueue(told);
    // Somebody else's verdict on a peer that we are connected to: give it the chance to refute.
    if (from !== claim.id && outbox.connected.has(id)) outbox.send(id, { type: 'gossip', updates: [told] });
  }

  private becomeLeft(record: MemberRecord, update: LeftUpdate, now: Instant): void {
    const { suspicions, prober, dissemination } = this.m;
    this.transit(record, update, now);
    suspicions.stop(update.id);
    prober.stop(update.id);
    dissemination.enqueue(update);
  }

  /** Writes the change into the table and reports it; false when there was no room for a new member. */
  private transit(known: MemberRecord | undefined, update: MemberUpdate, now: Instant): boolean {
    const { table, outbox, overlay } = this.m;
    const record = known ?? this.admit(update);
    if (record === undefined) return false;
    const before = record.member;
    const wasReachable = table.isReachable(update.id);
    table.apply(record, update, now);
    const isReachable = table.isReachable(update.id);
    if (isReachable && !wasReachable) overlay.handleReachable(record);
    else if (wasReachable && !isReachable) overlay.handleUnreachable(update.id);
    const previous = known === undefined ? null : before.state;
    if (previous !== update.state) this.aliveIds = null;
    const isSame = previous === update.state && isSameProfile(before.profile, record.member.profile);
    if (!isSame) outbox.push({ type: 'member-changed', member: record.member, previous });
    return true;
  }

  /** A stranger becomes a member, if it said where it is and there is room. */
  private admit(update: MemberUpdate): MemberRecord | undefined {
    const alive = update.state === 'alive' ? update : 'alive' in update ? update.alive : undefined;
    return alive !== undefined && this.makeRoom() ? this.m.table.add(update.id, alive.profile) : undefined;
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
    record.misses = ((record.misses << 1) | (isMiss ? 1 : 0)) & 0xffff;
    const missedProbes = bitCount(record.misses);
    if (missedProbes !== record.member.missedProbes) record.member = { ...record.member, missedProbes };
    this.judgeHealth(record);
  }

  private judgeHealth(record: MemberRecord): void {
    const { degradedMisses, degradedRttMs, degradedErrorRate } = this.m.timing;
    const { health, missedProbes, rttMs, errorRate } = record.member;
    // Hysteresis: a member on the edge must not flap.
    const factor = health === 'healthy' ? 1 : 0.5;
    const isDegraded =
      missedProbes >= degradedMisses * factor ||
      (rttMs ?? 0) >= degradedRttMs * factor ||
      errorRate >= degradedErrorRate * factor;
    const next = isDegraded ? 'degraded' : 'healthy';
    if (next === health) return;
    record.member = { ...record.member, health: next };
    this.m.outbox.push({ type: 'member-changed', member: record.member, previous: record.member.state });
  }

  /** Tells the cluster where this node is, once that is somewhere else than it was told before. */
  private publishCoordinate(now: Instant): void {
    const { vivaldi, claim, timing } = this.m;
    if (now.monoMs - this.publishedMs < timing.publishIntervalMs || !vivaldi.isSettled || claim.leaving) return;
    if (!this.isAway(claim.profile.coordinate ?? ORIGIN)) return;
    this.publishedMs = now.monoMs;
    claim.updateProfile({ coordinate: rounded(vivaldi.coordinate) });
  }

  private isAway(from: Coordinate): boolean {
    const { x, y, z, height } = this.m.vivaldi.coordinate;
    const distance = Math.hypot(x - from.x, y - from.y, z - from.z) + Math.abs(height - from.height);
    return distance >= this.m.timing.coordinateStepMs;
  }

  private sendLeave(announcement: MemberUpdate): void {
    const { outbox } = this.m;
    const peers = [...outbox.connected].slice(0, MEMBERSHIP_LIMITS.leaveFanoutMax);
    for (const peer of peers) outbox.send(peer, { type: 'gossip', updates: [announcement] });
  }

  /** Whether this member looks at a suspect itself: those do that have a connection with it anyway. */
  private isVerifier(id: NodeId): boolean {
    const { overlay, prng } = this.m;
    return overlay.isSmall ? prng.chance(this.verifierShare()) : overlay.isNeighbour(id);
  }

  /** Probability with which each member of a small cluster looks at a suspect, so that about `verifiers` of them do. */
  private verifierShare(): number {
    return Math.min(1, this.m.timing.verifiers / Math.max(1, this.m.table.reachableCount - 1));
  }

  private isNewcomer(updates: readonly MemberUpdate[], nowMs: number): boolean {
    let strangers = 0;
    for (const update of updates) if (this.m.table.record(update.id) === undefined) strangers += 1;
    // A large view comes in several messages, of which only the first looks like more than we know.
    if (strangers > Math.max(STRANGERS_TOLD_MAX, this.m.table.reachableCount)) {
      this.newcomerUntilMs = nowMs + NEWCOMER_MS;
    }
    return nowMs < this.newcomerUntilMs;
  }
}

/** True when the accusation is one of a suspicion that runs already. */
function isOfRunning(record: MemberRecord | undefined, { incarnation }: AccusationUpdate): boolean {
  return record?.member.state === 'suspect' && record.member.incarnation === incarnation;
}

/** True when a member has said two things under one number. */
function contradicts(update: MemberUpdate, known: AliveUpdate | null | undefined): boolean {
  if (update.state !== 'alive' || update.incarnation !== known?.incarnation) return false;
  return !sameBytes(update.signature, known.signature);
}

/** Of three. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[1] as number;
}

function bitCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
