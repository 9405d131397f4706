import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { CausalObject } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';
import type { ShardRecord } from './record.ts';

/** Ranges that a salvaged context may have: peers refuse to decode more than twice as many. */
const RANGES_MAX = 32_768;

/**
 * What is left of a shard replica on a disk that has lost records which nobody can name. Its context and its floor may
 * speak of objects that are gone, or are back as they were: without them they read as deletes. So the replica counts
 * the events of the entries that are on the disk, and nothing else; all others are fetched again from the other owners.
 */
export class Salvage {
  private readonly held = new CausalContext();
  private readonly indexed = new CausalContext();

  /** An object that is on the disk. All objects come before the first index row. */
  addObject({ entries, past }: CausalObject): void {
    for (const { dot } of entries) {
      // What had come ahead of its event waits for it as before; of what is too much, others send the events.
      if (past?.has(dot) !== true && this.held.rangeCount < RANGES_MAX) this.held.add(dot);
    }
  }

  /** A row of the index. False for one that is to go: of its event the object says nothing, or not all. */
  addRow(dot: Dot): boolean {
    if (!this.held.has(dot)) return false;
    this.indexed.add(dot);
    return true;
  }

  /** `sources`: with whom the replica had still to sync before. */
  record(sources: ReadonlySet<NodeId>): ShardRecord {
    return { context: this.held.clone(), complete: false, sources, salvaged: true };
  }

  /** The events that no index names any more: who lacks some of them is brought up by a comparison of keys. */
  floor(): CausalContext {
    return this.held.without(this.indexed);
  }
}
