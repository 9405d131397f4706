import type { ClusterEvent } from '../ports/node-handle.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { NodeEvent } from '../protocol/node/effect.ts';

/** Members told one by one; when more change at once, clusters have merged, and only their number is told. */
const DIFFERENCES_TOLD_MAX = 8;

/** A change of the ring as events: one for each member and thing that changed. */
export function ringEventData(
  event: Extract<NodeEvent, { readonly type: 'ring-changed' }>,
  nameOf: (id: NodeId) => string,
): ClusterEvent['data'][] {
  const { epoch, members, differences } = event;
  if (differences.length > DIFFERENCES_TOLD_MAX) return [{ epoch, members, changes: differences.length }];
  return differences.map(({ id, what, weight, zone, by }) => ({
    epoch,
    members,
    name: nameOf(id),
    peerId: id,
    what,
    ...(what === 'weight' ? { weight } : {}),
    ...(what === 'zone' ? { zone } : {}),
    ...(by === '' ? {} : { by }),
  }));
}
