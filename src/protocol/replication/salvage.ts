import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { CausalObject } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';
import type { ShardRecord } from './record.ts';

/** Ranges that a salvaged context may have: peers refuse to decode more than twice as many. */
const RANGES_MAX = 32_768;

export interface SalvagedObject {
  /** The events that count, which the index is to name. */
  readonly counted: readonly Dot[];
  /**
   * What is to stay of the object, null for nothing, undefined for all: which dots had been replaced is forgotten with
   * the events that replaced them. Others, who do not know of it, would have them and this replica would not.
   */
  readonly left: CausalObject | null | undefined;
}

/**
 * What is left of a shard replica on a disk that has lost records which nobody can name. Its context and its floor may
 * speak of objects that are gone, or are back as they were: without them they read as deletes. So the replica counts
 * the events of the entries that are on the disk, and nothing else; all others are fetched again from the other owners.
 * The index names all of those again: not every owner may have them, as it would of events on a floor.
 */
export class Salvage {
  private readonly held = new CausalContext();
  private readonly named = new CausalContext();

  /** An object that is on the disk. All objects come before the first question. */
  addObject({ entries, past }: CausalObject): SalvagedObject {
    const counted: Dot[] = [];
    const waiting = new CausalContext();
    for (const { dot } of entries) {
      // What had come ahead of its event waits for it as before; of what is too much, others send the events.
      if (past?.has(dot) === true) {
        waiting.add(dot);
        this.named.add(dot);
      } else if (this.held.rangeCount < RANGES_MAX) {
        this.held.add(dot);
        counted.push(dot);
      }
    }
    if (past === null || waiting.equals(past)) return { counted, left: undefined };
    return { counted, left: entries.length === 0 ? null : { entries, past: waiting.isEmpty ? null : waiting } };
  }

  /** Of other events the objects say nothing, or not all. */
  counts(dot: Dot): boolean {
    return this.held.has(dot);
  }

  /** `sources`: with whom the replica had still to sync before. */
  record(sources: ReadonlySet<NodeId>): ShardRecord {
    return { context: this.held.clone(), complete: false, sources, bare: this.held.clone(), named: this.named };
  }
}
