import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { Entries, Entry } from '../causal/entry.ts';
import { isMisstamped, type Restamped, restamp } from '../causal/restamp.ts';
import type { Cell, Settle } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { ReadCoordinator } from './read-coordinator.ts';
import { type HintRecord, nameId } from './record.ts';
import type { Replica } from './replica.ts';
import type { Shard } from './shard-table.ts';

/**
 * Gets rid of stamps that a wrong clock has made, where they are met: a write that was acknowledged by a node that was
 * cut off, or by a cluster all of whose clocks were ahead. Only by a clock that others confirm, and only what a quorum
 * of the owners does not know to be replaced: a delete that has not come here yet must not be undone.
 */
export class Restamper {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;
  private readonly hints: HintStore;
  private readonly reader: ReadCoordinator;
  private readonly waiting = new Map<string, ((cell: Cell) => void)[]>();

  constructor(core: ReplicationCore, parts: { replica: Replica; hints: HintStore; reader: ReadCoordinator }) {
    this.core = core;
    this.replica = parts.replica;
    this.hints = parts.hints;
    this.reader = parts.reader;
  }

  /** What is not much further ahead than replicas take is left alone: they will take it in a moment. */
  private get aheadMaxMs(): number {
    return 2 * this.core.options.maxClockDriftMs;
  }

  readonly settle: Settle = (cell, use) => {
    if (!this.isDue(cell)) {
      use(cell);
      return;
    }
    const id = nameId(cell.name);
    const waiting = this.waiting.get(id);
    if (waiting !== undefined) {
      waiting.push(use);
      return;
    }
    this.waiting.set(id, [use]);
    this.reader.collect(cell, 'quorum', (merged, complete, current) => {
      if (this.isDue(current) && (complete || this.isEveryoneUp(current))) this.restamp(current, merged.entries);
      const uses = this.waiting.get(id) ?? [];
      this.waiting.delete(id);
      for (const each of uses) each(current);
    });
  };

  private isDue({ object, hint }: Cell): boolean {
    if (this.core.clockDoubtfulSinceMs !== null) return false;
    const { wallMs } = this.core.now;
    const isWrong = (entry: Entry): boolean => isMisstamped(entry, wallMs, this.aheadMaxMs);
    return object.entries.some(isWrong) || hint?.entries.some(isWrong) === true;
  }

  /** Replicas that are still being filled do not count for a quorum; where all have been asked, none can know more. */
  private isEveryoneUp({ shard }: Cell): boolean {
    return this.core.ring.owners(shard).every((owner) => this.core.isUp(owner));
  }

  private restamp(cell: Cell, known: Entries): void {
    const shard = this.core.shards.find(cell.shard);
    if (shard?.owned === true && cell.hint !== null) this.replica.applyHint(cell, cell.hint);
    const dots = new Set(known.map(({ dot }) => `${dot.actor}/${dot.counter}`));
    const isKnown = ({ actor, counter }: Dot): boolean => dots.has(`${actor}/${counter}`);
    if (shard !== undefined) this.restampObject(shard, cell, isKnown);
    if (cell.hint !== null) this.restampHint(cell, cell.hint, isKnown);
  }

  private restampObject(shard: Shard, cell: Cell, isKnown: (dot: Dot) => boolean): void {
    const entries = this.withoutReplaced(cell.object.entries, isKnown);
    if (entries !== cell.object.entries) this.replica.store(shard, cell, { entries, past: cell.object.past });
    const outcome = this.evaluate(cell, entries);
    const last = outcome.added.at(-1);
    if (last === undefined) return;
    const { events, context } = contextsOf(outcome);
    this.replica.join(shard, cell, { entries: outcome.added, seen: context, events, past: context });
    this.core.journal.afterTurn(() => {
      shard.durableCounter = Math.max(shard.durableCounter, last.dot.counter);
    });
  }

  private restampHint(cell: Cell, hint: HintRecord, isKnown: (dot: Dot) => boolean): void {
    const entries = this.withoutReplaced(hint.entries, isKnown);
    if (entries !== hint.entries) this.hints.replace(cell, { ...hint, entries });
    const outcome = this.evaluate(cell, entries);
    const last = outcome.added.at(-1);
    if (last === undefined) return;
    const { events, context } = contextsOf(outcome);
    if (!this.hints.store(cell, { entries: outcome.added, events, context, targets: hint.targets })) return;
    this.core.shards.takeCounter(cell.shard, last.dot.counter);
  }

  /**
   * What the others know to be replaced goes here as well: the event that did it is theirs to tell, but a hint or a
   * shard that is only held for others would never hear of it.
   */
  private withoutReplaced(entries: Entries, isKnown: (dot: Dot) => boolean): Entries {
    const { wallMs } = this.core.now;
    const isLeft = (entry: Entry): boolean => isKnown(entry.dot) || !isMisstamped(entry, wallMs, this.aheadMaxMs);
    return entries.every(isLeft) ? entries : entries.filter(isLeft);
  }

  private evaluate(cell: Cell, entries: Entries): Restamped {
    const { actor } = this.core.options;
    const dot = { actor, counter: this.core.shards.peekCounter(cell.shard) };
    const outcome = restamp(entries, { dot, wallMs: this.core.now.wallMs, maxDriftMs: this.aheadMaxMs });
    this.core.counters.restamped += outcome.added.length;
    return outcome;
  }
}

function contextsOf({ added, replaced }: Restamped): { events: CausalContext; context: CausalContext } {
  const dots = added.map(({ dot }) => dot);
  return { events: CausalContext.fromDots(dots), context: CausalContext.fromDots([...dots, ...replaced]) };
}
