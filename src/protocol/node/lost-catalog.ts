import { failure } from '../../lib/failure.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { CatalogState } from '../catalog/record.ts';
import type { ActorId } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import type { KnownMember } from '../membership/options.ts';
import type { RestoredReplication } from '../replication/replication.ts';
import type { CatalogExchange } from './message.ts';

/** What clients are told until a member has told the node what the cluster is. */
export const CATALOG_LOST = failure(
  'not-ready',
  'nothing on the disk of this node says that it is a member of a cluster, and no member has told it yet; ask another node. Where none is left that could tell it, or none of them knows this node, `holdfast ring in` with the name of this node, at this node, puts it into the ring with the data that is here',
);

/** What the disk of a node says of others. */
interface Restored {
  readonly self: NodeId;
  readonly catalog: CatalogState;
  readonly lostCatalog: boolean;
  readonly known: readonly KnownMember[];
  readonly restored: RestoredReplication;
}

/**
 * True where the catalog does not know this node, and there was a cluster: the catalog's record was lost, or with all of
 * the disk, or the node's identity was. As a ring of one the node would answer for everything.
 */
export function hasLostCatalog({ self, catalog, lostCatalog, known, restored }: Restored): boolean {
  if (catalog.members.some(({ id }) => id === self)) return false;
  if (lostCatalog || catalog.members.length > 0) return true;
  const hasSources = [...restored.shards.values()].some(({ sources }) => sources.size > 0);
  const hasTargets = restored.hints.some(({ hint }) => hint.targets.some((target) => target !== self));
  return known.length > 0 || hasSources || hasTargets || writersOf(restored).size > 1;
}

/**
 * True when a member has told what the cluster is: one that knows this node, or one that the disk knows and that is in
 * its own catalog, and so has not lost it as well. Anybody else may be of another cluster, or a new node.
 * `before`: what is on the disk; `now`: with what was told.
 */
export function hasBeenTold(
  { self, catalog: before }: Pick<Restored, 'self' | 'catalog'>,
  now: Catalog,
  from: NodeId,
  message: CatalogExchange,
): boolean {
  if (now.ringRecord(self) !== undefined) return true;
  if (!before.members.some(({ id }) => id === from)) return false;
  if (message.type === 'catalog-digest') return message.digest === now.digest();
  return message.state.members.some(({ id }) => id === from);
}

function writersOf({ shards }: RestoredReplication): Set<ActorId> {
  const writers = new Set<ActorId>();
  for (const { context } of shards.values()) for (const { actor } of context.ranges()) writers.add(actor);
  return writers;
}
