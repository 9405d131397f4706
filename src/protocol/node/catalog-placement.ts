import type { Catalog } from '../catalog/catalog.ts';
import type { RingPlace } from '../catalog/ring-record.ts';
import { PlacementMap } from '../ring/placement-map.ts';

/**
 * Who keeps which shard, as the catalog has it. `members`: where it has everyone; `hasRolledBack`: the disk was an older copy
 * of itself; `before`: the placement that it follows, null at the start.
 */
export function catalogPlacement(
  { shards, replicas }: { readonly shards: number; readonly replicas: number },
  catalog: Catalog,
  members: readonly RingPlace[],
  hasRolledBack: boolean,
  before: PlacementMap | null,
): PlacementMap {
  const { classes } = catalog;
  const ring = catalog.ringDigest();
  // A disk that is an older copy may have been of a class that it has forgotten.
  const newborn = hasRolledBack || before?.memberCount === 0 ? [] : classes.filter(({ born }) => born === ring);
  const gone = members.filter(({ place }) => place === 'removed');
  const sets = {
    newborn: new Set(newborn.map(({ number }) => number)),
    gone: new Set(gone.map(({ id }) => id)),
  };
  return new PlacementMap({ members, shards, replicas, classes, ...sets }, before);
}
