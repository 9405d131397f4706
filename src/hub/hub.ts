import { failure, HoldfastError } from '../lib/failure.ts';
import { isBelow, SITE_NAME, SITE_NAME_EXPECTED, siteWithToken } from '../lib/site-name.ts';
import type { SiteToken } from '../lib/site-token.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  ConflictView,
  HubHandle,
  HubStatus,
  ShareView,
  SiteBucketView,
  SiteDetail,
  SiteKey,
  SitePage,
  SiteRange,
  SiteRead,
  SiteView,
  SiteWritten,
  UplinkView,
} from '../ports/hub-handle.ts';
import type { HubListener } from '../ports/hub-link.ts';
import { type HubStore, HubStoreError, type ObjectName, type Share, type SiteRecord } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import type { MetricsRenderer } from '../ports/metrics.ts';
import type { RefusalReason } from '../ports/node-handle.ts';
import type { Mutation } from '../protocol/causal/mutation.ts';
import type { SessionContext } from '../protocol/replication/request.ts';
import { conflictViews } from './conflict-views.ts';
import { HubCounters } from './hub-counters.ts';
import { type HubSnapshot, hubMetrics } from './hub-metrics.ts';
import { type HubAbove, HubUplink } from './hub-uplink.ts';
import { OwnEvents } from './own-events.ts';
import { Shares } from './shares.ts';
import { namedBuckets } from './site-buckets.ts';
import { SiteKeys } from './site-keys.ts';
import { SiteNews } from './site-news.ts';
import { SITE_REQUEST_LIMITS, type SiteRequestLimits, SiteRequests } from './site-requests.ts';
import { SiteSeen } from './site-seen.ts';
import { type OpenSession, SiteSessions, TOKEN_REPLACED } from './site-sessions.ts';
import { type StoreUse, siteNotFound, storeFailure } from './store-failure.ts';
import { Turns } from './turns.ts';

export interface HubParts {
  readonly name: string;
  readonly peerId: string;
  readonly version: string;
  readonly storeKind: HubStatus['store'];
  readonly store: HubStore;
  readonly listener: HubListener;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricsRenderer;
  /** 16 random lower-case hex digits, never the same twice. */
  readonly random: () => string;
  /** A token that nobody has had before, and what it proves. */
  readonly issueToken: (site: string) => { readonly token: SiteToken; readonly key: Uint8Array };
  readonly processUsage: () => HubSnapshot['process'];
  readonly limits?: Partial<SiteRequestLimits>;
  /** Null: this hub has no hub of its own. */
  readonly above?: HubAbove | null;
}

/** The hub: one more causal replica of what its sites exchange with it, and the place where clients in the cloud read and write that. */
export class Hub implements HubHandle {
  private readonly parts: HubParts;
  private readonly counters = new HubCounters();
  private readonly sessions: SiteSessions;
  private readonly requests: SiteRequests;
  private readonly news: SiteNews;
  private readonly seen: SiteSeen;
  private readonly keys: SiteKeys;
  private readonly shares: Shares;
  private readonly above: HubUplink | null;
  private readonly turns = new Turns();
  /** Sites that are being removed: nobody is let in. */
  private readonly leaving = new Set<string>();
  private readonly startedMs: number;
  private isListening = false;
  private isStopped = false;

  constructor(parts: HubParts) {
    const { store, clock, log, random, name } = parts;
    this.parts = parts;
    this.startedMs = clock.now().monoMs;
    const sessions = new SiteSessions(clock);
    this.sessions = sessions;
    const limits = { ...SITE_REQUEST_LIMITS, ...parts.limits };
    const { counters, turns } = this;
    const news = new SiteNews({
      store,
      clock,
      log,
      sessions,
      onWritten: (site, shards) => this.above?.noteChanged(site, shards),
    });
    this.news = news;
    const { above = null } = parts;
    const onJoined = (site: string, names: readonly ObjectName[]): void => this.shares.noteChanged(site, names);
    const uplink =
      above === null ? null : new HubUplink({ store, clock, log, random, sessions, news, onJoined }, above);
    this.above = uplink;
    this.seen = new SiteSeen(store, clock, sessions);
    const { seen } = this;
    this.requests = new SiteRequests(
      { store, clock, log, random, name, sessions, news, seen, uplink, counters, limits, onJoined },
      turns,
    );
    const onWritten = (site: string, written: ObjectName): void => onJoined(site, [written]);
    this.keys = new SiteKeys({ store, clock, random, own: new OwnEvents(random), news, counters, onWritten }, turns);
    this.shares = new Shares({ store, keys: this.keys, clock, log });
  }

  /** Lets sites in. Rejects when the listener cannot be opened. */
  async start(): Promise<void> {
    const { listener, log } = this.parts;
    await listener.start({
      siteKey: (site) => this.siteKey(site),
      handleOpened: (session) => {
        this.sessions.open(session);
        log.info('a site has connected', { site: session.site, peer: session.peer });
      },
      handleRequest: (session, id, request) => this.requests.handle(session, id, request),
      handleClosed: (session) => {
        this.sessions.remove(session);
        this.seen.note(session.site);
        log.info('a session of a site has ended', { site: session.site, peer: session.peer });
      },
    });
    this.isListening = true;
    this.seen.start();
    this.shares.start();
    this.above?.start();
  }

  /** Ends all sessions, and waits for what is under way. The store may be closed afterwards. */
  async stop(): Promise<void> {
    this.isListening = false;
    this.isStopped = true;
    this.news.stop();
    this.seen.stop();
    const open = this.sessions.all();
    for (const session of open) this.sessions.close(session, 'the hub is stopping');
    await this.parts.listener.stop();
    await this.above?.stop();
    await Promise.all(open.map(({ work }) => work.drained()));
    await this.shares.stop();
  }

  async isReady(): Promise<boolean> {
    if (!this.isListening) return false;
    return await this.parts.store.sites().then(
      () => true,
      () => false,
    );
  }

  async status(): Promise<HubStatus> {
    const { name, peerId, version, storeKind, listener } = this.parts;
    const sites = (await this.stored((store) => store.sites())).length;
    return {
      name,
      peerId,
      version,
      uptimeSeconds: this.uptimeSeconds(),
      store: storeKind,
      addresses: listener.addresses(),
      sites,
      sessions: this.sessions.count,
      hub: this.uplink(),
    };
  }

  uplink(): UplinkView | null {
    return this.above?.view() ?? null;
  }

  async sites(): Promise<readonly SiteView[]> {
    return (await this.stored((store) => store.sites())).map((site) => this.view(site));
  }

  async addSite(name: string): Promise<{ readonly name: string; readonly token: string }> {
    const { clock, log } = this.parts;
    if (!SITE_NAME.test(name)) {
      throw new HoldfastError(failure('bad-request', `name: the name of a site is ${SITE_NAME_EXPECTED}`));
    }
    const { token, key } = this.parts.issueToken(name);
    const createdMs = clock.now().wallMs;
    if (!(await this.stored((store) => store.addSite({ name, key, createdMs }), { writes: true }))) {
      throw new HoldfastError(
        failure('site-exists', `the site ${name} is there already; remove it first, or take another name`),
      );
    }
    log.info('a site was added', { site: name });
    return { name, token: token.reveal() };
  }

  async site(name: string): Promise<SiteDetail> {
    const site = await this.requireSite(name);
    const { keys, conflicts } = await this.stored((store) => store.totals(name));
    return { ...this.view(site), sessions: this.sessions.views(name), keys, conflicts };
  }

  async replaceToken(name: string): Promise<{ readonly name: string; readonly token: string }> {
    const holder = siteWithToken(name);
    if (holder !== name) {
      const message = `the site ${name} has no token of its own: it comes with that of ${holder}, which can be replaced`;
      throw new HoldfastError(failure('bad-request', message));
    }
    const { token, key } = this.parts.issueToken(name);
    if (!(await this.stored((store) => store.replaceKey(name, key), { writes: true }))) {
      throw new HoldfastError(siteNotFound(name));
    }
    // Those that are only about to begin are refused at their hello.
    for (const session of this.sessionsWith(name)) this.sessions.close(session, TOKEN_REPLACED);
    this.parts.log.info('the token of a site was replaced', { site: name });
    return { name, token: token.reveal() };
  }

  async removeSite(name: string): Promise<void> {
    await this.requireSite(name);
    this.leaving.add(name);
    try {
      const open = this.sessionsWith(name);
      for (const session of open) this.sessions.close(session, 'the site was removed');
      // What is under way must not write to a site of the same name that is added afterwards.
      await Promise.all(open.map(({ work }) => work.drained()));
      await this.removeBelow(name);
      const isRemoved = await this.removeStored(name);
      // Another process may have let one in until then; now it has no token any more.
      await this.removeBelow(name);
      if (!isRemoved) throw new HoldfastError(siteNotFound(name));
    } finally {
      this.leaving.delete(name);
    }
  }

  async buckets(site: string): Promise<readonly SiteBucketView[]> {
    return namedBuckets(await this.stored((store) => store.buckets(site), { site })).map(({ shown }) => shown);
  }

  read(key: SiteKey, session: SessionContext | null): Promise<SiteRead> {
    return this.stored(() => this.keys.read(key, session), { site: key.site });
  }

  mutate(
    key: SiteKey,
    mutation: (bucket: SiteBucketView) => Mutation,
    session: SessionContext | null,
  ): Promise<SiteWritten> {
    return this.stored(() => this.keys.mutate(key, mutation, session), { site: key.site, writes: true });
  }

  async *list(range: SiteRange): AsyncGenerator<SitePage, void> {
    try {
      yield* this.keys.list(range);
    } catch (error) {
      throw storeFailure(error, { site: range.site, writes: false });
    }
  }

  async conflicts(
    site: string,
    page: { readonly before: number | null; readonly limit: number },
  ): Promise<readonly ConflictView[]> {
    return this.stored((store) => conflictViews(store, site, page), { site });
  }

  async sharesOf(site: string): Promise<readonly ShareView[]> {
    await this.requireSite(site);
    return await this.stored(() => this.shares.of(site), { site });
  }

  async addShare(share: Omit<Share, 'createdMs'>): Promise<void> {
    for (const name of [share.to, share.from]) await this.requireSite(name);
    await this.stored(() => this.shares.add(share), { site: share.to, writes: true });
  }

  async removeShare(share: Pick<Share, 'to' | 'bucket'>): Promise<void> {
    await this.requireSite(share.to);
    await this.stored(() => this.shares.remove(share), { site: share.to, writes: true });
  }

  async metrics(): Promise<string> {
    const { version, name, store, clock, metrics, processUsage } = this.parts;
    const { wallMs } = clock.now();
    const sites = await store.sites().catch(() => null);
    return await metrics.render(
      hubMetrics({
        version,
        name,
        uptimeSeconds: this.uptimeSeconds(),
        process: processUsage(),
        sites:
          sites?.map((site) => ({
            name: site.name,
            connected: this.sessions.isReached(site.name),
            seenSeconds: secondsSince(this.seenMs(site), wallMs),
          })) ?? null,
        sessions: this.sessions.count,
        uplink: this.uplink(),
        traffic: this.sessions.traffic(),
        counters: this.counters,
      }),
    );
  }

  wallMs(): number {
    return this.parts.clock.now().wallMs;
  }

  countRefusal(reason: RefusalReason): void {
    this.counters.refusal(reason);
  }

  /** Of the site, and of its own. */
  private sessionsWith(name: string): OpenSession[] {
    return this.sessions.all().filter(({ session: { site } }) => site === name || isBelow(site, name));
  }

  /** Its own sites. */
  private async removeBelow(name: string): Promise<void> {
    for (const { name: site } of await this.stored((store) => store.sites()))
      if (isBelow(site, name)) await this.removeStored(site);
  }

  /** False: there is none. */
  private async removeStored(site: string): Promise<boolean> {
    const isRemoved = await this.stored((store) => store.removeSite(site), { writes: true });
    this.above?.noteRemoved(site);
    await this.shares.noteRemoved(site);
    if (isRemoved) this.parts.log.info('a site was removed', { site });
    return isRemoved;
  }

  /** A hub that is a site speaks for its own sites too. */
  private async siteKey(name: string): Promise<Uint8Array | null> {
    // Not that its token is bad: it is to come back, or to another hub.
    if (this.isStopped) throw new HubStoreError('unavailable', 'the hub is stopping');
    if ([...this.leaving].some((site) => site === name || isBelow(name, site))) return null;
    return (await this.parts.store.site(siteWithToken(name)))?.key ?? null;
  }

  /** Throws what clients are told of anything that the store throws. */
  private async stored<T>(
    work: (store: HubStore) => Promise<T>,
    { site = '', writes = false }: Partial<StoreUse> = {},
  ): Promise<T> {
    try {
      return await work(this.parts.store);
    } catch (error) {
      throw storeFailure(error, { site, writes });
    }
  }

  private async requireSite(name: string): Promise<SiteRecord> {
    const site = await this.stored((store) => store.site(name));
    if (site === null) throw new HoldfastError(siteNotFound(name));
    return site;
  }

  private view(site: SiteRecord): SiteView {
    const { name, createdMs, clusterId } = site;
    const seenMs = this.seenMs(site);
    return {
      name,
      createdAt: new Date(createdMs).toISOString(),
      clusterId,
      connected: this.sessions.isReached(name),
      lastSeenAt: seenMs === null ? null : new Date(seenMs).toISOString(),
    };
  }

  /** Unix ms; null: never. */
  private seenMs({ name, seenMs }: SiteRecord): number | null {
    return this.sessions.isReached(name) ? this.parts.clock.now().wallMs : seenMs;
  }

  private uptimeSeconds(): number {
    return Math.round(this.parts.clock.now().monoMs - this.startedMs) / 1000;
  }
}

function secondsSince(atMs: number | null, wallMs: number): number | null {
  return atMs === null ? null : Math.max(0, wallMs - atMs) / 1000;
}
