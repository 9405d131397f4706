import type { Prng } from '../../../src/lib/prng.ts';
import type { Instant, NodeId } from '../../../src/protocol/machine.ts';
import type { MembershipEffect } from '../../../src/protocol/membership/effect.ts';
import type { MembershipInput } from '../../../src/protocol/membership/input.ts';
import type { Member } from '../../../src/protocol/membership/member.ts';
import type { MembershipMessage, MemberUpdate } from '../../../src/protocol/membership/message.ts';
import type { MembershipCore } from '../../support/core-network.ts';
import { pushPullMs, retransmitLimit, SWIM } from './options.ts';
import { SwimView } from './swim-view.ts';

interface Probe {
  readonly seq: number;
  readonly target: NodeId;
  readonly timeoutAtMs: number;
  readonly endsAtMs: number;
  isRelayed: boolean;
}

interface Relayed {
  readonly requester: NodeId;
  readonly requesterSeq: number;
  readonly endsAtMs: number;
}

/**
 * Plain SWIM over datagrams; see options.ts for where it comes from. It differs from memberlist in one point: its
 * probe over TCP beside the relays is left out, because here datagrams are as reliable as TCP.
 *
 * Blocked (see `block`), it behaves as memberlist's goroutines do: suspicions run out all the same. The goroutine of
 * the probe hangs in its send, so only one probe starts; since the end of its window is a timer that runs from its
 * start (setProbeChannels), that probe fails at the end of the block if the window ended before. Gossip waits.
 */
export class Swim implements MembershipCore {
  private readonly prng: Prng;
  private readonly view: SwimView;
  private readonly relayed = new Map<number, Relayed>();
  private probe: Probe | null = null;
  private nextSeq: number;
  private nextProbeMs = 0;
  private nextGossipMs = 0;
  private nextPushPullMs = 0;
  private isStarted = false;
  private blockedUntilMs = 0;

  constructor(id: NodeId, prng: Prng) {
    this.prng = prng;
    this.view = new SwimView(id, prng);
    this.nextSeq = prng.uint32();
  }

  get self(): Member {
    return this.view.self;
  }

  member(id: NodeId): Member | undefined {
    return this.view.member(id);
  }

  alive(): readonly NodeId[] {
    return this.view.alive();
  }

  block(untilMs: number): void {
    this.blockedUntilMs = untilMs;
  }

  handle(input: MembershipInput, now: Instant): MembershipEffect[] {
    this.begin(now.monoMs);
    // Connections, lag and goodbyes are none of SWIM's business.
    if (input.type === 'message') this.handleMessage(input.from, input.message, now.monoMs);
    return this.view.effects.splice(0);
  }

  handleTimeout(now: Instant): MembershipEffect[] {
    const nowMs = now.monoMs;
    this.begin(nowMs);
    this.view.handleTimeout(nowMs);
    this.checkProbe(nowMs);
    for (const [seq, { endsAtMs }] of this.relayed) if (endsAtMs <= nowMs) this.relayed.delete(seq);
    if (this.nextProbeMs <= nowMs) {
      this.nextProbeMs = nowMs + SWIM.probeIntervalMs;
      this.startProbe(nowMs);
    }
    if (this.nextPushPullMs <= nowMs) this.pushPull(nowMs);
    if (this.gossipDueMs(nowMs) <= nowMs && this.blockedUntilMs <= nowMs) this.gossip(nowMs);
    return this.view.effects.splice(0);
  }

  nextDeadline(): number {
    let next = Math.min(this.nextProbeMs, this.nextPushPullMs, this.view.nextDeadline());
    if (this.probe !== null) {
      const { isRelayed, endsAtMs, timeoutAtMs } = this.probe;
      next = Math.min(next, Math.max(this.blockedUntilMs, isRelayed ? endsAtMs : timeoutAtMs));
    }
    for (const { endsAtMs } of this.relayed.values()) next = Math.min(next, endsAtMs);
    return this.view.broadcasts.isEmpty ? next : Math.min(next, Math.max(this.blockedUntilMs, this.nextGossipMs));
  }

  /** The tickers start at random within their interval (schedule and triggerFunc of state.go). */
  private begin(nowMs: number): void {
    if (this.isStarted) {
      this.gossipDueMs(nowMs);
      return;
    }
    this.isStarted = true;
    this.nextProbeMs = nowMs + this.prng.float() * SWIM.probeIntervalMs;
    this.nextGossipMs = nowMs + this.prng.float() * SWIM.gossipIntervalMs;
    this.nextPushPullMs = nowMs + this.prng.float() * SWIM.pushPullIntervalMs;
  }

  /** The next tick of the gossip ticker; those with nothing to tell are skipped. */
  private gossipDueMs(nowMs: number): number {
    if (this.view.broadcasts.isEmpty && this.nextGossipMs < nowMs) {
      const missed = Math.ceil((nowMs - this.nextGossipMs) / SWIM.gossipIntervalMs);
      this.nextGossipMs += missed * SWIM.gossipIntervalMs;
    }
    return this.nextGossipMs;
  }

  private handleMessage(from: NodeId, message: MembershipMessage, nowMs: number): void {
    switch (message.type) {
      case 'ping':
        this.view.apply(message.updates, nowMs);
        this.send(from, { type: 'ack', seq: message.seq, coordinate: null, updates: this.piggyback() });
        break;
      case 'ping-request':
        this.view.apply(message.updates, nowMs);
        this.relay(from, message.seq, message.target, nowMs);
        break;
      case 'ack':
        this.view.apply(message.updates, nowMs);
        this.handleAck(message.seq);
        break;
      case 'gossip':
        this.view.apply(message.updates, nowMs);
        break;
      case 'push-pull':
        this.send(from, { type: 'push-pull-reply', buckets: [], updates: this.view.claims() });
        break;
      case 'push-pull-reply':
        this.view.merge(message.updates, nowMs);
        this.send(from, { type: 'push-pull-return', updates: this.view.claims() });
        break;
      case 'push-pull-return':
        this.view.merge(message.updates, nowMs);
        break;
      case 'nack':
        break;
    }
  }

  private startProbe(nowMs: number): void {
    const target = this.view.nextTarget();
    if (target === undefined || this.probe !== null) return;
    const seq = this.takeSeq();
    this.probe = {
      seq,
      target,
      timeoutAtMs: nowMs + SWIM.probeTimeoutMs,
      endsAtMs: nowMs + SWIM.probeIntervalMs,
      isRelayed: false,
    };
    this.send(target, { type: 'ping', seq, updates: this.piggyback() });
  }

  private checkProbe(nowMs: number): void {
    const { probe } = this;
    if (probe === null || this.blockedUntilMs > nowMs) return;
    if (!probe.isRelayed && probe.timeoutAtMs <= nowMs) {
      probe.isRelayed = true;
      const { seq, target } = probe;
      for (const relay of this.view.someAlive(SWIM.relays, target)) {
        const timeoutMs = SWIM.probeTimeoutMs;
        this.send(relay, { type: 'ping-request', seq, target, timeoutMs, updates: this.piggyback() });
      }
    }
    if (probe.endsAtMs > nowMs) return;
    this.probe = null;
    const incarnation = this.view.member(probe.target)?.incarnation;
    if (incarnation !== undefined) this.view.suspect(probe.target, incarnation, this.view.id, nowMs);
  }

  private relay(requester: NodeId, requesterSeq: number, target: NodeId, nowMs: number): void {
    const seq = this.takeSeq();
    this.relayed.set(seq, { requester, requesterSeq, endsAtMs: nowMs + SWIM.probeTimeoutMs });
    this.send(target, { type: 'ping', seq, updates: this.piggyback() });
  }

  private handleAck(seq: number): void {
    const relayed = this.relayed.get(seq);
    if (relayed !== undefined) {
      this.relayed.delete(seq);
      this.send(relayed.requester, {
        type: 'ack',
        seq: relayed.requesterSeq,
        coordinate: null,
        updates: this.piggyback(),
      });
    }
    if (this.probe?.seq === seq) this.probe = null;
  }

  private gossip(nowMs: number): void {
    this.nextGossipMs = nowMs + SWIM.gossipIntervalMs;
    for (const peer of this.view.gossipTargets(nowMs)) {
      const updates = this.piggyback();
      if (updates.length === 0) return;
      this.send(peer, { type: 'gossip', updates });
    }
  }

  private pushPull(nowMs: number): void {
    this.nextPushPullMs = nowMs + pushPullMs(this.view.size);
    const [peer] = this.view.someAlive(1);
    if (peer !== undefined) this.send(peer, { type: 'push-pull', digests: [] });
  }

  private piggyback(): MemberUpdate[] {
    return this.view.broadcasts.take(SWIM.updatesPerPacket, retransmitLimit(this.view.size));
  }

  private send(to: NodeId, message: MembershipMessage): void {
    this.view.effects.push({ type: 'send', to, message });
  }

  private takeSeq(): number {
    this.nextSeq = (this.nextSeq + 1) >>> 0;
    return this.nextSeq;
  }
}
