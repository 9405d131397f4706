import type { Dot } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { CollectionHistory } from './collection-history.ts';
import type { SimBucket } from './placed-buckets.ts';

/** An acknowledged write of a key that is written once. */
export interface Acknowledged {
  readonly value: string;
  readonly dot: Dot | null;
  /** True when a quorum of the owners have it, so that every quorum of owners must show it. */
  readonly strict: boolean;
  /** The coordinator's ring. */
  readonly ring: string | null;
}

/** An acknowledged write with a time to live. */
export interface Timed {
  readonly value: string;
  /** By the true clock. */
  readonly sentMs: number;
  readonly ttlMs: number;
  /** How far the clock was off by which the client's node worked out the expiry. */
  readonly clockErrorMs: number;
}

/** What a client was shown. */
export interface ReadResult {
  readonly key: string;
  readonly atMs: number;
  readonly entries: Entries;
  /** The value that it had to show, if any: strictly acknowledged before it was asked, and not deleted since. */
  readonly expected: string | null;
}

/** What clients did and were told. */
export interface History {
  /** The bucket that they used. */
  readonly bucket: SimBucket;
  /** Acknowledged writes of keys that are written once. */
  readonly acknowledged: Map<string, Acknowledged>;
  /** Keys written once whose delete was acknowledged and had seen the acknowledged write. */
  readonly deleted: Set<string>;
  /** Acknowledged writes with a time to live, by key; each key is written once. */
  readonly timed: Map<string, Timed>;
  /** All values ever sent, by key. */
  readonly sent: Map<string, Set<string>>;
  /** Sum of the acknowledged increments, and of those whose outcome is unknown, by counter. */
  readonly counters: Map<string, { acknowledged: number; unknown: number }>;
  /** The same of counters in fields of maps, by key. */
  readonly fieldCounters: Map<string, { acknowledged: number; unknown: number }>;
  /** Members of sets and fields of maps. */
  readonly collections: CollectionHistory;
  readonly answers: ReadResult[];
  /** Acknowledgements given before enough disks had the write. */
  readonly problems: string[];
  writes: number;
  acks: number;
  failures: number;
  reads: number;
}
