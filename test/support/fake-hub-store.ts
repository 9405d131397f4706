import { compareUtf8 } from '../../src/lib/utf8.ts';
import {
  type ActorId,
  type CausalObject,
  type ConflictRecord,
  compareNames,
  compareShares,
  dotText,
  type HubRead,
  type HubRows,
  type HubShard,
  type HubStore,
  HubStoreError,
  type HubTransaction,
  nameId,
  noSite,
  type ObjectName,
  SEEN_LAG_MS,
  type ShardObjectName,
  type Share,
  SITE_CONFLICTS_MAX,
  type SiteBucket,
  type SiteRecord,
  type StoredValue,
  type WriteSet,
  writeSetOf,
} from '../../src/ports/hub-store.ts';
import { bucketsWith, HUB_RECORDS, hasOtherOwn } from '../../src/wire/hub-record.ts';
import { hasValue } from '../../src/wire/hub-value.ts';

export interface FakeHubStoreOptions {
  /** Several hubs use this object, each as a process of its own. Default: false. */
  readonly isShared?: boolean;
  /** Asked before each transaction: whether it loses against another one first, and so runs twice. Default: never. */
  readonly conflicts?: () => boolean;
  /** Unix ms. Default: one that counts up. */
  readonly now?: () => number;
  /** Of one site, that are kept. Default: SITE_CONFLICTS_MAX. */
  readonly conflictsMax?: number;
}

interface Row<V> {
  readonly name: ShardObjectName;
  value: V;
}

interface Site {
  record: SiteRecord;
  buckets: readonly SiteBucket[];
  readonly actors: Map<ActorId, string>;
  readonly shards: Map<number, Uint8Array>;
  /** By shard and `nameId`. */
  readonly objects: Map<string, Row<Uint8Array>>;
  /** By shard and dot. */
  readonly events: Map<string, ObjectName>;
  /** By shard and the loser's dot; the earliest first. */
  readonly conflicts: Map<string, Omit<ConflictRecord, 'wonBy' | 'lostBy'> & { readonly position: number }>;
  readonly ownChanges: Map<number, number>;
}

/**
 * A hub's store in memory. A transaction runs from its first read to its last write without a turn in between; what goes in
 * and comes out is copied by way of its byte form. It keeps what it holds over `close` and `reopen`.
 */
export class FakeHubStore implements HubStore {
  readonly isShared: boolean;
  readonly #conflicts: () => boolean;
  readonly #now: () => number;
  readonly #conflictsMax: number;
  readonly #sites = new Map<string, Site>();
  #shares: readonly Share[] = [];
  #position = 0;
  #changes = 0;
  #isOpen = true;
  #ticks = 0;
  /** Set by tests: what every method fails with; null: none. */
  failure: HubStoreError | null = null;
  /** Runs of generators. */
  runs = 0;

  constructor(options: FakeHubStoreOptions = {}) {
    this.isShared = options.isShared ?? false;
    this.#conflicts = options.conflicts ?? (() => false);
    this.#now = options.now ?? (() => ++this.#ticks);
    this.#conflictsMax = options.conflictsMax ?? SITE_CONFLICTS_MAX;
  }

  async transact<T>(name: string, transaction: () => HubTransaction<T>): Promise<T> {
    const site = this.#siteOf(name);
    if (this.#conflicts()) this.#run(site, transaction());
    const { set, result } = this.#run(site, transaction());
    this.#write(site, set);
    return result;
  }

  #run<T>(site: Site, transaction: HubTransaction<T>): { set: WriteSet; result: T } {
    this.runs++;
    const locked = new Set<number>();
    let step = transaction.next();
    while (step.done !== true) {
      const read = step.value;
      if (read.type === 'shards' && read.lock) for (const shard of read.shards) locked.add(shard);
      step = transaction.next(answer(site, read));
    }
    return { set: writeSetOf(step.value.writes, locked), result: step.value.result };
  }

  #write(site: Site, set: WriteSet): void {
    for (const [shard, value] of set.shards) {
      const before = site.shards.get(shard);
      const isOther = hasOtherOwn(before === undefined ? null : HUB_RECORDS.shard.decode(before), value);
      if (isOther) site.ownChanges.set(shard, ++this.#changes);
      site.shards.set(shard, HUB_RECORDS.shard.encode(value));
    }
    for (const { name, value } of set.objects) {
      if (value === null || (value.entries.length === 0 && value.past === null)) site.objects.delete(objectId(name));
      else site.objects.set(objectId(name), { name, value: HUB_RECORDS.object.encode(value) });
    }
    for (const { shard, actor, counter, name } of set.events) {
      const id = `${shard}/${dotText({ actor, counter })}`;
      if (name === null) site.events.delete(id);
      else site.events.set(id, { bucket: name.bucket, key: name.key });
    }
    for (const { name, winner, loser } of set.conflicts) {
      const id = `${name.shard}/${dotText(loser.dot)}`;
      if (site.conflicts.has(id)) continue;
      const { bucket, key } = name;
      site.conflicts.set(id, { bucket, key, winner, loser, atMs: this.#now(), position: ++this.#position });
    }
    const surplus = Math.max(0, site.conflicts.size - this.#conflictsMax);
    for (const id of [...site.conflicts.keys()].slice(0, surplus)) site.conflicts.delete(id);
  }

  async addSite({ name, key, createdMs }: Pick<SiteRecord, 'name' | 'key' | 'createdMs'>): Promise<boolean> {
    this.#assertUsable();
    if (this.#sites.has(name)) return false;
    this.#sites.set(name, {
      record: { name, key: key.slice(), createdMs, clusterId: null, shards: null, seenMs: null },
      buckets: [],
      actors: new Map(),
      shards: new Map(),
      objects: new Map(),
      events: new Map(),
      conflicts: new Map(),
      ownChanges: new Map(),
    });
    return true;
  }

  async replaceKey(name: string, key: Uint8Array): Promise<boolean> {
    this.#assertUsable();
    const site = this.#sites.get(name);
    if (site === undefined) return false;
    site.record = { ...site.record, key: key.slice() };
    return true;
  }

  async removeSite(name: string): Promise<boolean> {
    this.#assertUsable();
    this.#shares = this.#shares.filter(({ to, from }) => to !== name && from !== name);
    return this.#sites.delete(name);
  }

  async sites(): Promise<readonly SiteRecord[]> {
    this.#assertUsable();
    return [...this.#sites.values()].map(({ record }) => record).sort((a, b) => compareUtf8(a.name, b.name));
  }

  async site(name: string): Promise<SiteRecord | null> {
    this.#assertUsable();
    return this.#sites.get(name)?.record ?? null;
  }

  async noteSite(name: string, told: Parameters<HubStore['noteSite']>[1]): Promise<void> {
    const site = this.#siteOf(name);
    const { clusterId, shards, atMs } = told;
    site.record = { ...site.record, clusterId, shards, seenMs: Math.max(site.record.seenMs ?? 0, atMs) };
    site.buckets = bucketsWith(site.buckets, told.buckets);
    for (const { actor, name: node } of told.actors) site.actors.set(actor, node);
  }

  async noteSeen(name: string, atMs: number): Promise<void> {
    const site = this.#siteOf(name);
    const { seenMs } = site.record;
    if (seenMs === null || atMs >= seenMs + SEEN_LAG_MS) site.record = { ...site.record, seenMs: atMs };
  }

  async buckets(name: string): Promise<readonly SiteBucket[]> {
    return this.#siteOf(name).buckets;
  }

  async actors(name: string): Promise<ReadonlyMap<ActorId, string>> {
    return new Map(this.#siteOf(name).actors);
  }

  async list(
    name: string,
    bucket: string,
    { prefix, after, limit }: { readonly prefix: string; readonly after: string; readonly limit: number },
  ): Promise<readonly StoredValue[]> {
    const values: StoredValue[] = [];
    for (const row of this.#siteOf(name).objects.values()) {
      const { key } = row.name;
      const { entries } = HUB_RECORDS.object.decode(row.value);
      const isWanted = row.name.bucket === bucket && key.startsWith(prefix) && compareUtf8(key, after) > 0;
      if (isWanted && hasValue(entries)) values.push({ key, entries });
    }
    return values.sort((a, b) => compareUtf8(a.key, b.key)).slice(0, limit);
  }

  async conflicts(name: string, { before, limit }: { readonly before: number | null; readonly limit: number }) {
    const { conflicts, actors } = this.#siteOf(name);
    const page = [...conflicts.values()].filter(({ position }) => before === null || position < before);
    return page
      .reverse()
      .slice(0, limit)
      .map((conflict) => {
        const [won, lost] = [conflict.winner.dot.actor, conflict.loser.dot.actor];
        return { ...conflict, wonBy: actors.get(won) ?? won, lostBy: actors.get(lost) ?? lost };
      });
  }

  async totals(name: string) {
    const { objects, conflicts } = this.#siteOf(name);
    const isThere = ({ value }: Row<Uint8Array>): boolean => hasValue(HUB_RECORDS.object.decode(value).entries);
    return { keys: [...objects.values()].filter(isThere).length, conflicts: conflicts.size };
  }

  async changedSince(name: string, cursor: string | null) {
    const since = cursor === null ? this.#changes : Number(cursor);
    const changed = [...this.#siteOf(name).ownChanges].filter(([, change]) => change > since);
    return { shards: changed.map(([shard]) => shard).sort((a, b) => a - b), cursor: String(this.#changes) };
  }

  async shares(): Promise<readonly Share[]> {
    this.#assertUsable();
    return this.#shares.toSorted(compareShares);
  }

  async addShare(share: Share): Promise<boolean> {
    for (const name of [share.to, share.from]) this.#siteOf(name);
    if (this.#shares.some(({ to, bucket }) => to === share.to && bucket === share.bucket)) return false;
    this.#shares = [...this.#shares, share];
    return true;
  }

  async removeShare({ to, bucket }: Pick<Share, 'to' | 'bucket'>): Promise<boolean> {
    this.#assertUsable();
    const left = this.#shares.filter((share) => share.to !== to || share.bucket !== bucket);
    const isRemoved = left.length < this.#shares.length;
    this.#shares = left;
    return isRemoved;
  }

  async close(): Promise<void> {
    this.#isOpen = false;
  }

  reopen(): void {
    this.#isOpen = true;
  }

  #siteOf(name: string): Site {
    this.#assertUsable();
    const site = this.#sites.get(name);
    if (site === undefined) throw noSite(name);
    return site;
  }

  #assertUsable(): void {
    if (this.failure !== null) throw this.failure;
    if (!this.#isOpen) throw new HubStoreError('io', 'The store is closed.');
  }
}

function answer(site: Site, read: HubRead): HubRows {
  switch (read.type) {
    case 'shards': {
      const shards = new Map<number, HubShard>();
      for (const shard of read.shards) {
        const stored = site.shards.get(shard);
        if (stored !== undefined) shards.set(shard, HUB_RECORDS.shard.decode(stored));
      }
      return { type: 'shards', shards };
    }
    case 'objects': {
      const objects = new Map<string, CausalObject>();
      for (const name of read.names) {
        const row = site.objects.get(objectId(name));
        if (row !== undefined) objects.set(nameId(name), HUB_RECORDS.object.decode(row.value));
      }
      return { type: 'objects', objects };
    }
    case 'events': {
      const events = read.dots.flatMap((dot) => {
        const name = site.events.get(`${read.shard}/${dotText(dot)}`);
        return name === undefined ? [] : [{ dot, name }];
      });
      return { type: 'events', events };
    }
    case 'scan': {
      const { shard, buckets, after, limit } = read;
      const found = [...site.objects.values()]
        .filter(({ name }) => name.shard === shard && buckets?.includes(name.bucket) !== false)
        .filter(({ name }) => after === null || compareNames(name, after) > 0)
        .sort((a, b) => compareNames(a.name, b.name));
      const rows = found.slice(0, limit).map(({ name: { bucket, key }, value }) => ({
        name: { bucket, key },
        ...HUB_RECORDS.object.decode(value),
      }));
      return { type: 'scan', rows, more: found.length > limit };
    }
  }
}

function objectId(name: ShardObjectName): string {
  return `${name.shard}/${nameId(name)}`;
}
