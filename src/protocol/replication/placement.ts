import type { NodeId } from '../machine.ts';

/** Which nodes keep which shard; computed by the ring. */
export interface Placement {
  /** Number of shards the key space is cut into. */
  readonly shards: number;
  /** N: how many owners a shard has where there are enough members. */
  readonly replicas: number;
  /** Equal rings have equal digests; 32 bits. */
  readonly digest: number;
  /** Members that are in. */
  readonly memberCount: number;
  /** The shard of a key. */
  shardOf(bucket: string, key: string): number;
  owners(shard: number): readonly NodeId[];
  /** All members in, in the order in which they stand in for one another: owners first. */
  preference(shard: number): readonly NodeId[];
  isOwner(shard: number, node: NodeId): boolean;
  /**
   * Whether the node has a place in this ring, in or out. False for a peer whose ring is about to merge with this one:
   * by its own ring a replica here may be far from complete, and alone in this one a node is a quorum by itself.
   */
  knows(node: NodeId): boolean;
}
