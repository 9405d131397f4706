import { isPlausible } from '../../lib/hlc.ts';
import type { RingPlace } from '../catalog/ring-record.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { ClockExchange } from './message.ts';

/** Between two questions to the same peer. */
const ASK_INTERVAL_MS = 10_000;
/** Between two questions to any of them: what they cost does not grow with the cluster. */
const ASK_SPACING_MS = 2500;
/** Peers whose clocks are known at once: a majority of so many is as good as one of all. */
const SAMPLES_MAX = 32;
/** What was heard longer ago does not count: the peer may have set its clock since. */
const SAMPLE_AGE_MAX_MS = 10 * 60_000;
/** An answer that took longer says too little. */
const ROUND_TRIP_MAX_MS = 10_000;
/** After a jump of its own clock a node goes on with the time it had for so long, while it asks the others. */
const HOLD_MS = 5000;
/** Nodes that have to agree before a clock is beyond doubt: a majority of the ring, or so many. */
const CONFIRMERS_MAX = 5;
/** A change of the own clock that is looked at; smaller ones are its normal adjustment. */
const STEP_MS = 1000;

/**
 * A clock is known as what it shows where the monotonic clock of this node shows 0: a jump of the own clock then
 * changes the difference to the others at once, before they are asked.
 */
type Base = number;

interface Sample {
  readonly base: Base;
  readonly atMs: number;
  /** False after a jump of the own clock: perhaps the machine slept, and its monotonic clock with it. */
  readonly fresh: boolean;
}

export interface ClockState {
  /** What is added to the own clock, ms; 0 where it is right, or nobody knows better. */
  readonly correctionMs: number;
  /** The own clock has been set a moment ago, and the others are being asked what they think of it. */
  readonly pending: boolean;
  /** What the clock showed when it was last set or started without others to confirm it; null: it is confirmed. */
  readonly doubtfulSinceMs: number | null;
}

export type ClockNews =
  /** The time that this node works with has jumped. */
  | { readonly type: 'clock-set' }
  | { readonly type: 'clock-trust'; readonly doubtfulSinceMs: number | null }
  /** This machine's clock is off by so much. */
  | { readonly type: 'clock-wrong'; readonly offsetMs: number }
  | { readonly type: 'clock-right' };

/** Who has a say in which time it is. */
export interface ClockRing {
  /** Members that are in the ring. */
  readonly members: number;
  /** There are others than this node, if only out of the ring for a while. */
  readonly hasOthers: boolean;
}

export function clockRing(self: NodeId, places: readonly RingPlace[]): ClockRing {
  return {
    members: places.filter((each) => each.in).length,
    hasOthers: places.some(({ id, place }) => id !== self && place !== 'removed'),
  };
}

export type ClockSend = (to: NodeId, message: ClockExchange) => void;

/**
 * Which time it is, by the clocks of the cluster (Cristian, "Probabilistic clock synchronization", 1989, for the
 * reading of one; Marzullo's idea of the interval on which most agree for all of them). Where a strict majority of
 * the known clocks, the own one included, agree with each other and the own one is not among them, the node works
 * with their time. Clocks that were never set have no say where others were, nor has one that its own node does not go
 * by: two that have been wrong one after the other must not add up to a majority.
 */
export class ClusterClock {
  private readonly maxDriftMs: number;
  private readonly samples = new Map<NodeId, Sample>();
  private readonly asked = new Map<NodeId, { readonly id: number; readonly atMs: number }>();
  private lastId = 0;
  /** When anybody was last asked. */
  private askedMs = Number.NEGATIVE_INFINITY;
  private ownBase: Base;
  /** The own clock when its difference to the others was last looked at. */
  private judgedBase: Base;
  /** The clock worked with, where it is not the own one. */
  private base: Base | null = null;
  private heldUntilMs: number | null = null;
  private confirmers = 0;
  private needed = 1;
  private hasOthers = false;
  private doubtfulSinceMs: number | null;
  /** What was last told. */
  private readonly told: { wrong: boolean; doubtfulSinceMs: number | null; baseMs: number };

  constructor(maxDriftMs: number, ring: ClockRing, now: Instant) {
    this.maxDriftMs = maxDriftMs;
    this.ownBase = now.wallMs - now.monoMs;
    this.judgedBase = this.ownBase;
    this.doubtfulSinceMs = now.wallMs;
    this.told = { wrong: false, doubtfulSinceMs: null, baseMs: this.ownBase };
    this.handleRing(ring, now);
  }

  get state(): ClockState {
    return {
      correctionMs: this.base === null ? 0 : this.base - this.ownBase,
      pending: this.heldUntilMs !== null,
      doubtfulSinceMs: this.doubtfulSinceMs,
    };
  }

  /** What has changed since the last time. */
  takeNews(now: Instant): ClockNews[] {
    const { told, doubtfulSinceMs } = this;
    const news: ClockNews[] = [];
    const baseMs = this.corrected(now).wallMs - now.monoMs;
    if (Math.abs(baseMs - told.baseMs) > this.maxDriftMs / 2) news.push({ type: 'clock-set' });
    told.baseMs = baseMs;
    if (doubtfulSinceMs !== told.doubtfulSinceMs) news.push({ type: 'clock-trust', doubtfulSinceMs });
    told.doubtfulSinceMs = doubtfulSinceMs;
    const { correctionMs, pending } = this.state;
    const wrong = correctionMs !== 0;
    if (pending || wrong === told.wrong) return news;
    told.wrong = wrong;
    news.push(wrong ? { type: 'clock-wrong', offsetMs: Math.round(-correctionMs) } : { type: 'clock-right' });
    return news;
  }

  /** The instant with the cluster's wall clock. */
  corrected(now: Instant): Instant {
    return this.base === null ? now : { monoMs: now.monoMs, wallMs: Math.floor(this.base + now.monoMs) };
  }

  /** To be called at the start of every turn: looks whether the own clock has been set. */
  observe(now: Instant, send: ClockSend): void {
    const before = this.ownBase;
    this.ownBase = now.wallMs - now.monoMs;
    if (Math.abs(this.ownBase - before) > this.maxDriftMs / 2) this.handleJump(before, now, send);
    else if (Math.abs(this.ownBase - this.judgedBase) > STEP_MS) this.judge(now);
  }

  handleRing({ members, hasOthers }: ClockRing, now: Instant): void {
    this.needed = Math.min(Math.floor(members / 2) + 1, CONFIRMERS_MAX);
    this.hasOthers = hasOthers;
    if (this.isAlone) this.confirm(Math.max(1, this.confirmers));
    if (this.confirmers < this.needed) this.judge(now);
    if (this.confirmers < this.needed && this.doubtfulSinceMs === null) this.doubt(now);
  }

  handleConnected(peer: NodeId, now: Instant, send: ClockSend): void {
    this.ask(peer, now, send);
  }

  handleDisconnected(peer: NodeId): void {
    this.samples.delete(peer);
    this.asked.delete(peer);
  }

  /** Something is being sent to a peer that it answers: a good time to ask. */
  handleProbe(peer: NodeId, now: Instant, send: ClockSend): void {
    const asked = this.asked.get(peer);
    if (now.monoMs - this.askedMs < ASK_SPACING_MS) return;
    if (asked === undefined || now.monoMs - asked.atMs >= ASK_INTERVAL_MS) this.ask(peer, now, send);
  }

  handleMessage(from: NodeId, message: ClockExchange, now: Instant, send: ClockSend): void {
    if (message.type === 'clock-ask') {
      const isTrusted = this.base === null && this.heldUntilMs === null;
      const wallMs = isTrusted ? Math.max(0, Math.floor(now.wallMs)) : null;
      send(from, { type: 'clock-tell', id: message.id, wallMs });
      return;
    }
    const asked = this.asked.get(from);
    if (asked === undefined || asked.id !== message.id) return;
    const tookMs = now.monoMs - asked.atMs;
    if (message.wallMs === null) {
      this.samples.delete(from);
      return;
    }
    if (tookMs > Math.min(ROUND_TRIP_MAX_MS, this.maxDriftMs / 2)) return;
    if (!this.samples.has(from) && this.samples.size >= SAMPLES_MAX) return;
    this.samples.set(from, { base: message.wallMs - (asked.atMs + tookMs / 2), atMs: now.monoMs, fresh: true });
    this.judge(now);
  }

  handleTimeout(now: Instant): void {
    if (this.heldUntilMs === null || this.heldUntilMs > now.monoMs) return;
    for (const [peer, { fresh }] of this.samples) if (!fresh) this.samples.delete(peer);
    this.judge(now);
    // Nobody who could say: a clock is set for a reason.
    if (this.heldUntilMs !== null) this.takeOwn(now);
  }

  nextDeadline(): number | undefined {
    return this.heldUntilMs ?? undefined;
  }

  /** Needs nobody's word. Those have a say who are only out of the ring, or are connected and were removed from it. */
  private get isAlone(): boolean {
    return this.needed === 1 && !this.hasOthers && this.asked.size === 0;
  }

  private ask(peer: NodeId, now: Instant, send: ClockSend): void {
    if (!this.samples.has(peer) && this.samples.size >= SAMPLES_MAX) return;
    this.lastId = (this.lastId + 1) % 0xffff_ffff;
    this.askedMs = now.monoMs;
    this.asked.set(peer, { id: this.lastId, atMs: now.monoMs });
    send(peer, { type: 'clock-ask', id: this.lastId });
  }

  private handleJump(before: Base, now: Instant, send: ClockSend): void {
    const base = this.base ?? before;
    if (Math.abs(this.ownBase - base) <= this.maxDriftMs / 2) {
      // Set to what this node works with anyway.
      this.base = null;
      this.heldUntilMs = null;
      this.judge(now);
      return;
    }
    if (this.samples.size === 0) {
      this.takeOwn(now);
      return;
    }
    this.base = base;
    this.heldUntilMs = now.monoMs + HOLD_MS;
    for (const [peer, sample] of this.samples) {
      this.samples.set(peer, { ...sample, fresh: false });
      this.ask(peer, now, send);
    }
  }

  private takeOwn(now: Instant): void {
    this.base = null;
    this.heldUntilMs = null;
    this.judgedBase = this.ownBase;
    // Once in doubt, each time that it is set is another.
    if (!this.isAlone || this.doubtfulSinceMs !== null) this.doubt(now);
  }

  /** Compares the clocks that are known. Without a majority everything stays as it is. */
  private judge(now: Instant): void {
    this.judgedBase = this.ownBase;
    for (const [peer, { atMs }] of this.samples) {
      if (now.monoMs - atMs > SAMPLE_AGE_MAX_MS) this.samples.delete(peer);
    }
    if (this.samples.size === 0) return;
    const clocks = [this.ownBase];
    for (const { base, fresh } of this.samples.values()) if (fresh) clocks.push(base);
    const wereSet = clocks.filter((base) => isPlausible(base + now.monoMs));
    const voters = wereSet.length > 0 ? wereSet : clocks;
    const group = largestGroup(voters, this.maxDriftMs, this.ownBase);
    const open = 1 + this.samples.size - clocks.length;
    if (group.length * 2 <= voters.length + open) return;
    const agreed = group[Math.floor(group.length / 2)] as Base;
    const movedMs = Math.abs((this.base ?? this.ownBase) - agreed);
    this.heldUntilMs = null;
    this.base = Math.abs(agreed - this.ownBase) > this.maxDriftMs / 2 ? agreed : null;
    if (group.length >= this.needed) this.confirm(group.length);
    else if (movedMs > this.maxDriftMs) this.doubt(now);
  }

  private confirm(by: number): void {
    this.confirmers = by;
    this.doubtfulSinceMs = null;
  }

  private doubt(now: Instant): void {
    this.confirmers = 0;
    this.doubtfulSinceMs = this.corrected(now).wallMs;
  }
}

/** The most clocks that lie within `widthMs` of each other, in order; of equally large groups the one with `own`. */
function largestGroup(clocks: readonly Base[], widthMs: number, own: Base): readonly Base[] {
  const sorted = [...clocks].sort((a, b) => a - b);
  let best: readonly Base[] = [];
  for (let from = 0, to = 0; from < sorted.length; from++) {
    while (to < sorted.length && (sorted[to] as Base) - (sorted[from] as Base) <= widthMs) to++;
    const size = to - from;
    if (size < best.length || (size === best.length && best.includes(own))) continue;
    best = sorted.slice(from, to);
  }
  return best;
}
