import type { ConflictPolicy } from '../causal/entry.ts';
import { type RingRecord, VERSION_MAX } from './ring-record.ts';

export interface BucketConfig {
  readonly consistency: 'eventual' | 'strong';
  readonly conflict: ConflictPolicy;
  readonly replicas: number;
  readonly sync: 'none' | 'up' | 'down' | 'both';
  readonly ttlSeconds: number | null;
}

export interface BucketRecord extends BucketConfig {
  readonly name: string;
  readonly version: number;
}

/** All records, each list sorted by its name: the canonical form for encodings and digests. */
export interface CatalogState {
  readonly members: readonly RingRecord[];
  readonly buckets: readonly BucketRecord[];
}

export const BUCKETS_MAX = 1024;
const REPLICAS_MAX = 7;
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
  if (!isCount(config.replicas, REPLICAS_MAX)) return `replicas must be 1 to ${REPLICAS_MAX}`;
  if (config.ttlSeconds !== null && !isCount(config.ttlSeconds, TTL_SECONDS_MAX)) {
    return `ttlSeconds must be null or 1 to ${TTL_SECONDS_MAX}`;
  }
  return null;
}

export function isVersion(version: number): boolean {
  return isCount(version, VERSION_MAX);
}

function isCount(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= max;
}

/** One text a content, whatever the order or surplus of an object's fields. */
export function bucketText(record: BucketRecord): string {
  const { name, version, consistency, conflict, replicas, sync, ttlSeconds } = record;
  return JSON.stringify([name, version, consistency, conflict, replicas, sync, ttlSeconds]);
}
