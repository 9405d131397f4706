import { assert } from '../../lib/assert.ts';
import { qualifiedName } from '../../lib/bucket-name.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import {
  BUCKETS_MAX,
  type BucketConfig,
  type BucketPlacement,
  type BucketRecord,
  bucketConfigProblem,
  bucketNameProblem,
  bucketText,
  type CatalogState,
  classOfPlacement,
  isVersion,
  PLACEMENTS_MAX,
  placementOf,
  placementText,
  sameConfig,
} from './record.ts';
import {
  ASKER_LENGTH_MAX,
  changedRecord,
  changesOf,
  joinRingRecords,
  type OwnSettings,
  PLACES,
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
import type { RingRecords } from './unseen-rings.ts';

const DEFAULT_BUCKET: BucketRecord = {
  name: 'default',
  version: 0,
  consistency: 'eventual',
  conflict: 'lww',
  replicas: null,
  preferredZones: [],
  sync: 'up',
  ttlSeconds: null,
  island: 'accept',
  born: 0,
};

/** Exist in every cluster without a record; a record of the name takes the place of one. */
const BUILT_IN: ReadonlyMap<string, BucketRecord> = new Map([
  [DEFAULT_BUCKET.name, DEFAULT_BUCKET],
  ['strong', { ...DEFAULT_BUCKET, name: 'strong', consistency: 'strong', sync: 'none' }],
]);

/** What a join brought. Empty lists: nothing new. */
export interface CatalogChange {
  readonly members: readonly NodeId[];
  readonly buckets: readonly string[];
  /** Names under which there are several buckets since, created with different placements on sides of a partition. */
  readonly conflicts: readonly string[];
  /** Records of the remote state that were invalid or over a limit, and were left out. */
  readonly rejected: number;
}

export type PutBucketOutcome =
  | { readonly ok: true; readonly created: boolean; readonly bucket: BucketRecord }
  | { readonly ok: false; readonly failure: Failure };

/** Buckets of equal placements share a set of shards. */
export interface PlacementClass extends BucketPlacement {
  readonly number: number;
  /**
   * The digest of the ring records when it began. Null where it began on several sides of a partition under different
   * rings.
   */
  readonly born: number | null;
}

export type RingChangeOutcome =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly failure: Failure };

/**
 * The cluster's own small configuration: who is in the ring, and which
 * buckets there are. Every node holds all of it; any two states join to one, setting by setting: the higher version
 * wins, and between equal versions the greater content, so that all nodes settle on the same.
 */
export class Catalog {
  private readonly memberRecords = new Map<NodeId, RingRecord>();
  /** By qualified name. */
  private readonly bucketRecords = new Map<string, BucketRecord>();
  /** The qualified name of the bucket that goes by a name. */
  private readonly shown = new Map<string, string>([...BUILT_IN.keys()].map((name) => [name, name]));
  private classCache: readonly PlacementClass[] | null = null;
  private digestCache: number | null = null;

  /** Invalid records of the initial state are left out. */
  constructor(initial: CatalogState = { members: [], buckets: [] }) {
    this.join(initial);
  }

  /** Takes over what is newer in `remote`, which need not be trusted. */
  join(remote: CatalogState): CatalogChange {
    const members: NodeId[] = [];
    const buckets: string[] = [];
    const conflicts: string[] = [];
    let rejected = 0;
    for (const record of remote.members) {
      const merged = ringRecordProblem(record) === null && this.mergeMember(record);
      if (merged === 'taken') members.push(record.id);
      else if (merged !== 'known') rejected++;
    }
    for (const record of remote.buckets) {
      const before = this.shown.get(record.name);
      const merged = isValid(record) && this.mergeBucket(record);
      if (merged === 'taken') buckets.push(record.name);
      else if (merged !== 'known') rejected++;
      const isSecond = before !== undefined && before !== dataNameOf(record);
      if (merged === 'taken' && isSecond && !conflicts.includes(record.name)) conflicts.push(record.name);
    }
    return { members, buckets, conflicts, rejected };
  }

  /**
   * What a node's own configuration says; to be called by that node alone. True when that is news. False when it was
   * so already, or when it cannot be: RING_MEMBERS_MAX members, or VERSION_MAX changes. Asserts valid settings.
   */
  setOwn(id: NodeId, { weight, zone, actor }: Omit<OwnSettings, 'version'>): boolean {
    const old = this.memberRecords.get(id);
    if (old === undefined && this.memberRecords.size >= RING_MEMBERS_MAX) return false;
    const record = old ?? unspoken(id);
    const { own } = record;
    if (own.version > 0 && own.weight === weight && own.zone === zone && own.actor === actor) return false;
    const spoken = { ...record, own: { version: own.version + 1, weight, zone, actor } };
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
   * for life. `clusterReplicas`: copies in buckets that do not ask for a number. Failures: bad-bucket, bucket-exists,
   * too-many-requests (BUCKETS_MAX or PLACEMENTS_MAX reached).
   */
  putBucket(name: string, asked: BucketConfig, clusterReplicas: number): PutBucketOutcome {
    const config = normalised(asked, clusterReplicas);
    const problem = bucketNameProblem(name) ?? bucketConfigProblem(config);
    if (problem !== null) return { ok: false, failure: failure('bad-bucket', problem) };
    const existing = this.bucket(name);
    if (existing !== undefined) {
      if (sameConfig(existing, config)) return { ok: true, created: false, bucket: existing };
      const message = `bucket ${name} exists with other settings; choose another name`;
      return { ok: false, failure: failure('bucket-exists', message) };
    }
    if (this.bucketRecords.size >= BUCKETS_MAX) {
      const message = `the cluster holds its ${BUCKETS_MAX} buckets; use key prefixes within one instead`;
      return { ok: false, failure: failure('too-many-requests', message) };
    }
    const placement = placementOf(config);
    const refusal = placement === null ? null : this.placementRefusal(placement);
    if (refusal !== null) return { ok: false, failure: refusal };
    const known = this.classes.find((one) => one.number === classOfPlacement(placement));
    // Whoever hears of the class only through this bucket must not take the present ring for the one it began with.
    const born = placement === null ? 0 : known === undefined ? this.ringDigest() : (known.born ?? 0);
    const { consistency, conflict, replicas, preferredZones, sync, ttlSeconds, island } = config;
    const settings = { consistency, conflict, replicas, preferredZones, sync, ttlSeconds, island };
    const record: BucketRecord = { name, version: 1, ...settings, born };
    this.storeBucket(record);
    return { ok: true, created: true, bucket: record };
  }

  /**
   * Where everyone stands, sorted by id. Commands on both sides of a partition may together take everyone out; a ring
   * of nobody would serve nobody, so then all who are out count as in, or if there are none, all who were removed.
   */
  get ringMembers(): readonly RingPlace[] {
    const records = this.sortedMembers();
    const counts = PLACES.find((place) => records.some((one) => one.place.value === place));
    return records.map(({ id, own, place, weight, zone }) => ({
      id,
      place: place.value,
      in: place.value === counts,
      weight: weight.value ?? own.weight,
      zone: zone.value ?? own.zone,
    }));
  }

  /** All that was said of the members, as it is now. */
  get ringRecords(): RingRecords {
    return new Map(this.memberRecords);
  }

  /** All that was said of a member, and by whom. */
  ringRecord(id: NodeId): RingRecord | undefined {
    return this.memberRecords.get(id);
  }

  /** Sorted by name; `default` is always there. Of several of one name all but one go by their qualified names. */
  get buckets(): readonly BucketRecord[] {
    const records = [...this.bucketRecords].map(([dataName, record]) => ({
      ...record,
      name: this.shownName(dataName),
    }));
    for (const [name, record] of BUILT_IN) if (!this.bucketRecords.has(name)) records.push(record);
    return records.sort((a, b) => compareText(a.name, b.name));
  }

  /** By the name it goes by, or by its qualified name. */
  bucket(name: string): BucketRecord | undefined {
    const dataName = this.dataName(name);
    if (dataName === undefined) return undefined;
    const record = this.bucketRecords.get(dataName) ?? BUILT_IN.get(dataName);
    if (record === undefined) return undefined;
    return record.name === name ? record : { ...record, name };
  }

  /** The qualified name, under which nodes keep the keys of the bucket; undefined when it is not known here. */
  dataName(name: string): string | undefined {
    return this.shown.get(name) ?? (this.bucketRecords.has(name) ? name : undefined);
  }

  /** The name that the bucket with this qualified name goes by. */
  shownName(dataName: string): string {
    const name = this.bucketRecords.get(dataName)?.name;
    return name !== undefined && this.shown.get(name) === dataName ? name : dataName;
  }

  /** Every placement besides the common one, in order of the numbers. */
  get classes(): readonly PlacementClass[] {
    this.classCache ??= classesOf(this.bucketRecords.values());
    return this.classCache;
  }

  /** The whole content, to persist and to send. Without built-in buckets. */
  state(): CatalogState {
    const buckets = [...this.bucketRecords].sort(([a], [b]) => compareText(a, b)).map(([, record]) => record);
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
      let sum = this.ringDigest();
      for (const record of this.bucketRecords.values()) sum += hashString(bucketText(record), BUCKET_SEED);
      this.digestCache = sum % 0x1_0000_0000;
    }
    return this.digestCache;
  }

  /** A 32-bit digest of all that was ever said of members: equal rings differ in it when one of them changed since. */
  ringDigest(): number {
    let sum = 0;
    for (const record of this.memberRecords.values()) sum += hashString(ringRecordText(record), MEMBER_SEED);
    return sum % 0x1_0000_0000;
  }

  private placementRefusal(placement: BucketPlacement): Failure | null {
    const number = classOfPlacement(placement);
    const known = this.classes.find((one) => one.number === number);
    if (known === undefined) {
      if (this.classes.length < PLACEMENTS_MAX) return null;
      const message = `the buckets have ${PLACEMENTS_MAX} different placements already; use one of them`;
      return failure('too-many-requests', message);
    }
    if (placementText(known) === placementText(placement)) return null;
    const message =
      'this placement has the number of another one in use; ask for other zones or another number of replicas';
    return failure('bad-bucket', message);
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
    const local = this.bucketRecords.get(dataNameOf(remote));
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
    const dataName = dataNameOf(record);
    this.bucketRecords.set(dataName, record);
    const rival = this.bucketRecords.get(this.shown.get(record.name) ?? dataName);
    if (rival === undefined || rival === record || outranks(record, rival)) this.shown.set(record.name, dataName);
    this.classCache = null;
    this.digestCache = null;
  }
}

const MEMBER_SEED = 0x6d656d62;
const BUCKET_SEED = 0x6275636b;

function isValid(record: BucketRecord): boolean {
  const problem = bucketNameProblem(record.name) ?? bucketConfigProblem(record);
  if (problem !== null || !isVersion(record.version) || !isDigest(record.born)) return false;
  const builtIn = BUILT_IN.get(record.name);
  return builtIn === undefined || (record.replicas === null && record.consistency === builtIn.consistency);
}

function isDigest(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

function dataNameOf(record: BucketRecord): string {
  return qualifiedName(record.name, classOfPlacement(placementOf(record)));
}

/** What is asked for in the terms in which it is kept: who asks for what the cluster does anyway asks for nothing. */
function normalised(config: BucketConfig, clusterReplicas: number): BucketConfig {
  const preferredZones = [...new Set(config.preferredZones)].sort(compareText);
  const replicas = config.replicas ?? (preferredZones.length > 0 ? clusterReplicas : null);
  const isCommon = preferredZones.length === 0 && replicas === clusterReplicas;
  return { ...config, preferredZones, replicas: isCommon ? null : replicas };
}

/** Of two placements of one number, which can meet after a partition only, the one with the smaller text holds. */
function classesOf(records: Iterable<BucketRecord>): PlacementClass[] {
  const classes = new Map<number, PlacementClass>();
  for (const record of records) {
    const placement = placementOf(record);
    if (placement === null) continue;
    const number = classOfPlacement(placement);
    const known = classes.get(number);
    const isFirst = known === undefined || placementText(placement) < placementText(known);
    const born = known === undefined || known.born === record.born ? record.born : null;
    classes.set(number, { ...(isFirst ? placement : known), number, born });
  }
  return [...classes.values()].sort((a, b) => a.number - b.number);
}

function outranks(a: BucketRecord, b: BucketRecord): boolean {
  return a.version === b.version ? bucketText(a) > bucketText(b) : a.version > b.version;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
