import { earlier } from '../../lib/deadline-queue.ts';
import { hashString } from '../../lib/hash.ts';
import { CausalContext } from '../causal/context.ts';
import { FingerprintTree, leafBelow, leafOf } from '../causal/fingerprint-tree.ts';
import { type KeyEvents, noteEvent } from '../causal/key-events.ts';
import type { NodeId } from '../machine.ts';
import { firstId, type ReplicationCore } from './core.ts';
import {
  type SyncAck,
  type SyncAckMessage,
  type SyncChunk,
  type SyncCopiesMessage,
  type SyncDifferMessage,
  type SyncItem,
  UNNAMED_MAX,
} from './message.ts';
import { nameId, type ObjectName } from './record.ts';
import type { Shard } from './shard-table.ts';
import { SyncPace } from './sync-pace.ts';
import { messagesOf } from './sync-parts.ts';
import { SyncQueue } from './sync-queue.ts';
import {
  ANSWER_TIMEOUT_MS,
  CHUNK_BYTES,
  chunkBytes,
  fitting,
  itemOf,
  itemsBytes,
  newSession,
  type Session,
  sessionId,
} from './sync-session.ts';

/** Rows read at once, of the index or of the objects. */
const SCAN_ROWS = 1024;
/** Objects of one chunk. */
const CHUNK_ITEMS = 256;
/** A chunk waits for those of other shards so long. */
const GATHER_MS = 20;

/** Chunks of several shards that go to one peer in one message. */
interface Gathered {
  readonly chunks: SyncChunk[];
  bytes: number;
  readonly dueMs: number;
}

export interface SyncSenderHooks {
  /** The peer is known to cover more of the shard. */
  readonly onKnown: (shard: Shard) => void;
  /** Compares contexts with the peer anew. */
  readonly ask: (peer: NodeId, shard: Shard) => void;
}

/**
 * Sends other holders of a shard what they miss: the objects behind the events that the index names, and, where the
 * peer misses events whose index rows are gone, a comparison of all keys.
 */
export class SyncSender {
  private readonly core: ReplicationCore;
  private readonly hooks: SyncSenderHooks;
  private readonly sessions = new Map<string, Session>();
  private readonly queue = new SyncQueue();
  private readonly gathered = new Map<NodeId, Gathered>();
  private readonly pace: SyncPace;
  /** Those that have something to send and may not yet, the longest waiting first. */
  private readonly stalled = new Set<Session>();
  private lastSequence: number;

  constructor(core: ReplicationCore, hooks: SyncSenderHooks) {
    this.core = core;
    this.hooks = hooks;
    this.pace = new SyncPace(core.options.syncBytesPerSecond);
    this.lastSequence = firstId(core.options.prng);
  }

  handlePeerDown(peer: NodeId): void {
    this.queue.forgetPeer(peer);
    this.gathered.delete(peer);
    for (const [id, session] of this.sessions) if (session.peer === peer) this.forget(id, session);
  }

  /** The ring changed: who owns a shard no more is about to let go of it, and answers no more. */
  handleRing(): void {
    const { ring } = this.core;
    this.queue.forgetWhere((peer, shard) => !ring.isOwner(shard.id, peer));
    for (const session of this.sessions.values()) {
      if (!ring.isOwner(session.shard.id, session.peer)) this.end(session);
    }
  }

  /** The shard is no longer held: what was being sent of it ends. */
  handleDropped(shard: Shard): void {
    this.queue.forgetWhere((_peer, wanted) => wanted === shard);
    this.endSessions(shard);
  }

  /**
   * Also for a shard that has lost events: what was being sent was to stand for them too, and without their objects
   * it would tell the peer that they are deleted.
   */
  endSessions(shard: Shard): void {
    for (const { chunks } of this.gathered.values()) {
      const at = chunks.findIndex((chunk) => chunk.shard === shard.id);
      if (at >= 0) chunks.splice(at, 1);
    }
    for (const session of this.sessions.values()) if (session.shard === shard) this.end(session);
  }

  /** The peer covers `context` of the shard, and wants what it misses. */
  enqueue(peer: NodeId, shard: Shard, context: CausalContext): void {
    if (this.sessions.has(sessionId(peer, shard.id))) return;
    this.queue.add(peer, { shard, context });
    this.startQueued(peer);
  }

  handleAck(from: NodeId, message: SyncAckMessage): void {
    // All are at work again before the first goes on, so that what they send next goes together.
    const answered = message.acks.map((ack) => ({ ack, session: this.answered(from, ack) }));
    for (const { ack, session } of answered) if (session !== undefined) this.goOn(session, ack);
  }

  private goOn(session: Session, { unnamed }: SyncAck): void {
    if (!this.isCurrent(session)) return;
    if (!session.finishing) {
      if (unnamed.length > 0) session.comparison.unnamed = unnamed;
      this.advance(session);
      return;
    }
    const { peer, shard } = session;
    this.end(session);
    const known = shard.known.get(peer)?.clone() ?? new CausalContext();
    known.union(session.covered);
    shard.known.set(peer, known);
    this.hooks.onKnown(shard);
  }

  /** The peer says in which ranges its keys differ. */
  handleDiffer(from: NodeId, message: SyncDifferMessage): void {
    const session = this.answered(from, message);
    if (session === undefined) return;
    const { comparison } = session;
    const { tree } = comparison;
    if (message.differing === null || tree === null) {
      // The peer compares with another holder just now.
      this.end(session);
    } else if (comparison.children === null) {
      comparison.children = message.differing;
      this.compare(session, message.differing, tree.below(message.differing));
    } else {
      const { children } = comparison;
      comparison.leaves = new Set(message.differing.map((position) => leafBelow(children, position)));
      comparison.tree = null;
      comparison.done = comparison.leaves.size === 0;
      this.advance(session);
    }
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (const session of this.sessions.values()) {
      if (session.awaiting === 0 || session.expiresAtMs > nowMs) continue;
      this.end(session);
      // A message or its answer was lost: begin anew with what the peer covers by now.
      this.hooks.ask(session.peer, session.shard);
    }
    for (const [peer, { dueMs }] of this.gathered) if (dueMs <= nowMs) this.release(peer);
    for (const session of this.stalled) {
      if (this.pace.readyAtMs > nowMs) break;
      this.stalled.delete(session);
      if (this.isCurrent(session)) this.advance(session);
    }
  }

  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const session of this.sessions.values()) {
      if (session.awaiting !== 0) next = earlier(next, session.expiresAtMs);
    }
    for (const { dueMs } of this.gathered.values()) next = earlier(next, dueMs);
    return this.stalled.size === 0 ? next : earlier(next, this.pace.readyAtMs);
  }

  private answered(from: NodeId, { shard, sequence }: { shard: number; sequence: number }): Session | undefined {
    const session = this.sessions.get(sessionId(from, shard));
    if (session === undefined || session.awaiting !== sequence) return undefined;
    session.awaiting = 0;
    if (this.isCurrent(session)) return session;
    this.end(session);
    return undefined;
  }

  private end(session: Session): void {
    this.forget(sessionId(session.peer, session.shard.id), session);
    this.startQueued(session.peer);
    this.releaseIfIdle(session.peer);
  }

  private forget(id: string, session: Session): void {
    this.sessions.delete(id);
    this.stalled.delete(session);
  }

  private startQueued(peer: NodeId): void {
    if (!this.queue.has(peer)) return;
    let running = 0;
    for (const session of this.sessions.values()) if (session.peer === peer) running++;
    while (running < this.pace.sessionsMax) {
      const next = this.queue.take(peer);
      if (next === undefined) break;
      if (this.start(peer, next.shard, next.context)) running++;
    }
  }

  /** False where nothing may be sent of the shard now. */
  private start(peer: NodeId, shard: Shard, context: CausalContext): boolean {
    // A copy that waits for lost keys of its own, or is about to, would pass for their absence.
    if (this.core.shards.find(shard.id) !== shard || shard.lost.size > 0 || shard.losing > 0) return false;
    if (!shard.bare.isEmpty) return false;
    const session = newSession(peer, shard, context);
    this.sessions.set(sessionId(peer, shard.id), session);
    if (session.floor !== null) this.core.counters.comparisons++;
    // The index is read from disk: all that `covered` counts must be there.
    this.core.journal.afterTurn(() => {
      if (this.isCurrent(session)) this.readIndex(session);
    });
    return true;
  }

  /** Takes the next step: send a chunk, begin the next pass, compare keys, or finish. */
  private advance(session: Session): void {
    const [next] = session.rest;
    if (next !== undefined) {
      if (this.pace.take(next.bytes, this.core.now.monoMs)) {
        session.rest.shift();
        next.send();
      } else {
        this.stalled.add(session);
        this.releaseIfIdle(session.peer);
      }
    } else if (session.ready.size > 0) {
      this.openChunk(session);
    } else if (session.pass + 1 < session.passes) {
      session.pass++;
      session.rangeIndex = 0;
      session.resumeAt = null;
      this.readIndex(session);
    } else if (session.floor !== null && session.comparison.leaves === null) {
      this.readKeys(session, new FingerprintTree(), null);
    } else if (session.comparison.unnamed.length > 0) {
      this.sendUnnamed(session, session.comparison.unnamed);
    } else if (session.floor !== null && !session.comparison.done) {
      this.sendCopies(session, session.comparison.leaves as ReadonlySet<number>);
    } else {
      this.finish(session);
    }
  }

  /**
   * Gathers the keys behind the missing dots. A key is sent only once all its missing events are known: with some
   * of them alone, a late delta of another could pass for news at the peer.
   */
  private readIndex(session: Session): void {
    const range = session.missing[session.rangeIndex];
    if (range === undefined) {
      this.advance(session);
      return;
    }
    const { actor, to } = range;
    const from = session.resumeAt ?? range.from;
    this.core.scan({ table: 'dot', shard: session.shard.id, actor, from, to, limit: SCAN_ROWS }, (result) => {
      if (!this.isCurrent(session)) return;
      const last = result.rows.at(-1);
      session.resumeAt = result.more && last !== undefined && last.counter < to ? last.counter + 1 : null;
      if (session.resumeAt === null) session.rangeIndex++;
      for (const { actor: by, counter, name } of result.rows) {
        if (session.passes > 1 && hashString(nameId(name)) % session.passes !== session.pass) continue;
        noteEvent(session.ready, name, { actor: by, counter });
      }
      this.readIndex(session);
    });
  }

  private openChunk(session: Session): void {
    const chosen: KeyEvents[] = [];
    for (const [id, ready] of session.ready) {
      chosen.push(ready);
      session.ready.delete(id);
      if (chosen.length === CHUNK_ITEMS) break;
    }
    // Taken before the first object: a later context would count events that an object read earlier lacks, and the
    // peer would drop them as deleted.
    const context = session.shard.context.clone();
    const items: SyncItem[] = [];
    let open = chosen.length;
    for (const { name, events } of chosen) {
      this.core.cells.open(session.shard.id, name, (cell) => {
        this.core.restamp(cell);
        items.push(itemOf(session, cell, events));
        if (--open === 0) this.sendItems(session, items, context);
      });
    }
  }

  /** Sends the items that fit one chunk; the rest goes back to be sent next. */
  private sendItems(session: Session, items: readonly SyncItem[], context: CausalContext): void {
    if (!this.isCurrent(session)) return;
    const count = fitting(items);
    for (const item of items.slice(count)) {
      const { bucket, key, events } = item;
      session.ready.set(nameId(item), { name: { bucket, key }, events });
    }
    const messages = messagesOf(items.slice(0, count));
    const isEnd = session.ready.size === 0 && session.pass + 1 >= session.passes && session.floor === null;
    session.rest = messages.map((sent, index) => ({
      bytes: itemsBytes(sent),
      send: () => {
        this.core.counters.syncObjectsSent += sent.length;
        session.finishing = isEnd && index === messages.length - 1;
        this.sendChunk(session, context, sent);
      },
    }));
    this.advance(session);
  }

  private sendChunk(session: Session, context: CausalContext, items: readonly SyncItem[]): void {
    const { finishing, shard, covered: end, peer } = session;
    const covered = end.equals(context) ? context : end;
    const sequence = ++this.lastSequence;
    const chunk = { shard: shard.id, sequence, context, items, covered: finishing ? covered : null };
    this.gather(peer, chunk);
    this.await(session, sequence);
  }

  private gather(peer: NodeId, chunk: SyncChunk): void {
    const bytes = chunkBytes(chunk);
    const before = this.gathered.get(peer);
    if (before !== undefined && before.bytes + bytes > CHUNK_BYTES) this.release(peer);
    const gathered = this.gathered.get(peer) ?? {
      chunks: [],
      bytes: 0,
      dueMs: this.core.now.monoMs + GATHER_MS,
    };
    this.gathered.set(peer, gathered);
    gathered.chunks.push(chunk);
    gathered.bytes += bytes;
  }

  /** Sends what has been gathered once no session with the peer is about to add to it. */
  private releaseIfIdle(peer: NodeId): void {
    if (!this.gathered.has(peer)) return;
    for (const session of this.sessions.values()) {
      if (session.peer === peer && session.awaiting === 0 && !this.stalled.has(session)) return;
    }
    this.release(peer);
  }

  private release(peer: NodeId): void {
    const gathered = this.gathered.get(peer);
    if (gathered === undefined) return;
    this.gathered.delete(peer);
    const { chunks } = gathered;
    if (chunks.length > 0) this.core.sendDurable(peer, { type: 'sync-objects', chunks });
  }

  /** Reads all keys of the shard into the tree, then opens the comparison. */
  private readKeys(session: Session, tree: FingerprintTree, after: ObjectName | null): void {
    this.core.scan({ table: 'object', shard: session.shard.id, after, limit: SCAN_ROWS }, (result) => {
      if (!this.isCurrent(session)) return;
      for (const row of result.rows) tree.add(nameId(row.name), row);
      const last = result.rows.at(-1);
      if (result.more && last !== undefined) {
        this.readKeys(session, tree, last.name);
        return;
      }
      session.comparison.tree = tree;
      session.comparison.id = ++this.lastSequence;
      this.compare(session, null, tree.top());
    });
  }

  private compare(session: Session, children: readonly number[] | null, sums: readonly number[]): void {
    const { shard, floor, comparison } = session;
    this.await(session, ++this.lastSequence);
    const ids = { shard: shard.id, comparison: comparison.id, sequence: session.awaiting };
    const message = { type: 'sync-compare', ...ids, children, sums } as const;
    this.core.sendDurable(session.peer, { ...message, floor: children === null ? floor : null });
  }

  /**
   * Sends the copies of the next keys, in the order of their names, that lie in leaves that differ. The peer drops what
   * it has of the others between them.
   */
  private sendCopies(session: Session, leaves: ReadonlySet<number>): void {
    const { shard, comparison } = session;
    const context = shard.context.clone();
    // What the disk is about to be asked must be there, all that the context counts.
    this.core.journal.afterTurn(() => {
      if (!this.isCurrent(session)) return;
      this.core.scan({ table: 'object', shard: shard.id, after: comparison.after, limit: SCAN_ROWS }, (result) => {
        if (!this.isCurrent(session)) return;
        const chosen = result.rows.map((row) => row.name).filter((name) => leaves.has(leafOf(nameId(name))));
        const upto = result.more ? (result.rows.at(-1)?.name ?? null) : null;
        this.openCells(session, chosen.slice(0, CHUNK_ITEMS), (items) => {
          const count = fitting(items);
          const { after } = comparison;
          const end = count < chosen.length ? (chosen[count - 1] as ObjectName) : upto;
          comparison.start = after;
          comparison.after = end;
          comparison.done = end === null;
          this.sendCopyItems(session, items.slice(0, count), context, { after, upto: end });
        });
      });
    });
  }

  private openCells(session: Session, names: readonly ObjectName[], use: (items: SyncItem[]) => void): void {
    const items: SyncItem[] = [];
    let open = names.length + 1;
    const done = (): void => {
      if (--open === 0 && this.isCurrent(session)) use(items);
    };
    for (const [index, name] of names.entries()) {
      this.core.cells.open(session.shard.id, name, (cell) => {
        this.core.restamp(cell);
        items[index] = itemOf(session, cell, new CausalContext());
        done();
      });
    }
    done();
  }

  /** Copies of keys that the peer has and that were not among those of the last interval: most are absent here. */
  private sendUnnamed(session: Session, names: readonly ObjectName[]): void {
    const { comparison } = session;
    // There may be more of them: the interval is gone through again.
    if (names.length === UNNAMED_MAX) {
      comparison.after = comparison.start;
      comparison.done = false;
    }
    const context = session.shard.context.clone();
    this.openCells(session, names.slice(0, CHUNK_ITEMS), (items) => {
      const count = fitting(items);
      comparison.unnamed = names.slice(count);
      this.sendCopyItems(session, items.slice(0, count), context, null);
    });
  }

  private sendCopyItems(
    session: Session,
    items: readonly SyncItem[],
    context: CausalContext,
    interval: SyncCopiesMessage['interval'],
  ): void {
    const { shard, comparison } = session;
    const messages = messagesOf(items);
    session.rest = messages.map((copies, index) => ({
      bytes: itemsBytes(copies),
      send: () => {
        this.core.counters.syncObjectsSent += copies.length;
        this.await(session, ++this.lastSequence);
        const ids = { shard: shard.id, comparison: comparison.id, sequence: session.awaiting };
        const isLast = index === messages.length - 1;
        const message = { type: 'sync-copies', ...ids, context, items: copies } as const;
        this.core.sendDurable(session.peer, { ...message, interval: isLast ? interval : null });
      },
    }));
    this.advance(session);
  }

  private finish(session: Session): void {
    session.finishing = true;
    const { peer, shard, covered: context, comparison, floor } = session;
    if (floor === null) {
      this.sendChunk(session, context, []);
      return;
    }
    this.await(session, ++this.lastSequence);
    const ids = { shard: shard.id, comparison: comparison.id, sequence: session.awaiting };
    this.core.sendDurable(peer, { type: 'sync-done', ...ids, context });
  }

  private await(session: Session, sequence: number): void {
    session.awaiting = sequence;
    session.expiresAtMs = this.core.now.monoMs + ANSWER_TIMEOUT_MS;
    this.releaseIfIdle(session.peer);
  }

  private isCurrent(session: Session): boolean {
    const { peer, shard } = session;
    return this.sessions.get(sessionId(peer, shard.id)) === session && this.core.shards.find(shard.id) === shard;
  }
}
