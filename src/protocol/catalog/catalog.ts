import { assert } from '../../lib/assert.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import {
  BUCKETS_MAX,
  type BucketConfig,
  type BucketRecord,
  bucketConfigProblem,
  bucketNameProblem,
  bucketText,
  type CatalogState,
  isVersion,
  RING_MEMBERS_MAX,
  type RingMemberConfig,
  type RingMemberRecord,
  ringMemberProblem,
  ringMemberText,
  VERSION_MAX,
} from './record.ts';

/** Exists in every cluster without a record; a record of that name takes its place. */
const DEFAULT_BUCKET: BucketRecord = {
  name: 'default',
  version: 0,
  consistency: 'eventual',
  conflict: 'lww',
  replicas: 3,
  sync: 'up',
  ttlSeconds: null,
};

/** What a join brought. Empty lists: nothing new. */
export interface CatalogChange {
  readonly members: readonly NodeId[];
  readonly buckets: readonly string[];
  /** Records of the remote state that were invalid or over a limit, and were left out. */
  readonly rejected: number;
}

export type PutBucketOutcome =
  | { readonly ok: true; readonly created: boolean; readonly bucket: BucketRecord }
  | { readonly ok: false; readonly failure: Failure };

interface Versioned {
  readonly version: number;
}

/**
 * The cluster's own small configuration, until it moves to a consensus register: who is in the ring, and which
 * buckets there are. Every node holds all of it; any two states join to one, record by record: the higher version
 * wins, and between equal versions the greater content, so that all nodes settle on the same.
 */
export class Catalog {
  private readonly memberRecords = new Map<NodeId, RingMemberRecord>();
  private readonly bucketRecords = new Map<string, BucketRecord>();
  private digestCache: number | null = null;

  /** Invalid records of the initial state are left out. */
  constructor(initial: CatalogState = { members: [], buckets: [] }) {
    this.join(initial);
  }

  /** Takes over what is newer in `remote`, which need not be trusted. */
  join(remote: CatalogState): CatalogChange {
    const members: NodeId[] = [];
    const buckets: string[] = [];
    let rejected = 0;
    for (const record of remote.members) {
      const valid = isVersion(record.version) && ringMemberProblem(record.id, record) === null;
      const merged = valid && this.merge(this.memberRecords, record.id, record, ringMemberText, RING_MEMBERS_MAX);
      if (merged === 'taken') members.push(record.id);
      else if (merged !== 'known') rejected++;
    }
    for (const record of remote.buckets) {
      const valid =
        isVersion(record.version) && bucketNameProblem(record.name) === null && bucketConfigProblem(record) === null;
      const merged = valid && this.merge(this.bucketRecords, record.name, record, bucketText, BUCKETS_MAX);
      if (merged === 'taken') buckets.push(record.name);
      else if (merged !== 'known') rejected++;
    }
    return { members, buckets, rejected };
  }

  /**
   * True when something changed. False when it was so already, or when it cannot be: RING_MEMBERS_MAX members, or
   * VERSION_MAX changes of this one. Asserts a valid configuration.
   */
  setRingMember(id: NodeId, config: RingMemberConfig): boolean {
    assert(ringMemberProblem(id, config) === null, 'a valid ring member');
    const old = this.memberRecords.get(id);
    if (old?.in === config.in && old.weight === config.weight && old.zone === config.zone) return false;
    if (old === undefined && this.memberRecords.size >= RING_MEMBERS_MAX) return false;
    const version = (old?.version ?? 0) + 1;
    if (version > VERSION_MAX) return false;
    this.store(this.memberRecords, id, { id, version, in: config.in, weight: config.weight, zone: config.zone });
    return true;
  }

  /**
   * Creates a bucket. One that exists with the same settings is fine; with others it fails, since settings are
   * for life. Failures: bad-bucket, bucket-exists, too-many-requests (BUCKETS_MAX reached).
   */
  putBucket(name: string, config: BucketConfig): PutBucketOutcome {
    const problem = bucketNameProblem(name) ?? bucketConfigProblem(config);
    if (problem !== null) return { ok: false, failure: failure('bad-bucket', problem) };
    const existing = this.bucket(name);
    const { consistency, conflict, replicas, sync, ttlSeconds } = config;
    const version = existing?.version ?? 1;
    const record: BucketRecord = { name, version, consistency, conflict, replicas, sync, ttlSeconds };
    if (existing !== undefined) {
      if (bucketText(existing) === bucketText(record)) return { ok: true, created: false, bucket: existing };
      const message = `bucket ${name} exists with other settings; choose another name`;
      return { ok: false, failure: failure('bucket-exists', message) };
    }
    if (this.bucketRecords.size >= BUCKETS_MAX) {
      const message = `the cluster holds its ${BUCKETS_MAX} buckets; use key prefixes within one instead`;
      return { ok: false, failure: failure('too-many-requests', message) };
    }
    this.store(this.bucketRecords, name, record);
    return { ok: true, created: true, bucket: record };
  }

  /** Sorted by id. */
  get ringMembers(): readonly RingMemberRecord[] {
    return [...this.memberRecords.values()].sort((a, b) => compareText(a.id, b.id));
  }

  ringMember(id: NodeId): RingMemberRecord | undefined {
    return this.memberRecords.get(id);
  }

  /** Sorted by name; `default` is always there. */
  get buckets(): readonly BucketRecord[] {
    const records = [...this.bucketRecords.values()];
    if (!this.bucketRecords.has(DEFAULT_BUCKET.name)) records.push(DEFAULT_BUCKET);
    return records.sort((a, b) => compareText(a.name, b.name));
  }

  bucket(name: string): BucketRecord | undefined {
    return this.bucketRecords.get(name) ?? (name === DEFAULT_BUCKET.name ? DEFAULT_BUCKET : undefined);
  }

  /** The whole content, to persist and to send. Without built-in buckets. */
  state(): CatalogState {
    const buckets = [...this.bucketRecords.values()].sort((a, b) => compareText(a.name, b.name));
    return { members: this.ringMembers, buckets };
  }

  /** The number of changes of the ring: grows with each, and is equal for equal rings. */
  epoch(): number {
    let epoch = 0;
    for (const record of this.memberRecords.values()) epoch += record.version;
    return epoch;
  }

  /** A 32-bit digest of the whole content; equal for equal content. */
  digest(): number {
    if (this.digestCache === null) {
      let sum = 0;
      for (const record of this.memberRecords.values()) sum += hashString(ringMemberText(record), MEMBER_SEED);
      for (const record of this.bucketRecords.values()) sum += hashString(bucketText(record), BUCKET_SEED);
      this.digestCache = sum % 0x1_0000_0000;
    }
    return this.digestCache;
  }

  private merge<R extends Versioned>(
    records: Map<string, R>,
    key: string,
    remote: R,
    textOf: (record: R) => string,
    sizeMax: number,
  ): 'taken' | 'known' | 'full' {
    const local = records.get(key);
    if (local === undefined && records.size >= sizeMax) return 'full';
    if (local !== undefined && !outranks(remote, local, textOf)) return 'known';
    this.store(records, key, remote);
    return 'taken';
  }

  private store<R>(records: Map<string, R>, key: string, record: R): void {
    records.set(key, record);
    this.digestCache = null;
  }
}

const MEMBER_SEED = 0x6d656d62;
const BUCKET_SEED = 0x6275636b;

function outranks<R extends Versioned>(a: R, b: R, textOf: (record: R) => string): boolean {
  return a.version === b.version ? textOf(a) > textOf(b) : a.version > b.version;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
