import { unreachable } from '../../lib/assert.ts';
import { CausalContext } from '../causal/context.ts';
import type { ConflictPolicy } from '../causal/entry.ts';
import { differing, FingerprintTree, leafOf } from '../causal/fingerprint-tree.ts';
import { type KeyEvents, noteEvent } from '../causal/key-events.ts';
import { compareNames, nameId, type ObjectName } from '../causal/name.ts';
import { samePast } from '../causal/object.ts';
import { combinedDigest } from './digest.ts';
import { itemBytes } from './item.ts';
import {
  type HubAskRequest,
  type HubCompareRequest,
  type HubCopiesRequest,
  type HubDoneRequest,
  type HubFetchRequest,
  type HubHelloRequest,
  type HubKnowRequest,
  type HubPullRequest,
  type HubPushRequest,
  type HubReply,
  type HubReportRequest,
  type HubRequest,
  type PushResult,
  REQUEST_BYTES,
  type ShardPush,
  type SyncPolicy,
  UNNAMED_MAX,
  type UplinkItem,
} from './message.ts';
import { dotsIn, NO_REVISION, objectWrite, ShardCopy } from './shard-copy.ts';
import type {
  HubObjectRow,
  HubOutcome,
  HubRead,
  HubRows,
  HubTransaction,
  HubWrite,
  ShardObjectName,
} from './transaction.ts';

/** What the process that runs a transaction adds to it. */
export interface HubMoment {
  /** Random: 16 lower-case hex digits, never used before. */
  readonly revision: string;
  /** The hub has a hub of its own, which is to hear of all this. */
  readonly isChained: boolean;
  /** Of a bucket by its qualified name; undefined where the site has not told of it. */
  readonly bucketOf: (name: string) => { readonly sync: SyncPolicy; readonly conflict: ConflictPolicy } | undefined;
}

/** Events of the hub's own that one answer brings down, and index rows that one request strips. */
const PULL_EVENTS = 512;
const SCAN_ROWS = 1024;
/** Rows read at once for keys in some leaves. */
const FETCH_ROWS = 128;
/** Rows that one comparison rids of a past that is over. */
const STALE_MAX = 1024;
/** Index rows kept of a shard, at least, of what the site has. */
const INDEX_ROWS = 1024;
/** Keys read at once for it, and the bytes of several. */
const PULL_KEYS = 8;
const ANSWER_BYTES_MAX = 2 * 1024 * 1024;

/** The transaction that answers a request about shards. */
export function transactionOf(
  request: Exclude<HubRequest, HubHelloRequest | HubReportRequest>,
  at: HubMoment,
): HubTransaction<HubReply> {
  switch (request.type) {
    case 'hub-ask':
      return ask(request);
    case 'hub-know':
      return know(request);
    case 'hub-push':
      return push(request, at);
    case 'hub-pull':
      return pull(request, at);
    case 'hub-compare':
      return compare(request);
    case 'hub-copies':
      return copies(request, at);
    case 'hub-done':
      return done(request, at);
    case 'hub-fetch':
      return fetchItems(request);
    default:
      return unreachable(request);
  }
}

function* ask({ shards, combined }: HubAskRequest): HubTransaction<HubReply> {
  const found = yield* readShards(shards, false);
  const covers = [...found.values()].filter(({ revision }) => revision !== NO_REVISION);
  const digest = combinedDigest(covers.map(({ shard, context }) => [shard, context]));
  if (combined === digest) return outcome({ type: 'hub-covers', same: true, covers: [] });
  const told = covers.map(({ shard, context, own }) => ({ shard, context, own }));
  return outcome({ type: 'hub-covers', same: false, covers: told });
}

function* know({ actor, shards }: HubKnowRequest): HubTransaction<HubReply> {
  const found = yield* readShards(shards, false);
  const known = [...found.values()].map(({ shard, context }) => ({ shard, context: context.ofActor(actor) }));
  return outcome({ type: 'hub-known', known: known.filter(({ context }) => !context.isEmpty) });
}

function* push({ pushes }: HubPushRequest, at: HubMoment): HubTransaction<HubReply> {
  const copiesOf = yield* readShards(
    pushes.map(({ shard }) => shard),
    true,
  );
  yield* readObjects(
    copiesOf,
    pushes.flatMap(({ shard, items }) => items.map((item) => ({ ...nameOf(item), shard }))),
  );
  const index: HubWrite[] = [];
  const results = pushes.flatMap((each): PushResult | readonly [] => {
    const copy = copiesOf.get(each.shard) as ShardCopy;
    if (hasForgotten(copy, each)) return [];
    const lacking = copy.toCompareWith(each.context);
    const unsure = [...new Set(each.items.map(({ bucket }) => bucket))].filter((name) => lacking.includes(name));
    if (unsure.length > 0) return { shard: each.shard, status: 'compare', buckets: unsure };
    for (const item of each.items) {
      if (at.isChained) index.push(...copy.index(item, item.events));
      copy.join(item, each.context, conflictOf(at, item.bucket));
      index.push(...copy.coverOwn(item, item.events.intersection(each.own)));
    }
    if (!each.skipped.isEmpty) copy.skip(each.skipped, each.skippedOf, at.isChained);
    return { shard: each.shard, status: 'applied', digest: copy.context.digest(), own: copy.own };
  });
  return outcome({ type: 'hub-pushed', results }, [...index, ...writesOf(copiesOf, at)]);
}

/** The sender counts on events, or on parts of a key, that are not here any more. */
function hasForgotten(copy: ShardCopy, { context, later, skipped, items }: ShardPush): boolean {
  const added = later.clone();
  added.union(skipped);
  for (const { events } of items) added.union(events);
  return (
    !copy.context.covers(context.without(added)) ||
    items.some((item) => !copy.hasSeen({ ...nameOf(item), shard: copy.shard }, item.sent))
  );
}

function* pull({ shard, context, settled }: HubPullRequest, at: HubMoment): HubTransaction<HubReply> {
  const copiesOf = yield* readShards([shard], true);
  const copy = copiesOf.get(shard) as ShardCopy;
  const missing = CausalContext.fromRanges(copy.own.minus(context)).without(copy.stripped);
  const dots = dotsIn(missing, PULL_EVENTS);
  const { events } = yield* read('events', { type: 'events', shard, dots });
  const byKey = new Map<string, KeyEvents<ShardObjectName>>();
  const unsure = new Set<string>();
  for (const { name, dot } of events) {
    const sync = at.bucketOf(name.bucket)?.sync;
    if (sync === 'both' && copy.partial.includes(name.bucket)) unsure.add(name.bucket);
    else if (sync === 'down' || sync === 'both') noteEvent(byKey, { ...nameOf(name), shard }, dot);
  }
  const { items, events: sent } = yield* itemsDown(copiesOf, copy, [...byKey.values()]);
  for (const { dot, name } of events) if (!byKey.has(nameId(name))) sent.add(dot);
  const later = missing.without(sent);
  // Index rows that are gone were looked for in vain.
  const more = !later.without(CausalContext.fromDots(dots)).isEmpty || items.length < byKey.size;
  const strips = stripsOf(copy, settled);
  return outcome(
    {
      type: 'hub-pulled',
      shard,
      context: copy.context,
      own: copy.own,
      items: later.isEmpty ? items : items.map((item) => ({ ...item, past: unionOf(item.past, later) })),
      more,
      compare: [...unsure],
    },
    [...strips, ...copy.writes(at.revision)],
  );
}

/** As many as fit one answer. */
function* itemsDown(
  copiesOf: ReadonlyMap<number, ShardCopy>,
  copy: ShardCopy,
  keys: readonly KeyEvents<ShardObjectName>[],
): Generator<HubRead, { readonly items: UplinkItem[]; readonly events: CausalContext }, HubRows> {
  const items: UplinkItem[] = [];
  const events = new CausalContext();
  let bytes = 0;
  for (let at = 0; at < keys.length && bytes < REQUEST_BYTES; at += PULL_KEYS) {
    const some = keys.slice(at, at + PULL_KEYS);
    yield* readObjects(
      copiesOf,
      some.map(({ name }) => name),
    );
    for (const { name, events: ofKey } of some) {
      const { entries, past } = copy.object(name);
      const item = { ...nameOf(name), entries, past, events: ofKey, more: false, sent: null };
      if (items.length > 0 && bytes + itemBytes(item) > ANSWER_BYTES_MAX) return { items, events };
      bytes += itemBytes(item);
      items.push(item);
      events.union(ofKey);
    }
  }
  return { items, events };
}

function* compare({ shard, buckets, revision, children, sums }: HubCompareRequest): HubTransaction<HubReply> {
  const copy = (yield* readShards([shard], true)).get(shard) as ShardCopy;
  if (revision !== null && revision !== copy.revision)
    return outcome({ type: 'hub-differ', revision: null, differing: [] });
  const tree = new FingerprintTree();
  const stale: HubWrite[] = [];
  for (let after: ObjectName | null = null; ; ) {
    const page: Extract<HubRows, { type: 'scan' }> = yield* read('scan', {
      type: 'scan',
      shard,
      buckets,
      after,
      limit: SCAN_ROWS,
    });
    for (const row of page.rows) {
      const object = copy.current(row.name.bucket, row);
      tree.add(nameId(row.name), object);
      if (samePast(row.past, object.past) || stale.length === STALE_MAX) continue;
      // The fingerprints stay as they are, and with them the revision.
      stale.push(objectWrite({ ...nameOf(row.name), shard }, object));
    }
    after = page.rows.at(-1)?.name ?? null;
    if (!page.more || after === null) break;
  }
  const own = children === null ? tree.top() : tree.below(children);
  return outcome({ type: 'hub-differ', revision: copy.revision, differing: differing(own, sums) }, stale);
}

function* copies(request: HubCopiesRequest, at: HubMoment): HubTransaction<HubReply> {
  const { shard, buckets, revision, context, floor, items, interval } = request;
  const copiesOf = yield* readShards([shard], true);
  const copy = copiesOf.get(shard) as ShardCopy;
  if (revision !== copy.revision) return outcome({ type: 'hub-copied', revision: null, unnamed: [] });
  yield* readObjects(
    copiesOf,
    items.map((item) => ({ ...nameOf(item), shard })),
  );
  const leaves = new Set(request.leaves);
  const named = new Set(items.map(nameId));
  const unnamed: ObjectName[] = [];
  // Read before anything is written: what the items change is among the named.
  for (let after = interval?.after ?? null, more = interval !== null; more && unnamed.length < UNNAMED_MAX; ) {
    const page: Extract<HubRows, { type: 'scan' }> = yield* read('scan', {
      type: 'scan',
      shard,
      buckets,
      after,
      limit: SCAN_ROWS,
    });
    const upto = interval?.upto ?? null;
    const inside: readonly HubObjectRow[] = page.rows.filter(
      ({ name }) => upto === null || compareNames(name, upto) <= 0,
    );
    for (const { name, entries } of inside) {
      const id = nameId(name);
      // What the site has never seen it cannot have deleted: it would be named again and again.
      const isSeen = entries.some(({ dot }) => context.has(dot));
      if (isSeen && leaves.has(leafOf(id)) && !named.has(id)) unnamed.push(name);
    }
    after = page.rows.at(-1)?.name ?? null;
    more = page.more && after !== null && inside.length === page.rows.length;
  }
  for (const item of items) copy.join(item, context, conflictOf(at, item.bucket), floor);
  copy.touch();
  return outcome(
    { type: 'hub-copied', revision: at.revision, unnamed: unnamed.slice(0, UNNAMED_MAX) },
    writesOf(copiesOf, at),
  );
}

function* done(
  { shard, buckets, revision, context, floor, skippedOf }: HubDoneRequest,
  at: HubMoment,
): HubTransaction<HubReply> {
  const copiesOf = yield* readShards([shard], true);
  const copy = copiesOf.get(shard) as ShardCopy;
  const isCurrent = revision === copy.revision;
  if (isCurrent) {
    const isNews = !copy.context.covers(floor);
    copy.cover(floor);
    copy.noteCompared(buckets, context);
    if (isNews) copy.partial = [...copy.partial, ...skippedOf];
  }
  const reply = { type: 'hub-completed', done: isCurrent, digest: copy.context.digest() } as const;
  return outcome(reply, isCurrent ? writesOf(copiesOf, at) : []);
}

function* fetchItems({ shard, buckets, leaves, after }: HubFetchRequest): HubTransaction<HubReply> {
  const copy = (yield* readShards([shard], false)).get(shard) as ShardCopy;
  const wanted = new Set(leaves);
  const named = new Set(buckets);
  const items: UplinkItem[] = [];
  let upto = after;
  let isWhole = copy.doubtful.length === 0;
  let hasOthers = false;
  for (let bytes = 0, more = true; more && bytes < REQUEST_BYTES; ) {
    const page: Extract<HubRows, { type: 'scan' }> = yield* read('scan', {
      type: 'scan',
      shard,
      // Who counts all of the shard must not count keys of a bucket that it has not heard of.
      buckets: null,
      after: upto,
      limit: FETCH_ROWS,
    });
    for (const row of page.rows) {
      if (bytes >= REQUEST_BYTES) break;
      upto = row.name;
      const isNamed = named.has(row.name.bucket);
      hasOthers ||= !isNamed;
      const item = isNamed && wanted.has(leafOf(nameId(row.name))) ? copy.itemOf(row.name, row) : null;
      if (item === null) continue;
      if (itemBytes(item) > ANSWER_BYTES_MAX) isWhole = false;
      else items.push(item);
      bytes += Math.min(itemBytes(item), ANSWER_BYTES_MAX);
    }
    more = page.more && page.rows.length > 0;
    if (!more && bytes < REQUEST_BYTES) upto = null;
  }
  const { revision, context, own, partial } = copy;
  return outcome({ type: 'hub-fetched', revision, context, own, partial, isWhole, hasOthers, items, upto });
}

/** All of them: those that are not stored are empty. */
export function* readShards(
  shards: readonly number[],
  lock: boolean,
): Generator<HubRead, Map<number, ShardCopy>, HubRows> {
  const ids = [...new Set(shards)].toSorted((a, b) => a - b);
  const found = yield* read('shards', { type: 'shards', shards: ids, lock });
  return new Map(ids.map((shard) => [shard, new ShardCopy(shard, found.shards.get(shard))]));
}

export function* readObjects(
  copiesOf: ReadonlyMap<number, ShardCopy>,
  names: readonly ShardObjectName[],
): Generator<HubRead, void, HubRows> {
  if (names.length === 0) return;
  const found = yield* read('objects', { type: 'objects', names });
  for (const name of names) copiesOf.get(name.shard)?.load(name, found.objects.get(nameId(name)));
}

type RowsOf<T extends HubRows['type']> = Extract<HubRows, { type: T }>;

export function* read<T extends HubRows['type']>(
  type: T,
  what: Extract<HubRead, { type: T }>,
): Generator<HubRead, RowsOf<T>, HubRows> {
  const rows = yield what;
  if (rows.type !== type) throw new Error(`a store answered ${rows.type} to ${type}`);
  return rows as RowsOf<T>;
}

export function outcome<T>(result: T, writes: readonly HubWrite[] = []): HubOutcome<T> {
  return { result, writes };
}

export function writesOf(copiesOf: ReadonlyMap<number, ShardCopy>, { revision }: HubMoment): HubWrite[] {
  return [...copiesOf.values()].flatMap((copy) => copy.writes(revision));
}

/**
 * Index rows of events that all owners have, but for the latest: their disks may be restored from older copies, and then the site
 * asks again.
 */
function stripsOf(copy: ShardCopy, settled: CausalContext): HubWrite[] {
  const surplus = copy.own.dotCount - copy.stripped.dotCount - INDEX_ROWS;
  if (surplus <= 0) return [];
  const covered = copy.own.intersection(settled).without(copy.stripped);
  const dots = dotsIn(covered, Math.min(surplus, PULL_EVENTS));
  if (dots.length === 0) return [];
  for (const dot of dots) copy.stripped.add(dot);
  copy.touch();
  return dots.map(({ actor, counter }) => ({ type: 'event', shard: copy.shard, actor, counter, name: null }));
}

function unionOf(past: CausalContext | null, later: CausalContext | null): CausalContext | null {
  if (past === null || later === null) return past ?? later;
  const union = past.clone();
  union.union(later);
  return union;
}

export function nameOf({ bucket, key }: ObjectName): ObjectName {
  return { bucket, key };
}

export function conflictOf(at: HubMoment, bucket: string): ConflictPolicy {
  return at.bucketOf(bucket)?.conflict ?? 'lww';
}
