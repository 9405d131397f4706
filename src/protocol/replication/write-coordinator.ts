import { DeadlineQueue, earlier } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { type Hlc, hlcNext, hlcUndated, hlcWallMs, isAhead, isPlausible } from '../../lib/hlc.ts';
import { concerned } from '../causal/collection.ts';
import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import { COLLECTION_BYTES_MAX, COLLECTION_ENTRIES_MAX, type Entries, stampOf } from '../causal/entry.ts';
import { believed } from '../causal/mark.ts';
import { mutate } from '../causal/mutate.ts';
import type { Mutation } from '../causal/mutation.ts';
import type { MutationFailure } from '../causal/outcome.ts';
import { liveEntries } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { ReplicateAckMessage, ReplicateMessage } from './message.ts';
import { knownFrom } from './own-events.ts';
import { ownersDigest } from './placement.ts';
import type { MergedCopy, ReadCoordinator } from './read-coordinator.ts';
import type { Replica } from './replica.ts';
import {
  type ClientReply,
  type Level,
  type MutateReply,
  type MutateRequest,
  needed,
  type Respond,
  type SessionContext,
} from './request.ts';
import { appliedIn, coversSession, SESSION_UNAVAILABLE } from './session-cover.ts';
import type { Shard } from './shard-table.ts';
import { tooManyValues } from './value-bounds.ts';

/** A write on its way to W replicas. */
interface Write {
  readonly id: number;
  readonly cell: Cell;
  readonly owners: readonly NodeId[];
  /** Answers under other owners do not count as theirs. */
  readonly ownersDigest: number;
  readonly needed: number;
  readonly strictOnly: boolean;
  /** Null once it is over: its deadlines are still to come. */
  parts: WriteParts | null;
  readonly respond: Respond;
  /** Owners and fallbacks asked, and what for: the owner that a fallback stands in for. */
  readonly asked: Map<NodeId, NodeId | null>;
  /** Owners whose place counts: complete ones, and those that take the shard over beside a former owner. */
  readonly stored: Set<NodeId>;
  readonly extra: Set<NodeId>;
  /** Owners that have it and still take the shard over; no former owner stands beside them yet. */
  readonly partial: Set<NodeId>;
  /** Former owners that have it, and stand beside nobody yet. */
  readonly formers: Set<NodeId>;
  readonly refused: Set<NodeId>;
  /** Why the first of them refused. */
  refusal: Failure | null;
  /** Some owner has not answered in time: hints count from now on. */
  stalled: boolean;
  ended: boolean;
  answered: boolean;
}

/** What a mutation is evaluated on. */
interface EvaluatedCopy extends Pick<MergedCopy, 'entries' | 'context' | 'bare'> {
  /** False where too few owners could be asked: others may hold what is not here. */
  readonly complete: boolean;
  /** As in `LocalCopy`. */
  readonly past: CausalContext | null;
}

interface WriteParts {
  readonly message: Omit<ReplicateMessage, 'id' | 'hintFor'>;
  readonly reply: Omit<MutateReply, 'acks' | 'quorum'>;
  readonly bytes: number;
}

/**
 * Writes that wait for owners hold so much; beyond, those that are answered wait no longer, but are handed to fallbacks.
 */
const OPEN_BYTES_MAX = 16 * 1024 * 1024;

export interface WriteCoordinatorParts {
  readonly replica: Replica;
  readonly hints: HintStore;
  readonly reader: ReadCoordinator;
  readonly nextId: () => number;
  /** Starts anti-entropy of one shard with one other replica. */
  readonly repairWith: (node: NodeId, shard: Shard) => void;
}

/**
 * Coordinates the writes of a key: an owner of the key where one is up, else a fallback.
 * A write takes its dot here, is synced here, and only then goes to the other owners; it is acknowledged
 * once W nodes have synced it. Owners that are away are made up for by fallbacks with hints (sloppy quorum).
 */
export class WriteCoordinator {
  private readonly core: ReplicationCore;
  private readonly replica: Replica;
  private readonly hints: HintStore;
  private readonly reader: ReadCoordinator;
  private readonly nextId: () => number;
  /** Starts anti-entropy of one shard with one other replica. */
  private readonly repairWith: (node: NodeId, shard: Shard) => void;
  private readonly writes = new Map<number, Write>();
  private readonly stalls: DeadlineQueue<Write>;
  private readonly deadlines: DeadlineQueue<Write>;
  private lastHlc: Hlc = 0;
  /** Of all writes that are open. */
  private openBytes = 0;

  constructor(core: ReplicationCore, parts: WriteCoordinatorParts) {
    this.core = core;
    this.replica = parts.replica;
    this.hints = parts.hints;
    this.reader = parts.reader;
    this.nextId = parts.nextId;
    this.repairWith = parts.repairWith;
    this.stalls = new DeadlineQueue(core.options.replicaTimeoutMs);
    this.deadlines = new DeadlineQueue(core.options.requestTimeoutMs);
  }

  handleMutate(request: MutateRequest, respond: Respond): void {
    const shard = this.core.shardOf(request.bucket, request.key);
    this.core.cells.open(shard, { bucket: request.bucket, key: request.key }, (cell) => {
      this.core.restamp(cell);
      if (this.dependsOnOthers(request, cell)) {
        const use = (merged: MergedCopy, complete: boolean, current: Cell): void => {
          if (merged.coversSession) this.write(current, request, { ...merged, past: null, complete }, respond);
          // What the client has seen and nobody here has could not be replaced: it would come back later.
          else respond({ type: 'failed', failure: SESSION_UNAVAILABLE });
        };
        // What the client has seen is to be replaced, wherever it is.
        this.reader.collect(cell, 'quorum', use, request.context);
      } else {
        this.write(cell, request, { ...this.replica.copyOf(cell), complete: true }, respond);
      }
    });
  }

  /**
   * True where the outcome depends on what the key holds now, and this replica alone may be behind: a delete that
   * saw only an old value would be acknowledged and leave the present one. A plain put needs no read: its later
   * timestamp prevails over what it has not seen. But where all concurrent values stay, what was acknowledged before
   * would stay beside it, as if nobody could have known of it.
   */
  private dependsOnOthers({ bucket, mutation, context }: MutateRequest, cell: Cell): boolean {
    switch (mutation.type) {
      case 'delete':
      case 'expire':
      case 'append':
        return true;
      case 'put':
        if (mutation.onlyIf !== null || mutation.expiresAtMs === 'keep') return true;
        if (context === null) return this.core.conflictOf(bucket) === 'siblings';
        return !coversSession([this.replica.copyOf(cell)], context);
      case 'increment':
        return false;
      // An addition takes over the key's expiry, must not make a set of a value of another type, and its acknowledgement
      // must not be for one that such a value hides.
      case 'add':
      case 'remove':
      case 'put-fields':
      case 'remove-fields':
      case 'increment-field':
        return true;
    }
  }

  handleAck(from: NodeId, message: ReplicateAckMessage): void {
    const write = this.writes.get(message.id);
    if (write === undefined || !write.asked.has(from)) return;
    if (message.status === 'refused') this.core.tally.failed(from);
    else this.core.tally.answered(from);
    if (message.status !== 'refused' && message.owners !== write.ownersDigest) {
      // The ring is changing. It has the write, but as one of other owners.
      write.extra.add(from);
      this.settleWrite(write);
      return;
    }
    switch (message.status) {
      case 'stored':
        write.stored.add(from);
        break;
      case 'partial':
        write.extra.add(from);
        if (write.owners.includes(from)) this.addPartial(write, from);
        break;
      case 'former':
        write.extra.add(from);
        if (!write.owners.includes(from)) write.formers.add(from);
        this.pair(write);
        break;
      case 'hinted':
        write.extra.add(from);
        this.core.formers.silence(write.cell.shard, from);
        break;
      case 'refused':
        write.refused.add(from);
        write.refusal ??= message.failure;
        this.useFallbacks(write);
        return;
    }
    this.settleWrite(write);
  }

  /** (New, former) owner are one place: whoever reads from the one that takes over asks a former owner too. */
  private addPartial(write: Write, owner: NodeId): void {
    write.partial.add(owner);
    this.pair(write);
    if (!write.partial.has(owner)) return;
    const former = this.core.formers
      .voting(write.cell.shard)
      .find((node) => this.core.isUp(node) && !write.asked.has(node));
    if (former === undefined) return;
    write.asked.set(former, null);
    if (former === this.core.options.self) return;
    this.send(write, former);
  }

  private send({ parts, id }: Write, to: NodeId, hintFor: readonly NodeId[] = []): void {
    if (parts !== null) this.core.send(to, { ...parts.message, id, hintFor });
  }

  private pair(write: Write): void {
    for (const former of write.formers) {
      const [owner] = write.partial;
      if (owner === undefined) return;
      write.partial.delete(owner);
      write.formers.delete(former);
      write.extra.delete(owner);
      write.stored.add(owner);
    }
  }

  /** A peer went away: whoever waits for it turns to others now rather than at the timeout. */
  handlePeerDown(peer: NodeId): void {
    for (const write of this.writes.values()) {
      if (write.asked.has(peer) && !write.stored.has(peer) && !write.extra.has(peer)) this.useFallbacks(write);
    }
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let write = this.stalls.pop(nowMs); write !== undefined; write = this.stalls.pop(nowMs)) this.stall(write);
    for (let write = this.deadlines.pop(nowMs); write !== undefined; write = this.deadlines.pop(nowMs)) {
      this.endWrite(write);
    }
  }

  /** Fallbacks take the place of owners that are silent. Where the client has its answer, nobody waits any longer. */
  private stall(write: Write): void {
    write.stalled = true;
    for (const peer of write.asked.keys()) if (!hasAnswered(write, peer)) this.core.tally.failed(peer);
    this.useFallbacks(write);
    if (write.answered && !write.ended) this.endWrite(write);
  }

  nextDeadline(): number | undefined {
    return earlier(this.stalls.next(), this.deadlines.next());
  }

  private write(cell: Cell, request: MutateRequest, copy: EvaluatedCopy, respond: Respond): void {
    const { self, actor } = this.core.options;
    const { bucket } = request;
    const { refusal } = this.replica;
    if (refusal !== null) {
      respond({ type: 'failed', failure: refusal });
      return;
    }
    const conflict = this.core.conflictOf(bucket);
    const { wallMs } = this.core.now;
    const owners = this.core.ring.owners(cell.shard);
    const shard = this.core.shards.find(cell.shard);
    const owner = shard?.owned === true ? shard : undefined;
    const shown = (entries: Entries): Entries => concerned(liveEntries(entries, wallMs, conflict), request.mutation);
    const before = shown(copy.entries);
    const counter = this.core.shards.peekCounter(cell.shard);
    const dot: Dot = { actor, counter };
    // A clock that was ahead and has been set back must not go on stamping the future.
    if (hlcWallMs(this.lastHlc) - wallMs > this.core.options.maxClockDriftMs) this.lastHlc = 0;
    const outcome = mutate(this.asSeen(copy.entries, request.mutation), request.mutation, {
      dot,
      ownFrom: knownFrom(this.core, cell, copy.context, counter),
      isComplete: owner?.complete === true,
      hlc: hlcNext(this.lastHlc, wallMs),
      wallMs,
      context: request.context?.context ?? null,
      conflict,
    });
    if (!outcome.applied) {
      // What has not been replaced here, the client need not have looked at.
      const seen = request.context ?? { context: copy.context, bare: copy.context.intersection(copy.bare) };
      const unapplied = { before, ...seen, owners: owners.length, complete: copy.complete };
      const reply =
        outcome.failure === null
          ? unappliedReply(request.level, unapplied)
          : ({ type: 'failed', failure: MUTATION_FAILURES[outcome.failure] } as const);
      this.core.journal.whenDurable(cell.persistId, () => respond(reply));
      return;
    }
    for (const entry of outcome.added) this.lastHlc = Math.max(this.lastHlc, stampOf(entry));
    const events = CausalContext.fromDots(outcome.dots);
    const context = CausalContext.fromDots([...outcome.dots, ...outcome.replaced]);
    const last = counter + outcome.dots.length - 1;
    const problem = tooManyValues(copy.entries, outcome.after);
    if (problem !== null) {
      respond({ type: 'failed', failure: problem });
      return;
    }
    this.core.shards.noteUsed(cell.shard, last);
    if (owner !== undefined) {
      if (cell.hint !== null) this.replica.applyHint(cell, cell.hint);
      this.replica.join(owner, cell, { entries: outcome.added, seen: context, events, past: context });
    } else {
      const targets = owners.filter((node) => node !== self);
      if (targets.length === 0 || !this.hints.store(cell, { entries: outcome.added, events, context, targets })) {
        const message = 'the hint store is full and no owner of the key is reachable; restore the link to the owners';
        respond({ type: 'failed', failure: failure('disk-full', message) });
        return;
      }
      this.core.shards.takeCounter(cell.shard, last);
    }
    const bytes = this.replica.reserve(outcome.added);
    this.replica.releaseSynced(bytes, cell);
    const write = this.open(cell, request, respond, {
      bytes,
      message: { type: 'replicate', bucket, key: request.key, entries: outcome.added, events, context },
      reply: {
        type: 'mutate',
        applied: true,
        dot,
        ...shownTo(request, copy, { context, after: outcome.after }),
        owners: owners.length,
        before,
        after: shown(outcome.after),
      },
    });
    this.core.counters.writes++;
    this.core.journal.afterTurn(() => {
      if (owner !== undefined) owner.durableCounter = Math.max(owner.durableCounter, last);
      this.replicate(write, owner?.complete === true);
    });
  }

  /**
   * A value takes a stamp after all that it replaces, except where a wrong clock has stamped that far ahead: the
   * replicas would refuse it then. Mostly such stamps are marked by now (see Restamper); another replica may have sent one.
   */
  private asSeen(stored: Entries, mutation: Mutation): Entries {
    const entries = believed(stored);
    if (mutation.type !== 'put' && mutation.type !== 'append') return entries;
    const { wallMs } = this.core.now;
    const { maxClockDriftMs } = this.core.options;
    if (mutation.type === 'put' && mutation.expiresAtMs !== 0 && !isPlausible(wallMs)) {
      // By a clock that was never set only the stamp can tell how long the value is to live.
      return entries.map((entry) => (isPlausible(hlcWallMs(entry.hlc)) ? { ...entry, hlc: 0 } : entry));
    }
    if (this.core.clockDoubtfulSinceMs !== null) return entries;
    const stamp = (hlc: Hlc): Hlc => (isAhead(hlc, wallMs, maxClockDriftMs) ? hlcUndated(hlc) : hlc);
    if (!entries.some((entry) => isAhead(stampOf(entry), wallMs, maxClockDriftMs))) return entries;
    return entries.map((entry) => {
      const { payload, hlc } = entry;
      return {
        ...entry,
        hlc: stamp(hlc),
        payload: 'hlc' in payload ? { ...payload, hlc: stamp(payload.hlc) } : payload,
      };
    });
  }

  private open(cell: Cell, request: MutateRequest, respond: Respond, parts: WriteParts): Write {
    const owners = this.core.ring.owners(cell.shard);
    return {
      parts,
      id: this.nextId(),
      cell,
      owners,
      ownersDigest: ownersDigest(this.core.ring, [cell.shard]),
      needed: needed(request.level, owners.length),
      strictOnly: request.level === 'all',
      respond,
      asked: new Map(),
      stored: new Set(),
      extra: new Set(),
      partial: new Set(),
      formers: new Set(),
      refused: new Set(),
      refusal: null,
      stalled: false,
      ended: false,
      answered: false,
    };
  }

  /** The write is synced here: now it may leave. */
  private replicate(write: Write, counts: boolean): void {
    const { self } = this.core.options;
    this.writes.set(write.id, write);
    this.openBytes += write.parts?.bytes ?? 0;
    write.asked.set(self, null);
    const isSame = ownersDigest(this.core.ring, [write.cell.shard]) === write.ownersDigest;
    if (counts && isSame) write.stored.add(self);
    else write.extra.add(self);
    for (const owner of write.owners) {
      if (owner === self || !this.core.isUp(owner)) continue;
      write.asked.set(owner, null);
      this.send(write, owner);
    }
    if (!counts && isSame && write.owners.includes(self)) this.addPartial(write, self);
    this.stalls.push(write, this.core.now.monoMs);
    this.deadlines.push(write, this.core.now.monoMs);
    if (write.owners.some((owner) => !write.asked.has(owner))) this.useFallbacks(write);
    this.settleWrite(write);
    if (this.openBytes > OPEN_BYTES_MAX) this.closeAnswered();
  }

  /** The oldest first, until the others are within the bound. */
  private closeAnswered(): void {
    for (const write of this.writes.values()) {
      if (write.answered) this.stall(write);
      if (this.openBytes <= OPEN_BYTES_MAX) return;
    }
  }

  /** For every owner that is away or silent, the next fallback in the preference list keeps a hint. */
  private useFallbacks(write: Write): void {
    const { self } = this.core.options;
    const preference = this.core.ring.preference(write.cell.shard);
    const covered = new Set<NodeId>();
    for (const [node, standsFor] of write.asked) {
      if (!this.core.isUp(node) || write.refused.has(node)) continue;
      // An owner that may still answer needs no fallback: there may be none left for one that is away.
      if (standsFor !== null) covered.add(standsFor);
      else if (!write.stalled) covered.add(node);
    }
    let next = write.owners.length;
    for (const owner of write.owners) {
      if (owner === self || covered.has(owner) || write.stored.has(owner) || write.extra.has(owner)) continue;
      let fallback: NodeId | undefined;
      while (next < preference.length && fallback === undefined) {
        const candidate = preference[next++] as NodeId;
        if (!write.asked.has(candidate) && candidate !== self && this.core.isUp(candidate)) fallback = candidate;
      }
      if (fallback === undefined) break;
      write.asked.set(fallback, owner);
      this.send(write, fallback, [owner]);
    }
    this.settleWrite(write);
  }

  private settleWrite(write: Write): void {
    const { stored, extra } = write;
    // While enough owners may still confirm, a hint elsewhere is no reason to answer: a read of a quorum of the
    // owners is then sure to meet the write.
    const strictly = write.strictOnly || (!write.stalled && this.canBeStrict(write));
    const reached = strictly ? stored.size : stored.size + extra.size;
    if (!write.answered && reached >= write.needed && write.parts !== null) {
      write.answered = true;
      const quorum = stored.size >= write.needed ? 'strict' : 'sloppy';
      if (quorum === 'sloppy') this.core.counters.writesSloppy++;
      write.respond({ ...write.parts.reply, acks: Math.min(stored.size + extra.size, write.owners.length), quorum });
    }
    const isOpen = write.owners.some((owner) => !stored.has(owner) && !extra.has(owner) && this.core.isUp(owner));
    if (write.answered && !isOpen) this.closeWrite(write);
    else if (!write.answered && this.isHopeless(write)) this.endWrite(write);
  }

  private canBeStrict(write: Write): boolean {
    const { owners, stored, extra, partial, asked } = write;
    const isOpen = (node: NodeId): boolean => !hasAnswered(write, node) && this.core.isUp(node);
    let count = 0;
    for (const owner of owners) if (stored.has(owner) || (asked.has(owner) && isOpen(owner))) count++;
    let formers = 0;
    for (const node of asked.keys()) if (!owners.includes(node) && !extra.has(node) && isOpen(node)) formers++;
    return count + Math.min(formers, partial.size) >= write.needed;
  }

  /** True when nobody is left whose answer could still make the level. */
  private isHopeless(write: Write): boolean {
    for (const [node] of write.asked) {
      const open = !write.stored.has(node) && !write.extra.has(node) && !write.refused.has(node);
      if (open && this.core.isUp(node)) return false;
    }
    return true;
  }

  private endWrite(write: Write): void {
    this.closeWrite(write);
    const shard = this.core.shards.find(write.cell.shard);
    for (const owner of write.owners) {
      // It is up and did not confirm: the delta or its acknowledgement was lost. Compare now, not at the next round.
      const isOpen = !write.stored.has(owner) && !write.extra.has(owner) && this.core.isUp(owner);
      if (isOpen && shard?.owned === true) this.repairWith(owner, shard);
    }
    if (write.answered) return;
    write.answered = true;
    this.core.counters.writesFailed++;
    write.respond({
      type: 'failed',
      // Whatever the others say of themselves: here the write is synced, and will spread.
      failure: write.refusal === null ? unavailable(write) : { ...write.refusal, stateChanged: 'maybe' },
    });
  }

  private closeWrite(write: Write): void {
    write.ended = true;
    this.writes.delete(write.id);
    this.openBytes -= write.parts?.bytes ?? 0;
    write.parts = null;
  }
}

interface Unapplied extends Pick<MutateReply, 'before' | 'context' | 'bare' | 'owners'> {
  readonly complete: boolean;
}

/** There was nothing to do: as far as this node knows, where it could not ask a quorum of the owners. */
function unappliedReply(level: Level, { before, context, bare, owners, complete }: Unapplied): ClientReply {
  if (!complete && level === 'all') {
    const message = 'not all owners of the key answered, and this node holds nothing to change; restore their links';
    return { type: 'failed', failure: failure('quorum-unavailable', message) };
  }
  return {
    type: 'mutate',
    applied: false,
    dot: null,
    context: context.clone(),
    bare,
    acks: 0,
    owners,
    quorum: complete ? 'strict' : 'sloppy',
    before,
    after: before,
  };
}

export const MUTATION_FAILURES: Readonly<Record<MutationFailure, Failure>> = {
  'wrong-type': failure('wrong-type', 'the key holds a value of another type; use another key, or delete this one'),
  'not-a-number': failure(
    'not-a-number',
    'the value is not a decimal integer; write a number first, or delete the key',
  ),
  'field-not-a-number': failure(
    'not-a-number',
    'the field is not a decimal integer; put a number into it first, or remove the field',
  ),
  overflow: failure('bad-value', 'the counter would leave the range of ±9007199254740991; use a smaller step'),
  'value-too-large': failure('value-too-large', 'the value would exceed 1 MiB; split it over several keys'),
  'collection-too-large': failure(
    'value-too-large',
    `a set or map is at most ${COLLECTION_ENTRIES_MAX} members or fields and ${COLLECTION_BYTES_MAX} bytes (1.5 MiB); split it over several keys`,
    { data: { limit: 'collectionBytesMax', max: COLLECTION_BYTES_MAX, members: COLLECTION_ENTRIES_MAX } },
  ),
};

/**
 * What the client has seen with this write: what it had seen before, the write, what that replaced, and of a counter the
 * increments in the sum that it is told. Not what else this replica has: a write that passes it on would replace values
 * that nobody has looked at.
 */
function shownTo(
  { context: session, mutation: { type } }: MutateRequest,
  copy: EvaluatedCopy,
  written: { readonly context: CausalContext; readonly after: Entries },
): SessionContext {
  const context = written.context.clone();
  const summed = type === 'increment' ? 'counter' : type === 'increment-field' ? 'map-counter' : null;
  for (const { dot, payload } of written.after) if (payload.kind === summed) context.add(dot);
  let bare = context.intersection(copy.bare);
  if (session !== null) {
    // What the session has seen applied must not be shown again beside what it had replaced.
    if (!bare.isEmpty) bare = bare.without(session.context.without(session.bare));
    context.union(session.context);
    if (!session.bare.isEmpty) bare.union(session.bare.without(appliedIn(copy)));
  }
  return { context, bare };
}

/** At `all` only owners count. */
function unavailable({ stored, extra, strictOnly, needed: wanted, owners }: Write): Failure {
  const acks = stored.size + (strictOnly ? 0 : extra.size);
  const message = `${acks} of ${wanted} needed ${strictOnly ? 'owners' : 'nodes'} have the write; restore the links between the owners, or ask for less with w=one`;
  const data = { acks, needed: wanted, owners: owners.length };
  return failure('quorum-unavailable', message, { stateChanged: 'maybe', data });
}

function hasAnswered({ stored, extra, refused }: Write, peer: NodeId): boolean {
  return stored.has(peer) || extra.has(peer) || refused.has(peer);
}
