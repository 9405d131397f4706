import { assert } from '../../lib/assert.ts';
import type { Prng } from '../../lib/prng.ts';
import type { NodeId } from '../machine.ts';
import type { ClaimAuthority } from './claim.ts';
import type { MemberProfile } from './member.ts';

/**
 * Timing of membership. Durations in milliseconds. The defaults suit a LAN; over slow links raise
 * `probeTimeoutMs` and `probeWindowMs` first, everything else follows from them.
 */
export interface MembershipTiming {
  /** The base of all scaled times: each member starts `probesPerInterval` probes in this time. */
  readonly probeIntervalMs: number;
  /**
   * Probes that start in one interval, evenly spaced. Several, because the wait for the first probe has the
   * longest tail of all that makes up the detection of a silent member; each costs two small messages.
   */
  readonly probesPerInterval: number;
  /** A ping unanswered for so long is repeated through relays. Several times the usual round trip. */
  readonly probeTimeoutMs: number;
  /** A probe without any ack in this time has failed. Must exceed `probeTimeoutMs`. */
  readonly probeWindowMs: number;
  /** Up to this many members everybody probes everybody; above, each probes its successors on the rings. */
  readonly probeAllMax: number;
  /** Up to this many members connections to all are kept, so that one that closes is a sign of a crash. */
  readonly meshMax: number;
  /** Rings of the overlay: every member has so many observers. */
  readonly rings: number;
  /** Relays of an indirect probe (k in SWIM). */
  readonly relays: number;
  /** With at most this many possible relays all of them are asked. */
  readonly relaysAllMax: number;
  /** Share of the remaining window after which a relay without an ack says nack. */
  readonly nackShare: number;
  /**
   * Shortest suspicion, as a multiple of max(1, log10 N) intervals (alpha in Lifeguard). Reached once
   * `confirmationsMax` further members have accused independently.
   */
  readonly suspicionMinMultiplier: number;
  /** Longest suspicion, as a multiple of the shortest (beta in Lifeguard); a lone accuser waits that long. */
  readonly suspicionMaxMultiplier: number;
  /** Independent accusers after the first that bring a suspicion down to its minimum (K in Lifeguard). */
  readonly confirmationsMax: number;
  /**
   * Members of a small cluster expected to check a suspicion they hear of with a probe of their own; in a large one
   * the suspect's neighbours do.
   */
  readonly verifiers: number;
  /** Suspicion after a closed connection whose redial was refused: nothing listens there any more. */
  readonly refusedSuspicionMs: number;
  /** Spacing of gossip rounds while there is something to tell; the first round leaves at once. */
  readonly gossipIntervalMs: number;
  /** Peers told in one gossip round. */
  readonly gossipFanout: number;
  /** Each update is sent this many times ceil(log10(N + 1)) times by each member (lambda in SWIM). */
  readonly disseminationMultiplier: number;
  /** Sends beyond that; half as many for a changed profile, which can wait for a push-pull. */
  readonly disseminationSpare: number;
  /** Time between push-pulls up to 32 members; above, times 1 + log2(N / 32). */
  readonly pushPullIntervalMs: number;
  /** Ceiling of the local health score; times and intervals of probes are multiplied by score + 1. */
  readonly awarenessMax: number;
  /** A timeout or event loop later than this is a pause of our own process: open probe windows are void. */
  readonly lagMaxMs: number;
  /** Smoothed round trip above which a member counts as degraded. */
  readonly degradedRttMs: number;
  /** Missed acks among its last 16 probes from which a member counts as degraded; healthy again at half of it. */
  readonly degradedMisses: number;
  /** Share of failed requests from which a member counts as degraded; healthy again at half of it. */
  readonly degradedErrorRate: number;
  /** A coordinate is published again when it is so far from the published one, at most once in `publishIntervalMs`. */
  readonly coordinateStepMs: number;
  readonly publishIntervalMs: number;
  /** A member that left is forgotten after this time. */
  readonly leftRetentionMs: number;
}

export const MEMBERSHIP_DEFAULTS: MembershipTiming = {
  probeIntervalMs: 1000,
  probesPerInterval: 3,
  probeTimeoutMs: 400,
  probeWindowMs: 900,
  probeAllMax: 64,
  meshMax: 256,
  rings: 8,
  relays: 3,
  relaysAllMax: 8,
  nackShare: 0.8,
  suspicionMinMultiplier: 1.5,
  suspicionMaxMultiplier: 6,
  confirmationsMax: 3,
  verifiers: 8,
  refusedSuspicionMs: 400,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  disseminationMultiplier: 4,
  disseminationSpare: 8,
  pushPullIntervalMs: 30_000,
  awarenessMax: 8,
  lagMaxMs: 250,
  degradedRttMs: 250,
  degradedMisses: 4,
  degradedErrorRate: 0.2,
  coordinateStepMs: 10,
  publishIntervalMs: 60_000,
  leftRetentionMs: 24 * 60 * 60 * 1000,
};

/** A member of the persisted address book. */
export interface KnownMember {
  readonly id: NodeId;
  readonly profile: MemberProfile;
}

export interface MembershipOptions {
  readonly self: NodeId;
  readonly profile: MemberProfile;
  /** The last incarnation that `persist-incarnation` asked to keep, 0 on a fresh data directory. */
  readonly incarnation: number;
  /**
   * Members known from before the start: dialled and retried, listed as dead with incarnation 0, never
   * reported to others until somebody has heard from them.
   */
  readonly known: readonly KnownMember[];
  readonly claims: ClaimAuthority;
  readonly prng: Prng;
  readonly timing?: Partial<MembershipTiming>;
}

/** Fills in the defaults and asserts the relations between the fields. */
export function timingOf(overrides: Partial<MembershipTiming> | undefined): MembershipTiming {
  const timing = { ...MEMBERSHIP_DEFAULTS, ...overrides };
  for (const [name, value] of Object.entries(timing)) {
    assert(Number.isFinite(value) && value >= 0, `membership timing: ${name} is a number from 0`);
  }
  assert(timing.probeIntervalMs > 0 && timing.probesPerInterval >= 1, 'membership timing: probes take place');
  assert(timing.probeWindowMs > timing.probeTimeoutMs, 'membership timing: the window exceeds the timeout');
  assert(timing.nackShare < 1, 'membership timing: a nack comes before the end of the window');
  assert(timing.suspicionMaxMultiplier >= 1, 'membership timing: the longest suspicion is not the shorter one');
  assert(timing.probeAllMax > timing.rings && timing.rings >= 1, 'membership timing: the overlay has enough members');
  assert(timing.gossipIntervalMs > 0 && timing.gossipFanout >= 1, 'membership timing: gossip takes place');
  return timing;
}
