import { randomBytes } from 'node:crypto';
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
import { type CorruptRecord, type Storage, type StorageWrite } from '../../ports/storage.ts';
import {
  bucketsWith,
  HUB_RECORDS,
  type StoredConflict,
  type StoredShare,
  type StoredSite,
} from '../../wire/hub-record.ts';
import { HubAttempt } from './hub-attempt.ts';
import { mapped } from './hub-errors.ts';
import {
  ALL_REMOVALS,
  ALL_SITES,
  actorIn,
  actorKey,
  bucketsKey,
  conflictsBefore,
  hubRecordOf,
  listingRange,
  positionIn,
  removalIn,
  removalKey,
  shardIn,
  sharedIn,
  shareKey,
  siteKey,
  siteNameIn,
  siteRange,
  tableRange,
} from './hub-key.ts';
import { DamagedShardError, HubRows, readFormat } from './hub-rows.ts';
import { type LevelStorageOptions, openLevelStorage } from './level-storage.ts';
import { LockOrderError, ShardLocks } from './shard-locks.ts';

/** Runs of one transaction, after which more damage than this will be found by every further one. */
const DAMAGED_RUNS_MAX = 8;
/** Listing rows that are read at once, and then their objects. */
const LIST_PIECE_ROWS = 256;

export interface HubLevelStoreOptions
  extends Pick<
    LevelStorageOptions,
    'directory' | 'trialCommand' | 'cacheBytes' | 'writeBufferBytes' | 'headroomBytes'
  > {
  readonly log: Log;
  readonly clock: Pick<Clock, 'now'>;
  /** Of one site, that are kept; default: SITE_CONFLICTS_MAX. */
  readonly conflictsMax?: number;
}

/**
 * A hub's store in a directory of its own, for one process. A damaged record reads as absent; of a key that was lost with it, the
 * shard says that its bucket is to be compared with the site's copy.
 *
 * @throws HubStoreError `in-use`, `disk-full`, `unreadable` (damage, or another program's directory), `io`.
 */
export async function openHubLevelStore(options: HubLevelStoreOptions): Promise<HubStore> {
  return await mapped(async () => {
    const found: CorruptRecord[] = [];
    let losses = 0;
    let store: LevelHubStore | undefined;
    const storage = await openLevelStorage({
      ...options,
      onCorrupt: (record) => {
        if (store === undefined) found.push(record);
        else store.noteCorrupt(record);
      },
      // Until the hub has fetched the key anew, a restart must not forget that it was lost.
      keepsCorrupt: (key) => hubRecordOf(key).table === 'object',
      onRecordsLost: (reason) => {
        options.log.error('records of the hub were lost; it compares all shards with their sites', { reason });
        if (store === undefined) losses++;
        else store.noteLosses();
      },
    });
    try {
      store = await LevelHubStore.open(storage, options, losses);
      for (const record of found) store.noteCorrupt(record);
      return store;
    } catch (error) {
      await storage.close();
      throw error;
    }
  });
}

interface Site {
  readonly name: string;
  stored: StoredSite;
  isGone: boolean;
  readonly locks: ShardLocks;
  /** Of the next conflict; null: not looked up yet. */
  nextPosition: Promise<number> | null;
  /** Shards by the last change of the hub's own events in them. */
  readonly ownChanges: Map<number, number>;
  /** What it is given, by bucket. */
  readonly given: Map<string, StoredShare>;
}

class LevelHubStore implements HubStore {
  readonly isShared = false;
  readonly #storage: Storage;
  readonly #rows: HubRows;
  readonly #log: Log;
  readonly #clock: () => number;
  readonly #conflictsMax: number;
  readonly #sites = new Map<string, Site>();
  readonly #siteIds = new Map<number, Site>();
  #nextId = 1;
  /** Changes of sites, one at a time. */
  #siteChanges: Promise<unknown> = Promise.resolve();
  /** Names this run of the store in cursors. */
  readonly #run = randomBytes(4).toString('hex');
  #changes = 0;
  #losses: number;
  #working = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  static async open(storage: Storage, options: HubLevelStoreOptions, lost: number): Promise<LevelHubStore> {
    const losses = await readFormat(storage);
    if (losses === null) {
      throw new HubStoreError(
        'unreadable',
        `The directory ${options.directory} holds something else than this version of a hub keeps. Choose another directory, or run the version that wrote it.`,
      );
    }
    const store = new LevelHubStore(storage, options, losses);
    if (lost > 0) await store.#addLoss();
    await store.#load();
    return store;
  }

  private constructor(storage: Storage, options: HubLevelStoreOptions, losses: number) {
    this.#storage = storage;
    this.#rows = new HubRows(storage, losses);
    this.#losses = losses;
    this.#log = options.log;
    this.#conflictsMax = options.conflictsMax ?? SITE_CONFLICTS_MAX;
    this.#clock = () => Math.floor(options.clock.now().wallMs);
  }

  async #load(): Promise<void> {
    for await (const row of this.#rows.scan(ALL_SITES)) {
      const stored = this.#rows.decoded(row, HUB_RECORDS.site.decode);
      if (stored !== undefined) this.#keep(siteNameIn(row.key), stored);
    }
    for (const { stored, given } of this.#sites.values()) {
      for await (const row of this.#rows.scan(tableRange(stored.id, 'share'))) {
        const share = this.#rows.decoded(row, HUB_RECORDS.share.decode);
        if (share !== undefined && this.#sites.has(share.from)) given.set(sharedIn(row.key), share);
      }
    }
    const removed: number[] = [];
    for await (const { key } of this.#rows.scan(ALL_REMOVALS)) removed.push(removalIn(key));
    this.#nextId = Math.max(0, ...this.#siteIds.keys(), ...removed) + 1;
    // Cut short by the end of the run before.
    for (const id of removed) await this.#clear(id);
  }

  /** What others are given from it. */
  #giftsOf(name: string): { to: Site; bucket: string }[] {
    return [...this.#sites.values()].flatMap((to) =>
      [...to.given].filter(([, { from }]) => from === name).map(([bucket]) => ({ to, bucket })),
    );
  }

  #keep(name: string, stored: StoredSite, given = new Map<string, StoredShare>()): void {
    const site: Site = {
      name,
      stored,
      isGone: false,
      locks: new ShardLocks(),
      nextPosition: null,
      ownChanges: new Map(),
      given,
    };
    this.#sites.set(name, site);
    this.#siteIds.set(stored.id, site);
  }

  noteCorrupt({ key, reason }: CorruptRecord): void {
    const record = hubRecordOf(key);
    const site = 'site' in record ? this.#siteIds.get(record.site)?.name : undefined;
    this.#log.error('a record of the hub is damaged and reads as absent', { table: record.table, site, reason });
    this.#rows.noteDamage(record);
  }

  noteLosses(): void {
    this.#addLoss().catch((error: unknown) => {
      this.#log.error('a loss of records could not be written down', { reason: String(error) });
    });
  }

  async #addLoss(): Promise<void> {
    this.#losses++;
    await this.#rows.noteLosses(this.#losses);
  }

  async transact<T>(name: string, transaction: () => HubTransaction<T>): Promise<T> {
    return await this.#work(async () => {
      const site = this.#siteOf(name);
      for (let damaged = 0, wanted: ReadonlySet<number> = new Set(); ; ) {
        const locks = site.locks.holder();
        try {
          await locks.take(wanted);
          return await this.#attempt(site, locks, transaction);
        } catch (error) {
          if (error instanceof LockOrderError) wanted = new Set([...wanted, ...locks.held, ...error.shards]);
          else if (!(error instanceof DamagedShardError) || damaged++ === DAMAGED_RUNS_MAX) throw error;
        } finally {
          locks.release();
        }
      }
    });
  }

  async #attempt<T>(
    site: Site,
    locks: ReturnType<ShardLocks['holder']>,
    transaction: () => HubTransaction<T>,
  ): Promise<T> {
    const attempt = new HubAttempt({
      rows: this.#rows,
      locks,
      clock: this.#clock,
      site: {
        id: site.stored.id,
        conflictsMax: this.#conflictsMax,
        assertThere: () => {
          if (site.isGone) throw noSite(site.name);
        },
        takePositions: (count) => this.#takePositions(site, count),
        noteOwn: (shards) => {
          this.#changes++;
          for (const shard of shards) site.ownChanges.set(shard, this.#changes);
        },
      },
    });
    return await attempt.run(transaction());
  }

  async #takePositions(site: Site, count: number): Promise<number> {
    site.nextPosition ??= this.#lastPosition(site.stored.id).then((last) => last + 1);
    const first = site.nextPosition;
    site.nextPosition = first.then((position) => position + count);
    try {
      return await first;
    } catch (error) {
      site.nextPosition = null;
      throw error;
    }
  }

  async #lastPosition(id: number): Promise<number> {
    const [row] = await this.#storage.scan(conflictsBefore(id, null), 1, 1);
    return row === undefined ? 0 : positionIn(row.key);
  }

  async addSite({ name, key, createdMs }: Pick<SiteRecord, 'name' | 'key' | 'createdMs'>): Promise<boolean> {
    return await this.#changeSites(async () => {
      if (this.#sites.has(name)) return false;
      const stored = { id: this.#nextId++, key, createdMs, clusterId: null, shards: null, seenMs: null };
      await this.#storage.commit([{ key: siteKey(name), value: HUB_RECORDS.site.encode(stored) }]);
      this.#keep(name, stored);
      return true;
    });
  }

  async replaceKey(name: string, key: Uint8Array): Promise<boolean> {
    return await this.#changeSites(async () => {
      const site = this.#sites.get(name);
      if (site === undefined) return false;
      await this.#rewrite(site, { key });
      return true;
    });
  }

  async removeSite(name: string): Promise<boolean> {
    const removed = await this.#changeSites(async () => {
      const site = this.#sites.get(name);
      if (site === undefined) return null;
      const { id } = site.stored;
      // What was committed before is cleared, and nothing is from now on.
      site.isGone = true;
      this.#sites.delete(name);
      this.#siteIds.delete(id);
      const gifts = this.#giftsOf(name);
      try {
        await this.#storage.commit([
          { key: siteKey(name), value: null },
          { key: removalKey(id), value: HUB_RECORDS.number.encode(id) },
          ...gifts.map(({ to, bucket }) => ({ key: shareKey(to.stored.id, bucket), value: null })),
        ]);
      } catch (error) {
        this.#keep(name, site.stored, site.given);
        throw error;
      }
      for (const { to, bucket } of gifts) to.given.delete(bucket);
      return id;
    });
    if (removed === null) return false;
    await this.#work(() => this.#clear(removed));
    return true;
  }

  async #clear(id: number): Promise<void> {
    await this.#storage.clear(siteRange(id));
    await this.#storage.commit([{ key: removalKey(id), value: null }]);
  }

  async sites(): Promise<readonly SiteRecord[]> {
    return await this.#work(async () =>
      [...this.#sites.values()].map(recordOf).sort((a, b) => compareUtf8(a.name, b.name)),
    );
  }

  async site(name: string): Promise<SiteRecord | null> {
    return await this.#work(async () => {
      const site = this.#sites.get(name);
      return site === undefined ? null : recordOf(site);
    });
  }

  async noteSite(name: string, told: Parameters<HubStore['noteSite']>[1]): Promise<void> {
    await this.#changeSites(async () => {
      const site = this.#siteOf(name);
      const { id } = site.stored;
      const { clusterId, shards, atMs } = told;
      const stored = { ...site.stored, clusterId, shards, seenMs: Math.max(site.stored.seenMs ?? 0, atMs) };
      const known = await this.#rows.read(
        told.actors.map(({ actor }) => actorKey(id, actor)),
        HUB_RECORDS.nodeName.decode,
      );
      const [before = []] = await this.#rows.read([bucketsKey(id)], HUB_RECORDS.buckets.decode);
      const writes: StorageWrite[] = [
        { key: siteKey(name), value: HUB_RECORDS.site.encode(stored) },
        { key: bucketsKey(id), value: HUB_RECORDS.buckets.encode(bucketsWith(before, told.buckets)) },
      ];
      for (const [index, { actor, name: node }] of told.actors.entries()) {
        if (known[index] !== node) writes.push({ key: actorKey(id, actor), value: HUB_RECORDS.nodeName.encode(node) });
      }
      await this.#storage.commit(writes);
      site.stored = stored;
    });
  }

  async noteSeen(name: string, atMs: number): Promise<void> {
    const isDue = ({ stored }: Site): boolean => stored.seenMs === null || atMs >= stored.seenMs + SEEN_LAG_MS;
    if (!isDue(this.#siteOf(name))) return;
    await this.#changeSites(async () => {
      const site = this.#siteOf(name);
      if (!isDue(site)) return;
      await this.#rewrite(site, { seenMs: atMs });
    });
  }

  async #rewrite(site: Site, changed: Partial<StoredSite>): Promise<void> {
    const stored = { ...site.stored, ...changed };
    await this.#storage.commit([{ key: siteKey(site.name), value: HUB_RECORDS.site.encode(stored) }]);
    site.stored = stored;
  }

  async buckets(name: string): Promise<readonly SiteBucket[]> {
    return await this.#work(async () => {
      const { id } = this.#siteOf(name).stored;
      const [buckets] = await this.#rows.read([bucketsKey(id)], HUB_RECORDS.buckets.decode);
      return buckets ?? [];
    });
  }

  async actors(name: string): Promise<ReadonlyMap<ActorId, string>> {
    return await this.#work(async () => {
      const actors = new Map<ActorId, string>();
      for await (const row of this.#rows.scan(tableRange(this.#siteOf(name).stored.id, 'actor'))) {
        const node = this.#rows.decoded(row, HUB_RECORDS.nodeName.decode);
        if (node !== undefined) actors.set(actorIn(row.key), node);
      }
      return actors;
    });
  }

  async list(
    name: string,
    bucket: string,
    range: { readonly prefix: string; readonly after: string; readonly limit: number },
  ): Promise<readonly StoredValue[]> {
    return await this.#work(async () => {
      const { id } = this.#siteOf(name).stored;
      const found: StoredValue[] = [];
      let after = range.after;
      while (found.length < range.limit) {
        const wanted = Math.min(range.limit - found.length, LIST_PIECE_ROWS);
        const piece = await this.#rows.listed(id, listingRange(id, bucket, range.prefix, after), wanted);
        if (piece === null) break;
        found.push(...piece.values);
        after = piece.last;
      }
      return found;
    });
  }

  async conflicts(
    name: string,
    { before, limit }: { readonly before: number | null; readonly limit: number },
  ): Promise<readonly (ConflictRecord & { readonly position: number })[]> {
    return await this.#work(async () => {
      const { id } = this.#siteOf(name).stored;
      const found: (StoredConflict & { position: number })[] = [];
      if (limit > 0) {
        for await (const row of this.#rows.scan(conflictsBefore(id, before), limit)) {
          const conflict = this.#rows.decoded(row, HUB_RECORDS.conflict.decode);
          if (conflict !== undefined) found.push({ ...conflict, position: positionIn(row.key) });
          if (found.length === limit) break;
        }
      }
      const actors = [...new Set(found.flatMap(({ winner, loser }) => [winner.dot.actor, loser.dot.actor]))];
      const keys = actors.map((actor) => actorKey(id, actor));
      const known = await this.#rows.read(keys, HUB_RECORDS.nodeName.decode);
      const nodes = new Map(actors.map((actor, index) => [actor, known[index] ?? actor]));
      return found.map(({ name: { bucket, key }, winner, loser, atMs, position }) => {
        const wonBy = nodes.get(winner.dot.actor) ?? winner.dot.actor;
        const lostBy = nodes.get(loser.dot.actor) ?? loser.dot.actor;
        return { bucket, key, winner, loser, wonBy, lostBy, atMs, position };
      });
    });
  }

  async totals(name: string): Promise<SiteTotals> {
    return await this.#work(async () => {
      let keys = 0;
      const { id } = this.#siteOf(name).stored;
      for await (const row of this.#rows.scan(tableRange(id, 'shard'))) {
        keys += this.#rows.decoded(row, HUB_RECORDS.countedShard.decode)?.keys ?? 0;
      }
      let conflicts = 0;
      for await (const _ of this.#rows.scan(tableRange(id, 'known-conflict'))) conflicts++;
      return { keys, conflicts };
    });
  }

  async changedSince(name: string, cursor: string | null) {
    return await this.#work(async () => {
      const site = this.#siteOf(name);
      const [run, since] = cursor?.split('.') ?? [];
      const next = `${this.#run}.${this.#changes}`;
      if (cursor === null) return { shards: [], cursor: next };
      if (run !== this.#run) return { shards: await this.#ownShards(site.stored.id), cursor: next };
      const shards = [...site.ownChanges].filter(([, change]) => change > Number(since)).map(([shard]) => shard);
      return { shards: shards.sort((a, b) => a - b), cursor: next };
    });
  }

  async shares(): Promise<readonly Share[]> {
    return await this.#work(async () =>
      [...this.#sites.values()]
        .flatMap(({ name: to, given }) => [...given].map(([bucket, share]) => ({ to, bucket, ...share })))
        .sort(compareShares),
    );
  }

  async addShare({ to, bucket, from, createdMs }: Share): Promise<boolean> {
    return await this.#changeSites(async () => {
      const { stored, given } = this.#siteOf(to);
      this.#siteOf(from);
      if (given.has(bucket)) return false;
      const share = { from, createdMs };
      await this.#storage.commit([{ key: shareKey(stored.id, bucket), value: HUB_RECORDS.share.encode(share) }]);
      given.set(bucket, share);
      return true;
    });
  }

  async removeShare({ to, bucket }: Pick<Share, 'to' | 'bucket'>): Promise<boolean> {
    return await this.#changeSites(async () => {
      const site = this.#sites.get(to);
      if (site?.given.has(bucket) !== true) return false;
      await this.#storage.commit([{ key: shareKey(site.stored.id, bucket), value: null }]);
      site.given.delete(bucket);
      return true;
    });
  }

  /** All that the hub has ever written in. */
  async #ownShards(id: number): Promise<number[]> {
    const shards: number[] = [];
    for await (const row of this.#rows.scan(tableRange(id, 'shard'))) {
      const stored = this.#rows.decoded(row, HUB_RECORDS.countedShard.decode);
      if (stored?.shard?.own.isEmpty === false) shards.push(shardIn(row.key));
    }
    return shards;
  }

  close(): Promise<void> {
    this.#closing ??= mapped(async () => {
      await Promise.allSettled(this.#working);
      await this.#storage.close();
    });
    return this.#closing;
  }

  #siteOf(name: string): Site {
    const site = this.#sites.get(name);
    if (site === undefined) throw noSite(name);
    return site;
  }

  async #changeSites<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#siteChanges.then(() => this.#work(change));
    this.#siteChanges = turn.catch(() => undefined);
    return await turn;
  }

  /** `close` waits for it. */
  async #work<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new HubStoreError('io', "The hub's store is closed.");
    const working = mapped(work);
    this.#working.add(working);
    try {
      return await working;
    } finally {
      this.#working.delete(working);
    }
  }
}

function recordOf({ name, stored }: Site): SiteRecord {
  const { key, createdMs, clusterId, shards, seenMs } = stored;
  return { name, key, createdMs, clusterId, shards, seenMs };
}
