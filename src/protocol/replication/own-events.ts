import type { CausalContext } from '../causal/context.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';

/**
 * From which of this actor's counters on all of its events of a key are known here, to go on from a running total. A
 * complete owner has them all, where all members have told what they know of. Others, and who was not told, may have
 * handed events over together with their hints, or forgotten them with a disk that was rolled back, and may hold a copy
 * of the time before that.
 * @param covered What the copy at hand covers.
 * @param next The counter that comes next.
 */
export function knownFrom(core: ReplicationCore, cell: Cell, covered: CausalContext, next: number): number {
  const { shards, options } = core;
  const shard = shards.find(cell.shard);
  if (shard?.owned === true && shard.complete && shards.hasAllOwn(shard)) return 1;
  let from = next;
  for (const context of shard === undefined ? [covered] : [covered, shard.context]) {
    // What was forgotten lies in the gap before those of this run.
    for (const range of context.ranges()) {
      if (range.actor === options.actor && range.to >= next - 1) from = Math.min(from, range.from);
    }
  }
  // Of this run, all since the first one in the hint are in it, as long as it is there.
  const first = shards.firstOfRun(cell.shard);
  for (const range of cell.hint?.events.ranges() ?? []) {
    if (range.actor === options.actor && range.to >= first) from = Math.min(from, Math.max(first, range.from));
  }
  return from;
}
