import { sameBytes } from '../lib/byte-map.ts';
import { isBelow, siteWithToken } from '../lib/site-name.ts';
import type { Clock } from '../ports/clock.ts';
import type { HubReply, HubRequest, HubSession } from '../ports/hub-link.ts';
import {
  type HubStore,
  HubStoreError,
  noSite,
  type ObjectName,
  type SiteBucket,
  type SiteRecord,
} from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import { unnamedBuckets } from '../protocol/uplink/buckets.ts';
import { transactionOf } from '../protocol/uplink/hub-replica.ts';
import { type HubHelloRequest, type HubRefusal, SITE_BUCKETS_MAX } from '../protocol/uplink/message.ts';
import type { HubTransaction } from '../protocol/uplink/transaction.ts';
import { conflictsIn, type HubCounters } from './hub-counters.ts';
import type { HubUplink } from './hub-uplink.ts';
import { isShard, itemsIn, requestBytes, shardsOf } from './request-cost.ts';
import type { SiteNews } from './site-news.ts';
import type { SiteSeen } from './site-seen.ts';
import { type OpenSession, type SiteSessions, TOKEN_REPLACED } from './site-sessions.ts';
import { Slots } from './slots.ts';
import type { Turns } from './turns.ts';

/** Bounds of what sites can make a hub hold. */
export interface SiteRequestLimits {
  /** Requests of one session without an answer; a session with more is ended. */
  readonly sessionRequestsMax: number;
  /** Their memory. */
  readonly sessionBytesMax: number;
  /** That of all sessions; beyond it requests are refused as `busy`. */
  readonly bytesMax: number;
  /** Sites of one site that is a hub: its token would let it add any number. */
  readonly sitesBelowMax: number;
}

const MIB = 1024 * 1024;
/** Of all sessions at a time: a database has fewer connections, and who waits long for one is turned away. */
const TRANSACTIONS_MAX = 32;

export const SITE_REQUEST_LIMITS: SiteRequestLimits = {
  sessionRequestsMax: 256,
  sessionBytesMax: 32 * MIB,
  bytesMax: 512 * MIB,
  sitesBelowMax: 1024,
};

export interface SiteRequestsParts {
  readonly store: HubStore;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 random lower-case hex digits. */
  readonly random: () => string;
  /** Of the hub, for people. */
  readonly name: string;
  readonly sessions: SiteSessions;
  readonly news: SiteNews;
  readonly seen: SiteSeen;
  /** Null: there is no hub above. */
  readonly uplink: HubUplink | null;
  readonly counters: HubCounters;
  readonly limits: SiteRequestLimits;
  /** Copies of these keys were joined. */
  readonly onJoined: (site: string, names: readonly ObjectName[]) => void;
}

/** Answers the requests of sites. */
export class SiteRequests {
  private readonly parts: SiteRequestsParts;
  private readonly hellos: Turns;
  private readonly slots = new Slots(TRANSACTIONS_MAX);
  /** Memory of all requests without an answer. */
  private heldBytes = 0;
  private isStoreAway = false;

  constructor(parts: SiteRequestsParts, hellos: Turns) {
    this.parts = parts;
    this.hellos = hellos;
  }

  handle(session: HubSession, id: number, request: HubRequest): void {
    const { sessions, counters, limits } = this.parts;
    const open = sessions.find(session);
    if (open === undefined) return;
    const bytes = requestBytes(request);
    if (open.work.count >= limits.sessionRequestsMax || open.work.bytes + bytes > limits.sessionBytesMax) {
      counters.request(request.type, 'dropped');
      sessions.close(open, 'more requests wait for an answer than a session may have');
      return;
    }
    if (this.heldBytes + bytes > limits.bytesMax) {
      this.reply(open, id, request, refused('busy', 'the hub has too much in work; try again'));
      return;
    }
    this.heldBytes += bytes;
    open.work.add({
      shards: shardsOf(request),
      bytes,
      run: () => this.run(open, id, request, bytes),
    });
  }

  /** Never rejects. */
  private async run(open: OpenSession, id: number, request: HubRequest, bytes: number): Promise<void> {
    // A session that has ended meanwhile wants no answer, and its site may be about to be removed.
    const reply = open.isOpen ? await this.answer(open, request) : null;
    this.heldBytes -= bytes;
    if (reply === null) return;
    try {
      this.reply(open, id, request, reply);
    } catch (error) {
      this.logFault(open, request, error);
      // It would wait for this answer for ever.
      this.parts.sessions.close(open, 'the hub failed on a request');
    }
  }

  private reply(open: OpenSession, id: number, { type }: HubRequest, reply: HubReply): void {
    const isRefused = reply.type === 'hub-refused';
    this.parts.counters.request(type, !isRefused ? 'done' : reply.code === 'busy' ? 'busy' : 'refused');
    if (open.isOpen) open.session.reply(id, reply);
  }

  private async answer(open: OpenSession, request: HubRequest): Promise<HubReply> {
    try {
      const reply = await this.work(open, request);
      this.parts.seen.note(open.session.site);
      this.noteStore(null);
      return reply;
    } catch (error) {
      return this.refusalOf(open, request, error);
    }
  }

  private async work(open: OpenSession, request: HubRequest): Promise<HubReply> {
    if (request.type === 'hub-hello') return this.hello(open, request);
    const { told, session } = open;
    if (told === null) return refused('bad-request', 'a session begins with hub-hello, and that was not taken');
    if (request.type === 'hub-report') {
      open.report = request;
      return { type: 'hub-noted' };
    }
    const shards = shardsOf(request);
    const stray = shards === 'all' ? undefined : shards.find((shard) => !isShard(shard, told.shards));
    if (stray !== undefined) return refused('bad-request', `the site has no shard ${stray}`);
    const { store, random, counters, uplink } = this.parts;
    let conflicts = 0;
    const transaction = () =>
      noting(
        transactionOf(request, {
          revision: random(),
          isChained: uplink !== null,
          bucketOf: (name) => told.buckets.get(name),
        }),
        (found) => {
          conflicts = found;
        },
      );
    const reply = await this.slots.run(() => store.transact(session.site, transaction));
    // Nothing else makes it count more.
    if ((request.type === 'hub-push' || request.type === 'hub-done') && shards !== 'all')
      uplink?.noteChanged(session.site, shards);
    const items = itemsIn(request);
    counters.items += items.length;
    this.parts.onJoined(session.site, items);
    counters.conflicts += conflicts;
    return reply;
  }

  /** One at a time of each site: two clusters that come at once must not both be taken. */
  private hello(open: OpenSession, request: HubHelloRequest): Promise<HubReply> {
    const { store, clock, log, news, uplink, name: hub } = this.parts;
    const { site } = open.session;
    const { clusterId, shards, actors } = request;
    return this.hellos.take(site, async () => {
      const known = (await store.site(site)) ?? (await this.admitted(site));
      if (known === null) throw noSite(site);
      if ('type' in known) return known;
      const token = siteWithToken(site);
      const holder = token === site ? known : await store.site(token);
      if (holder === null || !sameBytes(holder.key, open.session.siteKey)) {
        this.parts.sessions.close(open, TOKEN_REPLACED);
        return refused('bad-request', TOKEN_REPLACED);
      }
      const isOther = known.clusterId !== null && (known.clusterId !== clusterId || known.shards !== shards);
      if (isOther) {
        open.told = null;
        const detail = `the site ${site} is the cluster ${String(known.clusterId)} with ${String(known.shards)} shards; make a site of its own for this one`;
        log.warn('a node of another cluster holds the token of a site and was refused', {
          site,
          peer: open.session.peer,
          clusterId,
          shards,
          detail,
        });
        return refused('other-cluster', detail);
      }
      const buckets = joined(request.buckets, await store.buckets(site));
      await store.noteSite(site, { clusterId, shards, buckets, actors, atMs: clock.now().wallMs });
      await news.begin(site);
      const all = await store.buckets(site);
      open.told = { shards, buckets: new Map(all.map((bucket) => [bucket.name, bucket])) };
      uplink?.noteHello(site);
      return { type: 'hub-welcome', site, hub, buckets: unnamedBuckets(request.buckets, all) };
    });
  }

  /** A site of a hub that is a site here: it is there from its first hello on. Null: there is no such hub any more. */
  private async admitted(site: string): Promise<SiteRecord | HubReply | null> {
    const { store, clock, log, limits } = this.parts;
    const hub = await store.site(siteWithToken(site));
    if (hub === null || hub.name === site) return null;
    const below = (await store.sites()).filter(({ name }) => isBelow(name, hub.name)).length;
    if (below >= limits.sitesBelowMax) {
      const detail = `the site ${hub.name} has ${below} sites of its own, and may have no more; remove some at this hub`;
      return refused('bad-request', detail);
    }
    if (await store.addSite({ name: site, key: hub.key, createdMs: clock.now().wallMs }))
      log.info('a site of a site was added', { site });
    return await store.site(site);
  }

  /** Null: it answers. */
  private noteStore(trouble: HubStoreError | null): void {
    const { log } = this.parts;
    if (trouble !== null && !this.isStoreAway)
      log.warn('requests of sites wait for the store', { code: trouble.code, error: trouble.message });
    if (trouble === null && this.isStoreAway) log.info('the store answers again');
    this.isStoreAway = trouble !== null;
  }

  private refusalOf(open: OpenSession, request: HubRequest, error: unknown): HubReply {
    if (!(error instanceof HubStoreError)) {
      this.logFault(open, request, error);
      return refused('bad-request', 'the hub failed on this request; its log has the cause');
    }
    if (error.code === 'no-site') {
      this.parts.sessions.close(open, 'the site was removed');
      return refused('bad-request', error.message);
    }
    this.noteStore(error);
    return refused('busy', error.message);
  }

  private logFault({ session: { site, peer } }: OpenSession, { type }: HubRequest, error: unknown): void {
    const stack = error instanceof Error ? error.stack : String(error);
    this.parts.log.error('a request of a site failed inside the hub', { site, peer, request: type, error: stack });
  }
}

/** A bucket never changes, and is never taken away; an island of the site may not know of those that another one has made. */
function joined(told: readonly SiteBucket[], known: readonly SiteBucket[]): readonly SiteBucket[] {
  const names = new Set(told.map(({ name }) => name));
  return [...told, ...known.filter(({ name }) => !names.has(name))].slice(0, SITE_BUCKETS_MAX);
}

function refused(code: HubRefusal, detail: string): HubReply {
  return { type: 'hub-refused', code, detail };
}

/** The same transaction, which tells how many conflicts it notes. The store may run it more than once; the last run counts. */
function* noting<T>(transaction: HubTransaction<T>, note: (conflicts: number) => void): HubTransaction<T> {
  const outcome = yield* transaction;
  note(conflictsIn(outcome.writes));
  return outcome;
}
