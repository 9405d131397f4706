import { unreachable } from '../../lib/assert.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import type { Prng } from '../../lib/prng.ts';
import { Rotation } from '../../lib/rotation.ts';
import type { Instant, Machine, NodeId } from '../machine.ts';
import { Awareness } from './awareness.ts';
import { Vivaldi } from './coordinate.ts';
import { Dissemination } from './dissemination.ts';
import type { MembershipEffect } from './effect.ts';
import type { DialFailure, MembershipInput } from './input.ts';
import type { Member } from './member.ts';
import { MemberTable } from './member-table.ts';
import type { MembershipMessage, MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipOptions, MembershipTiming } from './options.ts';
import { timingOf } from './options.ts';
import { Outbox } from './outbox.ts';
import { Overlay } from './overlay.ts';
import { Prober } from './prober.ts';
import { BucketedView, packBuckets } from './push-pull.ts';
import { SelfClaim } from './self-claim.ts';
import { Suspicions } from './suspicion.ts';
import { View } from './view.ts';

export interface MembershipStats {
  /** 0 (well) to `awarenessMax`. */
  readonly localHealth: number;
  /** Claims refused because their author had not signed them. */
  readonly forgedClaims: number;
}

/**
 * Who is in the cluster and who of them lives: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar,
 * Phillips, Currey 2018) and push-pull. This class routes inputs and runs the periodic work; what claims
 * mean is in view.ts, probing in prober.ts.
 */
export class Membership implements Machine<MembershipInput, MembershipEffect> {
  private readonly timing: MembershipTiming;
  private readonly prng: Prng;
  private readonly awareness: Awareness;
  private readonly table: MemberTable;
  private readonly overlay: Overlay;
  private readonly claim: SelfClaim;
  private readonly dissemination = new Dissemination();
  private readonly vivaldi: Vivaldi;
  private readonly outbox: Outbox;
  private readonly prober: Prober;
  private readonly suspicions: Suspicions;
  private readonly view: View;
  private readonly probeOrder: Rotation;
  private readonly gossipOrder: Rotation;
  private isStarted = false;
  private nextProbeMs = 0;
  private nextPushPullMs = 0;
  private nextGossipMs = 0;
  private lastPauseMs = Number.NEGATIVE_INFINITY;
  /** The next deadline as of the end of the last turn; 0 before the first, so that the driver starts us at once. */
  private wakeMs: number | undefined = 0;

  constructor(options: MembershipOptions) {
    const timing = timingOf(options.timing);
    const { prng, self, claims } = options;
    this.timing = timing;
    this.prng = prng;
    this.awareness = new Awareness(timing.awarenessMax);
    this.table = new MemberTable(self, options.known);
    this.overlay = new Overlay(self, this.table, timing);
    this.claim = new SelfClaim(self, options.profile, options.incarnation, claims);
    this.vivaldi = new Vivaldi(prng);
    this.outbox = new Outbox(timing, this.table, this.dissemination, this.vivaldi);
    this.suspicions = new Suspicions(timing);
    const { awareness, table, outbox, suspicions, claim, dissemination } = this;
    this.prober = new Prober(self, { timing, prng, table, awareness, outbox });
    this.view = new View({
      timing,
      claims,
      vivaldi: this.vivaldi,
      prng,
      table,
      overlay: this.overlay,
      awareness,
      outbox,
      suspicions,
      claim,
      dissemination,
      prober: this.prober,
    });
    this.probeOrder = new Rotation(prng);
    this.gossipOrder = new Rotation(prng);
  }

  /** This node as it sees itself. Its health follows the local health score and is not announced as a change. */
  get self(): Member {
    return this.view.self;
  }

  /** All members, self first; dead and left ones included, and those of the address book (as dead). */
  members(): Member[] {
    return this.view.members();
  }

  /** True while the cluster is small enough to keep connections to all members. */
  get isMesh(): boolean {
    return this.table.reachableCount + 1 <= this.timing.meshMax;
  }

  member(id: NodeId): Member | undefined {
    return id === this.claim.id ? this.view.self : this.table.record(id)?.member;
  }

  /** Ids of alive, unsuspected members and self (until it has left). Not to be altered. */
  alive(): readonly NodeId[] {
    return this.view.alive();
  }

  /** True for members that are alive or only suspect, and for self. */
  isReachable(id: NodeId): boolean {
    return id === this.claim.id || this.table.isReachable(id);
  }

  /** Round-trip time to a member that is not probed from here, predicted from coordinates; null where nothing is known. */
  estimatedRttMs(id: NodeId): number | null {
    return this.view.estimatedRttMs(id);
  }

  stats(): MembershipStats {
    return { localHealth: this.awareness.score, forgedClaims: this.view.forgedClaims };
  }

  handle(input: MembershipInput, now: Instant): MembershipEffect[] {
    this.begin(now);
    switch (input.type) {
      case 'connected':
        this.handleConnected(input.peer, now);
        break;
      case 'disconnected':
        this.handleDisconnected(input.peer, now);
        break;
      case 'dial-failed':
        this.handleDialFailed(input.peer, input.reason, now);
        break;
      case 'message':
        if (input.from !== this.claim.id) this.handleMessage(input.from, input.message, now);
        break;
      case 'lag':
        this.handleLag(input.lagMs, now);
        break;
      case 'update-profile':
        if (!this.claim.leaving) this.claim.updateProfile(input.patch);
        break;
      case 'requests':
        for (const outcome of input.outcomes) this.view.handleRequests(outcome);
        break;
      case 'incarnation-persisted':
        this.claim.handlePersisted(input.incarnation);
        break;
      case 'leave':
        if (!this.claim.leaving) this.claim.leave();
        break;
      default:
        unreachable(input);
    }
    return this.finish(now);
  }

  handleTimeout(now: Instant): MembershipEffect[] {
    this.begin(now);
    for (const failure of this.prober.handleTimeout(now.monoMs)) {
      if (!this.claim.leaving) this.view.handleProbeFailure(failure, now);
    }
    this.view.handleTimeout(now);
    if (!this.claim.leaving) {
      if (this.nextProbeMs <= now.monoMs) this.probe(now);
      if (this.nextPushPullMs <= now.monoMs) this.pushPull(now);
    }
    return this.finish(now);
  }

  nextDeadline(): number | undefined {
    return this.wakeMs;
  }

  /** Opens every turn: the first one starts the clocks, a late one means that our own process stood still. */
  private begin(now: Instant): void {
    if (this.isStarted) {
      const lateMs = now.monoMs - (this.wakeMs ?? now.monoMs);
      if (lateMs > this.timing.lagMaxMs) this.handlePause(lateMs, now);
      return;
    }
    this.isStarted = true;
    this.view.handleStart(now);
    this.nextProbeMs = now.monoMs + this.prng.float() * this.probeSpacingMs();
    this.nextPushPullMs = now.monoMs + (0.5 + 0.5 * this.prng.float()) * this.pushPullIntervalMs();
    this.nextGossipMs = now.monoMs;
    const known = this.prng.shuffle([...this.table.dead()]);
    for (const id of known.slice(0, MEMBERSHIP_LIMITS.startDialsMax)) this.outbox.dial(id);
  }

  /** Closes every turn: news of ourselves, then gossip if a round is due, so that news leave in the turn that made them. */
  private finish(now: Instant): MembershipEffect[] {
    const wasAnnounced = this.claim.announced !== null;
    this.view.syncClaim(now);
    if (!wasAnnounced && this.claim.announced !== null) {
      for (const peer of this.outbox.connected) this.sendDigests(peer);
    }
    if (this.nextGossipMs <= now.monoMs && this.hasGossip()) this.gossip(now);
    this.wakeMs = this.earliestDeadline(now.monoMs);
    return this.outbox.drain();
  }

  /** Not before now: a confirmation may move the end of a suspicion into the past, and that is no pause. */
  private earliestDeadline(nowMs: number): number | undefined {
    let next = this.prober.nextDeadline();
    if (!this.claim.leaving) {
      next = earlier(next, earlier(this.nextProbeMs, this.nextPushPullMs));
      next = earlier(next, this.suspicions.nextDeadline(this.table.aliveCount));
    }
    if (this.hasGossip()) next = earlier(next, this.nextGossipMs);
    return next === undefined ? undefined : Math.max(next, nowMs);
  }

  private handleConnected(peer: NodeId, now: Instant): void {
    this.outbox.connected.add(peer);
    this.suspicions.relax(peer, now.monoMs);
    this.prober.handleConnected(peer);
    // A view that lacks ourselves would only have to be exchanged again. And where connections come and go for
    // probes, an exchange for each would cost more than all the rest: a peer that we hold alive has nothing
    // urgent to tell, and if it does not hold us alive, it starts the exchange itself.
    const isAlive = this.table.record(peer)?.member.state === 'alive';
    if (this.claim.announced !== null && !isAlive) this.sendDigests(peer);
  }

  /**
   * A connection that closes without a leave is the first sign of a crash: look at once. Not so where no
   * connection is kept: in a large cluster those of others than neighbours are closed when they are idle.
   */
  private handleDisconnected(peer: NodeId, now: Instant): void {
    this.outbox.connected.delete(peer);
    const isKept = this.isMesh ? this.table.isReachable(peer) : this.overlay.isNeighbour(peer);
    if (!this.claim.leaving && isKept) this.prober.start(peer, 'redial', now.monoMs);
  }

  private handleDialFailed(peer: NodeId, reason: DialFailure, now: Instant): void {
    const kind = this.prober.kindOf(peer);
    if (kind === undefined || this.claim.leaving) return;
    // Only after a connection of ours closed: an address that never worked for us proves nothing.
    if (reason === 'refused' && kind === 'redial') {
      this.prober.stop(peer);
      this.view.handleRefusedRedial(peer, now);
    } else {
      this.prober.handleDialFailed(peer, now.monoMs);
    }
  }

  private handleLag(lagMs: number, now: Instant): void {
    // The late turn itself may have shown the same pause already.
    if (lagMs > this.timing.lagMaxMs && this.lastPauseMs < now.monoMs - lagMs) this.handlePause(lagMs, now);
  }

  private handlePause(pauseMs: number, now: Instant): void {
    this.lastPauseMs = now.monoMs;
    this.awareness.adjust(1 + Math.floor(pauseMs / this.timing.probeIntervalMs));
    this.suspicions.postpone(pauseMs);
    this.prober.handlePause(now.monoMs);
    this.nextProbeMs = Math.max(this.nextProbeMs, now.monoMs);
  }

  private handleMessage(from: NodeId, message: MembershipMessage, now: Instant): void {
    switch (message.type) {
      case 'ping':
        this.outbox.ack(from, message.seq, this.view.apply(from, message.updates, 'gossip', now));
        break;
      case 'ping-request':
        this.answer(from, this.view.apply(from, message.updates, 'gossip', now, message.target));
        this.prober.handlePingRequest(from, message, now.monoMs);
        break;
      case 'ack':
        this.answer(from, this.view.apply(from, message.updates, 'gossip', now));
        this.handleAck(from, message, now);
        break;
      case 'nack':
        this.prober.handleNack(from, message.seq);
        break;
      case 'gossip':
        this.answer(from, this.view.apply(from, message.updates, 'gossip', now));
        break;
      case 'push-pull':
        this.handlePushPull(from, message.digests.slice(0, 256));
        break;
      case 'push-pull-reply':
        this.handlePushPullReply(from, message.buckets.slice(0, 256), message.updates, now);
        break;
      case 'push-pull-return':
        this.answer(from, this.view.apply(from, message.updates, 'push-pull', now));
        break;
      default:
        unreachable(message);
    }
  }

  private handleAck(from: NodeId, ack: Extract<MembershipMessage, { type: 'ack' }>, now: Instant): void {
    const success = this.prober.handleAck(from, ack.seq, now.monoMs);
    if (success !== undefined) this.view.handleProbeSuccess(success, ack.coordinate, now);
  }

  private handlePushPull(from: NodeId, digests: Parameters<BucketedView['differing']>[0]): void {
    const bucketed = new BucketedView(this.view.entries());
    for (const { buckets, updates } of packBuckets(bucketed, bucketed.differing(digests))) {
      this.outbox.send(from, { type: 'push-pull-reply', buckets, updates });
    }
  }

  private handlePushPullReply(
    from: NodeId,
    buckets: readonly number[],
    updates: readonly MemberUpdate[],
    now: Instant,
  ): void {
    this.view.apply(from, updates, 'push-pull', now);
    const better = new BucketedView(this.view.entries()).better(buckets, updates);
    const step = MEMBERSHIP_LIMITS.pushPullUpdatesTarget;
    for (let i = 0; i < better.length; i += step) {
      this.outbox.send(from, { type: 'push-pull-return', updates: better.slice(i, i + step) });
    }
  }

  private answer(to: NodeId, updates: readonly MemberUpdate[]): void {
    if (updates.length > 0) this.outbox.send(to, { type: 'gossip', updates });
  }

  private sendDigests(peer: NodeId): void {
    this.outbox.send(peer, { type: 'push-pull', digests: new BucketedView(this.view.entries()).digests() });
  }

  /** One probe, one look at a suspect, and perhaps one try to find a dead member again. */
  private probe(now: Instant): void {
    this.nextProbeMs = now.monoMs + this.probeSpacingMs();
    const target = this.probeOrder.next(
      () => this.overlay.subjects(),
      (id) => this.table.isReachable(id) && this.prober.kindOf(id) === undefined,
    );
    if (target !== undefined) this.prober.start(target, 'round', now.monoMs);
    this.view.verifySuspect(now);
    this.retryDead(now);
  }

  /**
   * With probability dead / alive once an interval, so that the cluster as a whole tries about once for each dead
   * member, and a healed partition merges by itself.
   */
  private retryDead(now: Instant): void {
    const share = Math.min(1, this.table.deadCount / (this.table.reachableCount + 1));
    if (share === 0 || !this.prng.chance(share / this.timing.probesPerInterval)) return;
    const id = this.prng.pick(this.table.dead());
    const record = id === undefined ? undefined : this.table.record(id);
    if (id === undefined || record === undefined) return;
    if (!this.outbox.connected.has(id)) this.outbox.dial(id);
    // Still connected: it was told of its death and had time to refute, so the connection is stuck.
    else if (now.monoMs - record.changedMs > this.timing.probeWindowMs) {
      this.outbox.push({ type: 'disconnect', peer: id });
    }
  }

  private hasGossip(): boolean {
    return !this.dissemination.isEmpty && this.table.reachableCount > 0;
  }

  private gossip(now: Instant): void {
    this.nextGossipMs = now.monoMs + this.timing.gossipIntervalMs;
    for (let i = 0; i < this.timing.gossipFanout; i++) {
      const peer = this.gossipOrder.next(
        () => this.gossipPeers(),
        (id) => this.table.isReachable(id),
      );
      if (peer === undefined) return;
      const updates = this.dissemination.select(MEMBERSHIP_LIMITS.gossipUpdatesMax, this.outbox.budget);
      if (updates.length === 0) return;
      if (!this.outbox.connected.has(peer)) this.outbox.dial(peer);
      this.outbox.send(peer, { type: 'gossip', updates });
    }
  }

  /** Connected ones where there are enough: gossip need not open connections. */
  private gossipPeers(): readonly NodeId[] {
    const connected = [...this.outbox.connected].filter((id) => this.table.isReachable(id));
    return connected.length >= this.timing.gossipFanout ? connected : this.table.reachable();
  }

  private pushPull(now: Instant): void {
    this.nextPushPullMs = now.monoMs + (0.9 + 0.2 * this.prng.float()) * this.pushPullIntervalMs();
    this.view.forgetLeft(now);
    // Connected strangers too: their first exchange may have been lost.
    const peer = this.prng.pick([...this.outbox.connected]) ?? this.prng.pick(this.table.reachable());
    if (peer === undefined || this.claim.announced === null) return;
    if (!this.outbox.connected.has(peer)) this.outbox.dial(peer);
    this.sendDigests(peer);
  }

  private probeSpacingMs(): number {
    return (this.timing.probeIntervalMs * this.awareness.multiplier) / this.timing.probesPerInterval;
  }

  private pushPullIntervalMs(): number {
    // Alone there is nothing to save, and perhaps a cluster to join.
    if (this.table.reachableCount === 0) return this.timing.probeIntervalMs;
    const scale = Math.max(1, 1 + Math.log2((this.table.reachableCount + 1) / 32));
    return this.timing.pushPullIntervalMs * scale;
  }
}
