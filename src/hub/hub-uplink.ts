import { classOf } from '../lib/bucket-name.ts';
import { roundedSeconds } from '../lib/seconds.ts';
import { isSitePath, sitePathOf } from '../lib/site-name.ts';
import { TokenBucket } from '../lib/token-bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { HubBacklog, UplinkView } from '../ports/hub-handle.ts';
import type { HubLink } from '../ports/hub-link.ts';
import { type HubStore, HubStoreError, type ObjectName, type SiteRecord } from '../ports/hub-store.ts';
import type { Log } from '../ports/log.ts';
import { shardId } from '../protocol/ring/shard.ts';
import { chunkAt } from '../protocol/uplink/chunk.ts';
import { SITE_ACTORS_MAX } from '../protocol/uplink/message.ts';
import type { ChainedSite as Described } from '../protocol/uplink/site-uplink.ts';
import { ChainedSite } from './chained-site.ts';
import type { SiteNews } from './site-news.ts';
import type { SiteSessions } from './site-sessions.ts';
import { Slots } from './slots.ts';

/** The hub above, as this one is configured with it. */
export interface HubAbove {
  /** A multiaddr. */
  readonly address: string;
  /** What this hub is called there, as its token says. */
  readonly site: string;
  /** 0: as fast as it goes. */
  readonly bytesPerSecond: number;
  /** For one of this hub's sites. */
  readonly linkOf: (site: string) => HubLink;
}

export interface HubUplinkParts {
  readonly store: HubStore;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 random lower-case hex digits. */
  readonly random: () => string;
  readonly sessions: SiteSessions;
  readonly news: SiteNews;
  /** Copies of these keys were joined. */
  readonly onJoined: (site: string, names: readonly ObjectName[]) => void;
}

/** How often the list of sites is looked at. */
const FOLLOW_MS = 5000;
/** Of several processes on one store the one that has the site's session exchanges it; each does where none has had one for so long. */
const AWAY_MS = 150_000;
/** A hub that is not reached for less is not news. */
const DOWN_AFTER_MS = 10_000;
/** What sites say of themselves is asked for again so often, though none has said hello here. */
const DESCRIBE_MS = 60_000;
const NO_SITES = 'no site of this hub has ever connected to it, so that there is nothing to exchange';
/** Of all sites at a time: requests of the sites themselves, and of clients, are to have their turn. */
const TRANSACTIONS_MAX = 8;
/** Problems of sites that have been told and are not over. */
const TOLD_MAX = 100;

/** Exchanges all sites of a hub with the hub above: to that one, each is a site of its own. */
export class HubUplink {
  private readonly parts: HubUplinkParts;
  private readonly above: HubAbove;
  private readonly pace: TokenBucket;
  private readonly sites = new Map<string, ChainedSite>();
  private readonly describedMs = new Map<string, number>();
  private readonly slots = new Slots(TRANSACTIONS_MAX);
  private readonly told = new Set<string>();
  private cancel: (() => void) | null = null;
  private following: Promise<void> | null = null;
  private isAskedAgain = false;
  private isStopped = false;
  /** Null: it has not been told whether the hub above is reached. */
  private isReached: boolean | null = null;
  private downSinceMs: number;

  constructor(parts: HubUplinkParts, above: HubAbove) {
    this.parts = parts;
    this.above = above;
    this.pace = new TokenBucket(above.bytesPerSecond);
    this.downSinceMs = parts.clock.now().monoMs;
  }

  start(): void {
    this.follow();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.cancel?.();
    for (const site of this.sites.values()) site.stop();
    await this.following;
  }

  /** Shards of a site have been written to by this process. */
  noteChanged(site: string, shards: readonly number[]): void {
    this.sites.get(site)?.noteChanged(shards);
  }

  /** The site has said what it is. */
  noteHello(site: string): void {
    this.describedMs.delete(site);
    this.follow();
  }

  noteRemoved(site: string): void {
    this.sites.get(site)?.stop();
    this.sites.delete(site);
    this.describedMs.delete(site);
  }

  view(): UplinkView {
    const { address, site } = this.above;
    const states = this.states();
    const carried = states.filter(({ isUp }) => isUp);
    const waiting = this.parts.sessions.all().flatMap(({ report }) => (report === null ? [] : [report]));
    const backlog = sum(states.map((state) => state.backlog));
    const below = sum(waiting.map(({ backlogEvents: events, oldestMs }) => ({ events, oldestMs })));
    const synced = states.map(({ syncedMs }) => syncedMs);
    const lastSyncMs = synced.includes(null) || synced.length === 0 ? null : Math.min(...(synced as number[]));
    return {
      address,
      site,
      connected: carried.length > 0 && carried.length === states.length,
      carrying: carried.length > 0,
      problem: states.length === 0 ? NO_SITES : (states.find(({ problem }) => problem !== null)?.problem ?? null),
      backlog: backlogView(backlog),
      islandBacklog: backlogView(sum([backlog, below])),
      lastSyncAt: lastSyncMs === null ? null : new Date(lastSyncMs).toISOString(),
    };
  }

  private states() {
    return [...this.sites.values()].map((site) => site.state());
  }

  /** One run at a time; who asks during one has another one after it. */
  private follow(): void {
    this.isAskedAgain = this.following !== null;
    this.following ??= this.followOnce().finally(() => {
      this.following = null;
      if (this.isAskedAgain) this.follow();
      else this.schedule();
    });
  }

  private schedule(): void {
    if (!this.isStopped) this.cancel = this.parts.clock.after(FOLLOW_MS, () => this.follow());
  }

  private async followOnce(): Promise<void> {
    this.cancel?.();
    if (this.isStopped) return;
    const problems: string[] = [];
    try {
      const known = new Map((await this.parts.store.sites()).map((site) => [site.name, site]));
      for (const [name, site] of this.sites) {
        if (known.get(name)?.createdMs !== site.record.createdMs) this.noteRemoved(name);
      }
      for (const record of known.values()) {
        if (this.isStopped) return;
        // Before its first hello there is nothing of it.
        if (record.clusterId === null || record.shards === null) continue;
        const problem = await this.followSite(record, record.clusterId, record.shards);
        if (problem !== null) problems.push(problem);
      }
    } catch (error) {
      // It is told of by those who wait for it.
      this.parts.log.debug('the sites cannot be looked up', { error: String(error) });
    }
    this.tell(problems);
  }

  /** Why the site is not exchanged; null: it is. */
  private async followSite(record: SiteRecord, clusterId: string, shards: number): Promise<string | null> {
    const { name } = record;
    if (!isSitePath(sitePathOf(this.above.site, name)))
      return `${name} is the site of too many hubs above each other, and stays here`;
    try {
      await this.carry(record, clusterId, shards);
      return null;
    } catch (error) {
      // Anything else concerns all sites, or is over soon.
      if (!(error instanceof HubStoreError) || error.code !== 'unreadable') throw error;
      return `${name} cannot be looked up: ${error.message}`;
    }
  }

  private async carry(record: SiteRecord, clusterId: string, shards: number): Promise<void> {
    const { clock, store, sessions, log } = this.parts;
    const { name } = record;
    const { monoMs, wallMs } = clock.now();
    const isDue = monoMs >= (this.describedMs.get(name) ?? Number.NEGATIVE_INFINITY) + DESCRIBE_MS;
    let site = this.sites.get(name);
    if (site === undefined || isDue) {
      this.describedMs.set(name, monoMs);
      const described = await this.describe(name, clusterId, shards);
      if (this.isStopped) return;
      if (site === undefined) {
        site = this.begin(record, described);
        log.info('a site is exchanged with the hub above', { site: name, as: sitePathOf(this.above.site, name) });
      } else {
        site.describe(described);
      }
    }
    const isElsewhere = store.isShared && !sessions.isConnected(name) && wallMs < (record.seenMs ?? 0) + AWAY_MS;
    site.carry(!isElsewhere);
  }

  private async describe(name: string, clusterId: string, shards: number): Promise<Described> {
    const { store } = this.parts;
    const buckets = await store.buckets(name);
    const actors = [...(await store.actors(name))]
      .slice(0, SITE_ACTORS_MAX)
      .map(([actor, node]) => ({ actor, name: node }));
    const classes = [...new Set([0, ...buckets.map((bucket) => classOf(bucket.name))])].sort((a, b) => a - b);
    const shardIds = classes.flatMap((each) => Array.from({ length: shards }, (_, number) => shardId(each, number)));
    return { clusterId, shards, buckets, actors, shardIds };
  }

  private begin(record: SiteRecord, described: Described): ChainedSite {
    const { store, clock, log, random, news, sessions, onJoined } = this.parts;
    const { linkOf, bytesPerSecond } = this.above;
    const { name } = record;
    const site = new ChainedSite(
      {
        store,
        clock,
        log,
        random,
        link: linkOf(name),
        report: () => sessions.of(name).find(({ report }) => report !== null)?.report ?? UNTOLD,
        pace: this.pace,
        slots: this.slots,
        chunk: chunkAt(bytesPerSecond),
        onTaken: (shard, names) => {
          news.tell(name, [shard]);
          onJoined(name, names);
        },
      },
      record,
      described,
    );
    this.sites.set(name, site);
    return site;
  }

  /** Says when the hub above comes and goes, and once what is wrong with single sites: `kept` are those that cannot have a session. */
  private tell(kept: readonly string[]): void {
    const { log, clock } = this.parts;
    const { address } = this.above;
    const { monoMs } = clock.now();
    const states = this.states();
    const isUp = states.some((state) => state.isUp);
    if (isUp) this.downSinceMs = monoMs;
    const problems = [...kept, ...states.flatMap(({ problem }) => problem ?? [])];
    for (const problem of problems) this.tellOnce(problem);
    if (problems.length === 0) this.told.clear();
    const isReached = isUp || (this.isReached === true && monoMs < this.downSinceMs + DOWN_AFTER_MS);
    if (isReached === this.isReached || (this.isReached === null && !isReached)) return;
    this.isReached = isReached;
    if (isReached) log.info('the hub above is reached', { hub: address });
    else log.warn('the hub above is not reached; what it lacks waits here', { hub: address });
  }

  private tellOnce(problem: string): void {
    if (this.told.has(problem) || this.told.size >= TOLD_MAX) return;
    this.told.add(problem);
    this.parts.log.warn('sites are not exchanged with the hub above', { hub: this.above.address, problem });
  }
}

/** Of a site that is away. */
const UNTOLD = { leader: null, quorate: false, members: [], backlogEvents: 0, oldestMs: 0 };

interface Waiting {
  readonly events: number;
  readonly oldestMs: number;
}

function sum(backlogs: readonly Waiting[]): Waiting {
  const events = backlogs.reduce((total, backlog) => total + backlog.events, 0);
  return { events, oldestMs: Math.max(0, ...backlogs.map(({ oldestMs }) => oldestMs)) };
}

function backlogView({ events, oldestMs }: Waiting): HubBacklog {
  return { events, oldestSeconds: roundedSeconds(oldestMs) };
}
