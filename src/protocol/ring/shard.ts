import { classOf } from '../../lib/bucket-name.ts';
import { hashString } from '../../lib/hash.ts';

/** Default number of shards of a cluster; fixed when the cluster is created. */
export const SHARDS_DEFAULT = 256;
export const SHARDS_MAX = 65_536;
/** Ids of shards: `class * SHARDS_MAX + number`, classes below 2^32. Part of the data format. */
export const SHARD_ID_MAX = 2 ** 48 - 1;

/** The shard of a key: the class of the bucket, and the high bits of the hash of `bucket NUL key`. Part of the data format. */
export function shardOf(bucket: string, key: string, shards: number): number {
  const number = Math.floor((hashString(`${bucket}\0${key}`) * shards) / 0x1_0000_0000);
  return shardId(classOf(bucket), number);
}

/** `shardClass`: below 2^32; 0 for buckets without a placement of their own. */
export function shardId(shardClass: number, number: number): number {
  return shardClass * SHARDS_MAX + number;
}

export function shardClassOf(id: number): number {
  return Math.floor(id / SHARDS_MAX);
}

/** Its number among the shards of its class. */
export function shardNumberOf(id: number): number {
  return id % SHARDS_MAX;
}
