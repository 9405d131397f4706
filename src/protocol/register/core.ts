import type { Journal } from '../../lib/journal.ts';
import type { Prng } from '../../lib/prng.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Alarm } from './alarms.ts';
import type { BallotClock } from './ballot.ts';
import type { RegisterCounters } from './counters.ts';
import type { RegisterEffect } from './effect.ts';
import type { RegisterMessage } from './message.ts';
import type { RegisterPlacement } from './placement.ts';
import type { RegisterWrite } from './record.ts';
import type { RowTable } from './row-table.ts';
import type { Standings } from './standings.ts';

export interface RegisterOptions {
  readonly self: NodeId;
  /** 16 hex digits, never used by another run of any node. */
  readonly proposerId: string;
  readonly prng: Prng;
  readonly shardOf: (bucket: string, key: string) => number;
  readonly placement: (shard: number) => RegisterPlacement;
  /** Shards of which this node is an acceptor under its present ring. */
  readonly heldShards: () => Iterable<number>;
  /** False: this disk may have lost what it had promised for the shard. */
  readonly canVote: (shard: number) => boolean;
  /** The first ring epoch under which there could be registers: its acceptors begin with empty copies that are whole. */
  readonly foundingEpoch: number;
  /** A request that is not done by then fails, forwarding included; at most 2000. */
  readonly requestTimeoutMs: number;
  /** An acceptor that was asked to run a request for this node, and is silent for so long, gives way to the next one. */
  readonly forwardTimeoutMs: number;
  /**
   * The same for a change that may have been begun: no other may run it, and to give it up leaves the client in doubt. Below
   * a second, for clients that make one change after the other.
   */
  readonly changeTimeoutMs: number;
  /** A deleted key is forgotten after once to twice this time: it is often written again soon. */
  readonly collectDelayMs: number;
  /** Memory for rows, and as much again for what the proposer knows of its latest keys. */
  readonly cacheBytes: number;
}

export const REGISTER_DEFAULTS = {
  requestTimeoutMs: 1500,
  forwardTimeoutMs: 300,
  changeTimeoutMs: 800,
  collectDelayMs: 2000,
  cacheBytes: 16 * 1024 * 1024,
} as const;

/** What the parts of the registers share. One turn runs at a time, so `now` is the current one. */
export interface RegisterCore {
  readonly options: RegisterOptions;
  readonly now: Instant;
  readonly journal: Journal<RegisterWrite>;
  readonly rows: RowTable;
  readonly standings: Standings;
  readonly ballots: BallotClock;
  readonly counters: RegisterCounters;
  emit(effect: RegisterEffect): void;
  /** To this node itself as well: it takes the message within this turn, after what is being done. */
  send(to: NodeId, message: RegisterMessage): void;
  /** Connected now. This node itself counts as up. */
  isUp(peer: NodeId): boolean;
  alarm(delayMs: number, ring: () => void): Alarm;
}
