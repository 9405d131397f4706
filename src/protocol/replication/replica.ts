import { type Failure, failure } from '../../lib/failure.ts';
import { hlcWallMs } from '../../lib/hlc.ts';
import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { Entries, Entry } from '../causal/entry.ts';
import { joinEntries } from '../causal/join.ts';
import { type CausalObject, joinObject, type RemoteObject, samePast, seenOf, stripPast } from '../causal/object.ts';
import { liveEntries } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { AckStatus, ReadMessage, ReplicateMessage } from './message.ts';
import { type HintRecord, nameId } from './record.ts';
import type { Shard } from './shard-table.ts';

const NOTHING = new CausalContext();
/** Keys of one shard that are looked at again; further ones when they are next used. */
const OPEN_KEYS_MAX = 4096;

/** What this node knows of a key: its shard replica's part and its hint joined. */
export interface LocalCopy {
  readonly entries: Entries;
  readonly context: CausalContext;
  /** True when this node owns the shard and is complete. */
  readonly counts: boolean;
}

/** The replica side: joins what peers send, answers their reads, and holds hints for owners that are away. */
export class Replica {
  private readonly core: ReplicationCore;
  private readonly hints: () => HintStore;

  constructor(core: ReplicationCore, hints: () => HintStore) {
    this.core = core;
    this.hints = hints;
  }

  handleReplicate(from: NodeId, message: ReplicateMessage): void {
    const refusal = this.refuseDrift(from, message.entries);
    if (refusal !== null) {
      this.acknowledge(from, message.id, 'refused', refusal);
      return;
    }
    const id = this.core.shardOf(message.bucket, message.key);
    this.core.cells.open(id, { bucket: message.bucket, key: message.key }, (cell) => {
      const shard = this.core.shards.find(id);
      if (shard?.owned === true) {
        this.join(shard, cell, {
          entries: message.entries,
          seen: message.context,
          events: message.events,
          past: message.context,
        });
        const mayVote = this.core.ring.isMember(from);
        this.core.journal.whenDurable(cell.persistId, () => {
          this.acknowledge(from, message.id, mayVote && shard.complete ? 'stored' : 'partial', null);
        });
        return;
      }
      this.hold(from, cell, message);
    });
  }

  handleRead(from: NodeId, message: ReadMessage): void {
    const id = this.core.shardOf(message.bucket, message.key);
    this.core.cells.open(id, { bucket: message.bucket, key: message.key }, (cell) => {
      const copy = this.copyOf(cell);
      const { entries, context: live } = copy;
      const mayVote = copy.counts && this.core.ring.isMember(from);
      // Taken together, now: by the time this is synced the key may hold newer entries that are not.
      const context = live.clone();
      for (const entry of entries) context.add(entry.dot);
      const same = mayVote && sameDots(entries, message.dots);
      this.core.journal.whenDurable(cell.persistId, () => {
        const counts = mayVote && this.core.shards.find(id)?.complete === true;
        this.core.send(from, {
          type: 'read-reply',
          id: message.id,
          status: same ? 'same' : 'object',
          counts,
          entries: same ? [] : entries,
          context,
        });
      });
    });
  }

  /** The key as this node knows it, from its shard replica and from a waiting hint. */
  copyOf(cell: Cell): LocalCopy {
    const shard = this.core.shards.find(cell.shard);
    const hint = cell.hint;
    if (shard === undefined) {
      return hint === null
        ? { entries: [], context: NOTHING, counts: false }
        : { entries: hint.entries, context: hint.context, counts: false };
    }
    const counts = shard.owned && shard.complete;
    const own = seenOf(cell.object, this.core.shards.publicContext(shard));
    if (hint === null) return { entries: cell.object.entries, context: own, counts };
    const seen = seenOf(cell.object, shard.context);
    const joined = joinEntries(
      cell.object.entries,
      (dot) => seen.has(dot),
      hint.entries,
      (dot) => hint.context.has(dot),
    );
    const context = own.clone();
    context.union(hint.context);
    return { entries: joined.entries, context, counts };
  }

  /** Joins a remote copy into the shard replica, and writes what changed. */
  join(shard: Shard, cell: Cell, remote: RemoteObject): void {
    const joined = joinObject(cell.object, shard.context, remote);
    for (const dot of joined.applied) this.cover(shard, cell, dot);
    if (joined.changed) this.store(shard, cell, joined.object);
  }

  /** Covers one event of the key, with its index entry. */
  cover(shard: Shard, cell: Cell, dot: Dot): void {
    if (shard.context.has(dot)) return;
    shard.context.add(dot);
    this.core.shards.touch(shard);
    this.core.journal.write({
      table: 'dot',
      shard: shard.id,
      actor: dot.actor,
      counter: dot.counter,
      value: cell.name,
    });
    this.core.cells.noteChanged(cell, this.core.journal.turnId);
  }

  /** Replaces the key on disk and in memory, with its expiry records, and announces the change. */
  store(shard: Shard, cell: Cell, object: CausalObject): void {
    const { journal } = this.core;
    const before = cell.object;
    cell.object = object;
    const { entries, past } = object;
    const value = entries.length === 0 && past === null ? null : object;
    journal.write({ table: 'object', shard: cell.shard, name: cell.name, value });
    this.core.cells.noteChanged(cell, journal.turnId);
    if (past !== null && shard.open.size < OPEN_KEYS_MAX) shard.open.set(nameId(cell.name), cell.name);
    if (entries === before.entries) return;
    this.writeExpiries(cell, before.entries, entries);
    journal.afterTurn(() => {
      const live = liveEntries(entries, this.core.now.wallMs, this.core.conflictOf(cell.name.bucket));
      this.core.emit({ type: 'changed', bucket: cell.name.bucket, key: cell.name.key, entries: live });
    });
  }

  /** Lets go of what was kept for events that have arrived since: otherwise a delete would leave a trace for good. */
  strip(shard: Shard): void {
    const open = new Map(shard.open);
    shard.open.clear();
    for (const [id, name] of open) {
      this.core.cells.open(shard.id, name, (cell) => {
        const stripped = stripPast(cell.object, shard.context);
        if (stripped.past !== null) shard.open.set(id, name);
        if (cell.object.past !== null && !samePast(stripped.past, cell.object.past)) this.store(shard, cell, stripped);
      });
    }
  }

  /** Moves a hint into this node's own replica: it became an owner meanwhile. */
  applyHint(cell: Cell, hint: HintRecord): void {
    const shard = this.core.shards.find(cell.shard);
    if (shard === undefined || !shard.owned) return;
    const { entries, events, context } = hint;
    this.join(shard, cell, { entries, seen: context, events, past: context });
    this.hints().removeTarget(cell, this.core.options.self);
  }

  /** A failure when some timestamp is too far ahead of the local clock, else null. */
  refuseDrift(from: NodeId, entries: Entries): Failure | null {
    for (const entry of entries) {
      const aheadMs = hlcWallMs(entry.hlc) - this.core.now.wallMs;
      if (aheadMs <= this.core.options.maxClockDriftMs) continue;
      this.core.counters.driftRefused++;
      this.core.emit({ type: 'notify', event: { type: 'clock-drift-refused', from, aheadMs } });
      return failure(
        'clock-drift',
        `the write is stamped ${Math.round(aheadMs / 1000)} s ahead of this node's clock; set the clocks of both nodes`,
        { data: { aheadMs } },
      );
    }
    return null;
  }

  private hold(from: NodeId, cell: Cell, message: ReplicateMessage): void {
    const { self } = this.core.options;
    const owners = this.core.ring.owners(cell.shard);
    const named = message.hintFor.filter((node) => node !== self);
    const targets = named.length > 0 ? named : owners.filter((node) => node !== self);
    const { entries, events, context } = message;
    const stored = this.hints().store(cell, { entries, events, context, targets });
    if (!stored) {
      const full = failure('disk-full', 'the hint store of the fallback is full; the owners must come back first');
      this.acknowledge(from, message.id, 'refused', full);
      return;
    }
    this.core.journal.whenDurable(cell.persistId, () => this.acknowledge(from, message.id, 'hinted', null));
  }

  private writeExpiries(cell: Cell, before: Entries, after: Entries): void {
    for (const entry of before)
      if (entry.expiresAtMs !== 0 && !holdsExpiry(after, entry)) this.expiry(cell, entry, null);
    for (const entry of after)
      if (entry.expiresAtMs !== 0 && !holdsExpiry(before, entry)) this.expiry(cell, entry, true);
  }

  private expiry(cell: Cell, entry: Entry, value: true | null): void {
    this.core.journal.write({
      table: 'expiry',
      atMs: entry.expiresAtMs,
      shard: cell.shard,
      name: cell.name,
      value,
    });
  }

  private acknowledge(to: NodeId, id: number, status: AckStatus, reason: Failure | null): void {
    this.core.send(to, { type: 'replicate-ack', id, status, failure: reason });
  }
}

function holdsExpiry(entries: Entries, entry: Entry): boolean {
  return entries.some((other) => other.expiresAtMs === entry.expiresAtMs);
}

function sameDots(entries: Entries, dots: readonly Dot[]): boolean {
  if (entries.length !== dots.length) return false;
  return entries.every((entry, i) => entry.dot.counter === dots[i]?.counter && entry.dot.actor === dots[i]?.actor);
}
