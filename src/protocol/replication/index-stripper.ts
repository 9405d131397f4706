import type { CausalContext } from '../causal/context.ts';
import type { ReplicationCore } from './core.ts';
import type { Shard } from './shard-table.ts';

/** Between the news that others cover events and the end of their index rows: one batch for many. */
const STRIP_DELAY_MS = 3000;
/** Rows deleted in one turn, which what clients write meanwhile waits for, and how soon the next follow. */
const STRIP_ROWS_MAX = 256;
const NEXT_STRIP_MS = 20;
/** Events of a shard whose index rows are kept for a hub that is away. */
const HUB_EVENTS_MAX = 4096;

/**
 * Compaction of the dot index: once every owner of a shard covers an event, nobody will ask for it by its name, and its
 * index row goes. What is left of a delete is then nothing at all (Goncalves et al., "DottedDB", SRDS 2017, section 4).
 * The floor remembers which events these are: a replica that lacks some of them all the same, because its disk was
 * lost, is brought up by comparing keys instead.
 */
export class IndexStripper {
  private readonly core: ReplicationCore;
  private readonly noted = new Set<Shard>();
  private dueMs: number | undefined;

  constructor(core: ReplicationCore) {
    this.core = core;
  }

  /** Another holder of the shard told what it covers. */
  note(shard: Shard): void {
    if (!shard.owned || !shard.complete || shard.floor.covers(shard.context)) return;
    this.noted.add(shard);
    this.dueMs ??= this.core.now.monoMs + STRIP_DELAY_MS;
  }

  handleTimeout(): void {
    if (this.dueMs === undefined || this.dueMs > this.core.now.monoMs) return;
    this.dueMs = undefined;
    let left = STRIP_ROWS_MAX;
    for (const shard of this.noted) {
      if (left === 0) break;
      const rows = this.strip(shard, left);
      if (rows < left) this.noted.delete(shard);
      left -= rows;
    }
    if (this.noted.size > 0) this.dueMs = this.core.now.monoMs + NEXT_STRIP_MS;
  }

  nextDeadline(): number | undefined {
    return this.dueMs;
  }

  /** The number of rows deleted, at most `limit`. */
  private strip(shard: Shard, limit: number): number {
    const safe = this.coveredByAll(shard);
    if (safe === null) return 0;
    let rows = 0;
    for (const { actor, from, to } of safe.minus(shard.floor)) {
      const last = Math.min(to, from + (limit - rows) - 1);
      for (let counter = from; counter <= last; counter++) {
        this.core.journal.write({ table: 'dot', shard: shard.id, actor, counter, value: null });
      }
      shard.floor.addRange({ actor, from, to: last });
      rows += last - from + 1;
      if (rows === limit) break;
    }
    if (rows > 0) this.core.shards.saveFloor(shard);
    this.core.counters.indexRowsStripped += rows;
    return rows;
  }

  /** Where there is a hub, it asks for what it lacks by the index as well; up to a bound, beyond which keys are compared. */
  private isKeptForHub(shard: Shard): boolean {
    return this.core.options.hasHub && shard.context.dotCount - shard.floor.dotCount <= HUB_EVENTS_MAX;
  }

  /** Events that this replica and every other owner have synced; null where that is not known. */
  private coveredByAll(shard: Shard): CausalContext | null {
    if (!shard.owned || !shard.complete || this.core.shards.find(shard.id) !== shard) return null;
    let safe = this.core.shards.publicContext(shard);
    for (const owner of this.core.ring.owners(shard.id)) {
      if (owner === this.core.options.self) continue;
      const known = shard.known.get(owner);
      if (known === undefined) return null;
      safe = safe.intersection(known);
    }
    if (!this.isKeptForHub(shard)) return safe;
    return shard.hub === null ? null : safe.intersection(shard.hub);
  }
}
