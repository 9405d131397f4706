import { shownName } from '../../lib/bucket-name.ts';
import {
  type CausalObject,
  compareNames,
  type HubEventRow,
  type HubObjectRow,
  type HubRead,
  type HubRows,
  type HubShard,
  type HubTransaction,
  nameId,
  type WriteSet,
  writeSetOf,
} from '../../ports/hub-store.ts';
import { HUB_RECORDS, hasOtherOwn } from '../../wire/hub-record.ts';
import { plainValue } from '../../wire/hub-value.ts';
import { byteaArray } from './binary-array.ts';
import type { Session } from './connections.ts';
import { LockOrderError } from './errors.ts';
import { keyFromText, keyToText } from './key-text.ts';

/** Bytes of the records of one scan. */
const SCAN_BYTES = 16 * 1024 * 1024;
/** Old conflicts that go with new ones, beside as many as there are new ones. */
const FORGOTTEN_MAX = 256;

type ReadOf<T extends HubRead['type']> = Extract<HubRead, { readonly type: T }>;
type RowsOf<T extends HubRows['type']> = Extract<HubRows, { readonly type: T }>;

export interface AttemptTerms {
  /** Unix ms. */
  readonly nowMs: () => number;
  /** Conflicts of a site that are kept. */
  readonly conflictsMax: number;
}

/**
 * Answers the reads of one run of a hub's transaction, within one of the database, and writes what it ends with.
 *
 * Rows are looked up in forms that a planner can only take as look-ups by the primary key, each on its own: of a join it would
 * think that reading all rows is cheaper, until it has counted them.
 */
export class HubAttempt {
  readonly #session: Session;
  readonly #site: string;
  readonly #terms: AttemptTerms;
  /** Shards that it may write to. */
  readonly #locked = new Set<number>();
  /** Shards whose rows are locked. */
  readonly #held = new Set<number>();
  #highest = -1;
  readonly #shards = new Map<number, HubShard>();

  /** `site`: its id. */
  constructor(session: Session, site: string, terms: AttemptTerms) {
    this.#session = session;
    this.#site = site;
    this.#terms = terms;
  }

  /** `first`: the step that it has taken already. */
  async run<T>(transaction: HubTransaction<T>, first: ReturnType<HubTransaction<T>['next']>): Promise<T> {
    let step = first;
    while (step.done !== true) step = transaction.next(await this.#answer(step.value));
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

  async #readShards({ shards, lock }: ReadOf<'shards'>): Promise<RowsOf<'shards'>> {
    const rows = lock ? await this.#lock(shards) : await this.#shardRows(shards, '');
    if (lock) for (const shard of shards) this.#locked.add(shard);
    const found = new Map<number, HubShard>();
    for (const { shard, record } of rows) {
      if (record === null) continue;
      const value = HUB_RECORDS.shard.decode(record);
      found.set(Number(shard), value);
      this.#shards.set(Number(shard), value);
    }
    return { type: 'shards', shards: found };
  }

  /** Locks shards before anything is read. */
  async hold(shards: ReadonlySet<number>): Promise<void> {
    if (shards.size > 0) await this.#lock([...shards]);
  }

  /** Throws a LockOrderError, rather than wait for somebody who may wait for this one. */
  async #lock(shards: readonly number[]): Promise<ShardRow[]> {
    const unheld = shards.filter((shard) => !this.#held.has(shard));
    if (unheld.some((shard) => shard < this.#highest)) throw new LockOrderError(new Set([...this.#held, ...shards]));
    for (const shard of unheld) this.#held.add(shard);
    this.#highest = unheld.reduce((highest, shard) => Math.max(highest, shard), this.#highest);
    const rows = await this.#shardRows(shards, 'for update');
    const found = new Set(rows.map(({ shard }) => Number(shard)));
    const missing = shards.filter((shard) => !found.has(shard));
    if (missing.length === 0) return rows;
    await this.#session.query(
      `insert into holdfast_shard (site_id, shard)
       select $1, shard from unnest($2::bigint[]) as n(shard) order by shard
       on conflict do nothing`,
      [this.#site, missing],
    );
    // Somebody else may have been faster, and written it.
    return [...rows, ...(await this.#shardRows(missing, 'for update'))];
  }

  async #shardRows(shards: readonly number[], lock: '' | 'for update'): Promise<ShardRow[]> {
    return await this.#session.query<ShardRow>(
      `select shard, record from holdfast_shard
       where site_id = $1 and shard = any($2::bigint[]) order by shard ${lock}`,
      [this.#site, shards],
    );
  }

  async #readObjects({ names }: ReadOf<'objects'>): Promise<RowsOf<'objects'>> {
    const objects = new Map<string, CausalObject>();
    const rows = await this.#session.query<{ i: string; record: Buffer | null }>(
      `select n.i, (
         select o.record from holdfast_object o
         where o.site_id = $1 and o.shard = n.shard and o.qualified = n.qualified and o.key = n.key
       ) as record
       from unnest($2::bigint[], $3::text[], $4::text[]) with ordinality as n(shard, qualified, key, i)`,
      [
        this.#site,
        names.map(({ shard }) => shard),
        names.map(({ bucket }) => bucket),
        names.map(({ key }) => keyToText(key)),
      ],
    );
    for (const { i, record } of rows) {
      const name = names[Number(i) - 1];
      if (name !== undefined && record !== null) objects.set(nameId(name), HUB_RECORDS.object.decode(record));
    }
    return { type: 'objects', objects };
  }

  async #readEvents({ shard, dots }: ReadOf<'events'>): Promise<RowsOf<'events'>> {
    const rows = await this.#session.query<{ i: string; name: [string, string] | null }>(
      `select n.i, (
         select array[e.qualified, e.key] from holdfast_event e
         where e.site_id = $1 and e.shard = $2 and e.actor = n.actor and e.counter = n.counter
       ) as name
       from unnest($3::text[], $4::bigint[]) with ordinality as n(actor, counter, i)
       order by n.i`,
      [this.#site, shard, dots.map(({ actor }) => actor), dots.map(({ counter }) => counter)],
    );
    const events = rows.flatMap(({ i, name }): HubEventRow[] => {
      const dot = dots[Number(i) - 1];
      return dot === undefined || name === null ? [] : [{ dot, name: { bucket: name[0], key: keyFromText(name[1]) } }];
    });
    return { type: 'events', events };
  }

  async #scan({ shard, buckets, after, limit }: ReadOf<'scan'>): Promise<RowsOf<'scan'>> {
    // The bytes are summed up before any record is read: `octet_length` knows them without.
    const found = await this.#session.query<{ qualified: string; key: string; record: Buffer | null }>(
      `select qualified, key, case when bytes_before < $7 or place = 1 then record end as record
       from (
         select qualified, key, record,
           row_number() over names as place,
           sum(octet_length(record)) over names - octet_length(record) as bytes_before
         from (
           select qualified, key, record from holdfast_object
           where site_id = $1 and shard = $2 and ($3::text[] is null or qualified = any($3::text[]))
             and (qualified, key) > ($4, $5)
           order by qualified, key limit $6
         ) page
         window names as (order by qualified, key rows unbounded preceding)
       ) summed
       order by qualified, key`,
      [this.#site, shard, buckets, after?.bucket ?? '', keyToText(after?.key ?? ''), limit + 1, SCAN_BYTES],
    );
    const rows: HubObjectRow[] = [];
    for (const { qualified, key, record } of found) {
      if (record === null || rows.length === limit) return { type: 'scan', rows, more: true };
      rows.push({ name: { bucket: qualified, key: keyFromText(key) }, ...HUB_RECORDS.object.decode(record) });
    }
    return { type: 'scan', rows, more: false };
  }

  async #write(set: WriteSet): Promise<void> {
    await this.#writeObjects(set);
    await this.#writeEvents(set);
    await this.#writeConflicts(set);
    await this.#writeShards(set);
  }

  async #writeObjects({ objects }: WriteSet): Promise<void> {
    const kept: Column[][] = [];
    const gone = new Map<string, { shard: number; bucket: string; keys: string[] }>();
    for (const { name, value } of objects.toSorted((a, b) => compareNames(a.name, b.name))) {
      const { shard, bucket } = name;
      const key = keyToText(name.key);
      if (value === null || (value.entries.length === 0 && value.past === null)) {
        grouped(gone, `${shard}/${bucket}`, () => ({ shard, bucket, keys: [] })).keys.push(key);
      } else {
        kept.push([shard, bucket, key, ...objectColumns(bucket, value)]);
      }
    }
    for (const { shard, bucket, keys } of gone.values()) {
      await this.#session.query(
        'delete from holdfast_object where site_id = $1 and shard = $2 and qualified = $3 and key = any($4::text[])',
        [this.#site, shard, bucket, keys],
      );
    }
    if (kept.length > 0) await this.#session.query(UPSERT_OBJECTS, [this.#site, ...columnsOf(kept)]);
  }

  async #writeEvents({ events }: WriteSet): Promise<void> {
    const gone = new Map<string, { shard: number; actor: string; counters: number[] }>();
    for (const { shard, actor, counter, name } of events) {
      if (name === null) {
        grouped(gone, `${shard}/${actor}`, () => ({ shard, actor, counters: [] })).counters.push(counter);
      }
    }
    for (const { shard, actor, counters } of gone.values()) {
      await this.#session.query(
        'delete from holdfast_event where site_id = $1 and shard = $2 and actor = $3 and counter = any($4::bigint[])',
        [this.#site, shard, actor, counters],
      );
    }
    const kept = events.flatMap(({ shard, actor, counter, name }) =>
      name === null ? [] : [[shard, actor, counter, name.bucket, keyToText(name.key)]],
    );
    if (kept.length === 0) return;
    await this.#session.query(
      `insert into holdfast_event (site_id, shard, actor, counter, qualified, key)
       select $1, * from unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[])
       on conflict (site_id, shard, actor, counter) do update set qualified = excluded.qualified, key = excluded.key`,
      [this.#site, ...columnsOf(kept)],
    );
  }

  async #writeConflicts({ conflicts }: WriteSet): Promise<void> {
    if (conflicts.length === 0) return;
    const rows = conflicts.map(({ name, winner, loser }) => [
      name.shard,
      loser.dot.actor,
      loser.dot.counter,
      name.bucket,
      keyToText(name.key),
      HUB_RECORDS.entry.encode(winner),
      winner.dot.actor,
      HUB_RECORDS.entry.encode(loser),
      this.#terms.nowMs(),
    ]);
    await this.#session.query(
      `insert into holdfast_conflict
         (site_id, shard, actor, counter, qualified, key, winner, winner_actor, loser, at_ms)
       select $1, * from unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[], $8::text[],
         $9::bytea[], $10::bigint[])
       on conflict do nothing`,
      [this.#site, ...columnsOf(rows)],
    );
    // Those that somebody else is about to delete are theirs: two must not wait for each other.
    await this.#session.query(
      `delete from holdfast_conflict where site_id = $1 and (shard, actor, counter) in (
         select shard, actor, counter from holdfast_conflict
         where site_id = $1 and position <= (
           select position from holdfast_conflict where site_id = $1 order by position desc offset $2 limit 1
         )
         order by position limit $3 for update skip locked
       )`,
      [this.#site, this.#terms.conflictsMax, conflicts.length + FORGOTTEN_MAX],
    );
  }

  async #writeShards({ shards }: WriteSet): Promise<void> {
    if (shards.size === 0) return;
    const rows = [...shards].map(([shard, value]) => {
      const isOther = hasOtherOwn(this.#shards.get(shard) ?? null, value);
      return [shard, HUB_RECORDS.shard.encode(value), isOther ? value.revision : null];
    });
    await this.#session.query(
      `insert into holdfast_shard (site_id, shard, record, own_revision, own_changed_ms)
       select $1, shard, record, own_revision,
         case when own_revision is not null then (extract(epoch from clock_timestamp()) * 1000)::bigint end
       from unnest($2::bigint[], $3::bytea[], $4::text[]) as n(shard, record, own_revision)
       on conflict (site_id, shard) do update set
         record = excluded.record,
         own_revision = coalesce(excluded.own_revision, holdfast_shard.own_revision),
         own_changed_ms = coalesce(excluded.own_changed_ms, holdfast_shard.own_changed_ms)`,
      [this.#site, ...columnsOf(rows)],
    );
  }
}

interface ShardRow {
  /** Its number: integers of 64 bits arrive as text. */
  readonly shard: string;
  readonly record: Buffer | null;
}

type Column = number | string | boolean | Uint8Array | null;

const UPSERT_OBJECTS = `insert into holdfast_object
  (site_id, shard, qualified, key, record, bucket, has_value, value, is_text, content_type, written_ms, written_by, expires_ms)
select $1, * from unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::boolean[], $8::bytea[],
  $9::boolean[], $10::text[], $11::bigint[], $12::text[], $13::bigint[])
on conflict (site_id, shard, qualified, key) do update set
  record = excluded.record, has_value = excluded.has_value, value = excluded.value, is_text = excluded.is_text,
  content_type = excluded.content_type, written_ms = excluded.written_ms, written_by = excluded.written_by,
  expires_ms = excluded.expires_ms`;

function objectColumns(bucket: string, object: CausalObject): Column[] {
  const plain = plainValue(object.entries);
  const record = HUB_RECORDS.object.encode(object);
  const shown = shownName(bucket);
  if (plain === null) return [record, shown, false, null, false, null, null, null, null];
  const { value, isText, contentType, writtenMs, actor, expiresMs } = plain;
  return [record, shown, true, value, isText, contentType, writtenMs, actor, expiresMs];
}

function grouped<G>(groups: Map<string, G>, id: string, create: () => G): G {
  const group = groups.get(id) ?? create();
  groups.set(id, group);
  return group;
}

/** One array for each column, as `unnest` takes them. A column is of bytes where one of its values is. */
function columnsOf(rows: readonly (readonly Column[])[]): (Column[] | Buffer)[] {
  return (rows[0] ?? []).map((_, column) => {
    const values = rows.map((row) => row[column] ?? null);
    return values.some((value) => value instanceof Uint8Array) ? byteaArray(values as (Uint8Array | null)[]) : values;
  });
}
