import { conflictsIn } from '../causal/conflict.ts';
import { CausalContext } from '../causal/context.ts';
import type { Dot } from '../causal/dot.ts';
import type { ConflictPolicy, Entries } from '../causal/entry.ts';
import { nameId, type ObjectName } from '../causal/name.ts';
import { ABSENT, type CausalObject, joinObject, type RemoteObject, seenOf, stripPast } from '../causal/object.ts';
import type { UplinkItem } from './message.ts';
import type { HubShard, HubWrite, ShardObjectName } from './transaction.ts';

/** No shard has it. */
export const NO_REVISION = '0'.repeat(16);

/** Events with index rows for the hub above, of a shard; and ranges of those that it is to skip. */
const INDEXED_MAX = 4096;

/** The hub's copy of a shard within one transaction: what was read of it, and what becomes of it. */
export class ShardCopy {
  readonly shard: number;
  readonly context: CausalContext;
  readonly own: CausalContext;
  readonly stripped: CausalContext;
  indexed: CausalContext;
  skipped: CausalContext;
  private buckets: readonly string[];
  private doubted: readonly string[];
  private readonly before: string;
  private readonly objects = new Map<
    string,
    { readonly name: ShardObjectName; object: CausalObject; changed: boolean }
  >();
  private readonly conflicts: HubWrite[] = [];
  private changed = false;

  constructor(shard: number, stored: HubShard | undefined) {
    this.shard = shard;
    this.context = stored?.context.clone() ?? new CausalContext();
    this.own = stored?.own.clone() ?? new CausalContext();
    this.stripped = stored?.stripped.clone() ?? new CausalContext();
    this.indexed = stored?.indexed.clone() ?? new CausalContext();
    this.skipped = stored?.skipped.clone() ?? new CausalContext();
    this.buckets = stored?.partial ?? [];
    this.doubted = stored?.doubtful ?? [];
    this.before = stored?.revision ?? NO_REVISION;
  }

  /** Before this transaction. */
  get revision(): string {
    return this.before;
  }

  /** Buckets of which the context counts events without their keys. */
  get partial(): readonly string[] {
    return this.buckets;
  }

  set partial(buckets: Iterable<string>) {
    this.buckets = [...new Set(buckets)].toSorted();
    this.changed = true;
  }

  /** As in HubShard. */
  get doubtful(): readonly string[] {
    return this.doubted;
  }

  /** Buckets of which all keys are to be compared with who covers this, before anything is taken of them. */
  toCompareWith(context: CausalContext): readonly string[] {
    const isDoubting = this.doubted.length > 0 && this.isKnownTo(context);
    return isDoubting ? [...this.buckets, ...this.doubted] : this.buckets;
  }

  /** All keys of these buckets were compared with the copies of somebody who covers this. */
  noteCompared(buckets: readonly string[], context: CausalContext): void {
    const isCompared = (name: string): boolean => buckets.includes(name);
    const doubtful = new Set([...this.doubted, ...this.buckets.filter(isCompared)]);
    if (this.isKnownTo(context)) for (const name of buckets) doubtful.delete(name);
    this.doubted = [...doubtful].toSorted();
    this.partial = this.buckets.filter((name) => !isCompared(name));
  }

  /** What was read of the key. */
  load(name: ShardObjectName, object: CausalObject | undefined): void {
    const id = nameId(name);
    if (this.objects.has(id)) return;
    this.objects.set(id, { name, object: this.current(name.bucket, object ?? ABSENT), changed: false });
  }

  /**
   * A stored object of the bucket without what its past tells of and is counted by now. A past also names events of other keys;
   * when these arrive, nothing is done to the object itself.
   */
  current(bucket: string, object: CausalObject): CausalObject {
    return object.past === null ? object : stripPast(object, this.countedOf(bucket));
  }

  /** A stored object as it is sent down; null: what its entries have replaced is not known here. */
  itemOf({ bucket, key }: ObjectName, object: CausalObject): UplinkItem | null {
    const { entries, past } = this.current(bucket, object);
    const dots = CausalContext.fromDots(entries.map(({ dot }) => dot));
    if (this.buckets.includes(bucket) && !this.own.covers(dots)) return null;
    return { bucket, key, entries, past, events: dots.intersection(this.context), more: false, sent: null };
  }

  object(name: ShardObjectName): CausalObject {
    return this.objects.get(nameId(name))?.object ?? ABSENT;
  }

  /** Every dot is counted, or known of the key, which is loaded. */
  hasSeen(name: ShardObjectName, dots: CausalContext | null): boolean {
    if (dots === null) return true;
    const { past } = this.object(name);
    const unknown = dots.without(this.context);
    return past === null ? unknown.isEmpty : past.covers(unknown);
  }

  /** The shard is written even where nothing else is: it has another revision from now on. */
  touch(): void {
    this.changed = true;
  }

  cover(events: CausalContext): void {
    if (this.context.covers(events)) return;
    this.context.union(events);
    this.changed = true;
  }

  /** Joins a copy of a key that is loaded. `context`: what its sender covered; `floor`: what is going to be counted once all is compared. */
  join(item: UplinkItem, context: CausalContext, conflict: ConflictPolicy, floor: CausalContext | null = null): void {
    const name = { shard: this.shard, bucket: item.bucket, key: item.key };
    const isLacking = this.buckets.includes(item.bucket) || (floor !== null && this.doubted.includes(item.bucket));
    const counted = isLacking ? this.own : this.context;
    const remote = remoteOf(item, context, floor === null ? undefined : this.floorOf(floor, isLacking));
    const joined = joinObject(this.object(name), counted, remote);
    if (joined.changed) this.store(name, joined.object, conflict);
    if (floor === null && !item.more) this.cover(item.events);
  }

  /**
   * Takes in a copy of a key that is loaded from the hub of this hub. `seen`: what the copy has seen beside its past. What it has
   * replaced may come from the site later, if it has not come yet: it is remembered until then.
   */
  take(item: UplinkItem, seen: CausalContext, conflict: ConflictPolicy): HubWrite[] {
    const name = { shard: this.shard, bucket: item.bucket, key: item.key };
    const counted = this.countedOf(item.bucket);
    const all = seenOf({ past: item.past }, seen);
    const open = all.without(counted);
    const { entries, events } = item;
    const remote = { entries, seen: all, events, past: open.isEmpty ? null : open };
    const joined = joinObject(this.object(name), counted, remote);
    if (joined.changed) this.store(name, joined.object, conflict);
    this.cover(events);
    return this.coverOwn(item, events);
  }

  /** Events that have no index row, and are not to be skipped above. */
  get floor(): CausalContext {
    const named = this.own.without(this.stripped);
    named.union(this.indexed);
    named.union(this.skipped);
    return this.context.without(named);
  }

  /** Returns index rows of events of a key that are about to be counted, for the hub above; beyond the bound all keys are compared. */
  index({ bucket, key }: ObjectName, events: CausalContext): HubWrite[] {
    const { shard } = this;
    const fresh = CausalContext.fromRanges(events.minus(this.context));
    if (this.indexed.dotCount + fresh.dotCount > INDEXED_MAX) return [];
    this.indexed.union(fresh);
    return dotsIn(fresh).map((dot) => ({ type: 'event', shard, ...dot, name: { bucket, key } }));
  }

  /** Counts events without their keys. `isChained`: the hub above is to do the same. */
  skip(events: CausalContext, buckets: readonly string[], isChained: boolean): void {
    const fresh = CausalContext.fromRanges(events.minus(this.context));
    if (isChained && this.skipped.rangeCount + fresh.rangeCount <= INDEXED_MAX) this.skipped.union(fresh);
    this.cover(events);
    if (buckets.some((name) => !this.buckets.includes(name))) this.partial = [...this.buckets, ...buckets];
  }

  /** Forgets what the hub above counts: `max` index rows at most. */
  strip(covered: CausalContext, max: number): HubWrite[] {
    const { shard } = this;
    const stripped = CausalContext.fromDots(dotsIn(this.indexed.intersection(covered), max));
    this.indexed = this.indexed.without(stripped);
    this.skipped = this.skipped.without(covered);
    this.touch();
    return dotsIn(stripped.without(this.own)).map((dot) => ({ type: 'event', shard, ...dot, name: null }));
  }

  /** Counts events of a key, which are covered, as written at a hub; returns the index rows of those that did not count so. */
  coverOwn({ bucket, key }: ObjectName, events: CausalContext): HubWrite[] {
    const { shard, own } = this;
    const fresh = CausalContext.fromRanges(events.minus(own));
    if (fresh.isEmpty) return [];
    own.union(fresh);
    this.changed = true;
    return dotsIn(fresh).map((dot) => ({ type: 'event', shard, ...dot, name: { bucket, key } }));
  }

  /** Rewrites a key that is loaded. What that replaces may be ahead of its event, or be sent again: it is to be no news then. */
  rewrite(name: ShardObjectName, entries: Entries, replaced: readonly Dot[], conflict: ConflictPolicy): void {
    const { past } = this.object(name);
    const open = CausalContext.fromDots(replaced).without(this.countedOf(name.bucket));
    this.store(name, { entries, past: open.isEmpty ? past : seenOf({ past }, open) }, conflict);
  }

  /** Replaces a key that is loaded. */
  store(name: ShardObjectName, object: CausalObject, conflict: ConflictPolicy): void {
    if (conflict === 'lww') {
      for (const lost of conflictsIn(this.object(name).entries, object.entries)) {
        this.conflicts.push({ type: 'conflict', name, ...lost });
      }
    }
    this.objects.set(nameId(name), { name, object, changed: true });
    this.changed = true;
  }

  /** What the transaction ends with. */
  writes(revision: string): HubWrite[] {
    if (!this.changed) return [];
    const { shard, context, own, stripped, indexed, skipped, partial, doubtful } = this;
    const objects = [...this.objects.values()].filter((each) => each.changed);
    return [
      ...objects.map(({ name, object }) => objectWrite(name, object)),
      ...this.conflicts,
      { type: 'shard', shard, value: { context, own, stripped, indexed, skipped, partial, doubtful, revision } },
    ];
  }

  /** Whether who covers this has all that the site has sent: nobody else has more of a key. */
  private isKnownTo(context: CausalContext): boolean {
    return context.covers(this.context.without(this.own));
  }

  /** Of a partial bucket the context counts what was never here: it would pass for deleted. */
  private countedOf(bucket: string): CausalContext {
    return this.buckets.includes(bucket) ? this.own : this.context;
  }

  /** What is counted once all is compared. */
  private floorOf(floor: CausalContext, isLacking: boolean): CausalContext {
    if (!isLacking) return floor;
    const all = floor.clone();
    all.union(this.context);
    return all;
  }
}

/** What nothing is left of is not kept. */
export function objectWrite(name: ShardObjectName, object: CausalObject): HubWrite {
  const isGone = object.entries.length === 0 && object.past === null;
  return { type: 'object', name, value: isGone ? null : object };
}

function remoteOf(item: UplinkItem, context: CausalContext, floor: CausalContext | undefined): RemoteObject {
  const { entries, past, events, more, sent } = item;
  const counts = floor === undefined ? events : new CausalContext();
  const rest = floor === undefined ? {} : { floor };
  if (more) {
    const seen = CausalContext.fromDots(entries.map(({ dot }) => dot));
    return { entries, seen, events: new CausalContext(), past: null, ...rest };
  }
  const all = seenOf({ past }, context);
  const seen = sent === null ? all : all.without(sent);
  return { entries, seen, events: counts, past, ...rest };
}

/** In the order of the context; `max` of them at most. */
export function dotsIn(context: CausalContext, max = Number.POSITIVE_INFINITY): Dot[] {
  const dots: Dot[] = [];
  for (const { actor, from, to } of context.ranges()) {
    for (let counter = from; counter <= to && dots.length < max; counter++) dots.push({ actor, counter });
  }
  return dots;
}
