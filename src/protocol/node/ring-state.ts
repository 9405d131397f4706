import type { Catalog } from '../catalog/catalog.ts';
import type { RingPlace } from '../catalog/ring-record.ts';
import { greediestRing, outnumbers, type RingRecords } from '../catalog/unseen-rings.ts';
import type { NodeId } from '../machine.ts';
import { PlacementMap } from '../ring/placement-map.ts';
import { keptBetween } from './kept-shards.ts';
import { type RingDifference, ringDifferences } from './ring-difference.ts';

export interface RingStateOptions {
  readonly self: NodeId;
  readonly shards: number;
  readonly replicas: number;
}

/** A ring, or placements of buckets, that took the place of others. */
export interface RingStep {
  readonly differences: readonly RingDifference[];
  /** Whether a shard of this node's was its own in every ring in between, of the cluster that it belongs to. */
  readonly isKept: (shard: number) => boolean;
}

/** Who is where in the ring, and who keeps which shard by that, as the catalog has it now. */
export class RingState {
  private readonly options: RingStateOptions;
  private readonly catalog: Catalog;
  private currentPlaces: readonly RingPlace[];
  private records: RingRecords;
  private current: PlacementMap;

  constructor(options: RingStateOptions, catalog: Catalog) {
    this.options = options;
    this.catalog = catalog;
    this.currentPlaces = catalog.ringMembers;
    this.records = catalog.ringRecords;
    this.current = this.build(false, null);
  }

  /** Where everyone stands in the ring, sorted by id. */
  get places(): readonly RingPlace[] {
    return this.currentPlaces;
  }

  /** Who keeps which shard, of all buckets. */
  get placement(): PlacementMap {
    return this.current;
  }

  /** Follows the catalog; null where that changes nothing. `hasRolledBack`: the disk was an older copy of itself. */
  follow(hasRolledBack: boolean): RingStep | null {
    const { self } = this.options;
    const before = this.current;
    const { ringMembers: places, ringRecords: records } = this.catalog;
    const differences = ringDifferences(this.currentPlaces, places, this.records, records);
    const unseen = greediestRing(self, this.records, records);
    this.records = records;
    if (differences.length > 0) this.currentPlaces = places;
    const placement = this.build(hasRolledBack, before);
    const isSame = placement.digest === before.digest && differences.length === 0;
    if (isSame && unseen !== 'unknown') return null;
    this.current = placement;
    const wasOwn = keptBetween(self, placement, unseen);
    // Two clusters merge (often: a new node meets an old one). The larger one's copies are the cluster's;
    // members of the smaller one take their shards over anew, and hand over what they have. Without a difference
    // there are only new placements, of the same members, or members as they were before something that was missed.
    const isTrusted = differences.length === 0 || outnumbers(before.common.members, placement.common.members);
    return { differences, isKept: isTrusted ? wasOwn : () => false };
  }

  private build(hasRolledBack: boolean, before: PlacementMap | null): PlacementMap {
    const { shards, replicas } = this.options;
    const { classes } = this.catalog;
    const members = this.currentPlaces;
    const ring = this.catalog.ringDigest();
    // A disk that is an older copy may have been of a class that it has forgotten.
    const newborn = hasRolledBack || before?.memberCount === 0 ? [] : classes.filter(({ born }) => born === ring);
    const gone = members.filter(({ place }) => place === 'removed');
    const sets = {
      newborn: new Set(newborn.map(({ number }) => number)),
      gone: new Set(gone.map(({ id }) => id)),
    };
    return new PlacementMap({ members, shards, replicas, classes, ...sets }, before);
  }
}
