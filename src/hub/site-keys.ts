import type { Failure } from '../lib/failure.ts';
import { failure, HoldfastError } from '../lib/failure.ts';
import type { Clock } from '../ports/clock.ts';
import type { SiteBucketView, SiteKey, SitePage, SiteRange, SiteRead, SiteWritten } from '../ports/hub-handle.ts';
import type { HubStore, ObjectName, SiteRecord, StoredValue } from '../ports/hub-store.ts';
import { dotText } from '../protocol/causal/dot.ts';
import { sizeOf } from '../protocol/causal/entry.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import { liveEntries } from '../protocol/causal/value.ts';
import type { SessionContext } from '../protocol/replication/request.ts';
import { shardOf } from '../protocol/ring/shard.ts';
import type { HubTransaction, ShardObjectName } from '../protocol/uplink/transaction.ts';
import type { HubCounters } from './hub-counters.ts';
import type { OwnEvents } from './own-events.ts';
import { type SessionWritten, sessionRead, sessionWrite } from './session-access.ts';
import { requireSiteBucket } from './site-buckets.ts';
import type { SiteNews } from './site-news.ts';
import { siteNotFound } from './store-failure.ts';
import type { Turns } from './turns.ts';

/** Writes of clients under way at a time; each holds a value of 1 MiB at most. */
const WRITES_MAX = 256;
/** Keys that are read at once: few at first, then as many as make up a few MiB. */
const PAGE_KEYS_MIN = 16;
const PAGE_KEYS_MAX = 1024;
const PAGE_BYTES = 2 * 1024 * 1024;

const TOO_MANY = failure('too-many-requests', 'the hub has too many writes in hand; retry with backoff');

export interface SiteKeysParts {
  readonly store: HubStore;
  readonly clock: Clock;
  /** 16 random lower-case hex digits. */
  readonly random: () => string;
  readonly own: OwnEvents;
  readonly news: SiteNews;
  readonly counters: HubCounters;
  readonly onWritten: (site: string, name: ObjectName) => void;
}

/** A key in the terms of the store. */
interface Place {
  readonly site: SiteRecord;
  readonly name: ShardObjectName;
  readonly bucket: SiteBucketView;
}

/** Reads and writes of the hub's clients, a key at a time. */
export class SiteKeys {
  private readonly parts: SiteKeysParts;
  private readonly turns: Turns;
  private writing = 0;

  constructor(parts: SiteKeysParts, turns: Turns) {
    this.parts = parts;
    this.turns = turns;
  }

  async read(key: SiteKey, session: SessionContext | null): Promise<SiteRead> {
    const { store, clock } = this.parts;
    const { site, name, bucket } = await this.place(key);
    const read = await store.transact(site.name, () =>
      sessionRead({ name, bucket, session, wallMs: clock.now().wallMs }),
    );
    if ('code' in read) throw new HoldfastError(read);
    return { bucket, ...read };
  }

  async mutate(
    key: SiteKey,
    mutationFor: (bucket: SiteBucketView) => Mutation,
    session: SessionContext | null,
  ): Promise<SiteWritten> {
    if (this.writing >= WRITES_MAX) throw new HoldfastError(TOO_MANY);
    this.writing++;
    try {
      const place = await this.place(key);
      if (place.bucket.sync === 'up') throw new HoldfastError(notSyncedDown(place.bucket));
      const mutation = mutationFor(place.bucket);
      // One at a time of each shard: the names of events follow upon each other.
      return await this.turns.take(`${key.site}/${place.name.shard}`, () => this.write(place, mutation, session));
    } finally {
      this.writing--;
    }
  }

  /** Page by page until the limit is reached or there is no more. */
  async *list({ site, bucket: name, prefix, after: start, limit }: SiteRange): AsyncGenerator<SitePage, void> {
    const { store, clock } = this.parts;
    const { bucket, shown } = requireSiteBucket(site, await store.buckets(site), name);
    let after = start;
    let size = PAGE_KEYS_MIN;
    for (let left = limit; left > 0; ) {
      const count = Math.min(left, size);
      const found = await store.list(site, bucket.name, { prefix, after, limit: count });
      const { wallMs } = clock.now();
      const items = found
        .map(({ key, entries }) => ({ key, entries: liveEntries(entries, wallMs, bucket.conflict) }))
        .filter(({ entries }) => entries.length > 0);
      after = found.at(-1)?.key ?? after;
      left -= items.length;
      const isLast = found.length < count;
      yield { bucket: shown, items, next: isLast ? null : after };
      if (isLast) return;
      size = nextSize(size, found);
    }
  }

  private async place({ site: siteName, bucket: bucketName, key }: SiteKey): Promise<Place> {
    const { store } = this.parts;
    const site = await store.site(siteName);
    if (site === null) throw new HoldfastError(siteNotFound(siteName));
    const { bucket, shown } = requireSiteBucket(siteName, await store.buckets(siteName), bucketName);
    // It has told of its buckets, and of these with them.
    const shard = shardOf(bucket.name, key, site.shards ?? 1);
    return { site, name: { shard, bucket: bucket.name, key }, bucket: shown };
  }

  private async write(
    { site, name, bucket }: Place,
    mutation: Mutation,
    session: SessionContext | null,
  ): Promise<SiteWritten> {
    const { store, clock, own, news, counters } = this.parts;
    const { actor, used } = own.of(site);
    const access = { name, bucket, session, wallMs: clock.now().wallMs };
    // The same in each run of the transaction: only the last one counts.
    const lastCounter = used.get(name.shard) ?? 0;
    const written = await store.transact(site.name, () =>
      naming(sessionWrite(access, mutation, { actor, lastCounter, revision: this.parts.random() }), (counter) => {
        // Whether or not the store takes it: the name is used from now on.
        used.set(name.shard, counter);
      }),
    );
    if ('code' in written) throw new HoldfastError(written);
    const { dot, entries, context, bare, conflicts } = written;
    if (dot !== null) {
      counters.writes++;
      counters.conflicts += conflicts;
      news.tell(site.name, [name.shard]);
      this.parts.onWritten(site.name, name);
    }
    return { etag: dot === null ? null : dotText(dot), entries, context, bare };
  }
}

/** The same transaction, which tells of the name that it gives to its event. */
function* naming<T extends SessionWritten | Failure>(
  transaction: HubTransaction<T>,
  note: (counter: number) => void,
): HubTransaction<T> {
  const outcome = yield* transaction;
  const { result } = outcome;
  if ('dot' in result && result.dot !== null) note(result.dot.counter);
  return outcome;
}

function nextSize(size: number, found: readonly StoredValue[]): number {
  const bytes = found.reduce((sum, { entries }) => sum + sizeOf(entries), 0);
  if (bytes > PAGE_BYTES) return Math.max(1, Math.floor(size / 2));
  return bytes * 2 > PAGE_BYTES ? size : Math.min(PAGE_KEYS_MAX, size * 2);
}

function notSyncedDown({ name, sync }: SiteBucketView): Failure {
  return failure(
    'not-synced-down',
    `the bucket ${name} goes from the site to the hub only (sync ${sync}); write to it at the site, or to one with sync down or both`,
  );
}
