import { compareUtf8 } from '../../lib/utf8.ts';
import { type CausalContext, NOTHING } from '../causal/context.ts';
import type { Entries } from '../causal/entry.ts';
import type { NodeId } from '../machine.ts';
import type { ListItem, ListReply, ListRequest } from '../replication/request.ts';
import { ChangeMemory } from './change-memory.ts';
import type { KeyState } from './key-state.ts';
import type { ChangeMessage, WatchExchange, WatchingMessage, WatchMessage } from './message.ts';
import { UnsureKeys } from './unsure-keys.ts';

/** Buckets one node may watch. */
const WATCHED_BUCKETS_MAX = 1024;
/** Registrations are repeated that often: the answers show what was lost on the way. */
const REFRESH_MS = 5000;

/** Which announcements a client relies on: of each node that tells, the number of its registration. */
export type Coverage = ReadonlyMap<NodeId, number>;

/** A change as an owner announces it. */
export interface Change {
  readonly bucket: string;
  readonly key: string;
  readonly entries: Entries;
  /** The events whose effects the entries show. */
  readonly context: CausalContext;
  /** Further dots of the key that are known to be superseded; null: none. */
  readonly past: CausalContext | null;
}

export interface WatchRelayParts {
  readonly self: NodeId;
  /** Names this run of the process. */
  readonly run: number;
  /** How often in this run the disk was found to be an older copy. */
  readonly rollbacks: () => number;
  readonly shardOf: (bucket: string, key: string) => number;
  /** Owners of each of the bucket's shards. */
  readonly owners: (bucket: string) => readonly (readonly NodeId[])[];
  readonly send: (to: NodeId, message: WatchExchange) => void;
  /** Calls back once everything applied up to now is synced. */
  readonly whenDurable: (use: () => void) => void;
  /** Reads a key of a quorum of its owners; with a session the answer covers that, or there is none. */
  readonly read: (
    bucket: string,
    key: string,
    session: CausalContext | null,
    use: (state: Change | null) => void,
  ) => void;
  /** Clients of this node are to hear of it. */
  readonly tell: (bucket: string, key: string, entries: Entries) => void;
  /** Somebody began to tell changes, or some may have been lost. */
  readonly onCoverage: () => void;
}

/** A node that tells this one of changes. */
interface Teller {
  readonly run: number;
  lastSeq: number;
  /** Since when it tells every change of a bucket: the number of the registration. */
  readonly registrations: Map<string, number>;
}

interface Disk {
  readonly run: number;
  readonly rollbacks: number;
}

/** A node that this one tells of changes. */
interface Watcher {
  buckets: ReadonlySet<string>;
  seq: number;
}

/**
 * Carries changes from the owners of a key to the nodes whose clients watch its bucket. Every owner tells of what it
 * applies; the watching node passes each state on once, and none after a newer one.
 *
 * A registration is confirmed once all that the teller had applied by then is synced: what a listing asked for after
 * that does not show, is told. Tellers number what they say, so that a loss is noticed with the next announcement or
 * confirmation; the registration then counts as a new one. A client that has read everything an owner held, and has
 * been told by it without a gap since, has all that the owner has, and in the end what all have (`isStale`). Before an
 * owner is complete it may not know of all that is gone, and there is no further change of those keys to be told: when it
 * becomes complete, that counts as a gap.
 */
export class WatchRelay {
  private readonly parts: WatchRelayParts;
  private readonly memory = new ChangeMemory();
  private wanted: ReadonlySet<string> = new Set();
  private readonly peers = new Set<NodeId>();
  private readonly tellers = new Map<NodeId, Teller>();
  /** The run and the disk that each node had last. */
  private readonly disks = new Map<NodeId, Disk>();
  /** Buckets named in the requests that are not confirmed yet, by node. */
  private readonly asked = new Map<NodeId, { readonly id: number; readonly buckets: readonly string[] }>();
  private readonly watchers = new Map<NodeId, Watcher>();
  private readonly unsure = new UnsureKeys();
  private lastId = 0;
  private refreshMs: number | undefined;

  constructor(parts: WatchRelayParts) {
    this.parts = parts;
  }

  /** True when somebody is to hear of changes in the bucket. */
  isWatched(bucket: string): boolean {
    if (this.wanted.has(bucket)) return true;
    for (const { buckets } of this.watchers.values()) if (buckets.has(bucket)) return true;
    return false;
  }

  handleConnected(peer: NodeId): void {
    this.peers.add(peer);
    if (this.wanted.size > 0) this.ask(peer);
  }

  handleDisconnected(peer: NodeId): void {
    this.peers.delete(peer);
    this.watchers.delete(peer);
    this.asked.delete(peer);
    if (this.tellers.delete(peer)) this.parts.onCoverage();
  }

  /** Clients of this node watch these buckets from now on. */
  handleWanted(buckets: readonly string[], nowMs: number): void {
    this.wanted = new Set(buckets.slice(0, WATCHED_BUCKETS_MAX));
    // Who has begun to watch meanwhile has been told of what came before this, and is told no less afterwards.
    if (this.wanted.size === 0) this.memory.forgetKeys();
    this.unsure.giveUp((bucket) => !this.wanted.has(bucket));
    this.readUnsure();
    for (const { registrations } of this.tellers.values()) {
      for (const bucket of registrations.keys()) if (!this.wanted.has(bucket)) registrations.delete(bucket);
    }
    for (const peer of this.peers) this.ask(peer);
    this.askSelf();
    this.refreshMs = this.wanted.size === 0 ? undefined : nowMs + REFRESH_MS;
  }

  handleTimeout(nowMs: number): void {
    if (this.refreshMs === undefined || this.refreshMs > nowMs) return;
    this.refreshMs = nowMs + REFRESH_MS;
    for (const peer of this.peers) this.ask(peer);
    // Who relies on a teller that is gone may do with another one now.
    this.parts.onCoverage();
  }

  nextDeadline(): number | undefined {
    return this.refreshMs;
  }

  /** A key changed in this node's own replica. */
  handleLocal(change: Change): void {
    const { bucket, key, entries, context, past } = change;
    for (const [peer, watcher] of this.watchers) {
      if (!watcher.buckets.has(bucket)) continue;
      this.parts.send(peer, { type: 'change', seq: ++watcher.seq, bucket, key, entries, context, past });
    }
    this.take(change);
  }

  /** A replica of this node has become complete: whoever relies on what it told and showed before is to read it again. */
  handleComplete(): void {
    // As if an announcement had been lost.
    for (const watcher of this.watchers.values()) watcher.seq++;
    const own = this.tellers.get(this.parts.self);
    if (own === undefined) return;
    this.registerAnew(own);
    this.parts.onCoverage();
  }

  handleMessage(from: NodeId, message: WatchExchange): void {
    switch (message.type) {
      case 'watch':
        return this.handleWatch(from, message);
      case 'watching':
        return this.handleWatching(from, message);
      case 'change':
        return this.handleChange(from, message);
    }
  }

  /** Who tells of every change in the bucket now. */
  coverage(bucket: string): Coverage {
    const coverage = new Map<NodeId, number>();
    for (const [node, { registrations }] of this.tellers) {
      const registration = registrations.get(bucket);
      if (registration !== undefined) coverage.set(node, registration);
    }
    return coverage;
  }

  /** True while nodes that are connected have not confirmed yet that they tell of the bucket. */
  isSettling(bucket: string): boolean {
    if (!this.wanted.has(bucket)) return true;
    for (const node of [...this.peers, this.parts.self]) {
      if (this.tellers.get(node)?.registrations.has(bucket) !== true) return true;
    }
    return false;
  }

  /**
   * True when a client that relies on these announcements may have missed a change that is to be had: of some shard
   * every owner has been lost sight of meanwhile, and one tells now.
   */
  isStale(bucket: string, coverage: Coverage): boolean {
    const now = this.coverage(bucket);
    return this.parts.owners(bucket).some((owners) => {
      if (owners.some((owner) => isSteady(coverage, now, owner))) return false;
      return owners.some((owner) => now.has(owner));
    });
  }

  /** What a client that is sent a snapshot is to be shown, given what has been told. Others hear of what is news to them. */
  showSnapshot(request: ListRequest, reply: ListReply): ListItem[] {
    const { bucket, prefix, after } = request;
    const shown = (key: string, entries: Entries, isNews: boolean, context: CausalContext | null): ListItem => {
      if (isNews) this.parts.tell(bucket, key, entries);
      return { key, entries, context, past: null };
    };
    const items = reply.items.map((item) => {
      // A replica that is not sure of what it has says nothing but that: an announcement must know these entries at least.
      const context = item.context ?? NOTHING;
      const { entries, isNews } = this.memory.show(this.stateOf({ bucket, ...item, context }));
      return shown(item.key, entries, isNews, item.context);
    });
    const bounds = {
      bucket,
      prefix,
      after,
      upTo: reply.more ? reply.resumeAfter : null,
      keys: new Set(items.map(({ key }) => key)),
      contexts: new Map(reply.contexts.map(({ shard, context }) => [shard, context])),
    };
    for (const { key, entries, isNews } of this.memory.missing(bounds)) items.push(shown(key, entries, isNews, null));
    return items.sort((a, b) => compareUtf8(a.key, b.key));
  }

  private ask(peer: NodeId): void {
    const id = ++this.lastId;
    const buckets = [...this.wanted];
    this.asked.set(peer, { id, buckets });
    this.parts.send(peer, { type: 'watch', id, buckets });
  }

  private askSelf(): void {
    const { self, run, rollbacks, whenDurable } = this.parts;
    const id = ++this.lastId;
    this.asked.set(self, { id, buckets: [...this.wanted] });
    whenDurable(() => this.handleWatching(self, { type: 'watching', id, run, rollbacks: rollbacks(), seq: 0 }));
  }

  private handleWatch(from: NodeId, { id, buckets }: WatchMessage): void {
    let watcher = this.watchers.get(from);
    if (watcher === undefined) {
      watcher = { buckets: new Set(), seq: 0 };
      if (this.peers.has(from)) this.watchers.set(from, watcher);
    }
    watcher.buckets = new Set(buckets);
    const { run, rollbacks, send, whenDurable } = this.parts;
    const current = watcher;
    whenDurable(() => {
      if (this.watchers.get(from) !== current) return;
      send(from, { type: 'watching', id, run, rollbacks: rollbacks(), seq: current.seq });
    });
  }

  private handleWatching(from: NodeId, message: WatchingMessage): void {
    const { id, run, seq } = message;
    const asked = this.asked.get(from);
    if (asked?.id !== id) return;
    let teller = this.tellers.get(from);
    const isOther = teller !== undefined && teller.run !== run;
    const isLost = teller !== undefined && seq > teller.lastSeq;
    if (teller === undefined || isOther || isLost) {
      teller = { run, lastSeq: seq, registrations: new Map() };
      this.tellers.set(from, teller);
    }
    let isNew = false;
    for (const bucket of asked.buckets) {
      if (!this.wanted.has(bucket) || teller.registrations.has(bucket)) continue;
      teller.registrations.set(bucket, id);
      isNew = true;
    }
    const before = this.disks.get(from);
    this.disks.set(from, message);
    if (before !== undefined && hasLostDisk(before, message)) this.startAnew();
    if (isNew) this.parts.onCoverage();
  }

  /** Forgets what was told; everybody reads everything again. */
  private startAnew(): void {
    this.memory.discard();
    this.renew(() => true);
  }

  private handleChange(from: NodeId, message: ChangeMessage): void {
    const teller = this.tellers.get(from);
    // Nobody relies on it yet, and should its disk be lost before it has said which run it is, nobody would notice.
    if (teller === undefined) return;
    if (message.seq > teller.lastSeq) {
      const isGap = message.seq !== teller.lastSeq + 1;
      teller.lastSeq = message.seq;
      if (isGap) {
        this.registerAnew(teller);
        this.parts.onCoverage();
      }
    }
    this.take(message);
  }

  private take(change: Change): void {
    if (!this.wanted.has(change.bucket)) return;
    this.takeState(this.stateOf(change), false);
  }

  /** `isBest`: whatever was forgotten, there is nothing newer. */
  private takeState(state: KeyState, isBest: boolean): void {
    // Owners that each lack something may together have all that was told.
    const joined = this.unsure.joined(state);
    const entries = isBest ? this.memory.force(joined) : this.memory.take(joined);
    if (entries === 'unsure') {
      this.unsure.keep(joined);
      if (this.unsure.isFull) this.renew((bucket) => bucket === state.bucket);
    } else {
      this.unsure.remove(state);
      if (entries !== 'known') this.parts.tell(state.bucket, state.key, entries);
    }
    this.readUnsure();
  }

  /** Keys whose announcements may be older than what was told of them and forgotten are read. */
  private readUnsure(): void {
    for (let state = this.unsure.next(); state !== undefined; state = this.unsure.next()) this.readState(state);
  }

  private readState(state: KeyState): void {
    const { bucket, key, shard } = state;
    const session = state.context.clone();
    const floor = this.memory.floorOf(shard);
    if (floor !== null) session.union(floor);
    this.unsure.begin(state, session);
    const end = (use: () => void): void => {
      // Else the key has been told of meanwhile, or everybody reads it anew and the answer may be older than that.
      if (this.unsure.end(state, session)) use();
    };
    const use = (read: Change): void => {
      const now = this.stateOf(read);
      // A snapshot may have told of the key meanwhile.
      this.takeState(now, this.memory.isSafe(now, session));
    };
    this.parts.read(bucket, key, session, (read) => {
      if (read !== null) return end(() => use(read));
      // What was told is out of reach, and counts no more.
      if (floor !== null) return end(() => this.startAnew());
      this.parts.read(bucket, key, null, (present) => {
        end(() => (present === null ? this.renew((other) => other === bucket) : use(present)));
      });
    });
  }

  /** The time has been set: what had been shown as expired may live, and the other way round. */
  handleClockSet(): void {
    this.startAnew();
  }

  /** Changes of these buckets were not passed on: who relies on being told of all has to read them again. */
  private renew(isConcerned: (bucket: string) => boolean): void {
    this.unsure.giveUp(isConcerned);
    for (const teller of this.tellers.values()) this.registerAnew(teller, isConcerned);
    this.parts.onCoverage();
    this.readUnsure();
  }

  private registerAnew({ registrations }: Teller, isConcerned: (bucket: string) => boolean = () => true): void {
    for (const bucket of registrations.keys()) if (isConcerned(bucket)) registrations.set(bucket, ++this.lastId);
  }

  private stateOf({ bucket, key, entries, context, past }: Change): KeyState {
    const whole = context.clone();
    for (const { dot } of entries) whole.add(dot);
    return { bucket, key, shard: this.parts.shardOf(bucket, key), entries, context: whole, past };
  }
}

function isSteady(coverage: Coverage, now: Coverage, node: NodeId): boolean {
  const registration = coverage.get(node);
  return registration !== undefined && now.get(node) === registration;
}

/**
 * What only that disk had may have been told, and is no more. Whoever starts again may do so on an older copy of the disk,
 * and not all of what that lacks can be noticed.
 */
function hasLostDisk(before: Disk, now: Disk): boolean {
  return before.run !== now.run || now.rollbacks > before.rollbacks;
}
