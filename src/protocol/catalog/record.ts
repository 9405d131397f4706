import { hashString } from '../../lib/hash.ts';
import type { ConflictPolicy } from '../causal/entry.ts';
import { type RingRecord, VERSION_MAX } from './ring-record.ts';

export interface BucketConfig {
  readonly consistency: 'eventual' | 'strong';
  readonly conflict: ConflictPolicy;
  /** Owners of each key; null: as many as the cluster is configured with. */
  readonly replicas: number | null;
  /** Owners come from these zones as far as they have members. Sorted; needs `replicas`. */
  readonly preferredZones: readonly string[];
  readonly sync: 'none' | 'up' | 'down' | 'both';
  readonly ttlSeconds: number | null;
  /** Whether a node that reaches no majority of the ring takes writes. */
  readonly island: IslandPolicy;
}

export type IslandPolicy = 'accept' | 'refuse';

export interface BucketRecord extends BucketConfig {
  readonly name: string;
  readonly version: number;
  /** The digest of the ring records when the first bucket of this placement was created; 0 for the common one. */
  readonly born: number;
}

/** What decides where the keys of a bucket are. */
export interface BucketPlacement {
  readonly replicas: number;
  readonly preferredZones: readonly string[];
}

/** All records, each list sorted by its name: the canonical form for encodings and digests. */
export interface CatalogState {
  readonly members: readonly RingRecord[];
  readonly buckets: readonly BucketRecord[];
}

export const BUCKETS_MAX = 1024;
/** Different placements that buckets may have besides the common one: each has a set of shards of its own. */
export const PLACEMENTS_MAX = 16;
const REPLICAS_MAX = 7;
export const PREFERRED_ZONES_MAX = 8;
export const ZONE_LENGTH_MAX = 64;
const TTL_SECONDS_MAX = 100 * 365 * 86_400;

const BUCKET_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** What is wrong with a bucket's name, null when nothing is. */
export function bucketNameProblem(name: string): string | null {
  return BUCKET_NAME.test(name)
    ? null
    : 'a bucket name has 1 to 63 characters of a-z 0-9 . _ - and starts with a letter or digit';
}

/** What is wrong with a bucket's settings, null when nothing is. Takes unchecked data. */
export function bucketConfigProblem(config: BucketConfig): string | null {
  if (!['eventual', 'strong'].includes(config.consistency)) return 'consistency must be eventual or strong';
  if (!['lww', 'siblings'].includes(config.conflict)) return 'conflict must be lww or siblings';
  if (!['none', 'up', 'down', 'both'].includes(config.sync)) return 'sync must be none, up, down or both';
  if (!['accept', 'refuse'].includes(config.island)) return 'island must be accept or refuse';
  if (config.replicas !== null && !isCount(config.replicas, REPLICAS_MAX))
    return `replicas must be 1 to ${REPLICAS_MAX}`;
  const zonesProblem = preferredZonesProblem(config);
  if (zonesProblem !== null) return zonesProblem;
  const strongProblem = config.consistency === 'strong' ? strongConfigProblem(config) : null;
  if (strongProblem !== null) return strongProblem;
  if (config.ttlSeconds !== null && !isCount(config.ttlSeconds, TTL_SECONDS_MAX)) {
    return `ttlSeconds must be null or 1 to ${TTL_SECONDS_MAX}`;
  }
  return null;
}

/** The keys of strong buckets share one ring of acceptors, and have one value at a time. */
function strongConfigProblem({ conflict, replicas, sync }: BucketConfig): string | null {
  if (conflict !== 'lww') return 'a strong bucket has no conflicts; leave conflict out';
  if (replicas !== null)
    return "a strong bucket has the cluster's own number of copies; leave replicas and preferredZones out";
  return sync === 'none' ? null : 'a strong bucket is not synced to a hub; its sync must be none';
}

function preferredZonesProblem({ replicas, preferredZones }: BucketConfig): string | null {
  if (preferredZones.length > PREFERRED_ZONES_MAX) return `preferredZones are at most ${PREFERRED_ZONES_MAX}`;
  if (preferredZones.some((zone) => zone.length === 0 || zone.length > ZONE_LENGTH_MAX || !zone.isWellFormed())) {
    return `a preferred zone has 1 to ${ZONE_LENGTH_MAX} characters`;
  }
  if (preferredZones.some((zone, i) => i > 0 && zone <= (preferredZones[i - 1] as string))) {
    return 'preferredZones must be sorted, each once';
  }
  return replicas === null && preferredZones.length > 0 ? 'preferredZones need a number of replicas' : null;
}

/** The placement of a bucket; null: the common one. */
export function placementOf({ replicas, preferredZones }: BucketConfig): BucketPlacement | null {
  return replicas === null ? null : { replicas, preferredZones };
}

/**
 * The number of a placement's class, a function of its content: numbers that were handed out would mean different
 * placements on two sides of a partition. 0 is the common one.
 */
export function classOfPlacement(placement: BucketPlacement | null): number {
  return placement === null ? 0 : (hashString(placementText(placement), CLASS_SEED) % 0x7fff_ffff) + 1;
}

export function placementText({ replicas, preferredZones }: BucketPlacement): string {
  return JSON.stringify([replicas, preferredZones]);
}

const CLASS_SEED = 0x636c6173;

/** True when both ask for the same. */
export function sameConfig(a: BucketConfig, b: BucketConfig): boolean {
  return a.island === b.island && JSON.stringify(settingsOf(a)) === JSON.stringify(settingsOf(b));
}

function settingsOf({ consistency, conflict, replicas, preferredZones, sync, ttlSeconds }: BucketConfig): unknown[] {
  return [consistency, conflict, replicas, preferredZones, sync, ttlSeconds];
}

export function isVersion(version: number): boolean {
  return isCount(version, VERSION_MAX);
}

function isCount(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max;
}

/** One text a content, whatever the order or surplus of an object's fields. */
export function bucketText(record: BucketRecord): string {
  const { name, version, born, island } = record;
  // Older nodes do not know of the policy and lose it: with the default their text is this one, else this one is greater.
  return JSON.stringify([name, version, ...settingsOf(record), born]) + (island === 'refuse' ? island : '');
}
