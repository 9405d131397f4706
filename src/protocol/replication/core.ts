import type { Journal } from '../../lib/journal.ts';
import type { Prng } from '../../lib/prng.ts';
import type { ActorId } from '../causal/dot.ts';
import type { ConflictPolicy } from '../causal/entry.ts';
import type { CausalObject } from '../causal/object.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Cell, CellTable } from './cell-table.ts';
import type { ReplicationCounters } from './counters.ts';
import type { ReplicationEffect } from './effect.ts';
import type { FormerOwners } from './former-owners.ts';
import type { ReplicationMessage } from './message.ts';
import type { PeerTally } from './peer-tally.ts';
import type { Placement } from './placement.ts';
import type { RecordScan, RecordWrite, ScanResult } from './record.ts';
import type { ShardTable } from './shard-table.ts';

export interface ReplicationOptions {
  readonly self: NodeId;
  readonly actor: ActorId;
  readonly prng: Prng;
  /** A request that has not reached its level by then fails. */
  readonly requestTimeoutMs: number;
  /** A replica that has not answered by then is replaced by a fallback (write) or another owner (read). */
  readonly replicaTimeoutMs: number;
  /** Interval of anti-entropy with one random holder of common shards. */
  readonly antiEntropyIntervalMs: number;
  /** How fast objects are sent that others miss; 0: as fast as it goes. */
  readonly syncBytesPerSecond: number;
  /** Hints beyond this many bytes are dropped, counted, and left to anti-entropy. */
  readonly hintBytesMax: number;
  /** Shards are reconciled with a hub. */
  readonly hasHub: boolean;
  /** Memory for cached objects. */
  readonly cacheBytes: number;
  /** Stamps further ahead of the clock are refused; clocks that differ by no more agree. */
  readonly maxClockDriftMs: number;
  /** Somebody is to be told of changes in the bucket. */
  readonly isWatched: (bucket: string) => boolean;
}

/** Requests in flight at once; more are refused with `too-many-requests`. */
export const REQUESTS_MAX = 20_000;

/**
 * Where the ids of one run begin: far from those of other runs of this node. An answer that a slow disk held back until
 * the asker had been restarted must not pass for the answer to another question.
 */
export function firstId(prng: Prng): number {
  return prng.uint32() * 1024;
}

/** What the parts of replication share. One turn runs at a time, so `now` and `ring` are the current ones. */
export interface ReplicationCore {
  readonly options: ReplicationOptions;
  readonly journal: Journal<RecordWrite>;
  readonly cells: CellTable;
  readonly shards: ShardTable;
  readonly counters: ReplicationCounters;
  readonly tally: PeerTally;
  /** Records found bad: all up to now, and those of which the disk and the contexts do not speak alike yet. */
  readonly losses: { count: number; open: number };
  /** Its wall clock is the cluster's, where a majority agrees on one. */
  readonly now: Instant;
  /** What the wall clock showed when it was last set or started without others to confirm it; null: it is confirmed. */
  readonly clockDoubtfulSinceMs: number | null;
  readonly ring: Placement;
  /** False while the disk has no space: nothing that adds to it is taken. */
  readonly writable: boolean;
  emit(effect: ReplicationEffect): void;
  send(to: NodeId, message: ReplicationMessage): void;
  /**
   * Sends once all that is known now is synced. A context must not promise what a crash could take back: the
   * peer would drop its copy for it, and a dot of ours would be used twice.
   */
  sendDurable(to: NodeId, message: ReplicationMessage): void;
  /** Connected now. This node itself counts as up. */
  isUp(peer: NodeId): boolean;
  readonly formers: FormerOwners;
  shardOf(bucket: string, key: string): number;
  /** Buckets by their qualified names. False: another node has heard of it, this one has not yet. */
  knowsBucket(bucket: string): boolean;
  conflictOf(bucket: string): ConflictPolicy;
  /** Somebody is to be told of changes in the bucket. */
  isWatched(bucket: string): boolean;
  /** Keeps for people what lost when an `lww` key changed. */
  noteConflicts(cell: Cell, before: CausalObject, after: CausalObject): void;
  /** Marks what a wrong clock has stamped: before a key is written, swept, or sent to a replica, which would refuse it. */
  restamp(cell: Cell): void;
  /** Starts an ordered read; `use` gets the rows in a later input. */
  scan: ScanStarter;
}

export type ScanStarter = <T extends RecordScanTable>(
  scan: RecordScanOf<T>,
  use: (result: ScanResultOf<T>) => void,
) => void;

export type RecordScanTable = RecordScan['table'];
export type RecordScanOf<T extends RecordScanTable> = Extract<RecordScan, { table: T }>;
export type ScanResultOf<T extends RecordScanTable> = Extract<ScanResult, { table: T }>;
