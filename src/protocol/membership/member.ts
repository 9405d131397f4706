import type { NodeId } from '../machine.ts';
import type { Coordinate } from './coordinate.ts';

/**
 * SWIM states. `left` is only ever self-issued (a graceful shutdown); `dead` members are kept and retried,
 * so that a healed partition merges by itself.
 */
export type MemberState = 'alive' | 'suspect' | 'dead' | 'left';

/** Suspects count as there until they are dead. */
export function isReachable(state: MemberState | undefined): boolean {
  return state === 'alive' || state === 'suspect';
}

/** What a node says of itself; only it may change these. Travels with its alive claims. */
export interface MemberProfile {
  readonly name: string;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  /** Multiaddrs with a peer id, in order of preference. At most 16. */
  readonly addresses: readonly string[];
  /** Lowest and highest wire version spoken. */
  readonly versionMin: number;
  readonly versionMax: number;
  /** Starts of this data directory, for people: a disk that loses records may count one twice. */
  readonly bootEpoch: number;
  /** Resource score in [0, 1]: mean of the free shares of cpu, memory and storage. */
  readonly score: number;
  /** Where it is in the space of round-trip times; null near the origin, which is anywhere on a LAN. */
  readonly coordinate: Coordinate | null;
  /** Ring weight: its share of vnodes relative to others. */
  readonly weight: number;
}

/** A member as one node sees it. */
export interface Member {
  readonly id: NodeId;
  readonly state: MemberState;
  readonly incarnation: number;
  readonly profile: MemberProfile;
  /** Unix ms of the last state change in this node's view. */
  readonly sinceMs: number;
  /** Smoothed round-trip time of probes, null before the first. */
  readonly rttMs: number | null;
  /** Unanswered ones of the last 16 probes. */
  readonly missedProbes: number;
  /** Smoothed share of requests for data that it refused or answered late, 0 to 1. */
  readonly errorRate: number;
  /** `degraded`: answers, but late, with losses or with errors. */
  readonly health: 'healthy' | 'degraded';
}

/** A member that is there, and not well. */
export function isDegraded({ state, health }: Pick<Member, 'state' | 'health'>): boolean {
  return health === 'degraded' && isReachable(state);
}
