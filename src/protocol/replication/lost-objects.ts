import type { DotRange } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { ReplicationCore } from './core.ts';
import type { ObjectName } from './record.ts';
import type { Shard } from './shard-table.ts';

/** Index rows read at once for a lost record. */
const INDEX_ROWS = 4096;

export interface LostObjectsHooks {
  /** Until the loss is dealt with, what is read of the shard may lack a key whose events its context still counts. */
  readonly onFound: (shard: Shard) => void;
  /** The shard lacks events now that other owners have. */
  readonly onForgotten: (shard: Shard) => void;
}

/**
 * Records of objects that are bad on this disk. A key's events are taken out of the context, as if they had never
 * arrived, and fetched again from the other owners; until then reads of the key wait, and this replica does not count.
 */
export class LostObjects {
  private readonly core: ReplicationCore;
  private readonly isClearing: (shard: number) => boolean;
  private readonly hooks: LostObjectsHooks;

  constructor(core: ReplicationCore, isClearing: (shard: number) => boolean, hooks: LostObjectsHooks) {
    this.core = core;
    this.isClearing = isClearing;
    this.hooks = hooks;
  }

  handle(id: number, name: ObjectName): void {
    const { losses, journal } = this.core;
    losses.count++;
    const shard = this.core.shards.find(id);
    if (shard === undefined || this.isClearing(id)) return;
    losses.open++;
    shard.losing++;
    this.hooks.onFound(shard);
    const close = (): void =>
      journal.afterTurn(() => {
        losses.open--;
        shard.losing--;
      });
    if (!this.core.cells.hold(id, name)) {
      this.core.cells.open(id, name, (cell) => {
        journal.write({ table: 'object', shard: id, name, value: cell.object });
        this.core.cells.noteChanged(cell, journal.turnId);
        close();
      });
      return;
    }
    this.core.emit({ type: 'notify', event: { type: 'object-lost', bucket: name.bucket, shard: id } });
    // The index is read from disk: all that the context counts must be there.
    journal.afterTurn(() => {
      this.findEvents(shard, name, shard.context.ranges(), [], (dots) => {
        if (this.core.shards.find(id) === shard) {
          // Also who only holds the shard until the owners have it all: alone in the ring, this node has nobody else.
          const holders = [...shard.known].filter(([, context]) => !context.isEmpty).map(([node]) => node);
          const others = [...new Set([...this.core.ring.owners(id), ...holders])];
          // Some rows may have been stripped since: who covers the floor has the key with those events.
          const named = dots.filter((dot) => !shard.floor.has(dot));
          this.core.shards.forget(shard, name, named, others);
          // The bad record stays on the disk until now: a crash before this is synced must find it again.
          journal.write({ table: 'object', shard: id, name, value: null });
          this.hooks.onForgotten(shard);
        }
        this.core.cells.release(name);
        // After the operations that have waited: the key's hint may still be on its way from the disk.
        this.core.cells.open(id, name, close);
      });
    });
  }

  /** All events of one key, by a walk over the shard's index: slow, and only for a lost record. */
  private findEvents(
    shard: Shard,
    name: ObjectName,
    ranges: readonly DotRange[],
    found: Dot[],
    use: (dots: readonly Dot[]) => void,
  ): void {
    const [range, ...rest] = ranges;
    if (range === undefined) {
      use(found);
      return;
    }
    this.core.scan({ table: 'dot', shard: shard.id, ...range, limit: INDEX_ROWS }, (result) => {
      for (const row of result.rows) {
        if (row.name.key !== name.key || row.name.bucket !== name.bucket) continue;
        found.push({ actor: row.actor, counter: row.counter });
      }
      const last = result.rows.at(-1);
      const isCut = result.more && last !== undefined && last.counter < range.to;
      const left = isCut ? [{ ...range, from: last.counter + 1 }, ...rest] : rest;
      this.findEvents(shard, name, left, found, use);
    });
  }
}
