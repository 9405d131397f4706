import type { Dot } from '../causal/dot.ts';
import type { ReplicationCore } from './core.ts';
import type { ObjectName, ObjectRow } from './record.ts';
import type { Replica } from './replica.ts';
import type { Shard } from './shard-table.ts';

/** Objects read at once. */
const SCAN_ROWS = 1024;

/**
 * Entries that a comparison of keys has brought, and whose events count only at its end. Where their source is lost
 * before that, and nobody else has them, they would stay at this replica alone: it counts them once it is complete.
 */
export class Orphans {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;

  constructor(core: ReplicationCore, replica: Replica) {
    this.core = core;
    this.replica = replica;
  }

  adopt(shard: Shard): void {
    if (!shard.mayHaveOrphans) return;
    const read = (after: ObjectName | null): void => {
      this.core.scan({ table: 'object', shard: shard.id, after, limit: SCAN_ROWS }, (result) => {
        // Another comparison may bring what they belong to.
        if (!this.isSettled(shard)) return;
        for (const row of result.rows) if (orphansIn(shard, row).length > 0) this.cover(shard, row.name);
        const last = result.rows.at(-1);
        if (result.more && last !== undefined) read(last.name);
        else shard.mayHaveOrphans = false;
      });
    };
    // Keys that were joined just now have to be on the disk that is read.
    this.core.journal.afterTurn(() => read(null));
  }

  private cover(shard: Shard, name: ObjectName): void {
    this.core.cells.open(shard.id, name, (cell) => {
      if (this.isSettled(shard)) this.replica.cover(shard, cell, orphansIn(shard, cell.object));
    });
  }

  private isSettled(shard: Shard): boolean {
    return this.core.shards.find(shard.id) === shard && shard.complete && shard.comparison === null;
  }
}

/** Those that came ahead of their event are waiting for it, and are no orphans. */
function orphansIn({ context }: Shard, { entries, past }: Pick<ObjectRow, 'entries' | 'past'>): Dot[] {
  return entries.map(({ dot }) => dot).filter((dot) => !context.has(dot) && past?.has(dot) !== true);
}
