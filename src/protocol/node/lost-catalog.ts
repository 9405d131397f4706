import { failure } from '../../lib/failure.ts';
import type { CatalogState } from '../catalog/record.ts';
import type { ActorId } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import type { KnownMember } from '../membership/options.ts';
import type { RestoredReplication } from '../replication/replication.ts';

/** What clients are told until a member has told the node what the cluster is. */
export const CATALOG_LOST = failure(
  'not-ready',
  'the node has lost what it knew of the cluster, and waits for a member that tells it; ask another node. Where no other is left, `holdfast ring in` with the name of this node, at this node, begins a new cluster with the data that is here',
);

/** What the disk of a node says of others. */
interface Restored {
  readonly self: NodeId;
  readonly catalog: CatalogState;
  readonly known: readonly KnownMember[];
  readonly restored: RestoredReplication;
}

/**
 * True where the disk knows other members, or more than one node has written what is on it, and its catalog not even this
 * one: then the catalog's record was lost. As a ring of one the node would answer for everything.
 */
export function hasLostCatalog({ self, catalog, known, restored }: Restored): boolean {
  if (catalog.members.some(({ id }) => id === self)) return false;
  const hasSources = [...restored.shards.values()].some(({ sources }) => sources.size > 0);
  const hasTargets = restored.hints.some(({ hint }) => hint.targets.some((target) => target !== self));
  return known.length > 0 || hasSources || hasTargets || writersOf(restored).size > 1;
}

function writersOf({ shards }: RestoredReplication): Set<ActorId> {
  const writers = new Set<ActorId>();
  for (const { context } of shards.values()) for (const { actor } of context.ranges()) writers.add(actor);
  return writers;
}
