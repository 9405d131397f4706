import { CausalContext, NOTHING } from '../causal/context.ts';
import { differing, FingerprintTree, leafBelow, leafOf } from '../causal/fingerprint-tree.ts';
import { seenOf } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import {
  type SyncChunk,
  type SyncCompareMessage,
  type SyncCopiesMessage,
  type SyncDoneMessage,
  type SyncItem,
  type SyncObjectsMessage,
  UNNAMED_MAX,
} from './message.ts';
import { compareNames, nameId, type ObjectName } from './record.ts';
import type { Replica } from './replica.ts';
import { type Comparison, type Shard, toldContext } from './shard-table.ts';
import type { SyncOutbox } from './sync-outbox.ts';
import { eventGroups, type PartGatherer } from './sync-parts.ts';
import { ANSWER_TIMEOUT_MS } from './sync-session.ts';

/** Objects read at once. */
const SCAN_ROWS = 1024;
/** Events of one key that are covered in one batch. */
const BATCH_EVENTS = 16_384;

export interface SyncReceiverHooks {
  /** The replica has all that this holder covered. */
  readonly onSynced: (from: NodeId, shard: Shard) => void;
  readonly onKnown: (shard: Shard) => void;
  /** The holder was heard of the shard, or has been answered. */
  readonly onHeard: (from: NodeId, shard: Shard) => void;
  /** The holder has sent all that it had. */
  readonly onEnd: (from: NodeId, shard: Shard) => void;
}

export interface SyncReceiverUses {
  readonly replica: Replica;
  readonly outbox: SyncOutbox;
  readonly parts: PartGatherer;
}

/** Takes in what other holders of a shard send of it. */
export class SyncReceiver {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;
  private readonly outbox: SyncOutbox;
  private readonly hooks: SyncReceiverHooks;
  private readonly parts: PartGatherer;

  constructor(core: ReplicationCore, uses: SyncReceiverUses, hooks: SyncReceiverHooks) {
    this.core = core;
    this.replica = uses.replica;
    this.outbox = uses.outbox;
    this.parts = uses.parts;
    this.hooks = hooks;
  }

  handlePeerDown(peer: NodeId): void {
    for (const shard of this.core.shards.all()) if (shard.comparison?.from === peer) shard.comparison = null;
  }

  handleObjects(from: NodeId, message: SyncObjectsMessage): void {
    for (const chunk of message.chunks) this.handleChunk(from, chunk);
  }

  private handleChunk(from: NodeId, chunk: SyncChunk): void {
    const shard = this.core.shards.find(chunk.shard);
    if (shard === undefined) return;
    this.hooks.onHeard(from, shard);
    const { sequence, covered, context } = chunk;
    let open = chunk.items.length + 1;
    const done = (): void => {
      if (--open > 0) return;
      if (covered === null) this.acknowledge(from, shard, sequence);
      else this.finish(from, shard, { sequence, context: covered });
    };
    this.core.counters.syncObjectsReceived += chunk.items.length;
    for (const item of chunk.items) {
      // The events of a refused item stay uncovered here, so that the session does not count as synced.
      if (!this.isWelcome(from, shard, item)) {
        done();
        continue;
      }
      const whole = this.parts.add(from, 'objects', shard.id, item);
      if (whole === 'more' || whole === 'lost') done();
      else this.takeIn(shard, whole, { context, groups: eventGroups(whole.events, BATCH_EVENTS) }, done);
    }
    done();
  }

  /**
   * Joins a copy of a key and covers its events, so many in one batch: those that are not covered yet are among its past
   * until then.
   */
  private takeIn(
    shard: Shard,
    item: SyncItem,
    { context, groups }: { context: CausalContext; groups: readonly CausalContext[] },
    done: () => void,
  ): void {
    this.core.cells.open(shard.id, { bucket: item.bucket, key: item.key }, (cell) => {
      // Dropped while the key was read: not acknowledged, and the sender gives up.
      if (this.core.shards.find(shard.id) !== shard) return;
      const [events = NOTHING, ...others] = groups;
      let past = pastHere(shard, item, context);
      for (const later of others) past = unionOf(past, later);
      this.replica.join(shard, cell, { entries: item.entries, seen: seenOf({ past }, context), events, past });
      if (others.length === 0) done();
      else this.core.journal.afterTurn(() => this.takeIn(shard, item, { context, groups: others }, done));
    });
  }

  /** Says where the keys here differ from those of the sender. */
  handleCompare(from: NodeId, message: SyncCompareMessage): void {
    const { shard: id, sequence } = message;
    const answer = (positions: readonly number[] | null): void => {
      this.core.sendDurable(from, { type: 'sync-differ', shard: id, sequence, differing: positions });
    };
    const shard = this.core.shards.find(id);
    if (shard === undefined) {
      answer(null);
      return;
    }
    this.hooks.onHeard(from, shard);
    if (message.children === null) {
      const comparison = this.begin(from, shard, message);
      if (comparison === null) {
        answer(null);
        return;
      }
      this.readKeys(shard, comparison, (tree) => answer(differing(message.sums, tree.top())));
      return;
    }
    const comparison = this.current(from, shard, message.comparison);
    if (comparison === null) return;
    const { children } = message;
    this.readKeys(shard, comparison, (tree) => {
      const positions = differing(message.sums, tree.below(children));
      comparison.leaves.clear();
      for (const position of positions) comparison.leaves.add(leafBelow(children, position));
      answer(positions);
    });
  }

  handleCopies(from: NodeId, message: SyncCopiesMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) return;
    const comparison = this.current(from, shard, message.comparison);
    if (comparison === null) return;
    this.hooks.onHeard(from, shard);
    this.core.counters.syncObjectsReceived += message.items.length;
    const unnamed: ObjectName[] = [];
    let open = message.items.length + 1;
    const done = (): void => {
      if (--open === 0) this.acknowledge(from, shard, message.sequence, unnamed);
    };
    for (const item of message.items) {
      // Of a refused item there is no acknowledgement: its sender still has what this replica lacks.
      if (!this.isWelcome(from, shard, item)) continue;
      const whole = this.parts.add(from, 'copies', shard.id, item);
      if (whole === 'more') done();
      else if (whole !== 'lost') this.adopt(shard, comparison, whole, message.context, done);
    }
    const named = new Set(message.items.map(nameId));
    if (message.interval === null) {
      done();
      return;
    }
    this.namesBetween(shard, comparison, { interval: message.interval, context: message.context, named }, (names) => {
      unnamed.push(...names);
      done();
    });
  }

  handleDone(from: NodeId, message: SyncDoneMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) return;
    const comparison = this.current(from, shard, message.comparison);
    if (comparison !== null) this.coverFloor(shard, comparison);
    this.finish(from, shard, message);
  }

  /** The holder has sent all that this replica missed of `context`. */
  private finish(from: NodeId, shard: Shard, { sequence, context }: End): void {
    shard.known.set(from, context);
    const isCovered = toldContext(shard).covers(context);
    // Unacknowledged, the sender knows that something is missing here, and does not let go of its copy.
    if (isCovered) this.acknowledge(from, shard, sequence);
    this.core.journal.afterTurn(() => this.hooks.onEnd(from, shard));
    this.replica.strip(shard);
    this.hooks.onKnown(shard);
    if (isCovered) this.hooks.onSynced(from, shard);
  }

  /** All keys have been compared: what the sender covered without knowing its keys is covered here too. */
  private coverFloor(shard: Shard, { floor }: Comparison): void {
    shard.comparison = null;
    this.core.shards.coverFloor(shard, floor);
  }

  /** Null where another holder's comparison is under way. */
  private begin(from: NodeId, shard: Shard, message: SyncCompareMessage): Comparison | null {
    const nowMs = this.core.now.monoMs;
    const other = shard.comparison;
    // The same message twice: what it began goes on.
    if (other !== null && other.from === from && other.id === message.comparison) return other;
    const isTaken = other !== null && other.from !== from && other.atMs + ANSWER_TIMEOUT_MS > nowMs;
    // A key whose record is bad would be missing from the keys here: its delete elsewhere would not be noticed.
    if (isTaken || message.floor === null || shard.losing > 0) return null;
    const { comparison: id, floor } = message;
    shard.comparison = { from, id, floor, leaves: new Set(), atMs: nowMs };
    shard.mayHaveOrphans = true;
    this.core.shards.noteNamed(shard, floor);
    // What is missing here every owner covered once: this disk is not what it was, if that is not known yet.
    if (shard.owned && shard.bare.isEmpty) this.core.shards.becomeIncomplete(shard, this.core.ring.owners(shard.id));
    return shard.comparison;
  }

  private current(from: NodeId, shard: Shard, id: number): Comparison | null {
    const { comparison } = shard;
    if (comparison === null || comparison.from !== from || comparison.id !== id) return null;
    comparison.atMs = this.core.now.monoMs;
    return comparison;
  }

  private readKeys(shard: Shard, comparison: Comparison, use: (tree: FingerprintTree) => void): void {
    const tree = new FingerprintTree();
    const read = (after: ObjectName | null): void => {
      this.core.scan({ table: 'object', shard: shard.id, after, limit: SCAN_ROWS }, (result) => {
        if (shard.comparison !== comparison) return;
        comparison.atMs = this.core.now.monoMs;
        for (const row of result.rows) tree.add(nameId(row.name), row);
        const last = result.rows.at(-1);
        if (result.more && last !== undefined) read(last.name);
        else use(tree);
      });
    };
    // Keys that were joined just now have to be on the disk that is read.
    this.core.journal.afterTurn(() => read(null));
  }

  /**
   * This replica's keys in an interval and in leaves that differ, of which the sender has seen something, but for those
   * that it named; the first of many.
   */
  private namesBetween(
    shard: Shard,
    comparison: Comparison,
    { interval, context, named }: Told,
    use: (names: readonly ObjectName[]) => void,
  ): void {
    const { after, upto } = interval;
    const found: ObjectName[] = [];
    const read = (from: ObjectName | null): void => {
      this.core.scan({ table: 'object', shard: shard.id, after: from, limit: SCAN_ROWS }, (result) => {
        if (shard.comparison !== comparison) return;
        for (const { name, entries } of result.rows) {
          const isBeyond = upto !== null && compareNames(name, upto) > 0;
          if (isBeyond || found.length === UNNAMED_MAX) {
            use(found);
            return;
          }
          const id = nameId(name);
          // What the sender has never seen it cannot have deleted: it would be named again and again.
          const isSeen = entries.some(({ dot }) => context.has(dot));
          if (isSeen && comparison.leaves.has(leafOf(id)) && !named.has(id)) found.push(name);
        }
        const last = result.rows.at(-1);
        if (result.more && last !== undefined) read(last.name);
        else use(found);
      });
    };
    this.core.journal.afterTurn(() => read(after));
  }

  /** Joins the sender's copy of a key that was compared: its events count once all keys have been. */
  private adopt(shard: Shard, comparison: Comparison, item: SyncItem, context: CausalContext, done: () => void): void {
    this.core.cells.open(shard.id, { bucket: item.bucket, key: item.key }, (cell) => {
      if (shard.comparison !== comparison) return;
      const past = pastHere(shard, item, context);
      const { entries } = item;
      this.replica.joinCompared(
        shard,
        cell,
        { entries, seen: seenOf({ past }, context), events: NOTHING, past },
        comparison,
      );
      done();
    });
  }

  private isWelcome(from: NodeId, shard: Shard, { bucket, key, entries }: SyncItem): boolean {
    // A full disk takes deletes only.
    if (!this.core.writable && entries.length > 0) return false;
    return this.replica.refuseDrift(from, entries) === null && this.core.shardOf(bucket, key) === shard.id;
  }

  private acknowledge(to: NodeId, shard: Shard, sequence: number, unnamed: readonly ObjectName[] = []): void {
    this.outbox.acknowledge(to, { shard: shard.id, sequence, unnamed });
    // From now on it is the sender's turn.
    this.core.journal.afterTurn(() => this.hooks.onHeard(to, shard));
  }
}

/** What a holder has sent copies of: the keys in an interval. */
interface Told {
  readonly interval: NonNullable<SyncCopiesMessage['interval']>;
  readonly context: CausalContext;
  readonly named: ReadonlySet<string>;
}

/** What a holder says after the last key. */
type End = Pick<SyncDoneMessage, 'sequence' | 'context'>;

/**
 * The item's past, and what its sender counts on to be covered here but was lost since the session began, or dropped with
 * an earlier replica: without it, what the item replaces would come back once those events arrive again.
 */
function pastHere(shard: Shard, item: SyncItem, context: CausalContext): CausalContext | null {
  if (shard.context.covers(shard.earlier)) shard.earlier = NOTHING;
  const { past } = item;
  const lost = shard.lost.size === 0 ? undefined : shard.lost.get(nameId(item))?.events;
  if (lost === undefined && shard.earlier.isEmpty) return past;
  const gone = (lost === undefined ? shard.earlier : unionOf(lost, shard.earlier))
    .without(shard.context)
    .intersection(context);
  return gone.isEmpty ? past : unionOf(past, gone);
}

function unionOf(past: CausalContext | null, further: CausalContext): CausalContext {
  const union = past?.clone() ?? new CausalContext();
  union.union(further);
  return union;
}
