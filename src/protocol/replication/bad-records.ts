import { unreachable } from '../../lib/assert.ts';
import type { Dot } from '../causal/dot.ts';
import type { ConflictJournal } from './conflict-journal.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import { type BadRecord, nameId, type ObjectName } from './record.ts';
import type { Shard } from './shard-table.ts';

/**
 * Makes good what can be made good without other nodes: what is in memory is written again, what follows from other
 * records is derived again, and what is gone for good leaves a trace that brings anti-entropy to its place.
 */
export class BadRecords {
  private readonly core: ReplicationCore;
  private readonly hints: HintStore;
  private readonly conflicts: ConflictJournal;
  private readonly isClearing: (shard: number) => boolean;

  constructor(
    core: ReplicationCore,
    parts: { readonly hints: HintStore; readonly conflicts: ConflictJournal },
    isClearing: (shard: number) => boolean,
  ) {
    this.core = core;
    this.hints = parts.hints;
    this.conflicts = parts.conflicts;
    this.isClearing = isClearing;
  }

  handle(record: BadRecord): void {
    const { journal, shards } = this.core;
    switch (record.table) {
      case 'counter':
        return shards.saveCounterAgain(record.shard);
      case 'hint':
        return this.handleHint(record.shard, record.name, record.counted);
      case 'expiry':
        return this.isClearing(record.shard) ? undefined : this.handleExpiry(record.atMs, record.shard, record.name);
      case 'shard':
        return this.withShard(record.shard, (shard) => shards.touch(shard));
      case 'floor':
        return this.withShard(record.shard, (shard) => shards.saveFloor(shard));
      case 'lost': {
        const { table, name } = record;
        return this.withShard(record.shard, (shard) => {
          const lost = shard.lost.get(nameId(name));
          const value = lost === undefined ? null : { events: lost.events, replaced: lost.replaced };
          journal.write({ table, shard: shard.id, name, value });
        });
      }
      case 'conflict':
        return this.conflicts.handleBad(record.key);
      case 'dot':
        return this.withShard(record.shard, (shard) => this.handleDot(shard, record));
      default:
        return unreachable(record);
    }
  }

  /** What is being cleared goes anyway. */
  private withShard(id: number, use: (shard: Shard) => void): void {
    const shard = this.core.shards.find(id);
    if (shard !== undefined && !this.isClearing(id)) use(shard);
  }

  /** The event's key is not known any more: whoever still lacks it is brought up by a comparison of keys. */
  private handleDot(shard: Shard, dot: Dot): void {
    const { actor, counter } = dot;
    this.core.journal.write({ table: 'dot', shard: shard.id, actor, counter, value: null });
    if (!shard.context.has(dot)) return;
    shard.floor.addRange({ actor, from: counter, to: counter });
    this.core.shards.saveFloor(shard);
  }

  private handleHint(shard: number, name: ObjectName, counted: boolean): void {
    const wasLoaded = this.core.cells.isLoaded(name);
    this.core.cells.open(shard, name, (cell) => {
      this.core.journal.write({ table: 'hint', shard, name, value: cell.hint });
      this.core.cells.noteChanged(cell, this.core.journal.turnId);
      if (cell.hint === null && !wasLoaded) this.hints.handleLost(cell, counted);
    });
  }

  /** All that the row says is in its key; whether it still holds, the object says. */
  private handleExpiry(atMs: number, shard: number, name: ObjectName): void {
    this.core.cells.open(shard, name, (cell) => {
      const isDue = cell.object.entries.some((entry) => entry.expiresAtMs === atMs);
      this.core.journal.write({ table: 'expiry', atMs, shard, name, value: isDue ? true : null });
      this.core.cells.noteChanged(cell, this.core.journal.turnId);
    });
  }
}
