import { earlier } from '../../lib/deadline-queue.ts';
import { hash32, hashString } from '../../lib/hash.ts';
import { CausalContext, type DotRange } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import { type Cell, entriesBytes } from './cell-table.ts';
import { firstId, type ReplicationCore } from './core.ts';
import type {
  ReplicationMessage,
  SyncAckMessage,
  SyncContextMessage,
  SyncDigestMessage,
  SyncDigestsMessage,
  SyncDoneMessage,
  SyncEqualMessage,
  SyncItem,
  SyncObjectsMessage,
} from './message.ts';
import { nameId, type ObjectName } from './record.ts';
import type { Replica } from './replica.ts';
import type { Shard } from './shard-table.ts';

/** Bytes of objects in one chunk; one object may exceed it. */
const CHUNK_BYTES = 64 * 1024;
/** Index rows read at once. */
const SCAN_ROWS = 1024;
/** Objects of one chunk. */
const CHUNK_ITEMS = 256;
/** Missing events that one pass over the index gathers, about. */
const PASS_EVENTS = 32_768;
/** Shards sent to one peer at a time. */
const SESSIONS_PER_PEER = 8;
/** A peer that did not acknowledge a chunk by then is given up until the next round. */
const ACK_TIMEOUT_MS = 5000;

/** Sending what one peer misses of one shard. */
interface Session {
  readonly peer: NodeId;
  readonly shard: Shard;
  /** What this node covered when the session began; the peer covers it after the last chunk. */
  readonly covered: CausalContext;
  /** The dots that the peer missed then. */
  readonly missing: readonly DotRange[];
  /** Passes over the index: each takes the keys of one hash class, so that memory stays bounded. */
  readonly passes: number;
  pass: number;
  /** Where the pass is in `missing`. */
  rangeIndex: number;
  resumeAt: number | null;
  /** The keys of this pass and all their missing events: complete once the index has been read. */
  readonly ready: Map<string, { readonly name: ObjectName; readonly events: Dot[] }>;
  /** The sequence number whose acknowledgement is due; 0: none. */
  awaiting: number;
  expiresAtMs: number;
  finishing: boolean;
}

/**
 * Anti-entropy, tier 1: holders of a shard compare their causal contexts and send each other the objects
 * behind the dots that the other misses (Goncalves et al., "DottedDB", SRDS 2017). The cost follows the
 * difference: equal replicas exchange one digest over all common shards.
 */
export class AntiEntropy {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;
  private readonly onComplete: (shard: Shard) => void;
  private readonly onCovered: (shard: Shard) => void;
  private readonly sessions = new Map<string, Session>();
  private readonly queued = new Map<NodeId, { shard: Shard; context: CausalContext }[]>();
  private nextRoundMs: number | undefined;
  private lastSequence: number;

  constructor(
    core: ReplicationCore,
    replica: Replica,
    hooks: { onComplete: (shard: Shard) => void; onCovered: (shard: Shard) => void },
  ) {
    this.core = core;
    this.lastSequence = firstId(core.options.prng);
    this.replica = replica;
    this.onComplete = hooks.onComplete;
    this.onCovered = hooks.onCovered;
  }

  get active(): number {
    return this.sessions.size;
  }

  handlePeerUp(peer: NodeId): void {
    this.open(peer);
    this.schedule();
  }

  handlePeerDown(peer: NodeId): void {
    this.queued.delete(peer);
    for (const [id, session] of this.sessions) if (session.peer === peer) this.sessions.delete(id);
  }

  /** The shard is no longer held: what was being sent of it ends. */
  handleDropped(shard: Shard): void {
    for (const queue of this.queued.values()) {
      const at = queue.findIndex((entry) => entry.shard === shard);
      if (at >= 0) queue.splice(at, 1);
    }
    this.endSessions(shard);
  }

  /**
   * Also for a shard that has lost events: what was being sent was to stand for them too, and without their objects
   * it would tell the peer that they are deleted.
   */
  endSessions(shard: Shard): void {
    for (const [id, session] of this.sessions) {
      if (session.shard !== shard) continue;
      this.sessions.delete(id);
      this.startQueued(session.peer);
    }
  }

  /** The ring changed: sync with everyone who shares a shard, those in transfer first. */
  handleRing(peers: Iterable<NodeId>): void {
    for (const peer of peers) this.open(peer);
    this.schedule();
  }

  handleDigest(from: NodeId, message: SyncDigestMessage): void {
    const digests = message.shards.map((id) => this.digestOf(id));
    if (combine(digests) === message.combined) {
      this.say(from, { type: 'sync-equal', shards: message.shards, digests });
      this.noteEqual(from, message.shards, digests);
    } else {
      this.say(from, { type: 'sync-digests', shards: message.shards, digests });
    }
  }

  handleDigests(from: NodeId, message: SyncDigestsMessage): void {
    const equal: number[] = [];
    const equalDigests: number[] = [];
    for (const [index, id] of message.shards.entries()) {
      const shard = this.core.shards.find(id);
      if (shard === undefined) continue;
      const digest = shard.context.digest();
      if (digest === message.digests[index]) {
        equal.push(id);
        equalDigests.push(digest);
      } else {
        this.tell(from, shard, { wants: shard.owned, reply: true });
      }
    }
    if (equal.length === 0) return;
    this.say(from, { type: 'sync-equal', shards: equal, digests: equalDigests });
    this.noteEqual(from, equal, equalDigests);
  }

  handleEqual(from: NodeId, message: SyncEqualMessage): void {
    this.noteEqual(from, message.shards, message.digests);
  }

  handleContext(from: NodeId, message: SyncContextMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) {
      // Nothing is held here: say so, for a peer that waits for this node before it is complete.
      const context = new CausalContext();
      this.say(from, { type: 'sync-done', shard: message.shard, sequence: 0, context });
      return;
    }
    shard.known.set(from, message.context);
    const peerCovers = message.context.covers(shard.context);
    if (message.wants) {
      if (peerCovers) {
        const context = shard.context.clone();
        this.say(from, { type: 'sync-done', shard: shard.id, sequence: 0, context });
      } else {
        this.enqueue(from, shard, message.context);
      }
    }
    const wants = shard.owned && !shard.context.covers(message.context);
    if (message.reply && (wants || !message.wants)) this.tell(from, shard, { wants, reply: false });
    this.onCovered(shard);
  }

  handleObjects(from: NodeId, message: SyncObjectsMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) return;
    let open = message.items.length + 1;
    const done = (): void => {
      if (--open > 0) return;
      this.say(from, { type: 'sync-ack', shard: message.shard, sequence: message.sequence });
    };
    this.core.counters.syncObjectsReceived += message.items.length;
    for (const item of message.items) {
      // The events of a refused item stay uncovered here, so that the session does not count as synced.
      const isRefused = this.replica.refuseDrift(from, item.entries) !== null;
      if (isRefused || this.core.shardOf(item.bucket, item.key) !== message.shard) {
        done();
        continue;
      }
      this.core.cells.open(message.shard, { bucket: item.bucket, key: item.key }, (cell) => {
        // Dropped while the key was read: not acknowledged, and the sender gives up.
        if (this.core.shards.find(message.shard) !== shard) return;
        const past = pastHere(shard, item, message.context);
        const seen = past === null ? message.context : message.context.clone();
        if (past !== null) seen.union(past);
        const events = CausalContext.fromDots(item.events);
        this.replica.join(shard, cell, { entries: item.entries, seen, events, past });
        done();
      });
    }
    done();
  }

  handleDone(from: NodeId, message: SyncDoneMessage): void {
    const shard = this.core.shards.find(message.shard);
    if (shard === undefined) return;
    shard.known.set(from, message.context);
    const isCovered = shard.context.covers(message.context);
    // Unacknowledged, the sender knows that something is missing here, and does not let go of its copy.
    if (message.sequence !== 0 && isCovered) {
      this.say(from, { type: 'sync-ack', shard: message.shard, sequence: message.sequence });
    }
    this.replica.strip(shard);
    this.onCovered(shard);
    if (isCovered) this.noteSynced(from, shard);
  }

  handleAck(from: NodeId, message: SyncAckMessage): void {
    const session = this.sessions.get(sessionId(from, message.shard));
    if (session === undefined || session.awaiting !== message.sequence) return;
    session.awaiting = 0;
    if (!this.isCurrent(session)) {
      this.sessions.delete(sessionId(from, message.shard));
      this.startQueued(from);
      return;
    }
    if (!session.finishing) {
      this.advance(session);
      return;
    }
    this.sessions.delete(sessionId(from, message.shard));
    const known = session.shard.known.get(from) ?? new CausalContext();
    known.union(session.covered);
    session.shard.known.set(from, known);
    this.onCovered(session.shard);
    this.startQueued(from);
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (const [id, session] of this.sessions) {
      if (session.awaiting === 0 || session.expiresAtMs > nowMs) continue;
      this.sessions.delete(id);
      this.startQueued(session.peer);
      // A chunk or its acknowledgement was lost: begin anew with what the peer covers by now.
      this.ask(session.peer, session.shard);
    }
    if (this.nextRoundMs === undefined || this.nextRoundMs > nowMs) return;
    this.nextRoundMs = undefined;
    const peers = this.peers();
    const peer = this.core.options.prng.pick([...peers]);
    if (peer !== undefined) this.open(peer);
    // A replica in transfer, in or out, does not leave its completion to chance.
    for (const shard of this.core.shards.all()) {
      for (const source of shard.sources) this.ask(source, shard);
      if (shard.owned) {
        this.completeIfMet(shard);
        continue;
      }
      for (const owner of this.core.ring.owners(shard.id)) {
        if (shard.known.get(owner)?.covers(shard.context) !== true) this.ask(owner, shard);
      }
    }
    this.schedule();
  }

  nextDeadline(): number | undefined {
    let next = this.nextRoundMs;
    for (const session of this.sessions.values()) {
      if (session.awaiting !== 0) next = earlier(next, session.expiresAtMs);
    }
    return next;
  }

  private schedule(): void {
    if (this.nextRoundMs !== undefined) return;
    const { antiEntropyIntervalMs, prng } = this.core.options;
    this.nextRoundMs = this.core.now.monoMs + antiEntropyIntervalMs * (0.75 + prng.float() / 2);
  }

  /** Everyone with whom this node shares a shard, and who is up. */
  private peers(): Set<NodeId> {
    const peers = new Set<NodeId>();
    for (const shard of this.core.shards.all()) {
      for (const owner of this.core.ring.owners(shard.id)) peers.add(owner);
      for (const source of shard.sources) peers.add(source);
    }
    peers.delete(this.core.options.self);
    for (const peer of peers) if (!this.core.isUp(peer)) peers.delete(peer);
    return peers;
  }

  private open(peer: NodeId): void {
    if (!this.core.isUp(peer)) return;
    const shards: number[] = [];
    for (const shard of this.core.shards.all()) {
      if (this.core.ring.isOwner(shard.id, peer)) shards.push(shard.id);
      else if (shard.sources.has(peer)) this.ask(peer, shard);
    }
    if (shards.length === 0) return;
    this.core.counters.syncRounds++;
    const combined = combine(shards.map((id) => this.digestOf(id)));
    this.say(peer, { type: 'sync-digest', shards, combined });
  }

  /** Compares one shard with one peer now. */
  ask(peer: NodeId, shard: Shard): void {
    if (this.core.isUp(peer)) this.tell(peer, shard, { wants: shard.owned, reply: true });
  }

  private tell(peer: NodeId, shard: Shard, asks: { wants: boolean; reply: boolean }): void {
    this.say(peer, { type: 'sync-context', shard: shard.id, context: shard.context.clone(), ...asks });
  }

  private digestOf(id: number): number {
    return this.core.shards.find(id)?.context.digest() ?? 0;
  }

  private noteEqual(from: NodeId, ids: readonly number[], digests: readonly number[]): void {
    for (const [index, id] of ids.entries()) {
      const shard = this.core.shards.find(id);
      if (shard === undefined || shard.context.digest() !== digests[index]) continue;
      shard.known.set(from, shard.context.clone());
      this.noteSynced(from, shard);
      this.onCovered(shard);
    }
  }

  private noteSynced(from: NodeId, shard: Shard): void {
    if (!shard.sources.delete(from)) return;
    shard.synced++;
    this.completeIfMet(shard);
  }

  /**
   * Complete: synced with every source, or, where the others are away, with so many that every write quorum of the
   * former owners is met in one of them.
   */
  private completeIfMet(shard: Shard): void {
    if (shard.complete) return;
    const isMet = shard.synced > this.core.ring.replicas / 2;
    for (const source of shard.sources) if (!isMet || this.core.isUp(source)) return;
    this.onComplete(shard);
  }

  private enqueue(peer: NodeId, shard: Shard, context: CausalContext): void {
    const id = sessionId(peer, shard.id);
    if (this.sessions.has(id)) return;
    const queue = this.queued.get(peer);
    const entry = { shard, context };
    if (queue === undefined) this.queued.set(peer, [entry]);
    else if (!queue.some((other) => other.shard === shard)) queue.push(entry);
    this.startQueued(peer);
  }

  private startQueued(peer: NodeId): void {
    const queue = this.queued.get(peer);
    if (queue === undefined) return;
    let running = 0;
    for (const session of this.sessions.values()) if (session.peer === peer) running++;
    while (running < SESSIONS_PER_PEER) {
      const next = queue.shift();
      if (next === undefined) break;
      running++;
      this.start(peer, next.shard, next.context);
    }
    if (queue.length === 0) this.queued.delete(peer);
  }

  private start(peer: NodeId, shard: Shard, context: CausalContext): void {
    if (this.core.shards.find(shard.id) !== shard) return;
    const missing = shard.context.minus(context);
    let events = 0;
    for (const range of missing) events += range.to - range.from + 1;
    const session: Session = {
      peer,
      shard,
      covered: shard.context.clone(),
      missing,
      passes: Math.ceil(events / PASS_EVENTS),
      pass: 0,
      rangeIndex: 0,
      resumeAt: null,
      ready: new Map(),
      awaiting: 0,
      expiresAtMs: 0,
      finishing: false,
    };
    this.sessions.set(sessionId(peer, shard.id), session);
    // The index is read from disk: all that `covered` counts must be there.
    this.core.journal.afterTurn(() => {
      if (this.isCurrent(session)) this.readIndex(session);
    });
  }

  /** Takes the next step: send a chunk, begin the next pass, or finish. */
  private advance(session: Session): void {
    if (session.ready.size > 0) {
      this.sendChunk(session);
    } else if (session.pass + 1 < session.passes) {
      session.pass++;
      session.rangeIndex = 0;
      session.resumeAt = null;
      this.readIndex(session);
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
        const id = nameId(name);
        if (session.passes > 1 && hashString(id) % session.passes !== session.pass) continue;
        const ready = session.ready.get(id);
        if (ready === undefined) session.ready.set(id, { name, events: [{ actor: by, counter }] });
        else ready.events.push({ actor: by, counter });
      }
      this.readIndex(session);
    });
  }

  private sendChunk(session: Session): void {
    const chosen: { readonly name: ObjectName; readonly events: Dot[] }[] = [];
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
        const { bucket, key } = cell.name;
        items.push({ bucket, key, entries: cell.object.entries, past: pastSince(session, cell), events });
        if (--open === 0) this.sendItems(session, items, context);
      });
    }
  }

  /** Sends the items that fit one chunk; the rest goes back to be sent next. */
  private sendItems(session: Session, items: readonly SyncItem[], context: CausalContext): void {
    if (!this.isCurrent(session)) return;
    const chunk: SyncItem[] = [];
    let bytes = 0;
    for (const item of items) {
      bytes += entriesBytes(item.entries) + item.key.length;
      if (chunk.length > 0 && bytes > CHUNK_BYTES) {
        session.ready.set(nameId(item), {
          name: { bucket: item.bucket, key: item.key },
          events: [...item.events],
        });
      } else {
        chunk.push(item);
      }
    }
    this.core.counters.syncObjectsSent += chunk.length;
    this.await(session);
    const { awaiting: sequence } = session;
    this.say(session.peer, { type: 'sync-objects', shard: session.shard.id, sequence, context, items: chunk });
  }

  private finish(session: Session): void {
    session.finishing = true;
    this.await(session);
    const { awaiting: sequence, covered: context } = session;
    this.say(session.peer, { type: 'sync-done', shard: session.shard.id, sequence, context });
  }

  private await(session: Session): void {
    session.awaiting = ++this.lastSequence;
    session.expiresAtMs = this.core.now.monoMs + ACK_TIMEOUT_MS;
  }

  /**
   * Sends once all that is known now is synced. A context must not promise what a crash could take back: the
   * peer would drop its copy for it, and a dot of ours would be used twice.
   */
  private say(to: NodeId, message: ReplicationMessage): void {
    this.core.journal.afterTurn(() => this.core.send(to, message));
  }

  private isCurrent(session: Session): boolean {
    const { peer, shard } = session;
    return this.sessions.get(sessionId(peer, shard.id)) === session && this.core.shards.find(shard.id) === shard;
  }
}

function sessionId(peer: NodeId, shard: number): string {
  return `${peer}/${shard}`;
}

/** The object's past, and the events applied since the session began, which its list of events does not name. */
function pastSince(session: Session, cell: Cell): CausalContext | null {
  const { past } = cell.object;
  const since = session.shard.context.minus(session.covered);
  if (since.length === 0) return past;
  const open = CausalContext.fromRanges(since);
  if (past !== null) open.union(past);
  return open;
}

/**
 * The item's past, and what its sender counts on to be covered here but was lost since the session began: without it,
 * what the item replaces would come back once those events arrive again.
 */
function pastHere(shard: Shard, item: SyncItem, context: CausalContext): CausalContext | null {
  const { past } = item;
  const lost = shard.lost.get(nameId(item))?.filter((dot) => context.has(dot) && !shard.context.has(dot));
  if (lost === undefined || lost.length === 0) return past;
  const all = CausalContext.fromDots(lost);
  if (past !== null) all.union(past);
  return all;
}

function combine(digests: readonly number[]): number {
  const bytes = new Uint8Array(Uint32Array.from(digests).buffer);
  return hash32(bytes);
}
