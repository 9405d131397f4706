import { classOf } from '../../lib/bucket-name.ts';
import { hashString } from '../../lib/hash.ts';
import type { NodeId } from '../machine.ts';
import { Ring, type RingMember } from './ring.ts';
import { shardClassOf, shardId, shardNumberOf, shardOf } from './shard.ts';

/** Where the keys of some buckets are to be. */
export interface PlacedClass {
  /** 1 to 2^31 - 1. */
  readonly number: number;
  readonly replicas: number;
  readonly preferredZones: readonly string[];
}

export interface PlacementMapOptions {
  readonly members: readonly RingMember[];
  /** Of each class. */
  readonly shards: number;
  /** Owners of a key in buckets without a placement of their own. */
  readonly replicas: number;
  readonly classes: readonly PlacedClass[];
  /** Classes that began under this very ring: whoever owns one of their shards now has owned it from the start. */
  readonly newborn: ReadonlySet<number>;
  /** Nodes that are out for good. */
  readonly gone: ReadonlySet<NodeId>;
}

const NOBODY: readonly NodeId[] = [];

/**
 * Which nodes keep which shard; without any members, nothing is known of that. Every class of buckets has shards of its own and a ring of its own over the same members:
 * a replica is one causal whole, so that all keys of a shard must have the same owners. Immutable.
 */
export class PlacementMap {
  readonly shards: number;
  /** Equal rings of the same classes have equal digests; 32 bits. */
  readonly digest: number;
  private readonly options: PlacementMapOptions;
  private readonly rings: ReadonlyMap<number, Ring>;

  /** `before`: rings that stay the same are taken from it. */
  constructor(options: PlacementMapOptions, before: PlacementMap | null = null) {
    const { members, shards, replicas, classes } = options;
    this.options = options;
    this.shards = shards;
    const rings = new Map<number, Ring>();
    for (const { number, ...placement } of [{ number: 0, replicas, preferredZones: [] }, ...classes]) {
      const old = before?.options.members === members ? before.rings.get(number) : undefined;
      const isSame = old !== undefined && sameText(old, placement);
      rings.set(number, isSame ? old : new Ring({ members, shards, salt: number, ...placement }));
    }
    this.rings = rings;
    this.digest = hashString(JSON.stringify([...rings].map(([number, ring]) => [number, ring.digest])));
  }

  /** The same shards among other members. */
  withMembers(members: readonly RingMember[]): PlacementMap {
    return new PlacementMap({ ...this.options, members });
  }

  /** The ring of buckets without a placement of their own. */
  get common(): Ring {
    return this.rings.get(0) as Ring;
  }

  /** The ring of a class; undefined while the class is not known. */
  ringOf(number: number): Ring | undefined {
    return this.rings.get(number);
  }

  /** Members that are in. */
  get memberCount(): number {
    return this.common.memberCount;
  }

  get remaining(): readonly NodeId[] {
    return this.options.members.filter(({ id, in: isIn }) => isIn || !this.isGone(id)).map(({ id }) => id);
  }

  /** The shard of a key; `bucket` by its qualified name. Also of a class that is not known. */
  shardOf(bucket: string, key: string): number {
    return shardOf(bucket, key, this.shards);
  }

  /** Of all classes. */
  *shardIds(): IterableIterator<number> {
    if (this.memberCount === 0) return;
    for (const number of this.rings.keys()) {
      for (let shard = 0; shard < this.shards; shard++) yield shardId(number, shard);
    }
  }

  /** Those that the bucket's keys are in. */
  shardIdsOf(bucket: string): number[] {
    const number = classOf(bucket);
    return Array.from({ length: this.shards }, (_, shard) => shardId(number, shard));
  }

  knowsShard(id: number): boolean {
    return this.memberCount > 0 && this.rings.has(shardClassOf(id)) && shardNumberOf(id) < this.shards;
  }

  /** How many owners the shard has where there are enough members. */
  replicasOf(id: number): number {
    return this.rings.get(shardClassOf(id))?.replicas ?? 0;
  }

  owners(id: number): readonly NodeId[] {
    return this.knowsShard(id) ? this.ringAt(id).owners(shardNumberOf(id)) : NOBODY;
  }

  preference(id: number): readonly NodeId[] {
    return this.knowsShard(id) ? this.ringAt(id).preference(shardNumberOf(id)) : NOBODY;
  }

  isOwner(id: number, node: NodeId): boolean {
    return this.owners(id).includes(node);
  }

  /** Whether the shard's class began under this ring. */
  isNewborn(id: number): boolean {
    return this.options.newborn.has(shardClassOf(id));
  }

  knows(node: NodeId): boolean {
    return this.common.knows(node);
  }

  isGone(node: NodeId): boolean {
    return this.options.gone.has(node);
  }

  private ringAt(id: number): Ring {
    return this.rings.get(shardClassOf(id)) as Ring;
  }
}

function sameText(ring: Ring, { replicas, preferredZones }: Omit<PlacedClass, 'number'>): boolean {
  return ring.replicas === replicas && JSON.stringify(ring.preferredZones) === JSON.stringify(preferredZones);
}
