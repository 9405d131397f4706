import type { Prng } from '../../lib/prng.ts';
import type { NodeId } from '../machine.ts';
import type { Awareness } from './awareness.ts';
import type { MemberTable } from './member-table.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';
import type { MembershipTiming } from './options.ts';
import type { Outbox } from './outbox.ts';

/**
 * Why a probe runs: its turn came (`round`), a suspicion is checked (`verify`), or a connection closed
 * without a leave (`redial`).
 */
type ProbeKind = 'round' | 'verify' | 'redial';

interface Probe {
  readonly seq: number;
  readonly target: NodeId;
  kind: ProbeKind;
  startedMs: number;
  /** False when a dial came first or the ping was repeated, which would spoil the round-trip time. */
  isTimed: boolean;
  /** End of the direct part. */
  timeoutAtMs: number;
  endsAtMs: number;
  /** When everybody is asked once more. */
  retryAtMs: number;
  /** Asked relays, and whether each has answered (ack or nack); null before the direct part is over. */
  relays: Map<NodeId, boolean> | null;
}

interface Relayed {
  readonly requester: NodeId;
  readonly requesterSeq: number;
  readonly target: NodeId;
  nackAtMs: number;
  isNacked: boolean;
  readonly endsAtMs: number;
}

/** An answered probe. `rttMs` is null where relays or a dial were involved; `direct` is false with relays. */
export interface ProbeSuccess {
  readonly target: NodeId;
  readonly kind: ProbeKind;
  readonly direct: boolean;
  readonly rttMs: number | null;
}

export interface ProbeFailure {
  readonly target: NodeId;
  readonly kind: ProbeKind;
}

/** SWIM probes with Lifeguard's local-health-aware timing (section IV.A), for oneself and as a relay for others. */
export class Prober {
  private readonly self: NodeId;
  private readonly timing: MembershipTiming;
  private readonly prng: Prng;
  private readonly table: MemberTable;
  private readonly awareness: Awareness;
  private readonly outbox: Outbox;
  private readonly probes = new Map<NodeId, Probe>();
  private readonly relayed = new Map<number, Relayed>();
  private nextSeq: number;

  constructor(
    self: NodeId,
    modules: {
      readonly timing: MembershipTiming;
      readonly prng: Prng;
      readonly table: MemberTable;
      readonly awareness: Awareness;
      readonly outbox: Outbox;
    },
  ) {
    this.self = self;
    this.timing = modules.timing;
    this.prng = modules.prng;
    this.table = modules.table;
    this.awareness = modules.awareness;
    this.outbox = modules.outbox;
    // A restarted node must not take the acks of its former life for its own.
    this.nextSeq = this.prng.uint32();
  }

  kindOf(target: NodeId): ProbeKind | undefined {
    return this.probes.get(target)?.kind;
  }

  /** Starts a probe, or raises a running one to `redial`. */
  start(target: NodeId, kind: ProbeKind, nowMs: number): void {
    const running = this.probes.get(target);
    if (running !== undefined) {
      if (kind === 'redial') running.kind = kind;
      else return;
      this.restart(running, nowMs);
      return;
    }
    if (this.probes.size >= MEMBERSHIP_LIMITS.probesMax) return;
    const probe: Probe = {
      seq: this.takeSeq(),
      target,
      kind,
      startedMs: nowMs,
      isTimed: true,
      timeoutAtMs: 0,
      endsAtMs: 0,
      retryAtMs: 0,
      relays: null,
    };
    this.probes.set(target, probe);
    this.restart(probe, nowMs);
  }

  stop(target: NodeId): void {
    this.probes.delete(target);
  }

  /** The connection is new, so a ping sent before may have been lost with the old one. */
  handleConnected(peer: NodeId): void {
    const probe = this.probes.get(peer);
    if (probe === undefined) return;
    probe.isTimed = false;
    this.outbox.ping(peer, probe.seq);
  }

  /** The direct path is closed: ask relays at once. */
  handleDialFailed(peer: NodeId, nowMs: number): void {
    const probe = this.probes.get(peer);
    if (probe !== undefined && probe.relays === null) this.askRelays(probe, nowMs);
  }

  /** An ack for one of our probes, from the target or a relay; undefined when it is none or too late. */
  handleAck(from: NodeId, seq: number, nowMs: number): ProbeSuccess | undefined {
    const relayed = this.relayed.get(seq);
    if (relayed !== undefined && relayed.target === from) {
      this.relayed.delete(seq);
      this.outbox.relayAck(relayed.requester, relayed.requesterSeq);
    }
    const probe = this.probeOf(from, seq);
    if (probe === undefined) return undefined;
    this.probes.delete(probe.target);
    this.awareness.adjust(-1);
    const direct = probe.relays === null;
    return {
      target: probe.target,
      kind: probe.kind,
      direct,
      rttMs: direct && probe.isTimed ? nowMs - probe.startedMs : null,
    };
  }

  handleNack(from: NodeId, seq: number): void {
    const relays = this.probeOf(from, seq)?.relays;
    if (relays?.has(from) === true) relays.set(from, true);
  }

  handlePingRequest(from: NodeId, request: { seq: number; target: NodeId; timeoutMs: number }, nowMs: number): void {
    if (request.target === this.self) {
      this.outbox.ack(from, request.seq, []);
      return;
    }
    if (this.table.record(request.target) === undefined || this.relayed.size >= MEMBERSHIP_LIMITS.relaysMax) {
      this.outbox.send(from, { type: 'nack', seq: request.seq });
      return;
    }
    // The other's window, within reason: a hostile value must not keep the entry for ever.
    const longestMs = this.timing.probeWindowMs * (this.timing.awarenessMax + 1);
    const timeoutMs = Math.min(Math.max(0, request.timeoutMs), longestMs);
    const seq = this.takeSeq();
    this.relayed.set(seq, {
      requester: from,
      requesterSeq: request.seq,
      target: request.target,
      nackAtMs: nowMs + timeoutMs * this.timing.nackShare,
      isNacked: false,
      endsAtMs: nowMs + timeoutMs,
    });
    this.outbox.ping(request.target, seq);
  }

  /** Sends what is due; returns the probes that failed. */
  handleTimeout(nowMs: number): ProbeFailure[] {
    for (const [seq, relayed] of this.relayed) {
      if (!relayed.isNacked && relayed.nackAtMs <= nowMs) {
        relayed.isNacked = true;
        this.outbox.send(relayed.requester, { type: 'nack', seq: relayed.requesterSeq });
      }
      if (relayed.endsAtMs <= nowMs) this.relayed.delete(seq);
    }
    const failures: ProbeFailure[] = [];
    for (const probe of this.probes.values()) {
      if (probe.endsAtMs <= nowMs) {
        this.probes.delete(probe.target);
        this.awareness.adjust(missedAnswers(probe));
        failures.push({ target: probe.target, kind: probe.kind });
      } else if (probe.relays === null && probe.timeoutAtMs <= nowMs) {
        this.askRelays(probe, nowMs);
      } else if (probe.retryAtMs <= nowMs) {
        this.retry(probe, nowMs);
      }
    }
    return failures;
  }

  /** Our own process stood still: what was missed meanwhile says nothing about others. Every window starts anew. */
  handlePause(nowMs: number): void {
    for (const probe of this.probes.values()) this.restart(probe, nowMs);
  }

  nextDeadline(): number | undefined {
    let next = Number.POSITIVE_INFINITY;
    for (const probe of this.probes.values()) {
      next = Math.min(next, probe.relays === null ? probe.timeoutAtMs : probe.endsAtMs, probe.retryAtMs);
    }
    for (const relayed of this.relayed.values()) {
      next = Math.min(next, relayed.isNacked ? relayed.endsAtMs : relayed.nackAtMs);
    }
    return next === Number.POSITIVE_INFINITY ? undefined : next;
  }

  private restart(probe: Probe, nowMs: number): void {
    probe.startedMs = nowMs;
    probe.isTimed = this.outbox.connected.has(probe.target);
    probe.timeoutAtMs = nowMs + this.timing.probeTimeoutMs * this.awareness.multiplier;
    probe.endsAtMs = nowMs + this.timing.probeWindowMs * this.awareness.multiplier;
    probe.retryAtMs = nowMs + this.timing.probeWindowMs;
    probe.relays = null;
    this.outbox.ping(probe.target, probe.seq);
  }

  /**
   * A window that local health has lengthened is not for waiting longer for the same ping: messages may have been
   * lost, and each further round makes it less likely that all were.
   */
  private retry(probe: Probe, nowMs: number): void {
    probe.retryAtMs = nowMs + this.timing.probeWindowMs;
    // Which of the pings an ack answers is unknown (Karn's algorithm).
    probe.isTimed = false;
    this.outbox.ping(probe.target, probe.seq);
    for (const relay of probe.relays?.keys() ?? []) this.askRelay(relay, probe, nowMs);
  }

  private askRelays(probe: Probe, nowMs: number): void {
    probe.relays = new Map();
    for (const relay of this.chooseRelays(probe.target)) {
      probe.relays.set(relay, false);
      this.askRelay(relay, probe, nowMs);
    }
  }

  private askRelay(relay: NodeId, probe: Probe, nowMs: number): void {
    this.outbox.pingRequest(relay, probe.seq, probe.target, Math.max(0, Math.round(probe.endsAtMs - nowMs)));
  }

  private chooseRelays(target: NodeId): NodeId[] {
    const candidates = this.table.reachable().filter((id) => id !== target && this.isAlive(id));
    if (candidates.length <= this.timing.relaysAllMax) return candidates;
    // Those that need no dial first: the window is short.
    const connected = candidates.filter((id) => this.outbox.connected.has(id));
    return this.sample(connected.length >= this.timing.relays ? connected : candidates, this.timing.relays);
  }

  /** `count` distinct items; a partial Fisher-Yates on a list of our own. */
  private sample(items: NodeId[], count: number): NodeId[] {
    for (let i = 0; i < count && i < items.length - 1; i++) {
      const j = i + this.prng.below(items.length - i);
      const item = items[i] as NodeId;
      items[i] = items[j] as NodeId;
      items[j] = item;
    }
    return items.slice(0, count);
  }

  private isAlive(id: NodeId): boolean {
    return this.table.record(id)?.member.state === 'alive';
  }

  /** The probe named `seq` that `from` may answer: as its target or as one of its relays. */
  private probeOf(from: NodeId, seq: number): Probe | undefined {
    const direct = this.probes.get(from);
    if (direct?.seq === seq) return direct;
    for (const probe of this.probes.values()) {
      if (probe.seq === seq) return probe.relays?.has(from) === true ? probe : undefined;
    }
    return undefined;
  }

  private takeSeq(): number {
    this.nextSeq = (this.nextSeq + 1) >>> 0;
    return this.nextSeq;
  }
}

/**
 * What a failed probe says about ourselves. Where relays answered, the target is at fault and not we; each
 * silent relay is a sign that our own messages do not get through. Without relays the failure itself counts.
 */
function missedAnswers(probe: Probe): number {
  if (probe.relays === null || probe.relays.size === 0) return 1;
  let missed = 0;
  for (const answered of probe.relays.values()) if (!answered) missed += 1;
  // With all relays of a small cluster asked, one lost nack each must not add up to a verdict on ourselves.
  return Math.round((3 * missed) / probe.relays.size);
}
