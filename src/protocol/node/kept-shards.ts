import type { greediestRing } from '../catalog/unseen-rings.ts';
import type { NodeId } from '../machine.ts';
import type { PlacementMap } from '../ring/placement-map.ts';

/** Whether a shard that was and is this node's has been its own in every ring in between. */
export function keptBetween(
  self: NodeId,
  ring: PlacementMap,
  unseen: ReturnType<typeof greediestRing>,
): (shard: number) => boolean {
  if (unseen === null) return () => true;
  if (unseen === 'unknown') return () => false;
  const greediest = ring.withMembers(unseen);
  return (shard) => greediest.isOwner(shard, self);
}
