import { shownName } from '../../lib/bucket-name.ts';
import { compareUtf8 } from '../../lib/utf8.ts';
import type { Clock } from '../../ports/clock.ts';
import {
  type ActorId,
  type ConflictRecord,
  compareShares,
  type HubStore,
  HubStoreError,
  type HubTransaction,
  noSite,
  SEEN_LAG_MS,
  type Share,
  SITE_CONFLICTS_MAX,
  type SiteBucket,
  type SiteRecord,
  type SiteTotals,
  type StoredValue,
} from '../../ports/hub-store.ts';
import type { Log } from '../../ports/log.ts';
import { DecodeError } from '../../wire/codec.ts';
import { bucketsWith, HUB_RECORDS } from '../../wire/hub-record.ts';
import { Connections, retried, type Session } from './connections.ts';
import { LockOrderError } from './errors.ts';
import { type AttemptTerms, HubAttempt } from './hub-attempt.ts';
import { endOfPrefix, keyFromText, keyToText } from './key-text.ts';
import { ownChanges } from './own-changes.ts';
import { migrate } from './schema.ts';

const CONNECTIONS_MAX = 10;
const TIMEOUT_MS = 5000;
const REMOVED_AT_ONCE = 2000;
const SEEN_SITES_MAX = 10_000;

export interface HubPostgresStoreOptions {
  /** `postgres://user:password@host:5432/database`. */
  readonly url: string;
  readonly log: Log;
  readonly clock: Pick<Clock, 'now'>;
  /** Connections at a time; default 10. */
  readonly connectionsMax?: number;
  /** Of one statement, and of waiting for a connection; default 5 s. */
  readonly timeoutMs?: number;
  /** Of one site, that are kept; default: SITE_CONFLICTS_MAX. */
  readonly conflictsMax?: number;
}

/**
 * A hub's store in PostgreSQL, or a database that speaks its protocol and SQL, for any number of processes. What is in it can be
 * read by SQL: the view `holdfast_value` has a row for each key with a value that has not expired. A transaction whose connection
 * is lost while it commits fails as `unavailable`, and may have been done all the same.
 *
 * @throws HubStoreError `unavailable`, `unreadable` (tables of a later version), `io` (a wrong URL, password or right).
 */
export async function openHubPostgresStore(options: HubPostgresStoreOptions): Promise<HubStore> {
  const { url, log, connectionsMax = CONNECTIONS_MAX, timeoutMs = TIMEOUT_MS } = options;
  const connections = new Connections({ url, log, connectionsMax, timeoutMs });
  try {
    await migrate(connections);
    const nowMs = (): number => Math.floor(options.clock.now().wallMs);
    const store = new PostgresHubStore(connections, {
      nowMs,
      conflictsMax: options.conflictsMax ?? SITE_CONFLICTS_MAX,
    });
    await store.finishRemovals();
    return store;
  } catch (error) {
    await connections.close();
    throw error;
  }
}

class PostgresHubStore implements HubStore {
  readonly isShared = true;
  readonly #connections: Connections;
  readonly #terms: AttemptTerms;
  /** What `noteSeen` has written. */
  readonly #seen = new Map<string, number>();

  constructor(connections: Connections, terms: AttemptTerms) {
    this.#connections = connections;
    this.#terms = terms;
  }

  async transact<T>(site: string, transaction: () => HubTransaction<T>): Promise<T> {
    let wanted: ReadonlySet<number> = new Set();
    const attempt = async (): Promise<T> => {
      const running = transaction();
      const first = running.next();
      // Who locks first sees what is written up to then, and nothing changes after that. Who does not needs a snapshot.
      const locksFirst = first.done !== true && first.value.type === 'shards' && first.value.lock;
      return await this.#connections.transact(locksFirst ? 'read committed' : 'repeatable read', async (session) => {
        const run = new HubAttempt(session, await siteId(session, site), this.#terms);
        await run.hold(wanted);
        return await run.run(running, first);
      });
    };
    const inOrder = async (): Promise<T> => {
      try {
        return await attempt();
      } catch (error) {
        if (error instanceof LockOrderError) wanted = new Set([...wanted, ...error.shards]);
        throw error;
      }
    };
    return await this.#reading(() => retried(this.#connections.target, inOrder));
  }

  async addSite({ name, key, createdMs }: Pick<SiteRecord, 'name' | 'key' | 'createdMs'>): Promise<boolean> {
    const added = await this.#query(
      'insert into holdfast_site (name, key, created_ms) values ($1, $2, $3) on conflict (name) do nothing returning id',
      [name, Buffer.from(key), createdMs],
    );
    return added.length > 0;
  }

  async replaceKey(name: string, key: Uint8Array): Promise<boolean> {
    const found = await this.#query('update holdfast_site set key = $2 where name = $1 returning id', [
      name,
      Buffer.from(key),
    ]);
    return found.length > 0;
  }

  async removeSite(name: string): Promise<boolean> {
    const id = await this.#transact(async (session) => {
      const [site] = await session.query<{ id: string }>('select id from holdfast_site where name = $1 for update', [
        name,
      ]);
      if (site === undefined) return null;
      await session.query('insert into holdfast_removal (site_id) values ($1)', [site.id]);
      // Waits for the transactions that have locked some. From then on nobody can, and the other rows stay as they are.
      await session.query('delete from holdfast_shard where site_id = $1', [site.id]);
      await session.query('delete from holdfast_actor where site_id = $1', [site.id]);
      await session.query('delete from holdfast_share where to_id = $1', [site.id]);
      await session.query('delete from holdfast_share where from_id = $1', [site.id]);
      await session.query('delete from holdfast_site where id = $1', [site.id]);
      return site.id;
    });
    this.#seen.delete(name);
    if (id === null) return false;
    await this.#clear(id);
    return true;
  }

  /** Of processes that ended in the middle of one. */
  async finishRemovals(): Promise<void> {
    const removals = await this.#query<{ site_id: string }>('select site_id from holdfast_removal');
    for (const { site_id: id } of removals) await this.#clear(id);
  }

  /** By the piece: a statement has little time, and a large one would hold up others. */
  async #clear(id: string): Promise<void> {
    for (const [table, key] of CLEARED) {
      const statement = `delete from ${table} where site_id = $1
        and (${key}) in (select ${key} from ${table} where site_id = $1 limit ${REMOVED_AT_ONCE}) returning 1 as one`;
      while ((await this.#query(statement, [id])).length > 0);
    }
    await this.#query('delete from holdfast_removal where site_id = $1', [id]);
  }

  async sites(): Promise<readonly SiteRecord[]> {
    const rows = await this.#query<SiteRow>(`select ${SITE_COLUMNS} from holdfast_site`);
    return rows.map(siteOf).sort((a, b) => compareUtf8(a.name, b.name));
  }

  async site(name: string): Promise<SiteRecord | null> {
    const [row] = await this.#query<SiteRow>(`select ${SITE_COLUMNS} from holdfast_site where name = $1`, [name]);
    return row === undefined ? null : siteOf(row);
  }

  async noteSite(name: string, told: Parameters<HubStore['noteSite']>[1]): Promise<void> {
    const { clusterId, shards, buckets, actors, atMs } = told;
    await this.#transact(async (session) => {
      const [known] = await session.query<{ buckets: Buffer | null }>(
        'select buckets from holdfast_site where name = $1 for update',
        [name],
      );
      const before = known?.buckets ?? null;
      const all = bucketsWith(before === null ? [] : HUB_RECORDS.buckets.decode(before), buckets);
      const [site] = await session.query<{ id: string }>(
        `update holdfast_site set cluster_id = $2, shards = $3, buckets = $4,
           seen_ms = case when seen_ms > $5 then seen_ms else $5 end
         where name = $1 returning id`,
        [name, clusterId, shards, Buffer.from(HUB_RECORDS.buckets.encode(all)), atMs],
      );
      if (site === undefined) throw noSite(name);
      const names = new Map(actors.map(({ actor, name: node }) => [actor, node]));
      await session.query(
        `insert into holdfast_actor (site_id, actor, name) select $1, * from unnest($2::text[], $3::text[])
         on conflict (site_id, actor) do update set name = excluded.name where holdfast_actor.name <> excluded.name`,
        [site.id, [...names.keys()], [...names.values()]],
      );
    });
  }

  async noteSeen(name: string, atMs: number): Promise<void> {
    if (atMs < (this.#seen.get(name) ?? Number.NEGATIVE_INFINITY) + SEEN_LAG_MS) return;
    const [seen] = await this.#query<{ seen_ms: string }>(
      `update holdfast_site set seen_ms = case when seen_ms > $2 then seen_ms else $2 end
       where name = $1 returning seen_ms`,
      [name, atMs],
    );
    if (seen === undefined) throw noSite(name);
    if (this.#seen.size >= SEEN_SITES_MAX) this.#seen.clear();
    this.#seen.set(name, Number(seen.seen_ms));
  }

  async buckets(name: string): Promise<readonly SiteBucket[]> {
    const [row] = await this.#query<{ buckets: Buffer | null }>('select buckets from holdfast_site where name = $1', [
      name,
    ]);
    if (row === undefined) throw noSite(name);
    const { buckets } = row;
    return buckets === null ? [] : await this.#reading(async () => HUB_RECORDS.buckets.decode(buckets));
  }

  async actors(name: string): Promise<ReadonlyMap<ActorId, string>> {
    return await this.#ofSite(name, async (session, id) => {
      const rows = await session.query<{ actor: string; name: string }>(
        'select actor, name from holdfast_actor where site_id = $1',
        [id],
      );
      return new Map(rows.map(({ actor, name: node }) => [actor, node]));
    });
  }

  async list(
    name: string,
    bucket: string,
    { prefix, after, limit }: { readonly prefix: string; readonly after: string; readonly limit: number },
  ): Promise<readonly StoredValue[]> {
    const from = keyToText(prefix);
    const end = endOfPrefix(from);
    return await this.#ofSite(name, async (session, id) => {
      const rows = await session.query<{ key: string; record: Buffer }>(
        `select key, record from holdfast_object
         where site_id = $1 and bucket = $2 and has_value and qualified = $3 and key >= $4 and key > $5
           ${end === null ? '' : 'and key < $7'}
         order by key limit $6`,
        [id, shownName(bucket), bucket, from, keyToText(after), limit, ...(end === null ? [] : [end])],
      );
      return rows.map(({ key, record }) => ({
        key: keyFromText(key),
        entries: HUB_RECORDS.object.decode(record).entries,
      }));
    });
  }

  async conflicts(
    name: string,
    { before, limit }: { readonly before: number | null; readonly limit: number },
  ): Promise<readonly (ConflictRecord & { readonly position: number })[]> {
    return await this.#ofSite(name, async (session, id) => {
      const rows = await session.query<ConflictRow>(
        `select c.position, c.qualified, c.key, c.winner, c.loser, c.at_ms,
           coalesce(w.name, c.winner_actor) as won_by, coalesce(l.name, c.actor) as lost_by
         from holdfast_conflict c
         left join holdfast_actor w on w.site_id = c.site_id and w.actor = c.winner_actor
         left join holdfast_actor l on l.site_id = c.site_id and l.actor = c.actor
         where c.site_id = $1 and c.position < $2
         order by c.position desc limit $3`,
        [id, before ?? Number.MAX_SAFE_INTEGER, limit],
      );
      return rows.map(conflictOf);
    });
  }

  async totals(name: string): Promise<SiteTotals> {
    return await this.#ofSite(name, async (session, id) => {
      const [row] = await session.query<{ keys: string; conflicts: string }>(
        `select
           (select count(*) from holdfast_object where site_id = $1 and has_value) as keys,
           (select count(*) from holdfast_conflict where site_id = $1) as conflicts`,
        [id],
      );
      return { keys: Number(row?.keys ?? 0), conflicts: Number(row?.conflicts ?? 0) };
    });
  }

  async changedSince(name: string, cursor: string | null) {
    return await this.#ofSite(name, (session, id) => ownChanges(session, id, cursor));
  }

  async shares(): Promise<readonly Share[]> {
    const rows = await this.#query<ShareRow>(
      `select t.name as to_name, h.bucket, f.name as from_name, h.created_ms from holdfast_share h
       join holdfast_site t on t.id = h.to_id join holdfast_site f on f.id = h.from_id`,
    );
    return rows
      .map((row) => ({
        to: row.to_name,
        bucket: row.bucket,
        from: row.from_name,
        createdMs: Number(row.created_ms),
      }))
      .sort(compareShares);
  }

  async addShare({ to, bucket, from, createdMs }: Share): Promise<boolean> {
    return await this.#transact(async (session) => {
      // In one order, so that none waits for another that waits for it. Nobody can remove them meanwhile.
      const sites = await session.query<{ id: string; name: string }>(
        'select id, name from holdfast_site where name = $1 or name = $2 order by id for update',
        [to, from],
      );
      const ids = new Map(sites.map(({ id, name }) => [name, id]));
      for (const name of [to, from]) if (!ids.has(name)) throw noSite(name);
      const added = await session.query(
        `insert into holdfast_share (to_id, bucket, from_id, created_ms) values ($1, $2, $3, $4)
         on conflict (to_id, bucket) do nothing returning 1 as one`,
        [ids.get(to), bucket, ids.get(from), createdMs],
      );
      return added.length > 0;
    });
  }

  async removeShare({ to, bucket }: Pick<Share, 'to' | 'bucket'>): Promise<boolean> {
    const removed = await this.#query(
      `delete from holdfast_share where bucket = $2
         and to_id in (select id from holdfast_site where name = $1) returning 1 as one`,
      [to, bucket],
    );
    return removed.length > 0;
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async #query<R extends Record<string, unknown>>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return await retried(this.#connections.target, () => this.#connections.query<R>(text, values));
  }

  async #transact<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return await retried(this.#connections.target, () => this.#connections.transact('read committed', work));
  }

  async #ofSite<T>(name: string, work: (session: Session, id: string) => Promise<T>): Promise<T> {
    return await this.#reading(() =>
      retried(this.#connections.target, () =>
        this.#connections.use(async (session) => await work(session, await siteId(session, name))),
      ),
    );
  }

  async #reading<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const message = `A record in the database ${this.#connections.target} is not what this version writes (${error.message}). Run the version that wrote it, or restore the database.`;
      throw new HubStoreError('unreadable', message, { cause: error });
    }
  }
}

/** Tables that may be large, and their keys within a site. */
const CLEARED = [
  ['holdfast_object', 'shard, qualified, key'],
  ['holdfast_event', 'shard, actor, counter'],
  ['holdfast_conflict', 'shard, actor, counter'],
] as const;

const SITE_COLUMNS = 'name, key, created_ms, cluster_id, shards, seen_ms';

/** Integers of 64 bits arrive as text. */
interface SiteRow extends Record<string, unknown> {
  readonly name: string;
  readonly key: Buffer;
  readonly created_ms: string;
  readonly cluster_id: string | null;
  readonly shards: string | null;
  readonly seen_ms: string | null;
}

interface ShareRow extends Record<string, unknown> {
  readonly to_name: string;
  readonly bucket: string;
  readonly from_name: string;
  readonly created_ms: string;
}

interface ConflictRow extends Record<string, unknown> {
  readonly position: string;
  readonly qualified: string;
  readonly key: string;
  readonly winner: Buffer;
  readonly loser: Buffer;
  readonly at_ms: string;
  readonly won_by: string;
  readonly lost_by: string;
}

function siteOf(row: SiteRow): SiteRecord {
  const { name, key, created_ms, cluster_id, shards, seen_ms } = row;
  return {
    name,
    key: Uint8Array.from(key),
    createdMs: Number(created_ms),
    clusterId: cluster_id,
    shards: shards === null ? null : Number(shards),
    seenMs: seen_ms === null ? null : Number(seen_ms),
  };
}

function conflictOf(row: ConflictRow): ConflictRecord & { readonly position: number } {
  return {
    bucket: row.qualified,
    key: keyFromText(row.key),
    winner: HUB_RECORDS.entry.decode(row.winner),
    loser: HUB_RECORDS.entry.decode(row.loser),
    wonBy: row.won_by,
    lostBy: row.lost_by,
    atMs: Number(row.at_ms),
    position: Number(row.position),
  };
}

async function siteId(session: Session, name: string): Promise<string> {
  const [site] = await session.query<{ id: string }>('select id from holdfast_site where name = $1', [name]);
  if (site === undefined) throw noSite(name);
  return site.id;
}
