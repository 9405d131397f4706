import type { Failure } from '../lib/failure.ts';
import { failure, HoldfastError } from '../lib/failure.ts';
import type { Clock } from '../ports/clock.ts';
import type { SiteBucketView, SiteKey, SitePage, SiteRange, SiteRead, SiteWritten } from '../ports/hub-handle.ts';
import type { HubStore, SiteRecord, StoredValue } from '../ports/hub-store.ts';
import { CausalContext, NOTHING } from '../protocol/causal/context.ts';
import { type Dot, dotText } from '../protocol/causal/dot.ts';
import { sizeOf } from '../protocol/causal/entry.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import { liveEntries } from '../protocol/causal/value.ts';
import type { SessionContext } from '../protocol/replication/request.ts';
import { coversSession, knownTo } from '../protocol/replication/session-cover.ts';
import { tooManyValues } from '../protocol/replication/value-bounds.ts';
import { MUTATION_FAILURES } from '../protocol/replication/write-coordinator.ts';
import { shardOf } from '../protocol/ring/shard.ts';
import { type HubKey, type HubMutated, hubMutate, hubRead } from '../protocol/uplink/hub-access.ts';
import type { HubTransaction, ShardObjectName } from '../protocol/uplink/transaction.ts';
import { conflictsIn, type HubCounters } from './hub-counters.ts';
import type { OwnActor, OwnEvents } from './own-events.ts';
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

const BEHIND = failure(
  'session-unavailable',
  'the hub does not have all yet that the Holdfast-Context has seen; retry once the site has sent it, or go on without it',
);
const TOO_MANY = failure('too-many-requests', 'the hub has too many writes in hand; retry with backoff');

export interface SiteKeysParts {
  readonly store: HubStore;
  readonly clock: Clock;
  /** 16 random lower-case hex digits. */
  readonly random: () => string;
  readonly own: OwnEvents;
  readonly news: SiteNews;
  readonly counters: HubCounters;
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
    const found = await store.transact(site.name, () => hubRead(name));
    const copy = copyOf(found, bucket);
    if (session !== null && !coversSession([copy], session)) throw new HoldfastError(BEHIND);
    const known = knownTo([copy]);
    if (session !== null) known.context.union(session.context);
    const entries = liveEntries(copy.entries, clock.now().wallMs, bucket.conflict);
    return { bucket, entries, ...known };
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

  private async write(place: Place, mutation: Mutation, session: SessionContext | null): Promise<SiteWritten> {
    const { store, clock, own, news, counters } = this.parts;
    const { site, name, bucket } = place;
    const actor = own.of(site);
    const { wallMs } = clock.now();
    // The same in each run of the transaction: only the last one counts.
    const last = actor.used.get(name.shard) ?? 0;
    const result = await store.transact(site.name, () =>
      this.change(place, mutation, { session, actor, last, wallMs }),
    );
    if ('code' in result) throw new HoldfastError(result);
    const { mutated, dot, conflicts } = result;
    if (mutated === null) {
      return { etag: null, entries: [], ...(session ?? { context: new CausalContext(), bare: NOTHING }) };
    }
    counters.writes++;
    counters.conflicts += conflicts;
    news.tell(site.name, [name.shard]);
    const entries = liveEntries(mutated.object.entries, wallMs, bucket.conflict);
    // What the client has seen with this write: no more, or its next one would replace what nobody has looked at.
    const context = CausalContext.fromDots([dot]);
    if (mutation.type === 'increment')
      for (const entry of entries) if (entry.payload.kind === 'counter') context.add(entry.dot);
    if (session !== null) context.union(session.context);
    return { etag: dotText(dot), entries, context, bare: session?.bare ?? NOTHING };
  }

  private *change(
    { name, bucket }: Place,
    mutation: Mutation,
    { session, actor, last, wallMs }: Writing,
  ): HubTransaction<Changed | Failure> {
    const before = (yield* hubRead(name, true)).result;
    // What the client has seen and the hub has not could not be replaced: it would come back later.
    if (session !== null && !coversSession([copyOf(before, bucket)], session)) return { writes: [], result: BEHIND };
    const { writes, result } = yield* hubMutate(name, mutation, {
      actor: actor.actor,
      wallMs,
      conflict: bucket.conflict,
      context: session?.context ?? null,
      revision: this.parts.random(),
      lastCounter: last,
    });
    if (!result.applied) {
      const refusal = result.failure === null ? NOTHING_DONE : MUTATION_FAILURES[result.failure];
      return { writes: [], result: refusal };
    }
    const problem = tooManyValues(before.object.entries, result.object.entries);
    if (problem !== null) return { writes: [], result: problem };
    // Whether or not the store takes it: the name is used from now on.
    actor.used.set(name.shard, result.lastCounter);
    const dot = { actor: actor.actor, counter: result.lastCounter };
    return { writes, result: { mutated: result, dot, conflicts: conflictsIn(writes) } };
  }
}

interface Writing {
  readonly session: SessionContext | null;
  readonly actor: OwnActor;
  /** The counter that it has used last. */
  readonly last: number;
  readonly wallMs: number;
}

interface Changed {
  /** Null: there was nothing to do. */
  readonly mutated: Extract<HubMutated, { applied: true }> | null;
  readonly dot: Dot;
  readonly conflicts: number;
}

const NOTHING_DONE: Changed = { mutated: null, dot: { actor: '', counter: 0 }, conflicts: 0 };

/** What of the hub's copy counts for sessions: of a bucket whose events it has not all had, only its own. */
function copyOf({ object, context, own, isPartial }: HubKey, { sync }: SiteBucketView) {
  const isWhole = sync !== 'down' && !isPartial;
  return { entries: object.entries, context: isWhole ? context : own, past: object.past, bare: NOTHING };
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
