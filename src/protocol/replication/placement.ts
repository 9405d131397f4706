import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';

/**
 * Which nodes keep which shard; computed by the ring. Shards have ids that mean nothing here. Buckets of different
 * placements share none, and are named so that the id follows from the name of bucket and key alone.
 */
export interface Placement {
  /** Number of shards that the keys of one bucket are cut into. */
  readonly shards: number;
  /** Equal rings have equal digests; 32 bits. */
  readonly digest: number;
  /** Members that are in. */
  readonly memberCount: number;
  /** The shard of a key, known or not. */
  shardOf(bucket: string, key: string): number;
  /** All shards that are known. */
  shardIds(): Iterable<number>;
  /** The shards of a bucket. */
  shardIdsOf(bucket: string): readonly number[];
  /** False for a shard of a bucket that has not been heard of yet: it has owners, and nobody here knows them. */
  knowsShard(shard: number): boolean;
  /** N: how many owners a shard has where there are enough members. */
  replicasOf(shard: number): number;
  /** Empty for a shard that is not known. */
  owners(shard: number): readonly NodeId[];
  /** All members in, in the order in which they stand in for one another: owners first. Empty for a shard that is not known. */
  preference(shard: number): readonly NodeId[];
  isOwner(shard: number, node: NodeId): boolean;
  /** True while the ring is the very one under which the first bucket with this shard was created. */
  isNewborn(shard: number): boolean;
  /**
   * Whether the node has a place in this ring, in or out. False for a peer whose ring is about to merge with this one:
   * by its own ring a replica here may be far from complete, and alone in this one a node is a quorum by itself.
   */
  knows(node: NodeId): boolean;
  /** All that are in or out, but for those that are out for good: whoever may still hold something. */
  readonly remaining: readonly NodeId[];
  /** Out for good: it is not waited for. */
  isGone(node: NodeId): boolean;
}

/** By the list itself: a ring makes one for each shard, and every answer about a key carries its digest. */
const digests = new WeakMap<readonly NodeId[], number>();

/**
 * Who owns the shards, in 32 bits. Answers count together only where all who give them have the same owners in mind: a
 * quorum of those before and one of those after a change need not have anybody in common.
 */
export function ownersDigest(ring: Placement, shards: readonly number[]): number {
  const [first, ...others] = shards;
  if (first !== undefined && others.length === 0) return digestOf(ring.owners(first));
  return hashString(
    shards
      .toSorted((a, b) => a - b)
      .map((shard) => digestOf(ring.owners(shard)))
      .join(' '),
  );
}

function digestOf(owners: readonly NodeId[]): number {
  let digest = digests.get(owners);
  if (digest === undefined) {
    digest = hashString(owners.toSorted().join(' '));
    digests.set(owners, digest);
  }
  return digest;
}
