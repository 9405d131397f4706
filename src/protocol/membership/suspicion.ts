import { assert } from '../../lib/assert.ts';
import type { NodeId } from '../machine.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipTiming } from './options.ts';

/**
 * Lifeguard's local-health-aware suspicion (section IV.B): starts at `maxMs` and falls towards `minMs`
 * logarithmically with each independent confirmation.
 * `possible`: members that could confirm. With none (two members, or everybody else suspect too) nothing
 * can vouch for our own view, so the suspicion stays at its longest.
 */
export function suspicionTimeoutMs(minMs: number, maxMs: number, confirmations: number, possible: number): number {
  if (possible < 1) return maxMs;
  const share = Math.log(confirmations + 1) / Math.log(possible + 1);
  return Math.max(minMs, maxMs - (maxMs - minMs) * share);
}

type ProbeOutcome = 'failed' | 'answered';

interface Suspicion {
  startedMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Distinct accusers, the first included. */
  readonly accusers: Set<NodeId>;
  /** Set by strong evidence; then the earlier of the two deadlines counts. */
  shortenedToMs: number | undefined;
  lastProbe: ProbeOutcome | undefined;
  /** Does not end before; set while we look for ourselves. */
  heldToMs: number;
}

/** The running suspicions of one node, and when each runs out. */
export class Suspicions {
  private readonly timing: MembershipTiming;
  private readonly running = new Map<NodeId, Suspicion>();

  constructor(timing: MembershipTiming) {
    this.timing = timing;
  }

  get size(): number {
    return this.running.size;
  }

  ids(): NodeId[] {
    return [...this.running.keys()];
  }

  /** Starts or restarts. `clusterSize` counts the reachable members, self and the suspect included. */
  start(id: NodeId, accuser: NodeId, clusterSize: number, nowMs: number): void {
    const { suspicionMinMultiplier, suspicionMaxMultiplier, probeIntervalMs } = this.timing;
    const minMs = suspicionMinMultiplier * Math.max(1, Math.log10(Math.max(1, clusterSize))) * probeIntervalMs;
    const maxMs = minMs * suspicionMaxMultiplier;
    this.running.set(id, {
      startedMs: nowMs,
      minMs,
      maxMs,
      accusers: new Set([accuser]),
      shortenedToMs: undefined,
      lastProbe: undefined,
      heldToMs: 0,
    });
  }

  /** False when this accuser is counted already, or would not count any more. */
  isNews(id: NodeId, accuser: NodeId): boolean {
    const accusers = this.running.get(id)?.accusers;
    return accusers === undefined || (!accusers.has(accuser) && accusers.size < MEMBERSHIP_LIMITS.accusersMax);
  }

  /** For how long it has been suspected; undefined when it is not. */
  ageMs(id: NodeId, nowMs: number): number | undefined {
    const suspicion = this.running.get(id);
    return suspicion === undefined ? undefined : nowMs - suspicion.startedMs;
  }

  /** True when this accuser is new and still counts: worth passing on. */
  confirm(id: NodeId, accuser: NodeId): boolean {
    const suspicion = this.running.get(id);
    if (suspicion === undefined || suspicion.accusers.has(accuser)) return false;
    if (suspicion.accusers.size >= MEMBERSHIP_LIMITS.accusersMax) return false;
    suspicion.accusers.add(accuser);
    return suspicion.accusers.size <= this.timing.confirmationsMax + 1;
  }

  /** A probe of our own has ended. */
  recordProbe(id: NodeId, outcome: ProbeOutcome): void {
    const suspicion = this.running.get(id);
    if (suspicion !== undefined) suspicion.lastProbe = outcome;
  }

  /** How our last probe since it began ended. */
  lastProbe(id: NodeId): ProbeOutcome | undefined {
    return this.running.get(id)?.lastProbe;
  }

  /** It does not end before `untilMs`. */
  hold(id: NodeId, untilMs: number): void {
    const suspicion = this.running.get(id);
    if (suspicion !== undefined) suspicion.heldToMs = untilMs;
  }

  /** Strong evidence: the suspicion ends `remainingMs` from now at the latest. */
  shorten(id: NodeId, remainingMs: number, nowMs: number): void {
    const suspicion = this.running.get(id);
    assert(suspicion !== undefined, 'only a running suspicion is shortened');
    suspicion.shortenedToMs = Math.min(suspicion.shortenedToMs ?? Number.POSITIVE_INFINITY, nowMs + remainingMs);
  }

  /** A sign of life that does not refute by itself (a new connection): strong evidence is void, time starts anew. */
  relax(id: NodeId, nowMs: number): void {
    const suspicion = this.running.get(id);
    if (suspicion === undefined) return;
    suspicion.shortenedToMs = undefined;
    suspicion.startedMs = nowMs;
  }

  stop(id: NodeId): void {
    this.running.delete(id);
  }

  /** Our own process stood still: refutations may wait in its inbox, so nobody's time ran meanwhile. */
  postpone(byMs: number): void {
    for (const suspicion of this.running.values()) {
      suspicion.startedMs += byMs;
      suspicion.heldToMs += byMs;
      // What a probe said before is no longer evidence.
      suspicion.lastProbe = undefined;
      if (suspicion.shortenedToMs !== undefined) suspicion.shortenedToMs += byMs;
    }
  }

  /** Ids whose suspicion has run out; they stay until `stop`. `healthyOthers`: alive, unsuspected members. */
  pollExpired(healthyOthers: number, nowMs: number): NodeId[] {
    const expired: NodeId[] = [];
    for (const [id, suspicion] of this.running) {
      if (this.deadlineOf(suspicion, healthyOthers) <= nowMs) expired.push(id);
    }
    return expired;
  }

  nextDeadline(healthyOthers: number): number | undefined {
    let next: number | undefined;
    for (const suspicion of this.running.values()) {
      const deadline = this.deadlineOf(suspicion, healthyOthers);
      if (next === undefined || deadline < next) next = deadline;
    }
    return next;
  }

  private deadlineOf(suspicion: Suspicion, healthyOthers: number): number {
    // Self and the unsuspected others can accuse; one of them did first.
    const possible = Math.min(this.timing.confirmationsMax, healthyOthers);
    const confirmations = Math.min(suspicion.accusers.size - 1, possible);
    const ms = suspicionTimeoutMs(suspicion.minMs, suspicion.maxMs, confirmations, possible);
    const endsMs = Math.min(suspicion.startedMs + ms, suspicion.shortenedToMs ?? Number.POSITIVE_INFINITY);
    return Math.max(endsMs, suspicion.heldToMs);
  }
}
