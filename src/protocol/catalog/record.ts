import type { ConflictPolicy } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';

export interface BucketConfig {
  readonly consistency: 'eventual' | 'strong';
  readonly conflict: ConflictPolicy;
  readonly replicas: number;
  readonly sync: 'none' | 'up' | 'down' | 'both';
  readonly ttlSeconds: number | null;
}

/** A member's place in the ring. */
export interface RingMemberConfig {
  readonly in: boolean;
  readonly weight: number;
  readonly zone: string;
}

/** `version` counts the changes of one record, from 1. */
export interface RingMemberRecord extends RingMemberConfig {
  readonly id: NodeId;
  readonly version: number;
}

export interface BucketRecord extends BucketConfig {
  readonly name: string;
  readonly version: number;
}

/** All records, each list sorted by its name: the canonical form for encodings and digests. */
export interface CatalogState {
  readonly members: readonly RingMemberRecord[];
  readonly buckets: readonly BucketRecord[];
}

export const BUCKETS_MAX = 1024;
export const RING_MEMBERS_MAX = 10_000;
/** Leaves room to add up all versions in one safe integer, and a peer no way to exhaust them by accident. */
export const VERSION_MAX = 0xffff_ffff;
const NODE_ID_LENGTH_MAX = 128;
const ZONE_LENGTH_MAX = 64;
const WEIGHT_MIN = 0.001;
const WEIGHT_MAX = 1000;
const REPLICAS_MAX = 7;
const TTL_SECONDS_MAX = 100 * 365 * 86_400;

const NODE_ID = /^[\x21-\x7e]+$/;
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

/** What is wrong with a member's settings, null when nothing is. Takes unchecked data. */
export function ringMemberProblem(id: NodeId, config: RingMemberConfig): string | null {
  if (typeof id !== 'string' || id.length > NODE_ID_LENGTH_MAX || !NODE_ID.test(id)) return 'not a node id';
  if (typeof config.in !== 'boolean') return 'in must be true or false';
  const { zone } = config;
  if (typeof zone !== 'string' || zone.length > ZONE_LENGTH_MAX || !zone.isWellFormed()) {
    return `a zone has at most ${ZONE_LENGTH_MAX} characters`;
  }
  // Written so that NaN fails.
  const inRange = config.weight >= WEIGHT_MIN && config.weight <= WEIGHT_MAX;
  return typeof config.weight === 'number' && inRange ? null : `weight must be ${WEIGHT_MIN} to ${WEIGHT_MAX}`;
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

export function ringMemberText(record: RingMemberRecord): string {
  const { id, version, weight, zone } = record;
  return JSON.stringify([id, version, record.in, weight, zone]);
}
