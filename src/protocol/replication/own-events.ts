import type { CausalContext } from '../causal/context.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';

/**
 * From which of this actor's counters on all of its events of a key are known here, to go on from a running total. A
 * complete owner has them all. Others have handed events over together with their hints, and may hold a copy of the time
 * before that.
 * @param covered What the copy at hand covers.
 * @param next The counter that comes next.
 */
export function knownFrom(core: ReplicationCore, cell: Cell, covered: CausalContext, next: number): number {
  const { shards, options } = core;
  const shard = shards.find(cell.shard);
  const first = shards.ownFrom(cell.shard);
  if (shard?.owned === true && shard.complete) return first;
  let from = next;
  for (const context of shard === undefined ? [covered] : [covered, shard.context]) {
    for (const range of context.ranges()) {
      if (range.actor === options.actor && range.to >= next - 1) from = Math.min(from, range.from);
    }
  }
  // All since the first one in the hint are in it, as long as it is there.
  for (const range of cell.hint?.events.ranges() ?? []) {
    if (range.actor === options.actor) from = Math.min(from, range.from);
  }
  return Math.max(first, from);
}
