import type { Journal } from '../../lib/journal.ts';
import { CausalContext, NOTHING } from '../causal/context.ts';
import type { ActorId, Dot } from '../causal/dot.ts';
import type { NodeId } from '../machine.ts';
import type { Placement } from './placement.ts';
import {
  type LostRecord,
  type LostRow,
  nameId,
  type ObjectName,
  type RecordWrite,
  type ShardRecord,
} from './record.ts';
import { needed } from './request.ts';

/** One shard replica on this node. */
export interface Shard {
  readonly id: number;
  readonly context: CausalContext;
  /** This node is one of the shard's owners; otherwise it holds the shard until the owners cover it. */
  owned: boolean;
  /** False until synced with those who held the shard before this node owned it. */
  complete: boolean;
  /** This node owned the shard in the ring before this one, in this run, and was complete; no successor is yet. */
  former: boolean;
  /** Who came to own the shard when this node ceased to. */
  successors: readonly NodeId[];
  /**
   * This node has become its owner in this run, or missed an owner's time in between: it has all that was acknowledged
   * to it since, and former owners have the rest. Not so where the disk was another one, or has lost something.
   */
  gained: boolean;
  /** Whom this node must still sync with before it is complete. */
  readonly sources: Set<NodeId>;
  /** With whom it has synced since it became incomplete, and whether those were owners, or former ones, that vote. */
  readonly synced: Map<NodeId, boolean>;
  /** What the other holders were last known to cover. */
  readonly known: Map<NodeId, CausalContext>;
  /** Owners that were complete when they last told what they cover. */
  readonly completeOwners: Set<NodeId>;
  /** Owners that were not: they have still to be sent something. */
  readonly waitingOwners: Set<NodeId>;
  /** When reads and writes last had it compared with each. */
  readonly repairedMs: Map<NodeId, number>;
  /** Keys with an open past, to be looked at again once the context has caught up. */
  readonly open: Map<string, ObjectName>;
  /** Keys whose record was lost, until another owner's copy of them is here. */
  readonly lost: Map<string, LostKey>;
  /**
   * Events that the context counts, from a damaged disk, of which nobody here knows what they had replaced: passed on
   * like that, what they had replaced would stay at others, and equal contexts would hide it. Until another node has sent
   * them, or none can have them (`bare-events.ts`), the replica is not complete and sends nothing.
   */
  bare: CausalContext;
  /** Who is asked for them now. */
  bareStep: BareStep;
  /** What a replica of the shard covered that this run has dropped: others may still be sending what that one missed. */
  earlier: CausalContext;
  /** The highest dots of each actor that are named here, as replaced or ahead of their events, and beyond the context. */
  readonly named: CausalContext;
  /** Records found bad of which the context still says, or the disk does not say yet, what is true. */
  losing: number;
  /** Events that every owner covered once: their index rows are gone. */
  readonly floor: CausalContext;
  /** A comparison by keys that another holder conducts with this replica. */
  comparison: Comparison | null;
  /** A comparison may have ended before its last key, since all keys were last looked at. */
  mayHaveOrphans: boolean;
  /** What the hub was last known to count, where there is one: its index rows are kept for the rest. Null: that is not known. */
  hub: CausalContext | null;
  /** This actor's last counter here that is synced. */
  durableCounter: number;
}

/** First those with whom the replica has to sync anyway, then whoever may keep hints, then the owners, who got them. */
export type BareStep = 'sources' | 'hints' | 'owners';

export interface LostKey extends LostRecord {
  readonly name: ObjectName;
}

/** The receiving side of a comparison by keys. */
export interface Comparison {
  readonly from: NodeId;
  readonly id: number;
  /** Its source covers these without knowing their keys by an index; so will this replica, once all keys are compared. */
  readonly floor: CausalContext;
  /** Ranges of keys in which the two sides differ. */
  readonly leaves: Set<number>;
  /** When it was last heard of. */
  atMs: number;
}

/** Where a run begins to count. */
export interface FirstCounters {
  /** Other members confirm that this disk has not forgotten events of its own. */
  readonly isConfirmed: () => boolean;
  /** Otherwise so much is left out: earlier runs cannot have come so far. */
  readonly gap: number;
}

/** What the disk knew at start. */
export interface RestoredShards {
  readonly shards: ReadonlyMap<number, ShardRecord>;
  readonly floors: ReadonlyMap<number, CausalContext>;
  readonly lost: readonly LostRow[];
  readonly counters: ReadonlyMap<number, number>;
}

/**
 * The shard replicas of this node and the state each is in: owned and complete, owned and syncing, or held
 * for others until they cover it.
 */
export class ShardTable {
  private readonly self: NodeId;
  private readonly actor: ActorId;
  private readonly journal: Journal<RecordWrite>;
  private readonly shards = new Map<number, Shard>();
  private readonly counters: Map<number, number>;
  /** What replicas covered that this run has dropped. */
  private readonly dropped = new Map<number, CausalContext>();
  private readonly dirty = new Set<Shard>();
  private readonly first: FirstCounters;
  /** In the shards where this run has looked for one: beyond which its counters begin, since the last drop. */
  private readonly bases = new Map<number, number>();
  /** The last of them that this run may have used. */
  private readonly peeked = new Map<number, number>();
  /** Events of this actor that others know, and this replica did not when they told so. */
  private readonly missed = new Map<number, CausalContext>();
  /** Shards with a hint that went bad in this run: events of this actor may be at others alone, and nobody tells of them. */
  private readonly unsure = new Set<number>();
  /** The disk is not the one of this node's last run: an earlier life may have been complete where this one is not. */
  private hasForgotten = false;

  constructor(
    self: NodeId,
    actor: ActorId,
    journal: Journal<RecordWrite>,
    restored: RestoredShards,
    first: FirstCounters,
  ) {
    this.first = first;
    this.self = self;
    this.actor = actor;
    this.journal = journal;
    this.counters = new Map(restored.counters);
    for (const [id, record] of restored.shards) {
      const shard = replicaOf(id, record, restored.floors.get(id) ?? new CausalContext(), actor);
      shard.mayHaveOrphans = !record.complete;
      this.shards.set(id, shard);
    }
    for (const { shard, name, record } of restored.lost) {
      this.shards.get(shard)?.lost.set(nameId(name), { name, ...record });
    }
  }

  /** The replica of a shard, undefined where this node holds none. */
  find(id: number): Shard | undefined {
    return this.shards.get(id);
  }

  all(): IterableIterator<Shard> {
    return this.shards.values();
  }

  /** The next counter of this node's actor in a shard; free until `takeCounter`. */
  peekCounter(id: number): number {
    const last = this.lastCounter(id);
    let base = this.bases.get(id);
    // Beyond what this run has used is what another did that this disk has forgotten, and not all of it may be here.
    if (base === undefined || last > (this.peeked.get(id) ?? base)) {
      base = this.first.isConfirmed() ? last : last + this.first.gap;
      this.bases.set(id, base);
    }
    const next = Math.max(last, base) + 1;
    this.peeked.set(id, next);
    return next;
  }

  /** An event takes all counters up to this one. */
  noteUsed(id: number, counter: number): void {
    this.peeked.set(id, Math.max(counter, this.peeked.get(id) ?? 0));
  }

  /** The first counter that this run uses in a shard, or has used since its replica was dropped or has lost a key. */
  firstOfRun(id: number): number {
    return (this.bases.get(id) ?? this.lastCounter(id)) + 1;
  }

  /** True when no member knows an event of this actor that a complete replica does not. */
  hasAllOwn({ id, context }: Shard): boolean {
    return !this.unsure.has(id) && this.first.isConfirmed() && context.covers(this.missed.get(id) ?? NOTHING);
  }

  /** Another node knows these events of this actor. True when this disk has forgotten some: it was rolled back. */
  noteOwnEvents(id: number, events: CausalContext): boolean {
    const shard = this.shards.get(id);
    const isAhead = this.noteOwnCounter(id, events.highest(this.actor));
    // Those of this run may be in hints alone.
    const missed = events.without(shard?.context ?? NOTHING).cappedAt(this.actor, this.firstOfRun(id) - 1);
    if (missed.isEmpty) return isAhead;
    missed.union(this.missed.get(id) ?? NOTHING);
    this.missed.set(id, missed);
    return isAhead || shard?.complete === true;
  }

  /** Another node knows that this counter has been used. True when this disk has forgotten it: it was rolled back. */
  noteOwnCounter(id: number, counter: number): boolean {
    if (counter <= this.lastCounter(id)) return false;
    this.saveCounter(id, counter);
    // Who knows of this one need not know the latest of its run: there is another gap before the next.
    this.bases.delete(id);
    return true;
  }

  /**
   * Uses a counter up, for ever, in a shard that this node does not own: a record of its own carries it to the
   * disk, in the same batch as the event. In an owned shard the context does.
   */
  takeCounter(id: number, counter: number): void {
    this.saveCounter(id, counter);
  }

  /** Other members know this node from a time that its disk knows nothing of, or not all. */
  noteForgotten(): void {
    this.hasForgotten = true;
    for (const shard of this.shards.values()) {
      shard.gained = false;
      shard.former = false;
    }
  }

  /**
   * The context to tell others of: without events of this node that are not synced yet. A crash would take
   * those back, and their dots would be used again.
   */
  publicContext(shard: Shard): CausalContext {
    const { context, durableCounter } = shard;
    return context.highest(this.actor) <= durableCounter ? context : context.cappedAt(this.actor, durableCounter);
  }

  /** To be called when a shard's context or state changed; it joins the turn's batch. */
  touch(shard: Shard): void {
    this.dirty.add(shard);
  }

  /** Something in the shard names these dots, whose events may not be here. */
  noteNamed(shard: Shard, dots: CausalContext): void {
    if (shard.named.raiseTo(dots)) this.touch(shard);
  }

  /** Events of this actor that a rolled back disk had forgotten are back: once synced, others may be told of them. */
  noteReturned(shard: Shard): void {
    const counter = shard.context.highest(this.actor);
    if (counter <= shard.durableCounter) return;
    this.journal.afterTurn(() => {
      shard.durableCounter = Math.max(shard.durableCounter, counter);
    });
  }

  /** What this actor had written in the hint is not here any more. */
  noteHintLost(id: number): void {
    this.unsure.add(id);
  }

  /** Writes the records of all shards touched since the last call. */
  writeDirty(): void {
    if (this.dirty.size === 0) return;
    for (const shard of this.dirty) {
      if (this.shards.get(shard.id) !== shard) continue;
      trim(shard.named, shard.context);
      this.journal.write({ table: 'shard', shard: shard.id, value: shard });
    }
    this.dirty.clear();
  }

  /**
   * Takes over a new ring. `isKept`: this node's copy of the shard is the cluster's own and missed nothing, so that a
   * shard which it owned before stays complete. Otherwise (another ring in between, which was not seen, or a smaller ring
   * that merges into a larger one) it must sync with the other owners first. Returns those that were not complete and
   * have nobody left to sync with.
   */
  handleRing(ring: Placement, before: Placement | null, isKept: (shard: number) => boolean): Shard[] {
    const alone: Shard[] = [];
    for (const id of ring.shardIds()) {
      const owners = ring.owners(id);
      const owned = owners.includes(this.self);
      let shard = this.shards.get(id);
      if (owned && shard === undefined) shard = this.create(id, isCompleteAtBirth(ring, before, id));
      if (shard === undefined) continue;
      const wasOwned = shard.owned;
      shard.owned = owned;
      shard.bareStep = 'sources';
      if (!owned) {
        if (wasOwned) shard.successors = owners.filter((owner) => before?.owners(id).includes(owner) !== true);
        this.becomeHolder(shard, wasOwned);
        const isSame = before !== null && sameNodes(before.owners(id), owners);
        // Between its time and this ring's there was another owner, who may have voted without it.
        if (shard.former && (wasOwned ? !isKept(id) : !isSame)) shard.former = false;
        continue;
      }
      shard.former = false;
      const isLeft = before !== null && mayLackQuorum(ring, before, id);
      const wasAway = before !== null && (isLeft || !isKept(id));
      const isLate = wasAway && shard.complete;
      if (isLate) shard.complete = false;
      if (shard.complete) continue;
      if (isLate || (before !== null && !wasOwned)) shard.gained = shard.bare.isEmpty && !this.hasForgotten;
      const sources = this.sourcesOf(ring, before, id, isLeft);
      // Who has been synced with need not be again, unless there are, or were, others who may know of writes of their own.
      if (!wasOwned || wasAway || sources.some((node) => !shard.sources.has(node) && !shard.synced.has(node)))
        shard.synced.clear();
      for (const node of sources) if (!shard.synced.has(node)) shard.sources.add(node);
      for (const node of shard.sources) if (ring.isGone(node)) shard.sources.delete(node);
      if (shard.sources.size === 0) alone.push(shard);
      this.touch(shard);
    }
    return alone;
  }

  /** No owner any more: should it become one again, the copy is of the past. */
  private becomeHolder(shard: Shard, wasOwned: boolean): void {
    if (wasOwned) shard.former = shard.complete;
    shard.synced.clear();
    if (!shard.complete) return;
    shard.complete = false;
    this.touch(shard);
  }

  /** Another node has sent these events, with what they had replaced. */
  confirm(shard: Shard, events: CausalContext): void {
    if (shard.bare.isEmpty || shard.bare.intersection(events).isEmpty) return;
    shard.bare = shard.bare.without(events);
    this.touch(shard);
  }

  becomeComplete(shard: Shard): void {
    shard.complete = true;
    shard.gained = false;
    shard.bare = NOTHING;
    shard.synced.clear();
    shard.sources.clear();
    this.touch(shard);
  }

  /** The replica lacks what the other owners have: it does not count until synced with them. */
  becomeIncomplete(shard: Shard, owners: readonly NodeId[]): void {
    shard.synced.clear();
    for (const owner of owners) if (owner !== this.self) shard.sources.add(owner);
    if (shard.sources.size > 0) shard.complete = false;
    this.touch(shard);
  }

  /**
   * The record of a key is lost here, with the named events among what it held: they are no longer covered, and the
   * replica is incomplete until the other owners have sent the key. This actor's counter stays, so that no dot is used
   * twice.
   */
  forget(shard: Shard, name: ObjectName, dots: readonly Dot[], owners: readonly NodeId[]): void {
    const last = this.lastCounter(shard.id);
    if (last > (this.counters.get(shard.id) ?? 0)) this.saveCounter(shard.id, last);
    this.beginAgain(shard.id);
    const events = CausalContext.fromDots(dots);
    shard.named.raiseTo(events);
    for (const { actor, counter } of dots) {
      shard.context.remove({ actor, counter });
      this.journal.write({ table: 'dot', shard: shard.id, actor, counter, value: null });
    }
    shard.gained = false;
    // Who sends it may not have all of the key that was acknowledged here.
    shard.former = false;
    this.becomeIncomplete(shard, owners);
    // Alone, there is nobody who could have it.
    if (shard.sources.size === 0) return;
    const before = shard.lost.get(nameId(name));
    if (before !== undefined) events.union(before.events);
    this.saveLost(shard, name, { events, replaced: before?.replaced ?? new CausalContext() });
  }

  /** Dots of a lost key have been replaced meanwhile. */
  noteReplaced(shard: Shard, { name, events, replaced: before }: LostKey, seen: CausalContext): void {
    const replaced = before.clone();
    replaced.union(seen);
    this.saveLost(shard, name, { events, replaced });
  }

  /** Another owner's copy of a lost key is here. */
  restore(shard: Shard, name: ObjectName): void {
    shard.lost.delete(nameId(name));
    this.journal.write({ table: 'lost', shard: shard.id, name, value: null });
  }

  /** To be called when the floor was raised. */
  saveFloor(shard: Shard): void {
    this.journal.write({ table: 'floor', shard: shard.id, value: shard.floor.clone() });
  }

  /** All keys have been compared: what another holder counts, and nothing tells the keys of, is covered here too. */
  coverFloor(shard: Shard, floor: CausalContext): void {
    for (const range of floor.minus(shard.context)) shard.floor.addRange(range);
    shard.context.union(floor);
    this.confirm(shard, floor);
    this.noteReturned(shard);
    this.saveFloor(shard);
    this.touch(shard);
  }

  /** The record of a counter went bad; this run knows it. */
  saveCounterAgain(id: number): void {
    const counter = this.counters.get(id);
    if (counter !== undefined) this.saveCounter(id, counter);
  }

  private saveLost(shard: Shard, name: ObjectName, record: LostRecord): void {
    shard.lost.set(nameId(name), { name, ...record });
    this.journal.write({ table: 'lost', shard: shard.id, name, value: record });
  }

  /** Forgets a shard that the owners cover; this actor's counter stays. */
  drop(shard: Shard): void {
    const last = shard.context.highest(this.actor);
    if (last > 0) this.saveCounter(shard.id, Math.max(last, this.counters.get(shard.id) ?? 0));
    this.beginAgain(shard.id);
    this.shards.delete(shard.id);
    const covered = shard.context.clone();
    covered.union(shard.earlier);
    this.dropped.set(shard.id, covered);
    this.dirty.delete(shard);
  }

  /** A hint of the time before has not all that this run has counted since: the rest went with the replica. */
  private beginAgain(id: number): void {
    const base = this.bases.get(id);
    if (base !== undefined) this.bases.set(id, Math.max(base, this.lastCounter(id)));
  }

  private create(id: number, complete: boolean): Shard {
    const empty = {
      context: new CausalContext(),
      sources: new Set<NodeId>(),
      bare: NOTHING,
      named: new CausalContext(),
    };
    const shard = replicaOf(id, { ...empty, complete }, new CausalContext(), this.actor);
    shard.earlier = this.dropped.get(id) ?? NOTHING;
    this.shards.set(id, shard);
    this.touch(shard);
    return shard;
  }

  private lastCounter(id: number): number {
    return Math.max(this.shards.get(id)?.context.highest(this.actor) ?? 0, this.counters.get(id) ?? 0);
  }

  private saveCounter(id: number, counter: number): void {
    this.counters.set(id, counter);
    this.journal.write({ table: 'counter', shard: id, value: counter });
  }

  /**
   * Who held the shard while this node did not: the owners of the ring without it, and those before. `isLeft`: see
   * `mayLackQuorum`.
   */
  private sourcesOf(ring: Placement, before: Placement | null, id: number, isLeft: boolean): NodeId[] {
    const without = ring.preference(id).filter((node) => node !== this.self);
    const sources = new Set(without.slice(0, ring.replicasOf(id)));
    for (const owner of before?.owners(id) ?? []) if (owner !== this.self) sources.add(owner);
    // Of a single copy no other owner knows who had it before; and this node does not if it has lost its disk.
    const isKnown = before !== null && before.memberCount > 1 && before.knowsShard(id);
    if (isLeft || (ring.replicasOf(id) === 1 && !isKnown)) for (const node of ring.remaining) sources.add(node);
    sources.delete(this.self);
    return [...sources];
  }
}

/** A replica as it begins, before the ring says whose it is. */
function replicaOf(id: number, record: ShardRecord, floor: CausalContext, actor: ActorId): Shard {
  const { context, complete, sources, bare, named } = record;
  return {
    id,
    context,
    owned: false,
    complete,
    former: false,
    successors: [],
    gained: false,
    sources: new Set(complete ? [] : sources),
    synced: new Map(),
    known: new Map(),
    completeOwners: new Set(),
    waitingOwners: new Set(),
    repairedMs: new Map(),
    open: new Map(),
    lost: new Map(),
    bare,
    bareStep: 'sources',
    earlier: NOTHING,
    named,
    losing: 0,
    floor,
    comparison: null,
    mayHaveOrphans: false,
    hub: null,
    // Of an empty one 0: own events in hints may not be synced yet.
    durableCounter: context.highest(actor),
  };
}

/**
 * What other holders are told that an owner covers, so that they send the rest. Not to be modified. Nobody sends anything
 * to who only holds a shard for its owners: these are to wait until it can send them all that it has.
 */
export function toldContext({ owned, bare, context }: Shard): CausalContext {
  return owned && !bare.isEmpty ? context.without(bare) : context;
}

/** True where the context says of all keys what is true: nothing of it is lost, or not sure. */
export function isWhole({ lost, losing, bare }: Shard): boolean {
  return lost.size === 0 && losing === 0 && bare.isEmpty;
}

/**
 * True where the shard's first bucket was created under this very ring and is news here: this node has been an owner from
 * the start, like one that was away since. Not at a start of the process: what was on the disk may have been lost.
 */
function isCompleteAtBirth(ring: Placement, before: Placement | null, id: number): boolean {
  return before !== null && !before.knowsShard(id) && ring.isNewborn(id);
}

/** Whoever knows of a later event of the actor tells of that. */
function trim(named: CausalContext, context: CausalContext): void {
  if (named.isEmpty) return;
  for (const dot of named.ranges().map(({ actor, to }) => ({ actor, counter: to }))) {
    if (context.highest(dot.actor) >= dot.counter) named.remove(dot);
  }
}

/**
 * True where a quorum of the owners that are left need not have anybody in common with one of all that there may have been:
 * members that were taken out one after the other, or on two sides of a partition, may have acknowledged without them.
 */
function mayLackQuorum(ring: Placement, before: Placement, id: number): boolean {
  const owners = ring.owners(id).length;
  const most = Math.min(ring.replicasOf(id), ring.remaining.length);
  return owners < before.owners(id).length && needed('quorum', owners) + needed('quorum', most) <= most;
}

function sameNodes(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}
