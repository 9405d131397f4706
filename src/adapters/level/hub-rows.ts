import { randomBytes } from 'node:crypto';
import type { ObjectName, StoredValue } from '../../ports/hub-store.ts';
import type { Storage, StorageRange, StorageRow } from '../../ports/storage.ts';
import { DecodeError } from '../../wire/codec.ts';
import { type CountedShard, HUB_RECORDS } from '../../wire/hub-record.ts';
import { hasValue } from '../../wire/hub-value.ts';
import { after } from '../../wire/record-key.ts';
import {
  ALL_ROWS,
  bucketsKey,
  FORMAT_KEY,
  type HubRecordName,
  listedName,
  listingKey,
  objectKey,
  objectsOfShard,
  shardIn,
  shardKey,
  tableRange,
} from './hub-key.ts';

const PIECE_ROWS = 1000;
export const PIECE_BYTES = 1024 * 1024;

/** A shard that the transaction was told of has turned out to be damaged: it has to begin anew. */
export class DamagedShardError extends Error {
  override readonly name = 'DamagedShardError';
}

/** The records of an embedded hub in their decoded form, and what becomes of those that are damaged: they read as absent. */
export class HubRows {
  readonly storage: Storage;
  /** Buckets of which objects were lost, by `damageId`. */
  readonly #damaged = new Map<string, Set<string>>();
  /** How often records were lost that could not be named: shards that were marked less often may lack some. */
  #losses: number;

  constructor(storage: Storage, losses: number) {
    this.storage = storage;
    this.#losses = losses;
  }

  /** Called by the storage, before the read that has found it is answered. */
  noteDamage(record: HubRecordName): void {
    if (record.table === 'object') {
      const id = damageId(record.site, record.shard);
      const buckets = this.#damaged.get(id);
      if (buckets === undefined) this.#damaged.set(id, new Set([record.name.bucket]));
      else buckets.add(record.name.bucket);
    } else if (record.table === 'listing') {
      // A failing disk shows in what follows.
      this.#listAnew(record.site, record.name).catch(() => undefined);
    }
  }

  async noteLosses(losses: number): Promise<void> {
    this.#losses = losses;
    await this.storage.commit([{ key: FORMAT_KEY, value: formatRecord(losses) }]);
  }

  isDamaged(site: number, shard: number): boolean {
    return this.#damaged.has(damageId(site, shard));
  }

  async read<T>(keys: readonly Uint8Array[], decode: (value: Uint8Array) => T): Promise<(T | undefined)[]> {
    const values = await this.storage.readMany(keys);
    return values.map((value, index) => {
      const key = keys[index];
      return value === undefined || key === undefined ? undefined : this.decoded({ key, value }, decode);
    });
  }

  /** Undefined where it cannot be decoded. */
  decoded<T>({ key, value }: StorageRow, decode: (value: Uint8Array) => T): T | undefined {
    try {
      return decode(value);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.storage.reject(key, error.message);
      return undefined;
    }
  }

  /** All rows, read by the piece; `wanted`: about how many of them are going to be used. */
  async *scan(range: StorageRange, wanted = PIECE_ROWS): AsyncGenerator<StorageRow> {
    let { from } = range;
    for (;;) {
      const rows = await this.storage.scan({ from, to: range.to }, Math.min(wanted, PIECE_ROWS), PIECE_BYTES);
      const last = rows.at(-1);
      if (last === undefined) return;
      yield* rows;
      from = after(last.key);
    }
  }

  /** The values of the next keys of a range of the listing; null at its end. */
  async listed(
    site: number,
    range: StorageRange,
    wanted: number,
  ): Promise<{ readonly values: readonly StoredValue[]; readonly last: string } | null> {
    const rows = await this.storage.scan(range, wanted, Number.MAX_SAFE_INTEGER);
    const last = rows.at(-1);
    if (last === undefined) return null;
    const listed = rows.flatMap((row) => {
      const shard = this.decoded(row, HUB_RECORDS.number.decode);
      return shard === undefined ? [] : [{ ...listedName(row.key), shard }];
    });
    const objects = await this.read(
      listed.map((name) => objectKey(site, name.shard, name)),
      HUB_RECORDS.object.decode,
    );
    const values = listed.flatMap(({ key }, index): StoredValue[] => {
      const entries = objects[index]?.entries ?? [];
      return hasValue(entries) ? [{ key, entries }] : [];
    });
    return { values, last: listedName(last.key).key };
  }

  /** To be called by the holder of their locks. */
  async shards(site: number, shards: readonly number[]): Promise<Map<number, CountedShard>> {
    const keys = shards.map((shard) => shardKey(site, shard));
    const rows = await this.read(keys, HUB_RECORDS.countedShard.decode);
    const found = new Map<number, CountedShard>();
    for (const [index, shard] of shards.entries()) {
      const row = rows[index];
      if (row === undefined) {
        this.#damaged.delete(damageId(site, shard));
        continue;
      }
      const isSound = !this.isDamaged(site, shard) && row.losses === this.#losses;
      found.set(shard, isSound ? row : await this.#mark(site, shard, row));
    }
    return found;
  }

  /** Of a shard whose own record is not there: it may be lost. */
  async count(site: number, shard: number): Promise<CountedShard> {
    let keys = 0;
    for await (const row of this.scan(objectsOfShard(site, shard))) {
      const object = this.decoded(row, HUB_RECORDS.object.decode);
      if (object !== undefined && hasValue(object.entries)) keys++;
    }
    return { shard: null, keys, losses: this.#losses };
  }

  /**
   * What was lost is still counted by the shard's context. It is said to count events without their keys, as it does: so
   * the hub compares these buckets with the site's copy before it relies on them.
   */
  async #mark(site: number, shard: number, row: CountedShard): Promise<CountedShard> {
    const id = damageId(site, shard);
    const lost = new Set(this.#damaged.get(id));
    if (row.losses !== this.#losses) for (const name of await this.#bucketNames(site)) lost.add(name);
    const counted = await this.count(site, shard);
    const marked =
      row.shard === null
        ? counted
        : {
            ...counted,
            shard: {
              ...row.shard,
              partial: [...new Set([...row.shard.partial, ...lost])],
              revision: randomBytes(8).toString('hex'),
            },
          };
    await this.storage.commit([{ key: shardKey(site, shard), value: HUB_RECORDS.countedShard.encode(marked) }]);
    this.#damaged.delete(id);
    return marked;
  }

  async #bucketNames(site: number): Promise<string[]> {
    const [buckets] = await this.read([bucketsKey(site)], HUB_RECORDS.buckets.decode);
    return (buckets ?? []).filter(({ sync }) => sync !== 'none').map(({ name }) => name);
  }

  /** Finds the shard of a key whose listing row is damaged. */
  async #listAnew(site: number, name: ObjectName): Promise<void> {
    for await (const { key } of this.scan(tableRange(site, 'shard'))) {
      const shard = shardIn(key);
      const [object] = await this.read([objectKey(site, shard, name)], HUB_RECORDS.object.decode);
      if (object === undefined || !hasValue(object.entries)) continue;
      await this.storage.commit([{ key: listingKey(site, name), value: HUB_RECORDS.number.encode(shard) }]);
      return;
    }
  }
}

function damageId(site: number, shard: number): string {
  return `${site}/${shard}`;
}

const FORMAT_VERSION = 1;

function formatRecord(losses: number): Uint8Array {
  return HUB_RECORDS.format.encode({ version: FORMAT_VERSION, losses });
}

/** How often records were lost; null: the directory holds something else, or a format that this version does not know. */
export async function readFormat(storage: Storage): Promise<number | null> {
  const stored = storage.read(FORMAT_KEY);
  if (stored !== undefined) {
    const { version, losses } = HUB_RECORDS.format.decode(stored);
    return version === FORMAT_VERSION ? losses : null;
  }
  const [first] = await storage.scan({ from: Uint8Array.of(0), to: Uint8Array.of(0xff) }, 1, PIECE_BYTES);
  // Of a hub that has lost this very record: nobody knows how often it was said that others were lost.
  const isOwn = first !== undefined && ALL_ROWS.some((range) => isWithin(first.key, range));
  if (first !== undefined && !isOwn) return null;
  const losses = first === undefined ? 0 : randomBytes(6).readUIntBE(0, 6);
  await storage.commit([{ key: FORMAT_KEY, value: formatRecord(losses) }]);
  return losses;
}

function isWithin(key: Uint8Array, { from, to }: StorageRange): boolean {
  return Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0;
}
