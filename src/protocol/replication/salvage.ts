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
 * The index names all of those again: not every owner may have them, as it would of events on a floor.
 */
export class Salvage {
  private readonly held = new CausalContext();

  /** An object that is on the disk. Returns the events of it that count, which the index is to name. */
  addObject({ entries, past }: CausalObject): Dot[] {
    const counted: Dot[] = [];
    for (const { dot } of entries) {
      // What had come ahead of its event waits for it as before; of what is too much, others send the events.
      if (past?.has(dot) === true || this.held.rangeCount >= RANGES_MAX) continue;
      this.held.add(dot);
      counted.push(dot);
    }
    return counted;
  }

  /** To be asked after the last object: of other events the objects say nothing, or not all. */
  counts(dot: Dot): boolean {
    return this.held.has(dot);
  }

  /** `sources`: with whom the replica had still to sync before. */
  record(sources: ReadonlySet<NodeId>): ShardRecord {
    return { context: this.held.clone(), complete: false, sources, salvaged: true };
  }
}
