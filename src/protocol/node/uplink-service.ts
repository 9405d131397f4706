import { plainName } from '../../lib/bucket-name.ts';
import type { Prng } from '../../lib/prng.ts';
import { TokenBucket } from '../../lib/token-bucket.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BucketRecord } from '../catalog/record.ts';
import { type CausalContext, NOTHING } from '../causal/context.ts';
import type { Leadership } from '../election/election.ts';
import type { Instant, NodeId } from '../machine.ts';
import type { Member } from '../membership/member.ts';
import type { Holdings, OutsideItem } from '../replication/holdings.ts';
import { Carrier } from '../uplink/carrier.ts';
import { chunkAt } from '../uplink/chunk.ts';
import { DrainPace } from '../uplink/drain-pace.ts';
import type { HubLinkInput } from '../uplink/link.ts';
import type { HubHelloRequest, SiteBucket, SyncPolicy } from '../uplink/message.ts';
import { SITE_ACTORS_MAX } from '../uplink/message.ts';
import { type Backlog, Reconciler } from '../uplink/reconciler.ts';
import type { UplinkMessage } from '../uplink/relay.ts';
import type { PulledItems, UplinkSource } from '../uplink/source.ts';
import type { NodeInput } from './effect.ts';
import type { NodeHost } from './host.ts';
import type { PeerMessage } from './message.ts';
import { siteActors } from './site-actors.ts';
import type { HubOptions } from './uplink-effect.ts';

export interface UplinkServiceOptions extends HubOptions, NodeHost {
  readonly self: NodeId;
  readonly shards: number;
  readonly prng: Prng;
  readonly members: () => readonly Member[];
  readonly holdings: Holdings;
  readonly onReach: (isUp: boolean) => void;
  /** The catalog has buckets again that this site had lost. */
  readonly onJoined: (conflicts: readonly string[]) => void;
}

/** How the uplink is, as this node knows it. */
export interface UplinkState {
  readonly isUp: boolean;
  /** This node holds the session. */
  readonly isCarrying: boolean;
  /** Of this node's own shards, and of those of all members, as the leader has last summed them up. */
  readonly own: Backlog;
  readonly all: Backlog;
  /** Unix ms of the last time that the hub was known to lack nothing of this node's; null: not in this run. */
  readonly syncedMs: number | null;
  /** Why this node did not reach the hub when it last tried; null: it did, or has not tried. */
  readonly problem: string | null;
}

/** While requests wait until they may be sent. */
const BUSY_TICK_MS = 20;
const ACTIVE_TICK_MS = 50;
const IDLE_TICK_MS = 250;
const DOWN_TICK_MS = 1000;
/** After something was under way. */
const ACTIVE_MS = 2000;
const TELL_MS = 5000;
/** What only the hub seems to have may yet come from other owners, and from those that are away. */
const RESTORE_AFTER_MS = 10_000;
const RESTORE_ALONE_AFTER_MS = 600_000;
/** A way to the hub that is gone for less is not news: sessions move from leader to leader. */
const DOWN_AFTER_MS = 10_000;

/** What other nodes ask for because a client waits for it. */
const SERVICES: ReadonlySet<PeerMessage['type']> = new Set([
  'forward',
  'replicate',
  'read',
  'list',
  'register-query',
  'register-prepare',
  'register-accept',
  'register-forward',
]);

/** Composes what reconciles this node's shards with the hub. */
export class UplinkService {
  private readonly options: UplinkServiceOptions;
  private readonly carrier: Carrier;
  private readonly reconciler: Reconciler;
  private readonly drain = new DrainPace();
  private readonly backlogs = new Map<NodeId, Backlog>();
  private readonly untold = new Map<number, CausalContext>();
  private now: Instant;
  private leader: NodeId | null = null;
  private totals: Backlog = { events: 0, oldestMs: 0 };
  private helloText = '';
  private reportText = '';
  private isQuorate = false;
  private tickMs: number;
  private tellMs: number;
  private activeMs = Number.NEGATIVE_INFINITY;
  private downSinceMs: number;
  private isReached = true;
  private isTold = false;
  private isOwnKnown = false;
  private unreachable = '';
  private syncedMs: number | null = null;

  constructor(options: UplinkServiceOptions, now: Instant) {
    this.options = options;
    this.now = now;
    this.tickMs = now.monoMs;
    this.tellMs = now.monoMs + TELL_MS;
    this.downSinceMs = now.monoMs;
    const { self, prng, bytesPerSecond, send, use } = options;
    this.carrier = new Carrier(
      {
        self,
        prng,
        pace: new TokenBucket(bytesPerSecond),
        drain: this.drain,
        hello: () => this.hello(),
        send,
        openLink: () => use({ type: 'hub-open' }),
        closeLink: () => use({ type: 'hub-close' }),
        transmit: (id, request) => use({ type: 'hub-send', id, request }),
        onRoute: (isUp) => this.handleRoute(isUp),
        onNews: (shards) => this.reconciler.handleNews(shards, this.now.monoMs),
        onBuckets: (buckets) => this.joinBuckets(buckets),
        onRefused: (reason, detail) => this.tellUnreachable(reason, detail),
      },
      now.monoMs,
    );
    const chunk = chunkAt(bytesPerSecond);
    this.reconciler = new Reconciler({
      source: this.newSource(),
      restoring: {
        restMs: (shard) => (options.holdings.areOwnersUp(shard) ? RESTORE_AFTER_MS : RESTORE_ALONE_AFTER_MS),
        settle: (...args) => this.hold((held) => held.settle(...args)),
      },
      request: (request, urgent, reply) => {
        this.activeMs = this.now.monoMs;
        this.carrier.request(request, urgent, reply);
      },
      chunk: () => this.drain.within(chunk, this.now.monoMs),
      pauseMs: () => this.drain.pauseMs(this.now.monoMs),
      onCovered: (shard, context, own) => {
        this.options.holdings.noteHub(shard, context);
        this.options.holdings.noteOwn(own);
        this.untold.set(shard, context);
      },
    });
  }

  state(now: Instant): UplinkState {
    const own = this.reconciler.backlog(now.monoMs);
    const all = this.leader === this.options.self ? this.sum(own) : this.totals;
    const { isUp, isCarrying } = this.carrier;
    return {
      isUp,
      isCarrying,
      own,
      all,
      syncedMs: this.syncedMs,
      problem: this.unreachable === '' ? null : this.unreachable,
    };
  }

  handleLink(input: HubLinkInput, now: Instant): void {
    this.now = now;
    const { carrier } = this;
    switch (input.type) {
      case 'hub-up':
        this.unreachable = '';
        return carrier.handleLinkUp(now.monoMs);
      case 'hub-down':
        this.tellUnreachable(input.reason, input.detail);
        return carrier.handleLinkDown(now.monoMs);
      case 'hub-reply':
        return carrier.handleLinkReply(input.id, input.reply, now.monoMs);
      case 'hub-news':
        return carrier.handleLinkNews(input.shards, now.monoMs);
    }
  }

  handleMessage(from: NodeId, message: UplinkMessage, now: Instant): void {
    this.now = now;
    switch (message.type) {
      case 'uplink-covers':
        for (const { shard, context } of message.covers) this.options.holdings.noteHub(shard, context);
        return;
      case 'uplink-backlog': {
        this.backlogs.set(from, { events: message.events, oldestMs: message.oldestMs });
        this.options.send(from, { type: 'uplink-totals', ...this.sum(this.reconciler.backlog(now.monoMs)) });
        return;
      }
      case 'uplink-totals':
        if (from === this.leader) this.totals = { events: message.events, oldestMs: message.oldestMs };
        return;
      default:
        return this.carrier.handleMessage(from, message, now.monoMs);
    }
  }

  handleConnected(peer: NodeId, now: Instant): void {
    this.now = now;
    this.carrier.handlePeerUp(peer, now.monoMs);
  }

  handleDisconnected(peer: NodeId, now: Instant): void {
    this.now = now;
    this.backlogs.delete(peer);
    this.carrier.handlePeerDown(peer, now.monoMs);
  }

  /** Who leads, at the end of a turn; and the buckets may be others. */
  follow(leadership: Pick<Leadership, 'leader' | 'quorate'> | null, now: Instant): void {
    this.now = now;
    const { leader = null, quorate = false } = leadership ?? {};
    this.isQuorate = quorate;
    if (leader === this.leader) return;
    this.leader = leader;
    this.carrier.handleLeader(leader, now.monoMs);
  }

  handleTimeout(now: Instant): void {
    if (this.tickMs > now.monoMs) return;
    this.now = now;
    this.drain.handleTurn(now.monoMs - this.tickMs, now.monoMs);
    this.carrier.handleTimeout(now.monoMs);
    this.reconciler.advance(now.monoMs);
    this.settleReach();
    if (this.tellMs <= now.monoMs) this.tell();
    this.tickMs = now.monoMs + this.tickIntervalMs();
  }

  nextDeadline(): number {
    return this.tickMs;
  }

  /** What comes to this node, whomever it is for. */
  observe(input: NodeInput, now: Instant): void {
    const isService = input.type === 'request' || (input.type === 'message' && SERVICES.has(input.message.type));
    if (isService) this.drain.noteServed(now.monoMs);
  }

  private tickIntervalMs(): number {
    const { monoMs } = this.now;
    if (!this.carrier.isUp) return DOWN_TICK_MS;
    if (this.carrier.isBusy) return BUSY_TICK_MS;
    return monoMs < this.activeMs + ACTIVE_MS ? ACTIVE_TICK_MS : IDLE_TICK_MS;
  }

  /** Once a run: a disk that was restored from an older copy must not use a dot again that only the hub has heard of. */
  private askForOwn(): void {
    if (this.isOwnKnown) return;
    this.carrier.request({ type: 'hub-know', ...this.options.holdings.ownEvents() }, true, (reply) => {
      if (reply?.type !== 'hub-known') return;
      this.isOwnKnown = true;
      this.hold((held) => held.noteKnown(reply.known));
    });
  }

  private handleRoute(isUp: boolean): void {
    if (isUp) {
      this.askForOwn();
      this.reportText = '';
      this.settleReach();
      this.tickMs = this.now.monoMs;
    } else {
      this.downSinceMs = this.now.monoMs;
    }
    this.reconciler.handleSession(isUp, this.now.monoMs);
  }

  private settleReach(): void {
    const { isUp } = this.carrier;
    const isReached = isUp || (this.isReached && this.now.monoMs < this.downSinceMs + DOWN_AFTER_MS);
    if (isReached === this.isReached && (this.isTold || !isUp)) return;
    this.isReached = isReached;
    this.isTold = true;
    this.options.use({ type: 'event', event: { type: isReached ? 'uplink-up' : 'uplink-down' } });
    this.options.onReach(isReached);
  }

  private tellUnreachable(reason: string, detail: string): void {
    const text = `${reason}: ${detail}`;
    if (text === this.unreachable) return;
    this.unreachable = text;
    this.options.use({ type: 'event', event: { type: 'hub-unreachable', reason, detail } });
  }

  private joinBuckets(buckets: readonly SiteBucket[]): void {
    const { self, catalog, onJoined } = this.options;
    // It waits for a member to tell it of the cluster, and says hello again then.
    if (catalog.ringRecord(self) === undefined) return;
    const joined = catalog.join({ members: [], buckets: recordsOf(buckets) });
    if (joined.buckets.length > 0) onJoined(joined.conflicts);
  }

  /** What others need to know now and then. */
  private tell(): void {
    const { self, rings, send } = this.options;
    const nowMs = this.now.monoMs;
    this.tellMs = nowMs + TELL_MS;
    const own = this.reconciler.backlog(nowMs);
    if (own.events === 0 && this.carrier.isUp) this.syncedMs = this.now.wallMs;
    if (this.leader !== null && this.leader !== self) send(this.leader, { type: 'uplink-backlog', ...own });
    const covers = new Map<NodeId, { shard: number; context: CausalContext }[]>();
    for (const [shard, context] of this.untold) {
      for (const owner of rings.placement.owners(shard)) {
        if (owner === self) continue;
        const list = covers.get(owner) ?? [];
        covers.set(owner, list);
        list.push({ shard, context: context.clone() });
      }
    }
    this.untold.clear();
    for (const [owner, list] of covers) send(owner, { type: 'uplink-covers', covers: list });
    this.greetWhereNew(own);
    // The answer may have been lost.
    if (this.carrier.isUp) this.askForOwn();
  }

  private greetWhereNew(own: Backlog): void {
    if (!this.carrier.isCarrying) return;
    if (this.helloText !== JSON.stringify(this.hello())) this.carrier.greetAgain();
    this.reportIsland(own);
    if (own.events > 0) this.activeMs = this.now.monoMs;
  }

  /** For people at the hub; nothing is said as long as nothing changes. */
  private reportIsland(own: Backlog): void {
    const members = this.options.members().filter(({ state }) => state === 'alive');
    const { events: backlogEvents, oldestMs } = this.leader === this.options.self ? this.sum(own) : this.totals;
    const report = {
      type: 'hub-report',
      leader: members.find(({ id }) => id === this.leader)?.profile.name ?? null,
      quorate: this.isQuorate,
      members: members.map(({ profile }) => profile.name).toSorted(),
      backlogEvents,
      oldestMs: Math.round(oldestMs),
    } as const;
    const text = JSON.stringify(report);
    if (text === this.reportText) return;
    this.carrier.request(report, false, (reply) => {
      if (reply?.type === 'hub-noted') this.reportText = text;
    });
  }

  private sum(own: Backlog): Backlog {
    let { events, oldestMs } = own;
    for (const backlog of this.backlogs.values()) {
      events += backlog.events;
      oldestMs = Math.max(oldestMs, backlog.oldestMs);
    }
    return { events, oldestMs };
  }

  private hello(): HubHelloRequest {
    const { catalog, clusterId, shards, members } = this.options;
    const buckets = eventualBuckets(catalog).map((record) =>
      siteBucket(catalog.dataName(record.name) ?? record.name, record),
    );
    const actors = siteActors(catalog, members()).slice(0, SITE_ACTORS_MAX);
    const hello = { type: 'hub-hello', shards, clusterId, buckets, actors } as const;
    this.helloText = JSON.stringify(hello);
    return hello;
  }

  /** In a turn of replication of its own, after this one. */
  private hold(use: (holdings: Holdings) => void): void {
    const { later, replicate } = this.options;
    later(() => replicate((replication, now) => replication.hold(use, now)));
  }

  private newSource(): UplinkSource {
    const { catalog, holdings } = this.options;
    const hold = (use: (held: Holdings) => void): void => this.hold(use);
    const policyOf = (bucket: string): SyncPolicy | undefined => catalog.bucket(bucket)?.sync;
    return {
      shards: () => holdings.shards(),
      covered: (shard) => holdings.covered(shard),
      policyOf,
      // The keys of others are in no shard.
      buckets: () => eventualBuckets(catalog).map(({ name }) => catalog.dataName(name) ?? name),
      keysOf: (...args) => hold((held) => held.keysOf(...args)),
      read: (shard, names, use) =>
        hold((held) => held.read(shard, names, (read) => use(read === null ? null : { ...read, own: NOTHING }))),
      scan: (...args) => hold((held) => held.scan(...args)),
      join: (shard, pulled, use) => {
        const items = outsideItems(pulled, policyOf);
        const isAll = items.length === pulled.items.length;
        hold((held) => {
          held.noteOwn(pulled.own);
          held.join(shard, items, (isTaken) => use(isTaken === true ? isAll : isTaken));
        });
      },
    };
  }
}

function eventualBuckets({ buckets }: Catalog): BucketRecord[] {
  return buckets.filter(({ consistency }) => consistency === 'eventual');
}

function siteBucket(name: string, record: BucketRecord): SiteBucket {
  const { sync, conflict, ttlSeconds, version, replicas, preferredZones, island, born } = record;
  const origin = version === 0 ? null : { version, replicas, preferredZones, island, born };
  return { name, sync, conflict, ttlSeconds, origin };
}

/** As the catalog had them. */
function recordsOf(buckets: readonly SiteBucket[]): BucketRecord[] {
  return buckets.flatMap(({ name, sync, conflict, ttlSeconds, origin }) =>
    origin === null ? [] : [{ name: plainName(name), consistency: 'eventual', sync, conflict, ttlSeconds, ...origin }],
  );
}

/** Without those of buckets that this node has not heard of yet. */
function outsideItems(
  { items, context, own, partial }: PulledItems,
  policyOf: (bucket: string) => SyncPolicy | undefined,
): OutsideItem[] {
  return items.flatMap(({ bucket, key, entries, past, events }) => {
    const policy = policyOf(bucket);
    if (policy === undefined || policy === 'none') return [];
    // Of a bucket that only comes down the hub counts events that it was never sent.
    const seen = policy === 'down' || partial.includes(bucket) ? own : context;
    return [{ bucket, key, entries, past, events, seen }];
  });
}
