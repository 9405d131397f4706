import type { Prng } from '../../lib/prng.ts';
import type { TokenBucket } from '../../lib/token-bucket.ts';
import type { Instant } from '../machine.ts';
import { Carrier } from './carrier.ts';
import type { Chunk } from './chunk.ts';
import { DrainPace } from './drain-pace.ts';
import { HubSource, type HubSourceOptions } from './hub-source.ts';
import type { HubLinkEffect, HubLinkInput } from './link.ts';
import type { HubHelloRequest, HubReportRequest } from './message.ts';
import { type Backlog, Reconciler } from './reconciler.ts';

/** What a hub knows of one of its sites. */
export interface ChainedSite extends Omit<HubHelloRequest, 'type'> {
  /** Ids of all its shards, in ascending order. */
  readonly shardIds: readonly number[];
}

export interface SiteUplinkOptions extends Pick<HubSourceOptions, 'run' | 'revision' | 'onTaken'> {
  readonly prng: Prng;
  /** How the site is, as its islands have told last. */
  readonly report: () => Omit<HubReportRequest, 'type'>;
  /** Shared with the other sites of the hub. */
  readonly pace: TokenBucket;
  readonly chunk: Chunk;
  readonly use: (effect: HubLinkEffect) => void;
  /** There is something to be done before the deadline that was told last. */
  readonly onDue: () => void;
}

/** How a site of a hub is reconciled with the hub above. */
export interface SiteUplinkState {
  readonly isUp: boolean;
  readonly backlog: Backlog;
  /** Unix ms of the last time that the hub above was known to lack nothing; null: not in this run. */
  readonly syncedMs: number | null;
  /** Why it was not reached at the last attempt; null: it was, or there was none. */
  readonly problem: string | null;
}

const ACTIVE_TICK_MS = 100;
const IDLE_TICK_MS = 2000;
const DOWN_TICK_MS = 1000;
/** After something was under way. */
const ACTIVE_MS = 2000;
/** What is written meanwhile is looked at together. */
const LOAD_PAUSE_MS = 50;
const TELL_MS = 5000;
/** What other processes have written to the store, and nobody has told of. */
const RELOAD_MS = 60_000;
const SELF = 'this process';
const ANOTHER = 'another process';

/** Composes what reconciles a site of a hub with the hub above: as `UplinkService` for a node. */
export class SiteUplink {
  private readonly options: SiteUplinkOptions;
  private readonly carrier: Carrier;
  private readonly source: HubSource;
  private reconciler: Reconciler;
  private site: ChainedSite;
  private now: Instant;
  private isReconciling = false;
  private isCarrying = false;
  private tickMs: number;
  private tellMs: number;
  private loadMs = Number.NEGATIVE_INFINITY;
  private reloadMs: number;
  private activeMs: number;
  private reportText = '';
  private problem: string | null = null;
  private syncedMs: number | null = null;

  constructor(options: SiteUplinkOptions, site: ChainedSite, now: Instant) {
    this.options = options;
    this.site = site;
    this.now = now;
    this.tickMs = now.monoMs;
    this.tellMs = now.monoMs + TELL_MS;
    this.reloadMs = now.monoMs + RELOAD_MS;
    this.activeMs = now.monoMs;
    const { prng, pace, use, run, revision, onTaken } = options;
    this.source = new HubSource({
      run,
      revision,
      onTaken: (shard, names) => {
        this.noteChanged([shard], this.now);
        onTaken(shard, names);
      },
      onLoaded: () => this.wake(),
      onRolledBack: () => this.beginAnew(),
    });
    this.source.describe(site.buckets, site.shardIds);
    this.reconciler = this.newReconciler();
    this.carrier = new Carrier(
      {
        self: SELF,
        prng,
        pace,
        // No client of a hub waits for its turns.
        drain: new DrainPace(),
        hello: () => this.hello(),
        send: () => undefined,
        openLink: () => use({ type: 'hub-open' }),
        closeLink: () => use({ type: 'hub-close' }),
        transmit: (id, request) => use({ type: 'hub-send', id, request }),
        onRoute: (isUp) => this.handleRoute(isUp),
        onNews: (shards) => this.reconciler.handleNews(shards, this.now.monoMs),
        // A site of this hub tells of its buckets itself.
        onBuckets: () => undefined,
        onRefused: (code, detail) => {
          this.problem = `${code}: ${detail}`;
        },
      },
      now.monoMs,
    );
  }

  state(now: Instant): SiteUplinkState {
    const { isUp } = this.carrier;
    const backlog = this.reconciler.backlog(now.monoMs);
    return { isUp, backlog, syncedMs: this.syncedMs, problem: isUp ? null : this.problem };
  }

  /** Whether this process is to keep the session: several may work on one store. */
  carry(isCarrying: boolean, now: Instant): void {
    this.now = now;
    if (isCarrying && !this.isCarrying) this.source.noteAllChanged();
    this.isCarrying = isCarrying;
    this.carrier.handleLeader(isCarrying ? SELF : ANOTHER, now.monoMs);
    this.wake();
  }

  /** The site has told more of itself, or something else. */
  describe(site: ChainedSite, now: Instant): void {
    this.now = now;
    const before = JSON.stringify(this.hello());
    this.site = site;
    this.source.describe(site.buckets, site.shardIds);
    if (JSON.stringify(this.hello()) === before) return;
    this.carrier.greetAgain();
    this.wake();
  }

  /** Something was written to these shards. */
  noteChanged(shards: readonly number[], now: Instant): void {
    this.now = now;
    this.activeMs = now.monoMs;
    this.source.noteChanged(shards);
    this.wake();
  }

  handleLink(input: HubLinkInput, now: Instant): void {
    this.now = now;
    this.activeMs = now.monoMs;
    switch (input.type) {
      case 'hub-up':
        this.problem = null;
        this.carrier.handleLinkUp(now.monoMs);
        break;
      case 'hub-down':
        this.problem = `${input.reason}: ${input.detail}`;
        this.carrier.handleLinkDown(now.monoMs);
        break;
      case 'hub-reply':
        this.carrier.handleLinkReply(input.id, input.reply, now.monoMs);
        break;
      case 'hub-news':
        this.carrier.handleLinkNews(input.shards, now.monoMs);
    }
    this.wake();
  }

  handleTimeout(now: Instant): void {
    if (this.tickMs > now.monoMs) return;
    this.now = now;
    const { monoMs } = now;
    this.carrier.handleTimeout(monoMs);
    if (this.isCarrying && this.reloadMs <= monoMs) {
      this.reloadMs = monoMs + RELOAD_MS;
      this.source.noteAllChanged();
    }
    if (this.loadMs <= monoMs) {
      this.loadMs = monoMs + LOAD_PAUSE_MS;
      this.source.load();
    }
    this.settleSession();
    if (this.source.isLoaded) this.reconciler.advance(monoMs);
    if (this.tellMs <= monoMs) this.tell();
    const isActive = monoMs < this.activeMs + ACTIVE_MS;
    this.tickMs = monoMs + (isActive ? ACTIVE_TICK_MS : this.carrier.isUp ? IDLE_TICK_MS : DOWN_TICK_MS);
  }

  nextDeadline(): number {
    return this.tickMs;
  }

  private newReconciler(): Reconciler {
    return new Reconciler({
      source: this.source,
      restoring: null,
      request: (request, urgent, use) => {
        this.activeMs = this.now.monoMs;
        this.carrier.request(request, urgent, use);
      },
      chunk: () => this.options.chunk,
      pauseMs: () => 0,
      onCovered: (shard, context) => this.source.noteCovered(shard, context),
    });
  }

  private handleRoute(isUp: boolean): void {
    this.reportText = '';
    if (isUp) this.settleSession();
    else this.endSession();
  }

  /** Begins once there is a way and all is known of the shards: of one that is not, nothing could be said. */
  private settleSession(): void {
    if (this.isReconciling || !this.carrier.isUp || !this.source.isLoaded) return;
    this.isReconciling = true;
    this.reconciler.handleSession(true, this.now.monoMs);
  }

  private endSession(): void {
    if (!this.isReconciling) return;
    this.isReconciling = false;
    this.reconciler.handleSession(false, this.now.monoMs);
  }

  /** The store has forgotten what the reconciler counts on. */
  private beginAnew(): void {
    this.endSession();
    this.reconciler = this.newReconciler();
    this.wake();
  }

  private wake(): void {
    this.tickMs = this.now.monoMs;
    this.options.onDue();
  }

  private tell(): void {
    this.tellMs = this.now.monoMs + TELL_MS;
    if (!this.isReconciling) return;
    const { events, oldestMs } = this.reconciler.backlog(this.now.monoMs);
    if (events === 0) this.syncedMs = this.now.wallMs;
    const report = this.options.report();
    const told = {
      type: 'hub-report',
      ...report,
      backlogEvents: report.backlogEvents + events,
      oldestMs: Math.round(Math.max(report.oldestMs, oldestMs)),
    } as const;
    const text = JSON.stringify(told);
    if (text === this.reportText) return;
    this.carrier.request(told, false, (reply) => {
      if (reply?.type === 'hub-noted') this.reportText = text;
    });
  }

  private hello(): HubHelloRequest {
    const { clusterId, shards, buckets, actors } = this.site;
    return { type: 'hub-hello', shards, clusterId, buckets, actors };
  }
}
