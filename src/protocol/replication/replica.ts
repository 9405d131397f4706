import { type Failure, failure } from '../../lib/failure.ts';
import { hlcWallMs, isAhead } from '../../lib/hlc.ts';
import { CausalContext, NOTHING } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import { type Entries, sizeOf, stampOf } from '../causal/entry.ts';
import { joinEntries } from '../causal/join.ts';
import { believed, withoutDeadMarks } from '../causal/mark.ts';
import { type CausalObject, joinObject, type RemoteObject, samePast, seenOf, stripPast } from '../causal/object.ts';
import { expiriesOf } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { AckStatus, ReadMessage, ReplicateMessage, Standing } from './message.ts';
import { ownersDigest } from './placement.ts';
import { type HintRecord, nameId } from './record.ts';
import type { Comparison, LostKey, Shard } from './shard-table.ts';

/** Who owns its keys is not known here: to keep it for anybody would be to keep it for the wrong ones. */
const NOT_KNOWN_YET = failure('not-ready', 'the node has not heard of the bucket yet; it does in a moment, retry');
const OTHER_RING = failure('not-ready', 'the node is no owner of the key any more; this is known in a moment, retry');
/** What peers have sent and the disk has not synced: more is refused, or a disk that hangs would fill the memory. */
const PEER_UNSYNCED_BYTES_MAX = 4 * 1024 * 1024;
/** The same with what clients of this node write: these wait for their answers, and are bounded by that too. */
const UNSYNCED_BYTES_MAX = 32 * 1024 * 1024;
/** Memory that a write takes beside its entries. */
const WRITE_BYTES = 512;
const BEHIND = failure(
  'too-many-requests',
  'the disk of the node does not keep up with the writes; retry with backoff',
);
/** Keys of one shard that are looked at again; further ones when they are next used. */
const OPEN_KEYS_MAX = 4096;

/** What this node knows of a key: its shard replica's part and its hint joined. */
export interface LocalCopy {
  readonly entries: Entries;
  readonly context: CausalContext;
  /** The part of the context that is known to be superseded, but not what it had replaced; null: none. */
  readonly past: CausalContext | null;
  /**
   * The part of the context that a damaged disk still had, or has replaced since: nobody here knows what that had replaced
   * itself, so that nothing is missing here on its account. See `Shard.bare`.
   */
  readonly bare: CausalContext;
  readonly standing: Standing;
}

/** The replica side: joins what peers send, answers their reads, and holds hints for owners that are away. */
export class Replica {
  private readonly core: ReplicationCore;
  private readonly hints: () => HintStore;
  private unsyncedBytes = 0;

  constructor(core: ReplicationCore, hints: () => HintStore) {
    this.core = core;
    this.hints = hints;
  }

  handleReplicate(from: NodeId, message: ReplicateMessage): void {
    const refusal = this.refuseDrift(from, message.entries);
    if (refusal !== null) {
      this.refuse(from, message.id, refusal);
      return;
    }
    const id = this.core.shardOf(message.bucket, message.key);
    if (!this.core.ring.knowsShard(id)) {
      this.refuse(from, message.id, NOT_KNOWN_YET);
      return;
    }
    if (this.unsyncedBytes > PEER_UNSYNCED_BYTES_MAX) {
      this.refuse(from, message.id, BEHIND);
      return;
    }
    const bytes = this.reserve(message.entries);
    this.core.cells.open(id, { bucket: message.bucket, key: message.key }, (cell) => {
      const shard = this.core.shards.find(id);
      const mayVote = this.core.ring.knows(from);
      if (shard !== undefined && (shard.owned || (shard.former && mayVote))) {
        const { owned } = shard;
        this.joinDelta(shard, cell, message);
        this.core.journal.whenDurable(cell.persistId, () => {
          // Handed over and dropped meanwhile: it is not here any more.
          if (this.core.shards.find(id) !== shard) return;
          const status = !mayVote ? 'hinted' : !owned ? 'former' : shard.complete ? 'stored' : 'partial';
          this.acknowledge(from, message.id, id, status);
        });
      } else {
        this.hold(from, cell, message);
      }
      this.releaseSynced(bytes, cell);
    });
  }

  /** A failure while the disk is too far behind to take a write of this node's own. */
  get refusal(): Failure | null {
    return this.unsyncedBytes > UNSYNCED_BYTES_MAX ? BEHIND : null;
  }

  /** Counts what is on its way to the disk, for `releaseSynced`. */
  reserve(entries: Entries): number {
    const bytes = WRITE_BYTES + sizeOf(entries);
    this.unsyncedBytes += bytes;
    return bytes;
  }

  releaseSynced(bytes: number, cell: Cell): void {
    this.core.journal.whenDurable(cell.persistId, () => void (this.unsyncedBytes -= bytes));
  }

  handleRead(from: NodeId, message: ReadMessage): void {
    const id = this.core.shardOf(message.bucket, message.key);
    this.core.cells.open(id, { bucket: message.bucket, key: message.key }, (cell) => {
      const copy = this.copyOf(cell);
      const { entries, context: live } = copy;
      const mayVote = this.core.ring.knows(from);
      const owners = ownersDigest(this.core.ring, [id]);
      // Taken together, now: by the time this is synced the key may hold newer entries that are not.
      const context = live.clone();
      for (const entry of entries) context.add(entry.dot);
      const synced = this.onceSynced(cell);
      const same = mayVote && copy.standing === 'stored' && sameDots(entries, message.dots);
      this.core.journal.whenDurable(cell.persistId, () => {
        const isStill = copy.standing !== 'stored' || this.core.shards.find(id)?.complete === true;
        const standing = mayVote && isStill ? copy.standing : 'none';
        context.union(synced());
        this.core.send(from, {
          type: 'read-reply',
          id: message.id,
          status: same ? 'same' : 'object',
          standing,
          entries: same ? [] : entries,
          context,
          past: copy.past,
          bare: copy.bare,
          owners,
        });
      });
    });
  }

  /** The key as this node knows it, from its shard replica and from a waiting hint. */
  copyOf(cell: Cell): LocalCopy {
    const shard = this.core.shards.find(cell.shard);
    const hint = cell.hint;
    if (shard === undefined) {
      const none = { bare: NOTHING, standing: 'none' } as const;
      return hint === null
        ? { entries: [], context: NOTHING, past: null, ...none }
        : { entries: hint.entries, context: hint.context, past: hint.context.without(hint.events), ...none };
    }
    const standing = standingOf(shard);
    if (isLost(shard, cell)) return this.copyOfLost(shard, cell);
    const { bare } = shard;
    const covered = this.core.shards.publicContext(shard);
    const own = seenOf(cell.object, covered);
    const past = openPast(shard, cell.object, covered);
    if (hint === null) return { entries: cell.object.entries, context: own, past, bare, standing };
    const seen = seenOf(cell.object, shard.context);
    const joined = joinEntries(
      cell.object.entries,
      (dot) => seen.has(dot),
      hint.entries,
      (dot) => hint.context.has(dot),
    );
    const context = own.clone();
    context.union(hint.context);
    const open = hint.context.without(hint.events).without(covered);
    if (past !== null) open.union(past.without(hint.events));
    return {
      entries: joined.entries,
      context,
      past: open.isEmpty ? null : open,
      bare: bare.isEmpty ? NOTHING : bare.without(hint.events),
      standing,
    };
  }

  /**
   * To be asked for together with a copy, and called when the key is synced: what the copy covers then. Before, events of
   * this node are not told, although its entries show what they did.
   */
  onceSynced(cell: Cell): () => CausalContext {
    const shard = this.core.shards.find(cell.shard);
    if (shard === undefined || this.core.journal.isDurable(cell.persistId)) return () => NOTHING;
    if (isLost(shard, cell)) return () => NOTHING;
    const covered = shard.context.without(shard.bare);
    return () => covered.cappedAt(this.core.options.actor, shard.durableCounter);
  }

  /** A key whose record was bad: the context says nothing of it but what is here, or has come since. */
  copyOfLost(shard: Shard, cell: Cell): LocalCopy {
    const replaced = shard.lost.get(nameId(cell.name))?.replaced ?? NOTHING;
    const context = replaced.clone();
    let { entries } = cell.object;
    for (const { dot } of entries) context.add(dot);
    if (cell.object.past !== null) context.union(cell.object.past);
    const { hint } = cell;
    if (hint !== null) {
      const own = context.clone();
      entries = joinEntries(
        entries,
        (dot) => own.has(dot),
        hint.entries,
        (dot) => hint.context.has(dot),
      ).entries;
      context.union(hint.context);
    }
    return { entries, context, past: context, bare: NOTHING, standing: 'none' };
  }

  /** Joins a remote copy into the shard replica, and writes what changed. */
  join(shard: Shard, cell: Cell, remote: RemoteObject): void {
    this.core.shards.confirm(shard, remote.events);
    const { comparison } = shard;
    this.joinHere(shard, cell, comparison === null ? remote : beyondFloor(remote, comparison.floor));
  }

  private joinDelta(shard: Shard, cell: Cell, { entries, events, context }: ReplicateMessage): void {
    this.join(shard, cell, { entries, seen: context, events, past: context });
  }

  /** Joins a copy of a key that is being compared: the events on the floor count once all keys have been. */
  joinCompared(shard: Shard, cell: Cell, remote: RemoteObject, { floor }: Comparison): void {
    this.joinHere(shard, cell, { ...remote, floor });
  }

  /**
   * Takes over an owner's copy of a key whose record was bad here, which has everything that this replica ever let go
   * of by name. What has been replaced here since does not come back.
   */
  restore(shard: Shard, cell: Cell, remote: RemoteObject, lost: LostKey): void {
    const unseen = remote.entries.map((entry) => entry.dot).filter((dot) => !lost.replaced.has(dot));
    const context = shard.context.clone();
    for (const dot of unseen) context.remove(dot);
    // Of what the copy has replaced something may come from who has not heard of that.
    const past = remote.seen.without(shard.context);
    const joined = joinObject(cell.object, context, { ...remote, past });
    this.core.shards.restore(shard, cell.name);
    this.cover(
      shard,
      cell,
      joined.applied.filter((dot) => !shard.context.has(dot)),
    );
    if (joined.changed) this.store(shard, cell, stripPast(joined.object, shard.context));
  }

  private joinHere(shard: Shard, cell: Cell, remote: RemoteObject): void {
    const lost = shard.lost.size === 0 ? undefined : shard.lost.get(nameId(cell.name));
    if (lost !== undefined) {
      const replaced = remote.seen.clone();
      for (const { dot } of remote.entries) replaced.remove(dot);
      this.core.shards.noteReplaced(shard, lost, replaced);
    }
    const joined = joinObject(cell.object, shard.context, remote);
    this.cover(shard, cell, joined.applied);
    const { entries } = cell.object;
    if (joined.changed) this.store(shard, cell, joined.object);
    // Who was told by another replica of something that these events had replaced has to hear of it from this one too.
    if (joined.applied.length > 0 && cell.object.entries === entries) this.announce(shard, cell, cell.object, entries);
  }

  /** Covers events of the key that the shard does not cover yet, with their index entries. */
  cover(shard: Shard, cell: Cell, events: readonly Dot[]): void {
    if (events.length === 0) return;
    for (const { actor, counter } of events) {
      shard.context.add({ actor, counter });
      this.core.journal.write({ table: 'dot', shard: shard.id, actor, counter, value: cell.name });
      if (actor === this.core.options.actor) this.core.shards.noteReturned(shard);
    }
    this.core.shards.touch(shard);
    this.core.cells.noteChanged(cell, this.core.journal.turnId);
  }

  /** Replaces the key on disk and in memory, with its expiry records, and announces the change. */
  store(shard: Shard, cell: Cell, stored: CausalObject): void {
    const { journal } = this.core;
    const before = cell.object;
    const { past } = stored;
    const entries = withoutDeadMarks(stored.entries, (dot) => shard.context.has(dot));
    const object = entries === stored.entries ? stored : { entries, past };
    cell.object = object;
    const value = entries.length === 0 && past === null ? null : object;
    journal.write({ table: 'object', shard: cell.shard, name: cell.name, value });
    this.core.cells.noteChanged(cell, journal.turnId);
    if (past !== null) {
      this.core.shards.noteNamed(shard, past);
      if (shard.open.size < OPEN_KEYS_MAX) shard.open.set(nameId(cell.name), cell.name);
    }
    // Of what this replica is not sure of, the other owners are.
    if (!isUnsure(shard, cell)) this.core.noteConflicts(cell, before, stripPast(object, shard.context));
    if (entries === before.entries) return;
    this.writeExpiries(cell, before.entries, entries);
    this.announce(shard, cell, object, before.entries);
  }

  /** Tells those who watch the bucket once the change is synced. The context is taken now: a later one covers more. */
  private announce(shard: Shard, cell: Cell, object: CausalObject, before: Entries): void {
    const { bucket, key } = cell.name;
    if (!this.core.isWatched(bucket)) return;
    const { entries, past } = object;
    // Without the open past: what that had replaced may still be here. A replica that is not sure of what it has still
    // knows what this change has replaced.
    const context = isUnsure(shard, cell)
      ? CausalContext.fromDots([...before, ...entries].map(({ dot }) => dot))
      : shard.context.clone();
    this.core.journal.afterTurn(() => this.core.emit({ type: 'changed', bucket, key, entries, context, past }));
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
    for (const entry of believed(entries)) {
      const stamp = stampOf(entry);
      if (!isAhead(stamp, this.core.now.wallMs, this.core.options.maxClockDriftMs)) continue;
      const aheadMs = hlcWallMs(stamp) - this.core.now.wallMs;
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
    const named = message.hintFor.filter((node) => node !== self);
    // Who sent it takes this node for an owner, and has it itself: a hint for nobody else would not be a second copy.
    const others = this.core.ring.owners(cell.shard).filter((node) => node !== self && node !== from);
    const targets = named.length > 0 ? named : others;
    if (targets.length === 0) {
      this.refuse(from, message.id, OTHER_RING);
      return;
    }
    const { entries, events, context } = message;
    const stored = this.hints().store(cell, { entries, events, context, targets });
    if (!stored) {
      const full = failure('disk-full', 'the hint store of the fallback is full; the owners must come back first');
      this.refuse(from, message.id, full);
      return;
    }
    this.core.journal.whenDurable(cell.persistId, () => this.acknowledge(from, message.id, cell.shard, 'hinted'));
  }

  private writeExpiries(cell: Cell, before: Entries, after: Entries): void {
    const was = expiriesOf(before);
    const is = expiriesOf(after);
    for (const atMs of was) if (!is.has(atMs)) this.expiry(cell, atMs, null);
    // Beside others an entry may have been hidden when it was due: its row is gone, and it may be seen from now on.
    for (const atMs of is) if (!was.has(atMs) || before.length > 1) this.expiry(cell, atMs, true);
  }

  private expiry({ shard, name }: Cell, atMs: number, value: true | null): void {
    this.core.journal.write({ table: 'expiry', atMs, shard, name, value });
  }

  private acknowledge(to: NodeId, id: number, shard: number, status: AckStatus): void {
    const owners = ownersDigest(this.core.ring, [shard]);
    this.core.send(to, { type: 'replicate-ack', id, status, failure: null, owners });
  }

  refuse(to: NodeId, id: number, reason: Failure): void {
    this.core.send(to, { type: 'replicate-ack', id, status: 'refused', failure: reason, owners: 0 });
  }
}

/**
 * Of a late delta, what is not on the floor of a comparison under way. Every owner had synced the rest: a value among it
 * comes with the keys if it is still there, and would otherwise pass for news; what it replaced is remembered until the
 * floor is covered.
 */
function beyondFloor(remote: RemoteObject, floor: CausalContext): RemoteObject {
  const below = remote.events.intersection(floor);
  if (below.isEmpty) return remote;
  const values = CausalContext.fromDots(remote.entries.map((entry) => entry.dot)).intersection(below);
  const past = below.without(values);
  if (remote.past !== null) past.union(remote.past.without(values));
  return {
    entries: remote.entries.filter((entry) => !values.has(entry.dot)),
    seen: remote.seen.without(values),
    events: remote.events.without(floor),
    past: past.isEmpty ? null : past,
  };
}

/** What the shard's context counts of the key is not all here, or what that has replaced is not known. */
function isUnsure(shard: Shard, cell: Cell): boolean {
  return !shard.bare.isEmpty || isLost(shard, cell);
}

function isLost({ lost }: Shard, { name }: Cell): boolean {
  return lost.size > 0 && lost.has(nameId(name));
}

/** The part of a copy's past that is not `covered`. */
function openPast(
  { bare, context }: Shard,
  { entries, past }: CausalObject,
  covered: CausalContext,
): CausalContext | null {
  const open = past?.without(covered) ?? null;
  const uncounted = bare.isEmpty ? [] : entries.filter(({ dot }) => !context.has(dot));
  if (uncounted.length === 0) return open;
  // Of a damaged disk: it had too much for its context.
  const all = CausalContext.fromDots(uncounted.map(({ dot }) => dot));
  if (open !== null) all.union(open);
  return all;
}

function standingOf({ owned, complete, former, gained }: Shard): Standing {
  if (owned) return complete ? 'stored' : gained ? 'partial' : 'none';
  return former ? 'former' : 'none';
}

function sameDots(entries: Entries, dots: readonly Dot[]): boolean {
  if (entries.length !== dots.length) return false;
  return entries.every((entry, i) => entry.dot.counter === dots[i]?.counter && entry.dot.actor === dots[i]?.actor);
}
