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
} from './record.ts';
import {
  ASKER_LENGTH_MAX,
  changedRecord,
  changesOf,
  joinRingRecords,
  type OwnSettings,
  RING_MEMBERS_MAX,
  type RingChange,
  type RingPlace,
  type RingRecord,
  ringChangeProblem,
  ringRecordProblem,
  ringRecordText,
  unspoken,
  VERSION_MAX,
} from './ring-record.ts';

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

export type RingChangeOutcome =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly failure: Failure };

/**
 * The cluster's own small configuration, until it moves to a consensus register: who is in the ring, and which
 * buckets there are. Every node holds all of it; any two states join to one, setting by setting: the higher version
 * wins, and between equal versions the greater content, so that all nodes settle on the same.
 */
export class Catalog {
  private readonly memberRecords = new Map<NodeId, RingRecord>();
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
      const merged = ringRecordProblem(record) === null && this.mergeMember(record);
      if (merged === 'taken') members.push(record.id);
      else if (merged !== 'known') rejected++;
    }
    for (const record of remote.buckets) {
      const valid =
        isVersion(record.version) && bucketNameProblem(record.name) === null && bucketConfigProblem(record) === null;
      const merged = valid && this.mergeBucket(record);
      if (merged === 'taken') buckets.push(record.name);
      else if (merged !== 'known') rejected++;
    }
    return { members, buckets, rejected };
  }

  /**
   * What a node's own configuration says; to be called by that node alone. True when that is news. False when it was
   * so already, or when it cannot be: RING_MEMBERS_MAX members, or VERSION_MAX changes. Asserts valid settings.
   */
  setOwn(id: NodeId, { weight, zone }: Omit<OwnSettings, 'version'>): boolean {
    const old = this.memberRecords.get(id);
    if (old === undefined && this.memberRecords.size >= RING_MEMBERS_MAX) return false;
    const record = old ?? unspoken(id);
    const { own } = record;
    if (own.version > 0 && own.weight === weight && own.zone === zone) return false;
    const spoken = { ...record, own: { version: own.version + 1, weight, zone } };
    if (own.version === VERSION_MAX) return false;
    assert(ringRecordProblem(spoken) === null, 'valid settings of a ring member');
    this.storeMember(spoken);
    return true;
  }

  /**
   * An operator's command about a member. `by`: who asks, for people. Failures: bad-request, member-not-found,
   * last-member (nobody would own anything), too-many-requests (VERSION_MAX changes).
   */
  changeMember(id: NodeId, change: RingChange, by: string): RingChangeOutcome {
    const problem = ringChangeProblem(change);
    if (problem !== null) return { ok: false, failure: failure('bad-request', problem) };
    const old = this.memberRecords.get(id);
    if (old === undefined) {
      return { ok: false, failure: failure('member-not-found', `the ring knows no member ${id}; see GET /v1/ring`) };
    }
    const record = changedRecord(old, change, by.slice(0, ASKER_LENGTH_MAX).toWellFormed());
    if (record === old) return { ok: true, changed: false };
    if (record.place.value !== 'in' && !this.isOtherIn(id)) {
      const message = `${id} is the last member that is in the ring; put another one in first`;
      return { ok: false, failure: failure('last-member', message) };
    }
    if (ringRecordProblem(record) !== null) {
      const message = `the place of ${id} has been changed too often; give the member a new identity`;
      return { ok: false, failure: failure('too-many-requests', message) };
    }
    this.storeMember(record);
    return { ok: true, changed: true };
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
    this.storeBucket(record);
    return { ok: true, created: true, bucket: record };
  }

  /**
   * Where everyone stands, sorted by id. Commands on both sides of a partition may together take everyone out; a ring
   * of nobody would serve nobody, so then all who are out count as in, or if there are none, all who were removed.
   */
  get ringMembers(): readonly RingPlace[] {
    const records = this.sortedMembers();
    const counts = (['in', 'out', 'removed'] as const).find((place) =>
      records.some((one) => one.place.value === place),
    );
    return records.map(({ id, own, place, weight, zone }) => ({
      id,
      place: place.value,
      in: place.value === counts,
      weight: weight.value ?? own.weight,
      zone: zone.value ?? own.zone,
    }));
  }

  /** All that was said of a member, and by whom. */
  ringRecord(id: NodeId): RingRecord | undefined {
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
    return { members: this.sortedMembers(), buckets };
  }

  /** The number of changes of the ring: grows with each, and is equal for equal rings. */
  epoch(): number {
    let epoch = 0;
    for (const record of this.memberRecords.values()) epoch += changesOf(record);
    return epoch;
  }

  /** A 32-bit digest of the whole content; equal for equal content. */
  digest(): number {
    if (this.digestCache === null) {
      let sum = 0;
      for (const record of this.memberRecords.values()) sum += hashString(ringRecordText(record), MEMBER_SEED);
      for (const record of this.bucketRecords.values()) sum += hashString(bucketText(record), BUCKET_SEED);
      this.digestCache = sum % 0x1_0000_0000;
    }
    return this.digestCache;
  }

  private sortedMembers(): RingRecord[] {
    return [...this.memberRecords.values()].sort((a, b) => compareText(a.id, b.id));
  }

  private isOtherIn(id: NodeId): boolean {
    return [...this.memberRecords.values()].some((record) => record.id !== id && record.place.value === 'in');
  }

  private mergeMember(remote: RingRecord): 'taken' | 'known' | 'full' {
    const local = this.memberRecords.get(remote.id);
    if (local === undefined && this.memberRecords.size >= RING_MEMBERS_MAX) return 'full';
    const joined = joinRingRecords(local ?? unspoken(remote.id), remote);
    if (local !== undefined && ringRecordText(joined) === ringRecordText(local)) return 'known';
    this.storeMember(joined);
    return 'taken';
  }

  private mergeBucket(remote: BucketRecord): 'taken' | 'known' | 'full' {
    const local = this.bucketRecords.get(remote.name);
    if (local === undefined && this.bucketRecords.size >= BUCKETS_MAX) return 'full';
    if (local !== undefined && !outranks(remote, local)) return 'known';
    this.storeBucket(remote);
    return 'taken';
  }

  private storeMember(record: RingRecord): void {
    this.memberRecords.set(record.id, record);
    this.digestCache = null;
  }

  private storeBucket(record: BucketRecord): void {
    this.bucketRecords.set(record.name, record);
    this.digestCache = null;
  }
}

const MEMBER_SEED = 0x6d656d62;
const BUCKET_SEED = 0x6275636b;

function outranks(a: BucketRecord, b: BucketRecord): boolean {
  return a.version === b.version ? bucketText(a) > bucketText(b) : a.version > b.version;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
