import {
  type CausalObject,
  compareNames,
  type HubObjectRow,
  type HubRead,
  type HubRows,
  type HubShard,
  type HubTransaction,
  nameId,
  type ObjectName,
  type ShardObjectName,
  type WriteSet,
  writeSetOf,
} from '../../ports/hub-store.ts';
import type { StorageRange, StorageWrite } from '../../ports/storage.ts';
import { type CountedShard, HUB_RECORDS, hasOtherOwn } from '../../wire/hub-record.ts';
import { hasValue } from '../../wire/hub-value.ts';
import {
  conflictKey,
  conflictsBefore,
  eventKey,
  knownConflictKey,
  listingKey,
  objectKey,
  objectNameIn,
  objectsOfBucket,
  objectsOfShard,
  shardKey,
} from './hub-key.ts';
import { DamagedShardError, PIECE_BYTES, type HubRows as Rows } from './hub-rows.ts';
import type { ShardLockHolder } from './shard-locks.ts';

/** Bytes of the rows of one scan. */
const SCAN_BYTES = 16 * PIECE_BYTES;
/** Old conflicts that go with new ones, beside as many as there are new ones. */
const FORGOTTEN_MAX = 256;

type ReadOf<T extends HubRead['type']> = Extract<HubRead, { readonly type: T }>;
type RowsOf<T extends HubRows['type']> = Extract<HubRows, { readonly type: T }>;

/** What an attempt needs of the store. */
export interface AttemptSite {
  readonly id: number;
  /** That are kept. */
  readonly conflictsMax: number;
  /** Throws a HubStoreError where the site is gone. */
  assertThere(): void;
  /** As many positions of conflicts: the first of them. */
  takePositions(count: number): Promise<number>;
  /** The hub's own events of these have changed. */
  noteOwn(shards: readonly number[]): void;
}

/**
 * One run of a transaction. Whatever shards it reads are its own until it ends: they are locked, for reading as for writing.
 * Throws a LockOrderError or a DamagedShardError where it has to run again.
 */
export class HubAttempt {
  readonly #rows: Rows;
  readonly #site: AttemptSite;
  readonly #locks: ShardLockHolder;
  readonly #clock: () => number;
  /** Shards that it may write to. */
  readonly #locked = new Set<number>();
  /** As they are stored; null: they are not. */
  readonly #shards = new Map<number, CountedShard | null>();
  /** Whether an object had a value when it was read, by `objectId`. */
  readonly #hadValue = new Map<string, boolean>();

  constructor(modules: {
    readonly rows: Rows;
    readonly site: AttemptSite;
    readonly locks: ShardLockHolder;
    readonly clock: () => number;
  }) {
    this.#rows = modules.rows;
    this.#site = modules.site;
    this.#locks = modules.locks;
    this.#clock = modules.clock;
  }

  async run<T>(transaction: HubTransaction<T>): Promise<T> {
    let step = transaction.next();
    while (step.done !== true) {
      const rows = await this.#answer(step.value);
      // Nothing that it has read says then that something was not there.
      this.#site.assertThere();
      this.#assertSound();
      step = transaction.next(rows);
    }
    const { writes, result } = step.value;
    if (writes.length > 0) await this.#write(writeSetOf(writes, this.#locked));
    return result;
  }

  async #answer(read: HubRead): Promise<HubRows> {
    switch (read.type) {
      case 'shards':
        return await this.#readShards(read);
      case 'objects':
        return await this.#readObjects(read);
      case 'events':
        return await this.#readEvents(read);
      case 'scan':
        return await this.#scan(read);
    }
  }

  /** What is found out later than the shard was read would leave the transaction with a context that counts what is lost. */
  #assertSound(): void {
    for (const [shard, row] of this.#shards) {
      if (row !== null && this.#rows.isDamaged(this.#site.id, shard)) {
        throw new DamagedShardError(`objects of shard ${shard} are damaged`);
      }
    }
  }

  async #readShards({ shards, lock }: ReadOf<'shards'>): Promise<RowsOf<'shards'>> {
    await this.#locks.take(shards);
    const unread = shards.filter((shard) => !this.#shards.has(shard));
    const stored = await this.#rows.shards(this.#site.id, unread);
    for (const shard of unread) this.#shards.set(shard, stored.get(shard) ?? null);
    const found = new Map<number, HubShard>();
    for (const shard of shards) {
      if (lock) this.#locked.add(shard);
      const row = this.#shards.get(shard)?.shard ?? null;
      if (row !== null) found.set(shard, row);
    }
    return { type: 'shards', shards: found };
  }

  async #readObjects({ names }: ReadOf<'objects'>): Promise<RowsOf<'objects'>> {
    await this.#locks.take(names.map(({ shard }) => shard));
    const keys = names.map((name) => objectKey(this.#site.id, name.shard, name));
    const stored = await this.#rows.read(keys, HUB_RECORDS.object.decode);
    const objects = new Map<string, CausalObject>();
    for (const [index, name] of names.entries()) {
      const object = stored[index];
      this.#hadValue.set(objectId(name), object !== undefined && hasValue(object.entries));
      if (object !== undefined) objects.set(nameId(name), object);
    }
    return { type: 'objects', objects };
  }

  async #readEvents({ shard, dots }: ReadOf<'events'>): Promise<RowsOf<'events'>> {
    await this.#locks.take([shard]);
    const keys = dots.map((dot) => eventKey(this.#site.id, shard, dot));
    const names = await this.#rows.read(keys, HUB_RECORDS.objectName.decode);
    const events = dots.flatMap((dot, index) => {
      const name = names[index];
      return name === undefined ? [] : [{ dot, name }];
    });
    return { type: 'events', events };
  }

  async #scan({ shard, buckets, after, limit }: ReadOf<'scan'>): Promise<RowsOf<'scan'>> {
    await this.#locks.take([shard]);
    const site = this.#site.id;
    const rows: HubObjectRow[] = [];
    let bytes = 0;
    const ranges = buckets === null ? [objectsOfShard(site, shard, after)] : bucketRanges(site, shard, buckets, after);
    for (const range of ranges) {
      for await (const row of this.#rows.scan(range, limit + 1)) {
        const object = this.#rows.decoded(row, HUB_RECORDS.object.decode);
        if (object === undefined) continue;
        bytes += row.value.byteLength;
        if (rows.length > 0 && (rows.length >= limit || bytes > SCAN_BYTES)) return { type: 'scan', rows, more: true };
        const name = objectNameIn(row.key);
        this.#hadValue.set(objectId({ shard, ...name }), hasValue(object.entries));
        rows.push({ name, ...object });
      }
    }
    return { type: 'scan', rows, more: false };
  }

  async #write(set: WriteSet): Promise<void> {
    const site = this.#site.id;
    const counts = await this.#counts(set);
    const writes: StorageWrite[] = [];
    await this.#writeObjects(set, counts, writes);
    await this.#writeConflicts(set, writes);
    for (const { shard, actor, counter, name } of set.events) {
      const value = name === null ? null : HUB_RECORDS.objectName.encode(name);
      writes.push({ key: eventKey(site, shard, { actor, counter }), value });
    }
    const own: number[] = [];
    for (const [shard, count] of counts) {
      const before = this.#shards.get(shard)?.shard ?? null;
      const after = set.shards.get(shard) ?? before;
      if (after !== null && hasOtherOwn(before, after)) own.push(shard);
      writes.push({
        key: shardKey(site, shard),
        value: HUB_RECORDS.countedShard.encode({ ...count, shard: after }),
      });
    }
    this.#site.assertThere();
    await this.#rows.storage.commit(writes);
    if (own.length > 0) this.#site.noteOwn(own);
  }

  /** Of the shards that are written to, to be changed. */
  async #counts(set: WriteSet): Promise<Map<number, Counts>> {
    const touched = new Set(set.shards.keys());
    for (const { name } of set.objects) touched.add(name.shard);
    const counts = new Map<number, Counts>();
    for (const shard of touched) {
      const row = this.#shards.get(shard) ?? (await this.#rows.count(this.#site.id, shard));
      counts.set(shard, { keys: row.keys, losses: row.losses });
    }
    return counts;
  }

  async #writeObjects({ objects }: WriteSet, counts: Map<number, Counts>, writes: StorageWrite[]): Promise<void> {
    const site = this.#site.id;
    const unread = objects.map(({ name }) => name).filter((name) => !this.#hadValue.has(objectId(name)));
    if (unread.length > 0) await this.#readObjects({ type: 'objects', names: unread });
    for (const { name, value } of objects) {
      const isKept = value !== null && (value.entries.length > 0 || value.past !== null);
      writes.push({
        key: objectKey(site, name.shard, name),
        value: isKept ? HUB_RECORDS.object.encode(value) : null,
      });
      const had = this.#hadValue.get(objectId(name)) === true;
      const has = value !== null && hasValue(value.entries);
      if (has === had) continue;
      writes.push({ key: listingKey(site, name), value: has ? HUB_RECORDS.number.encode(name.shard) : null });
      const count = counts.get(name.shard);
      if (count !== undefined) count.keys += has ? 1 : -1;
    }
  }

  async #writeConflicts({ conflicts }: WriteSet, writes: StorageWrite[]): Promise<void> {
    if (conflicts.length === 0) return;
    const site = this.#site.id;
    const ids = conflicts.map(({ name, loser }) => knownConflictKey(site, name.shard, loser.dot));
    const known = await this.#rows.read(ids, HUB_RECORDS.number.decode);
    const unknown = [...conflicts.entries()].filter(([index]) => known[index] === undefined);
    if (unknown.length === 0) return;
    let position = await this.#site.takePositions(unknown.length);
    for (const [index, { name, winner, loser }] of unknown) {
      const { shard, bucket, key } = name;
      const conflict = { shard, name: { bucket, key }, winner, loser, atMs: this.#clock() };
      writes.push(
        { key: conflictKey(site, position), value: HUB_RECORDS.conflict.encode(conflict) },
        { key: ids[index] as Uint8Array, value: HUB_RECORDS.number.encode(position) },
      );
      position++;
    }
    await this.#forgetConflicts(position - this.#site.conflictsMax, unknown.length + FORGOTTEN_MAX, writes);
  }

  /** Those with positions below `before`: so many of them. */
  async #forgetConflicts(before: number, max: number, writes: StorageWrite[]): Promise<void> {
    if (before <= 0) return;
    const site = this.#site.id;
    let left = max;
    for await (const row of this.#rows.scan(conflictsBefore(site, before), max)) {
      if (left-- === 0) return;
      const known = this.#rows.decoded(row, HUB_RECORDS.conflict.decode);
      writes.push({ key: row.key, value: null });
      if (known !== undefined) writes.push({ key: knownConflictKey(site, known.shard, known.loser.dot), value: null });
    }
  }
}

interface Counts {
  keys: number;
  readonly losses: number;
}

function objectId(name: ShardObjectName): string {
  return `${name.shard}/${nameId(name)}`;
}

/** Of some buckets, in the order of their names, after an object of one of them. */
function bucketRanges(
  site: number,
  shard: number,
  buckets: readonly string[],
  after: ObjectName | null,
): StorageRange[] {
  return [...new Set(buckets)]
    .sort((a, b) => compareNames(named(a), named(b)))
    .filter((bucket) => after === null || compareNames(named(bucket), named(after.bucket)) >= 0)
    .map((bucket) => objectsOfBucket(site, shard, bucket, after?.bucket === bucket ? after.key : null));
}

function named(bucket: string): { bucket: string; key: string } {
  return { bucket, key: '' };
}
