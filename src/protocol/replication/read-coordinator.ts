import { DeadlineQueue, earlier } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { CausalContext, NOTHING } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import { joinEntries } from '../causal/join.ts';
import { liveEntries } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { ReadReplyMessage } from './message.ts';
import { ownersDigest } from './placement.ts';
import type { LocalCopy, Replica } from './replica.ts';
import type { ConfirmRequest, GetRequest, Level, Respond, SessionContext } from './request.ts';
import { needed } from './request.ts';
import { coversSession, knownTo, SESSION_UNAVAILABLE } from './session-cover.ts';
import type { Shard } from './shard-table.ts';

/** A key as all the replicas that answered know it, this node's present copy included. */
export interface MergedCopy {
  readonly entries: Entries;
  /** What has been applied. Whoever is given it may change it. */
  readonly context: CausalContext;
  /** What is bare wherever it is known. */
  readonly bare: CausalContext;
  /** True when all that the client's session has seen is among it, and what that had replaced is not. */
  readonly coversSession: boolean;
}

/** Nodes that are asked for what a session has seen, when those that had to answer do not have it. */
const SESSION_NODES_MAX = 32;

/** `contexts`: what each node that answered covers, this one included. */
type UseCopies = (merged: MergedCopy, complete: boolean, cell: Cell, contexts: readonly CausalContext[]) => void;

/** Which key is to be read, and how well. */
export type ReadQuery = Omit<GetRequest, 'type'>;

/** The context is what the entries are the state of. */
export interface ReadState extends SessionContext {
  readonly entries: Entries;
  /** Further dots of the key that are known to be superseded. */
  readonly past: CausalContext;
  readonly complete: boolean;
}

interface Copy extends LocalCopy {
  readonly same: boolean;
}

/** A read that waits for R replicas. */
interface Read {
  readonly id: number;
  readonly cell: Cell;
  readonly owners: readonly NodeId[];
  /** Answers under other owners do not count as theirs. */
  readonly ownersDigest: number;
  readonly needed: number;
  /** What the answer must cover, whatever the level. */
  readonly session: SessionContext | null;
  readonly asked: Set<NodeId>;
  readonly copies: Map<NodeId, Copy>;
  readonly use: UseCopies;
  ended: boolean;
}

export interface ReadCoordinatorParts {
  readonly replica: Replica;
  readonly nextId: () => number;
  /** Starts anti-entropy of one shard with one other replica. */
  readonly repairWith: (node: NodeId, shard: Shard) => void;
}

/**
 * Coordinates reads: asks as many replicas as the level wants, this node first, others where owners are away,
 * merges what they know, and repairs those that differ.
 */
export class ReadCoordinator {
  private readonly core: ReplicationCore;
  private readonly parts: ReadCoordinatorParts;
  private readonly reads = new Map<number, Read>();
  private readonly stalls: DeadlineQueue<Read>;
  private readonly deadlines: DeadlineQueue<Read>;

  constructor(core: ReplicationCore, parts: ReadCoordinatorParts) {
    this.core = core;
    this.parts = parts;
    this.stalls = new DeadlineQueue(core.options.replicaTimeoutMs / 2);
    this.deadlines = new DeadlineQueue(core.options.replicaTimeoutMs * 2);
  }

  handleGet(request: GetRequest, respond: Respond): void {
    this.core.counters.reads++;
    this.read(request, (state) => {
      if (!('entries' in state)) {
        respond({ type: 'failed', failure: state });
        return;
      }
      const entries = liveEntries(state.entries, this.core.now.wallMs, this.core.conflictOf(request.bucket));
      const { context, bare, complete } = state;
      respond({ type: 'get', entries, context, bare, complete });
    });
  }

  /** Reads a key as replicas keep it, with what readers are not shown. */
  read({ bucket, key, level, session }: ReadQuery, done: (state: ReadState | Failure) => void): void {
    this.core.cells.open(this.core.shardOf(bucket, key), { bucket, key }, (opened) => {
      const use: UseCopies = (merged, complete, cell, contexts) => {
        if (!complete) this.core.counters.readsIncomplete++;
        if (!complete && level === 'all') {
          const message = 'not all owners of the key answered; restore their links, or read with r=quorum';
          done(failure('quorum-unavailable', message));
          return;
        }
        if (!merged.coversSession) {
          done(SESSION_UNAVAILABLE);
          return;
        }
        const { entries, context } = merged;
        const stillBare = session === null ? NOTHING : session.bare.without(context);
        for (const entry of entries) context.add(entry.dot);
        if (session !== null) context.union(session.context);
        const bare = context.intersection(merged.bare);
        bare.union(stillBare);
        const seen = new CausalContext();
        for (const each of contexts) seen.union(each);
        const past = seen.without(context);
        const synced = this.parts.replica.onceSynced(cell);
        // What is not synced yet must not be read: a crash would take it back.
        this.core.journal.whenDurable(cell.persistId, () => {
          context.union(synced());
          done({ entries, context, bare, past, complete });
        });
      };
      this.collect(opened, level, use, session);
    });
  }

  /** Asks all owners, which also sets those right that lack the event. */
  handleConfirm({ bucket, key, dot }: ConfirmRequest, respond: Respond): void {
    this.core.cells.open(this.core.shardOf(bucket, key), { bucket, key }, (opened) => {
      this.collect(opened, 'all', (_merged, _complete, cell, contexts) => {
        const nodes = contexts.filter((context) => context.has(dot)).length;
        const owners = this.core.ring.owners(cell.shard).length;
        this.core.journal.whenDurable(cell.persistId, () => respond({ type: 'confirm', nodes, owners }));
      });
    });
  }

  /** Brings together what the level's replicas know of a key; `complete` is false where too few could be asked. */
  collect(cell: Cell, level: Level, use: UseCopies, session: SessionContext | null = null): void {
    const { self } = this.core.options;
    const owners = this.core.ring.owners(cell.shard);
    const own = this.parts.replica.copyOf(cell);
    const read: Read = {
      id: this.parts.nextId(),
      cell,
      owners,
      ownersDigest: ownersDigest(this.core.ring, [cell.shard]),
      needed: needed(level, owners.length),
      session,
      asked: new Set([self]),
      copies: new Map([[self, { ...own, same: true }]]),
      use,
      ended: false,
    };
    if (this.isAnswered(read)) {
      use({ entries: own.entries, ...knownTo([own]), coversSession: true }, true, cell, [own.context]);
      return;
    }
    // The context goes on with the replica, while these entries stay.
    if (session !== null) read.copies.set(self, { ...own, context: own.context.clone(), same: true });
    this.reads.set(read.id, read);
    this.stalls.push(read, this.core.now.monoMs);
    this.deadlines.push(read, this.core.now.monoMs);
    if (!this.askMore(read)) this.finish(read);
  }

  handleReadReply(from: NodeId, message: ReadReplyMessage): void {
    const read = this.reads.get(message.id);
    if (read === undefined || !read.asked.has(from) || read.copies.has(from)) return;
    this.core.tally.answered(from);
    const { entries, context, past, bare } = message;
    const isSame = message.owners === read.ownersDigest;
    const standing = isSame ? message.standing : 'none';
    read.copies.set(from, { entries, context, past, bare, standing, same: message.status === 'same' });
    if (isSame && standing === 'none' && !read.owners.includes(from)) this.core.formers.silence(read.cell.shard, from);
    if (this.isAnswered(read)) this.finish(read);
    else if (read.copies.size === read.asked.size && !this.askMore(read)) this.finish(read);
  }

  /** A peer went away: reads that wait for it turn to others now rather than at the timeout. */
  handlePeerDown(peer: NodeId): void {
    for (const read of this.reads.values()) {
      if (!read.asked.has(peer) || read.copies.has(peer)) continue;
      read.asked.delete(peer);
      if (!this.askMore(read) && read.copies.size === read.asked.size) this.finish(read);
    }
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (let read = this.stalls.pop(nowMs); read !== undefined; read = this.stalls.pop(nowMs)) {
      for (const peer of read.asked) if (!read.copies.has(peer)) this.core.tally.failed(peer);
      this.askMore(read);
    }
    for (let read = this.deadlines.pop(nowMs); read !== undefined; read = this.deadlines.pop(nowMs)) {
      this.finish(read);
    }
  }

  nextDeadline(): number | undefined {
    return earlier(this.stalls.next(), this.deadlines.next());
  }

  /** Asks as many more as could be needed: owners first, then fallbacks that may hold hints. False: nobody left. */
  private askMore(read: Read): boolean {
    const { bucket, key } = read.cell.name;
    const preference = this.candidates(read);
    const counted = places(read);
    const isCounted = counted >= read.needed;
    const dots = (read.copies.get(this.core.options.self)?.entries ?? []).map((entry) => entry.dot);
    // Enough have answered, and yet the session has seen more: whoever may have it is asked.
    let wanted = isCounted ? SESSION_NODES_MAX : read.needed - counted;
    let asked = false;
    for (const node of isCounted ? preference : preference.slice(0, read.owners.length * 2)) {
      if (wanted === 0) break;
      if (read.asked.has(node) || !this.core.isUp(node)) continue;
      read.asked.add(node);
      asked = true;
      wanted--;
      this.core.send(node, { type: 'read', id: read.id, bucket, key, dots });
    }
    return asked || read.copies.size < read.asked.size;
  }

  /** True when as many replicas as the level wants have answered, and all that the session has seen is among it. */
  private isAnswered(read: Read): boolean {
    const { session, copies } = read;
    if (places(read) < read.needed) return false;
    return session === null || coversSession([...copies.values()], session);
  }

  /** In the order in which they are asked: owners, where some of them take the shard over former ones, fallbacks. */
  private candidates(read: Read): readonly NodeId[] {
    const { shard } = read.cell;
    const preference = this.core.ring.preference(shard);
    const formers = this.core.formers.voting(shard);
    if (formers.length === 0 || ![...read.copies.values()].some(({ standing }) => standing === 'partial')) {
      return preference;
    }
    return [...new Set([...read.owners, ...formers, ...preference])];
  }

  private finish(read: Read): void {
    read.ended = true;
    this.reads.delete(read.id);
    // The key may have changed here meanwhile: what is merged is its present state.
    this.core.cells.open(read.cell.shard, read.cell.name, (cell) => {
      const { merged, divergent } = this.merge(read, cell);
      if (divergent) this.repair(read, cell);
      const contexts = [...read.copies.values()].map(({ context }) => context);
      const copies = [...read.copies.values(), this.parts.replica.copyOf(cell)];
      const known = knownTo(copies);
      const isCovered = read.session === null || coversSession(copies, read.session, known.context);
      const copy = { entries: merged.entries, ...known, coversSession: isCovered };
      read.use(copy, places(read) >= read.needed, cell, contexts);
      // Its deadline is still to come.
      read.copies.clear();
    });
  }

  private merge(read: Read, cell: Cell): { merged: Pick<MergedCopy, 'entries' | 'context'>; divergent: boolean } {
    let { entries, context } = this.ownCopy(read, cell);
    let divergent = false;
    const asked = read.copies.get(this.core.options.self);
    for (const copy of read.copies.values()) {
      // Equal entries say nothing of deletes that only the other has seen; a session asks for these too.
      if (copy.same && (read.session === null || copy === asked)) continue;
      const theirs = copy.same ? (asked?.entries ?? []) : copy.entries;
      const local = context;
      const joined = joinEntries(
        entries,
        (dot) => local.has(dot),
        theirs,
        (dot) => copy.context.has(dot),
      );
      divergent ||= !copy.same && (joined.changed || joined.entries.length !== theirs.length);
      entries = joined.entries;
      context = local.clone();
      context.union(copy.context);
    }
    return { merged: { entries, context }, divergent };
  }

  /**
   * What this node has, and what it had when it asked: `same` stands for that. Where they differ, later events have
   * replaced it, which the context says, or the record was bad, and it still counts.
   */
  private ownCopy(read: Read, cell: Cell): Pick<MergedCopy, 'entries' | 'context'> {
    const { entries, context } = this.parts.replica.copyOf(cell);
    const copy = read.copies.get(this.core.options.self);
    const asked = copy?.entries ?? [];
    if (asked === entries) return { entries, context };
    // A session was promised what the copy had seen, also where the shard has been dropped meanwhile.
    const askedContext = read.session === null ? undefined : copy?.context;
    const shard = this.core.shards.find(cell.shard);
    const askedDots = CausalContext.fromDots(asked.map((entry) => entry.dot));
    const joined = joinEntries(
      entries,
      (dot) => context.has(dot) || shard?.context.has(dot) === true,
      asked,
      (dot) => askedDots.has(dot) || askedContext?.has(dot) === true,
    );
    if (askedContext === undefined) return { entries: joined.entries, context };
    const all = context.clone();
    all.union(askedContext);
    return { entries: joined.entries, context: all };
  }

  /**
   * Read repair: the replicas that differ compare contexts at once and exchange what either misses. A copy alone
   * cannot be joined: it does not say which older events of the key it stands for.
   */
  private repair(read: Read, cell: Cell): void {
    const shard = this.core.shards.find(cell.shard);
    if (shard?.owned !== true) return;
    this.core.counters.readRepairs++;
    for (const [node, copy] of read.copies) if (!copy.same) this.parts.repairWith(node, shard);
  }
}

/**
 * How many places of the quorum have answered: complete owners, and pairs of an owner that takes the shard over and a
 * former one. Each has what the other lacks: all that was acknowledged before the ring changed, or since.
 */
function places({ owners, copies }: Read): number {
  let complete = 0;
  let partial = 0;
  let former = 0;
  for (const [node, { standing }] of copies) {
    if (!owners.includes(node)) former += standing === 'former' ? 1 : 0;
    else if (standing === 'stored') complete++;
    else if (standing === 'partial') partial++;
  }
  return complete + Math.min(partial, former);
}
