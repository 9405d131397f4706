import { CausalContext, type DotRange } from '../causal/context.ts';
import { type KeyEvents, noteEvent } from '../causal/key-events.ts';
import type { ObjectName } from '../causal/name.ts';
import { type CausalObject, stripPast } from '../causal/object.ts';
import { conflictOf, type HubMoment, nameOf, outcome, read, readObjects, readShards, writesOf } from './hub-replica.ts';
import { dotsIn, type ShardCopy } from './shard-copy.ts';
import type { KeyCopy, KeysRead, PulledItems } from './source.ts';
import type { HubTransaction, HubWrite } from './transaction.ts';

/** What a hub that has a hub of its own does with its store: the shards of one of its sites, as they are reconciled upwards. */

/** What is kept of a shard. None of it is to be modified. */
export interface ShardKept {
  readonly context: CausalContext;
  /** Of that, the events of which nothing tells the key. */
  readonly floor: CausalContext;
  /** Index rows and ranges of the context that are kept for the hub above alone. */
  readonly indexed: CausalContext;
  readonly skipped: CausalContext;
  /** Qualified names of buckets of which the context counts events without their keys. */
  readonly partial: readonly string[];
}

const SCAN_ROWS = 1024;
const INDEX_ROWS = 1024;
const STRIPPED_MAX = 1024;

/** By shard: all that were asked for. */
export function* hubKept(shards: readonly number[]): HubTransaction<ReadonlyMap<number, ShardKept>> {
  const copies = yield* readShards(shards, false);
  return outcome(new Map([...copies].map(([shard, copy]) => [shard, keptOf(copy)])));
}

/** The keys behind these events, by the index. */
export function* hubKeysOf(
  shard: number,
  events: readonly DotRange[],
  eventsMax: number,
): HubTransaction<{
  readonly kept: ShardKept;
  readonly keys: readonly KeyEvents[];
  readonly looked: CausalContext;
}> {
  const copy = (yield* readShards([shard], false)).get(shard) as ShardCopy;
  const dots = dotsIn(CausalContext.fromRanges(events), eventsMax);
  const looked = CausalContext.fromDots(dots);
  const keys = new Map<string, KeyEvents>();
  // Their keys are not known: that they are of such buckets says enough.
  const skipped = copy.skipped.intersection(looked);
  if (!skipped.isEmpty)
    for (const bucket of copy.partial) keys.set(bucket, { name: { bucket, key: '' }, events: skipped.clone() });
  for (let at = 0; at < dots.length; at += INDEX_ROWS) {
    const rows = yield* read('events', { type: 'events', shard, dots: dots.slice(at, at + INDEX_ROWS) });
    for (const { name, dot } of rows.events) noteEvent(keys, nameOf(name), dot);
  }
  return outcome({ kept: keptOf(copy), keys: [...keys.values()], looked });
}

/** Keys as they are at one moment, in the order asked for. */
export function* hubKeys(
  shard: number,
  names: readonly ObjectName[],
): HubTransaction<KeysRead & { readonly kept: ShardKept }> {
  const copies = yield* readShards([shard], false);
  const copy = copies.get(shard) as ShardCopy;
  const inShard = names.map((name) => ({ ...nameOf(name), shard }));
  yield* readObjects(copies, inShard);
  const { context, own } = copy;
  const found = inShard.map(
    (name): KeyCopy => ({ name: nameOf(name), ...stripped(copy, copy.object(name), name.bucket) }),
  );
  return outcome({ kept: keptOf(copy), copies: found, context, own });
}

/** A page of all keys of a shard. */
export function* hubPage(
  shard: number,
  after: ObjectName | null,
): HubTransaction<{ readonly kept: ShardKept; readonly rows: readonly KeyCopy[]; readonly more: boolean }> {
  const copy = (yield* readShards([shard], false)).get(shard) as ShardCopy;
  const { rows, more } = yield* read('scan', { type: 'scan', shard, buckets: null, after, limit: SCAN_ROWS });
  return outcome({
    kept: keptOf(copy),
    rows: rows.map((row) => ({ name: row.name, ...stripped(copy, row, row.name.bucket) })),
    more,
  });
}

/** Takes in what has come down. False: of some of it this hub does not know yet that it is to come down. */
export function* hubTake(shard: number, { items, context, own }: PulledItems, at: HubMoment): HubTransaction<boolean> {
  const copies = yield* readShards([shard], true);
  const copy = copies.get(shard) as ShardCopy;
  yield* readObjects(
    copies,
    items.map((item) => ({ ...nameOf(item), shard })),
  );
  const index: HubWrite[] = [];
  let isAll = true;
  for (const item of items) {
    const sync = at.bucketOf(item.bucket)?.sync;
    if (sync !== 'both' && sync !== 'down') isAll = false;
    // Of a bucket that only comes down the hub above counts events that it was never sent.
    else index.push(...copy.take(item, sync === 'both' ? context : own, conflictOf(at, item.bucket)));
  }
  return outcome(isAll, [...index, ...writesOf(copies, at)]);
}

/** Forgets what was kept of a shard for the hub above alone, as far as that counts it. */
export function* hubStrip(shard: number, covered: CausalContext, at: HubMoment): HubTransaction<true> {
  const copies = yield* readShards([shard], true);
  const rows = (copies.get(shard) as ShardCopy).strip(covered, STRIPPED_MAX);
  return outcome(true, [...rows, ...writesOf(copies, at)]);
}

function keptOf({ context, floor, indexed, skipped, partial }: ShardCopy): ShardKept {
  return { context, floor, indexed, skipped, partial };
}

/** Without what is counted by now: of a partial bucket the context counts too much. */
function stripped({ context, partial }: ShardCopy, object: CausalObject, bucket: string): CausalObject {
  const { entries, past } = partial.includes(bucket) ? object : stripPast(object, context);
  return { entries, past };
}
