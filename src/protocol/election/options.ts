import type { Prng } from '../../lib/prng.ts';
import type { NodeId } from '../machine.ts';

/** Times in ms of the monotonic clock. */
export interface ElectionTiming {
  /** For how long a voter that has granted a lease grants none to anybody else, from when it was asked. */
  readonly leaseMs: number;
  /**
   * The leader relies on a grant for this share of `leaseMs`, from when it asked: clocks of two nodes may run at rates
   * that differ by a fifth.
   */
  readonly leaseShare: number;
  /** Between two renewals; at least two must fit into the leader's share of a lease, so that one may be lost. */
  readonly renewIntervalMs: number;
  /** How long a candidate waits for answers. */
  readonly answerMs: number;
  /** The best candidate stands at once, each next one so much later. */
  readonly rankDelayMs: number;
  /** Random delay of each candidacy, so that equals do not stand together for ever. */
  readonly jitterMs: number;
  /** A challenger takes over only with a score higher by so much … */
  readonly handoverMargin: number;
  /** … for so long. Scores jitter, and every change of the leader costs something. */
  readonly handoverAfterMs: number;
}

export const ELECTION_TIMING: ElectionTiming = {
  leaseMs: 2500,
  leaseShare: 0.8,
  renewIntervalMs: 700,
  answerMs: 400,
  rankDelayMs: 100,
  jitterMs: 100,
  handoverMargin: 0.25,
  handoverAfterMs: 60_000,
};

/** What a voter must not forget: in which term it has voted last, and for whom. */
export interface VoteRecord {
  /** 0: never. */
  readonly term: number;
  /** Or whose token of this term it has taken, or whom it has heard of as its leader. */
  readonly votedFor: NodeId | null;
  /** Whom it may have granted a lease that lasts yet. */
  readonly boundTo: NodeId | null;
}

export const NO_VOTE: VoteRecord = { term: 0, votedFor: null, boundTo: null };

export interface ElectionOptions {
  readonly self: NodeId;
  /** As it is on the disk. */
  readonly vote: VoteRecord;
  /** True where this node may have voted and no longer know it: a node that starts for the first time has not. */
  readonly mayHaveVoted: boolean;
  readonly prng: Prng;
  readonly timing?: Partial<ElectionTiming>;
}

/** Among whom a quorate lease needs majorities. */
export interface Voters {
  /** Counts the changes of it that a majority has decided; 0: none has yet. */
  readonly epoch: number;
  /** A majority of each of them: one, or two while it changes who decides. */
  readonly groups: VoterGroups;
}

export type VoterGroups = readonly (readonly NodeId[])[];
