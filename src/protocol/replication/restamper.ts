import { CausalContext } from '../causal/context.ts';
import type { Entries, Entry } from '../causal/entry.ts';
import { markFor } from '../causal/restamp.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { Replica } from './replica.ts';
import type { Shard } from './shard-table.ts';

/**
 * Marks entries that a wrong clock has stamped, where they are met: writes that were acknowledged by a node that was cut
 * off, or by a cluster all of whose clocks were ahead. Only by a clock that others confirm.
 */
export class Restamper {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;
  private readonly hints: HintStore;
  private readonly nextId: () => number;

  constructor(core: ReplicationCore, parts: { replica: Replica; hints: HintStore; nextId: () => number }) {
    this.core = core;
    this.replica = parts.replica;
    this.hints = parts.hints;
    this.nextId = parts.nextId;
  }

  /** To be called before a key is written, swept, or sent to another replica, which would refuse such stamps. */
  restamp(cell: Cell): void {
    if (this.core.clockDoubtfulSinceMs !== null) return;
    const shard = this.core.shards.find(cell.shard);
    if (shard !== undefined) this.markObject(shard, cell);
    if (cell.hint !== null) this.markHint(cell);
  }

  private markObject(shard: Shard, cell: Cell): void {
    const mark = this.markFor(cell, cell.object.entries);
    if (mark === null) return;
    const events = CausalContext.fromDots([mark.dot]);
    this.replica.join(shard, cell, { entries: [mark], seen: events, events, past: events });
    this.core.journal.afterTurn(() => {
      shard.durableCounter = Math.max(shard.durableCounter, mark.dot.counter);
      // Ahead of what is written next, which counts on it.
      for (const owner of this.core.ring.owners(cell.shard)) {
        if (owner === this.core.options.self || !this.core.isUp(owner)) continue;
        const delta = { ...cell.name, entries: [mark], events, context: events, hintFor: [] };
        this.core.send(owner, { type: 'replicate', id: this.nextId(), ...delta });
      }
    });
  }

  private markHint(cell: Cell): void {
    const { hint } = cell;
    const mark = hint === null ? null : this.markFor(cell, hint.entries);
    if (hint === null || mark === null) return;
    const events = CausalContext.fromDots([mark.dot]);
    if (!this.hints.store(cell, { entries: [mark], events, context: events, targets: hint.targets })) return;
    this.core.shards.takeCounter(cell.shard, mark.dot.counter);
  }

  private markFor(cell: Cell, entries: Entries): Entry | null {
    const { actor, maxClockDriftMs } = this.core.options;
    // What is not much further ahead than replicas take is left alone: they will take it in a moment.
    const mark = markFor(entries, this.core.now.wallMs, 2 * maxClockDriftMs);
    if (mark === null) return null;
    this.core.counters.restamped++;
    return { dot: { actor, counter: this.core.shards.peekCounter(cell.shard) }, ...mark };
  }
}
