import { unreachable } from '../../lib/assert.ts';
import { classOf } from '../../lib/bucket-name.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import type { Failure } from '../../lib/failure.ts';
import { Catalog, type PlacementClass } from '../catalog/catalog.ts';
import type { BucketRecord } from '../catalog/record.ts';
import type { OwnSettings, RingPlace } from '../catalog/ring-record.ts';
import type { Entries } from '../causal/entry.ts';
import { liveEntries } from '../causal/value.ts';
import type { Leadership } from '../election/election.ts';
import { isElectionMessage } from '../election/message.ts';
import { isElectorateMessage } from '../electorate/message.ts';
import type { Component } from '../island/components.ts';
import type { ServiceLevel } from '../island/island.ts';
import type { Instant, Machine, NodeId } from '../machine.ts';
import type { MembershipEffect } from '../membership/effect.ts';
import type { Member } from '../membership/member.ts';
import { Membership, type MembershipStats } from '../membership/membership.ts';
import { isMembershipMessage } from '../membership/message.ts';
import { isRegisterMessage } from '../register/message.ts';
import type { ReplicationEffect, ReplicationEvent, ReplicationInput } from '../replication/effect.ts';
import type { ReplicationMessage } from '../replication/message.ts';
import { Replication, type ReplicationStats } from '../replication/replication.ts';
import type { PlacementMap } from '../ring/placement-map.ts';
import type { Ring } from '../ring/ring.ts';
import { isUplinkMessage } from '../uplink/relay.ts';
import { CatalogExchanger } from './catalog-exchange.ts';
import { ClientRequests } from './client-requests.ts';
import { type ClockState, ClusterClock, clockRing } from './cluster-clock.ts';
import { Commands } from './commands.ts';
import { Deciders } from './deciders.ts';
import type { NodeEffect, NodeInput } from './effect.ts';
import type { NodeHost } from './host.ts';
import { CATALOG_LOST, hasBeenTold, hasLostCatalog } from './lost-catalog.ts';
import { memberSteps, reachOf } from './member-steps.ts';
import type { PeerMessage } from './message.ts';
import type { NodeOptions } from './options.ts';
import { RingState } from './ring-state.ts';
import type { HubOptions } from './uplink-effect.ts';
import { UplinkService, type UplinkState } from './uplink-service.ts';
import { newWatchRelay } from './watch-host.ts';
import type { Coverage, WatchRelay } from './watch-relay.ts';

/** Between two reports to membership of how peers serve requests. */
const OUTCOMES_INTERVAL_MS = 1000;

/** One whole node: membership, catalog, ring and replication composed; still pure. */
export class Node implements Machine<NodeInput, NodeEffect> {
  private readonly options: NodeOptions;
  /** What this node's configuration and disk say of it. */
  private readonly ownSettings: Omit<OwnSettings, 'version'>;
  private readonly membership: Membership;
  readonly catalog: Catalog;
  private readonly exchanger: CatalogExchanger;
  private readonly watches: WatchRelay;
  private readonly replication: Replication;
  readonly deciders: Deciders;
  private readonly connected = new Set<NodeId>();
  private readonly clock: ClusterClock;
  private isWritable = true;
  private readonly rings: RingState;
  private outcomesMs = Number.NEGATIVE_INFINITY;
  private effects: NodeEffect[] = [];
  private now: Instant;
  private rollbacks = 0;
  /** Its own record is gone from the disk: until a member tells what the cluster is, this node is part of no ring. */
  private lacksCatalog: boolean;
  /** Buckets that clients watch, by the names they use. */
  private watched: readonly string[] = [];
  /** Reads of this node's own that are to be begun. */
  private readonly reads: (() => void)[] = [];
  private readonly requests: ClientRequests;
  private readonly commands: Commands;
  private readonly uplink: UplinkService | null;

  constructor(options: NodeOptions, now: Instant) {
    this.options = options;
    const { self, profile, actor, prng } = options;
    this.ownSettings = { weight: profile.weight, zone: profile.zone, actor };
    this.catalog = new Catalog(options.catalog);
    this.lacksCatalog = hasLostCatalog(options);
    if (this.lacksCatalog) this.effects.push({ type: 'event', event: { type: 'catalog-lost' } });
    else if (this.catalog.setOwn(self, this.ownSettings)) {
      this.effects.push({ type: 'persist-catalog', state: this.catalog.state() });
    }
    this.rings = new RingState(options, this.catalog);
    this.membership = new Membership({
      self,
      profile,
      incarnation: options.incarnation,
      known: options.known,
      claims: options.claims,
      prng: prng.fork(),
      timing: options.membership,
    });
    this.exchanger = new CatalogExchanger(this.catalog, prng.fork());
    const isWatched = (bucket: string): boolean => this.watches.isWatched(bucket);
    this.replication = new Replication(
      { ...options.replication, self, actor, hasHub: options.hub !== null, prng: prng.fork(), isWatched },
      this.rings.placement,
      (bucket) => this.catalog.bucket(bucket)?.conflict,
      options.restored,
      now,
    );
    this.watches = this.newWatches(prng.uint32());
    this.now = now;
    this.clock = new ClusterClock(options.replication.maxClockDriftMs, clockRing(self, this.rings.places), now);
    this.deciders = new Deciders(
      { ...options, use: (effect) => this.effects.push(effect) },
      { catalog: this.catalog, rings: this.rings, corrected: (instant) => this.clock.corrected(instant) },
      now,
    );
    this.requests = this.newRequests();
    this.commands = this.newCommands();
    this.uplink = options.hub === null ? null : this.newUplink(options.hub, now);
    this.tellClock(now);
  }

  /** Why clients are to ask another node; null: they need not. */
  get refusal(): Failure | null {
    return this.lacksCatalog ? CATALOG_LOST : null;
  }

  /** The ring of buckets without a placement of their own. */
  get ring(): Ring {
    return this.rings.placement.common;
  }

  /** Who keeps which shard, of all buckets. */
  get placements(): PlacementMap {
    return this.rings.placement;
  }

  /** The placements of buckets that have one of their own. */
  get placementClasses(): readonly PlacementClass[] {
    return this.catalog.classes;
  }

  get ringEpoch(): number {
    return this.catalog.epoch();
  }

  /** Where everyone stands in the ring, sorted by id. */
  get ringPlaces(): readonly RingPlace[] {
    return this.rings.places;
  }

  get buckets(): readonly BucketRecord[] {
    return this.catalog.buckets;
  }

  bucket(name: string): BucketRecord | undefined {
    return this.catalog.bucket(name);
  }

  /** The qualified name, under which nodes keep the keys of the bucket; undefined when it is not known here. */
  dataName(bucket: string): string | undefined {
    return this.catalog.dataName(bucket);
  }

  members(): readonly Member[] {
    return this.membership.members();
  }

  member(id: NodeId): Member | undefined {
    return this.membership.member(id);
  }

  /** Round-trip time to a member as predicted from coordinates, ms; null where nothing is known. */
  estimatedRttMs(id: NodeId): number | null {
    return this.membership.estimatedRttMs(id);
  }

  /** Who leads, as far as this node knows; null: nobody. */
  leadership(now: Instant): Leadership | null {
    return this.deciders.view.leadership(now);
  }

  /** How much of the cluster and of the world this node can reach. */
  get level(): { readonly level: ServiceLevel; readonly sinceMs: number } {
    return this.deciders.view.level;
  }

  /** How the ring is cut, as far as this node sees; its own component first. */
  components(): readonly Component[] {
    return this.deciders.view.components();
  }

  /** How shards are reconciled with the hub; null: there is none. */
  uplinkState(now: Instant): UplinkState | null {
    return this.uplink?.state(now) ?? null;
  }

  /** Of the last leader that this node knew; it never falls. */
  get term(): number {
    return this.deciders.view.term;
  }

  /** Who tells this node of every change in the bucket; what a client that has read everything relies on. */
  watchCoverage(bucket: string): Coverage {
    return this.watches.coverage(this.dataName(bucket) ?? bucket);
  }

  /** True while not all that are connected have confirmed that they tell of the bucket. */
  isWatchSettling(bucket: string): boolean {
    return this.watches.isSettling(this.dataName(bucket) ?? bucket);
  }

  /** True when a client that relies on these may have missed a change. */
  isWatchStale(bucket: string, coverage: Coverage): boolean {
    return this.watches.isStale(this.dataName(bucket) ?? bucket, coverage);
  }

  membershipStats(): MembershipStats {
    return this.membership.stats();
  }

  replicationStats(): ReplicationStats {
    return this.replication.stats();
  }

  /** The cluster's wall clock, by which values expire; Unix ms. */
  wallMs(now: Instant): number {
    return this.clock.corrected(now).wallMs;
  }

  clockState(): ClockState {
    return this.clock.state;
  }

  handle(input: NodeInput, now: Instant): NodeEffect[] {
    this.now = now;
    this.clock.observe(now, this.send);
    this.tellClock(now);
    this.uplink?.observe(input, now);
    this.dispatch(input, now);
    this.tellClock(now);
    this.reportOutcomes(now);
    this.followView(now);
    return this.takeEffects();
  }

  handleTimeout(now: Instant): NodeEffect[] {
    this.now = now;
    this.clock.observe(now, this.send);
    this.clock.handleTimeout(now);
    this.tellClock(now);
    this.fromMembership(this.membership.handleTimeout(now), now);
    this.fromReplication(this.replication.handleTimeout(this.clock.corrected(now)));
    this.exchanger.handleTimeout(now, this.send);
    this.watches.handleTimeout(now.monoMs);
    this.deciders.handleTimeout(now);
    this.followView(now);
    this.uplink?.handleTimeout(now);
    if (this.deciders.tendRing(now)) this.publish(null, now);
    return this.takeEffects();
  }

  nextDeadline(): number | undefined {
    const cores = earlier(this.membership.nextDeadline(), this.replication.nextDeadline());
    const others = earlier(this.exchanger.nextDeadline(), this.watches.nextDeadline());
    const further = earlier(this.clock.nextDeadline(), this.uplink?.nextDeadline());
    return earlier(earlier(cores, further), earlier(others, this.deciders.nextDeadline()));
  }

  /** Replication works with the cluster's clock; membership with monotonic time and the clock that people see. */
  private replicate(input: ReplicationInput, now: Instant): void {
    this.fromReplication(this.replication.handle(input, this.clock.corrected(now)));
  }

  private tellClock(now: Instant): void {
    for (const news of this.clock.takeNews(now)) {
      switch (news.type) {
        case 'clock-set':
          this.watches.handleClockSet();
          break;
        case 'clock-trust':
          this.replicate(news, now);
          break;
        default:
          this.effects.push({ type: 'event', event: news });
      }
    }
  }

  /** Tells membership how peers serve requests, now and then. */
  private reportOutcomes(now: Instant): void {
    if (now.monoMs - this.outcomesMs < OUTCOMES_INTERVAL_MS) return;
    const outcomes = this.replication.takeOutcomes();
    if (outcomes === null) return;
    this.outcomesMs = now.monoMs;
    this.fromMembership(this.membership.handle({ type: 'requests', outcomes }, now), now);
  }

  private dispatch(input: NodeInput, now: Instant): void {
    switch (input.type) {
      case 'message':
        return this.handleMessage(input.from, input.message, now);
      case 'connected':
        return this.handleConnected(input.peer, now);
      case 'disconnected':
        return this.handleDisconnected(input.peer, now);
      case 'dial-failed':
      case 'incarnation-persisted':
      case 'lag':
      case 'update-profile':
        return this.fromMembership(this.membership.handle(input, now), now);
      case 'leave':
        this.deciders.view.handle(input, now);
        return this.fromMembership(this.membership.handle(input, now), now);
      case 'vote-persisted':
      case 'fence':
        return this.deciders.view.handle(input, now);
      case 'put-bucket':
      case 'change-ring':
      case 'refound':
        return this.commands.handle(input, (peer) => this.isUp(peer), now);
      case 'watch':
        this.watched = input.buckets;
        return this.watch(now);
      case 'request':
        return this.requests.handle(input.id, input.request);
      case 'register-persisted':
      case 'register-read-done':
      case 'register-scan-done':
      case 'register-tombstones':
      case 'register-lost':
        return this.deciders.strong.handleRegisters(input, this.clock.corrected(now));
      case 'electorate-persisted':
        return this.deciders.strong.handlePersisted(input.id, this.clock.corrected(now));
      case 'hub-up':
      case 'hub-down':
      case 'hub-reply':
      case 'hub-news':
        return this.uplink?.handleLink(input, now);
      case 'conflicts':
      case 'persisted':
      case 'cleared':
      case 'object-lost':
      case 'record-lost':
      case 'read-done':
      case 'scan-done':
        return this.replicate(input, now);
      case 'storage-writable':
        this.isWritable = input.writable;
        return this.replicate(input, now);
      default:
        return unreachable(input);
    }
  }

  private handleMessage(from: NodeId, message: PeerMessage, now: Instant): void {
    switch (message.type) {
      case 'catalog':
      case 'catalog-digest': {
        const change = this.exchanger.handleMessage(from, message, this.send);
        if (this.lacksCatalog && !hasBeenTold(this.options, this.catalog, from, message)) return;
        if (this.lacksCatalog || change !== null) this.handleCatalogChange(from, change?.conflicts ?? [], now);
        return;
      }
      case 'watch':
      case 'watching':
      case 'change':
        return this.watches.handleMessage(from, message);
      case 'clock-ask':
      case 'clock-tell':
        return this.clock.handleMessage(from, message, now, this.send);
      default:
        if (isMembershipMessage(message)) {
          this.fromMembership(this.membership.handle({ type: 'message', from, message }, now), now);
        } else if (isElectionMessage(message)) {
          this.deciders.handleElection(from, message, now);
        } else if (isRegisterMessage(message) || isElectorateMessage(message)) {
          this.deciders.strong.handleMessage(from, message, this.clock.corrected(now));
        } else if (isUplinkMessage(message)) {
          this.uplink?.handleMessage(from, message, now);
        } else {
          this.askForBucket(from, message);
          this.replicate({ type: 'message', from, message }, now);
        }
    }
  }

  /** The message is about a bucket whose placement has not been heard of yet; its sender has. */
  private askForBucket(from: NodeId, message: ReplicationMessage): void {
    const about = message.type === 'forward' ? message.request : message;
    if (!('bucket' in about) || typeof about.bucket !== 'string') return;
    if (this.rings.placement.ringOf(classOf(about.bucket)) === undefined) this.exchanger.ask(from, this.send);
  }

  private handleConnected(peer: NodeId, now: Instant): void {
    if (this.connected.has(peer)) return;
    this.connected.add(peer);
    this.fromMembership(this.membership.handle({ type: 'connected', peer }, now), now);
    this.exchanger.handleConnected(peer, now, this.send);
    this.clock.handleConnected(peer, now, this.send);
    this.watches.handleConnected(peer);
    this.deciders.view.handle({ type: 'connected', peer }, now);
    this.deciders.strong.handleConnected(peer, now);
    this.uplink?.handleConnected(peer, now);
    this.tellReach('peer-up', peer, now);
  }

  private handleDisconnected(peer: NodeId, now: Instant): void {
    if (!this.connected.delete(peer)) return;
    this.exchanger.handleDisconnected(peer);
    this.clock.handleDisconnected(peer);
    this.watches.handleDisconnected(peer);
    this.deciders.view.handle({ type: 'disconnected', peer }, now);
    this.deciders.strong.handleDisconnected(peer);
    this.uplink?.handleDisconnected(peer, now);
    this.tellReach('peer-down', peer, now);
    this.fromMembership(this.membership.handle({ type: 'disconnected', peer }, now), now);
  }

  private handleCatalogChange(from: NodeId | null, conflicts: readonly string[], now: Instant): void {
    this.lacksCatalog = false;
    // An earlier life of this node may have said otherwise.
    const restored = this.catalog.setOwn(this.options.self, this.ownSettings);
    if (restored) this.replication.noteForgotten();
    this.publish(restored ? null : from, now);
    if (conflicts.length === 0) return;
    for (const bucket of conflicts) this.effects.push({ type: 'event', event: { type: 'bucket-conflict', bucket } });
    // Who watches a bucket by its name may be watching another one now, and reads it from the start.
    this.watch(now);
    this.watches.handleClockSet();
  }

  /** Nobody is left who could tell what the cluster was. */
  private found(): boolean {
    this.lacksCatalog = false;
    return this.catalog.setOwn(this.options.self, this.ownSettings);
  }

  private isUp(peer: NodeId): boolean {
    return peer === this.options.self || (this.connected.has(peer) && this.member(peer)?.state === 'alive');
  }

  /** The catalog has changed. `by`: who knows that already. */
  private publish(by: NodeId | null, now: Instant): void {
    this.effects.push({ type: 'persist-catalog', state: this.catalog.state() });
    this.exchanger.announce(by, this.send);
    // Also where the ring stays as it is: a member's disk is another one.
    this.deciders.noteView();
    this.becomeRing(now);
  }

  private becomeRing(now: Instant): void {
    const step = this.rings.follow(this.rollbacks > 0);
    if (step === null) return;
    const { placement, places } = this.rings;
    const { differences, isKept } = step;
    if (differences.length > 0) {
      const members = placement.common.memberCount;
      const event = { type: 'ring-changed', epoch: this.catalog.epoch(), members, differences } as const;
      this.effects.push({ type: 'event', event });
      this.clock.handleRing(clockRing(this.options.self, places), now);
    }
    this.fromReplication(this.replication.handleRing(placement, isKept, this.clock.corrected(now)));
  }

  private watch(now: Instant): void {
    this.watches.handleWanted(
      this.watched.map((bucket) => this.dataName(bucket) ?? bucket),
      now.monoMs,
    );
  }

  private tellReach(type: 'peer-up' | 'peer-down', peer: NodeId, now: Instant): void {
    this.replicate({ type, peer }, now);
    this.deciders.strong.handleRegisters({ type, peer }, this.clock.corrected(now));
  }

  private newRequests(): ClientRequests {
    return new ClientRequests({
      catalog: this.catalog,
      refusal: () => this.refusal,
      level: () => this.level.level,
      replicate: (id, request) => this.replicate({ type: 'request', id, request }, this.now),
      register: (id, request) => this.deciders.strong.request(id, request, this.clock.corrected(this.now)),
      show: (request, reply) =>
        this.watches
          .showSnapshot(request, reply)
          .map((item) => ({ ...item, entries: this.live(request.bucket, item.entries) }))
          .filter(({ entries }) => entries.length > 0),
      reply: (id, reply) => this.effects.push({ type: 'reply', id, reply }),
    });
  }

  private newUplink(hub: HubOptions, now: Instant): UplinkService {
    const { self, shards, prng } = this.options;
    const onReach = (isUp: boolean): void => this.deciders.view.handleUplink(isUp, this.now);
    const onJoined = (conflicts: readonly string[]): void => this.handleCatalogChange(null, conflicts, this.now);
    const about = { self, shards, prng: prng.fork(), members: this.members.bind(this), onReach, onJoined };
    return new UplinkService({ ...hub, ...this.host(), holdings: this.replication.holdings, ...about }, now);
  }

  private newCommands(): Commands {
    return new Commands({
      ...this.options,
      catalog: this.catalog,
      deciders: this.deciders,
      refusal: () => this.refusal,
      found: () => this.found(),
      publish: () => this.publish(null, this.now),
      use: (effect) => this.effects.push(effect),
    });
  }

  private newWatches(run: number): WatchRelay {
    const { self } = this.options;
    const live = (bucket: string, entries: Entries): Entries => this.live(bucket, entries);
    return newWatchRelay({ ...this.host(), self, run, rollbacks: () => this.rollbacks, live });
  }

  /** What is composed with replication beside its own parts. */
  private host(): NodeHost {
    return {
      rings: this.rings,
      catalog: this.catalog,
      send: this.send,
      use: (effect) => this.effects.push(effect),
      replicate: (use) => this.fromReplication(use(this.replication, this.clock.corrected(this.now))),
      later: (run) => this.reads.push(run),
    };
  }

  private live(bucket: string, entries: Entries): Entries {
    return liveEntries(entries, this.wallMs(this.now), this.catalog.bucket(bucket)?.conflict ?? 'lww');
  }

  private fromMembership(effects: readonly MembershipEffect[], now: Instant): void {
    const { self } = this.options;
    const { isMesh } = this.membership;
    const isConnected = (peer: NodeId): boolean => this.connected.has(peer);
    for (const effect of effects) {
      if (effect.type === 'member-changed') this.deciders.noteView();
      for (const step of memberSteps(effect, { self, isMesh, isConnected })) this.effects.push(step);
      if (effect.type === 'send' && effect.message.type === 'ping' && isConnected(effect.to)) {
        this.clock.handleProbe(effect.to, now, this.send);
      }
      const reach = reachOf(effect, self, isConnected);
      if (reach !== null) this.tellReach(reach.type, reach.peer, now);
    }
  }

  private followView(now: Instant): void {
    const unfit = this.lacksCatalog ? 'catalog lost' : this.isWritable ? null : 'disk full';
    this.deciders.follow(() => this.membership.members(), unfit, this.lacksCatalog, now);
    this.uplink?.follow(this.leadership(now), now);
  }

  private fromReplication(effects: readonly ReplicationEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'notify':
          if (effect.event.type === 'disk-rolled-back') this.rollbacks++;
          this.deciders.handleEvent(effect.event, this.now);
          if (effect.event.type === 'shard-complete') this.watches.handleComplete();
          this.effects.push({ type: 'event', event: this.shownEvent(effect.event) });
          break;
        case 'changed':
          this.watches.handleLocal(effect);
          break;
        case 'reply':
          this.requests.handleReply(effect.id, effect.reply);
          break;
        default:
          this.effects.push(effect);
      }
    }
  }

  private shownEvent(event: ReplicationEvent): ReplicationEvent {
    return 'bucket' in event ? { ...event, bucket: this.catalog.shownName(event.bucket) } : event;
  }

  private readonly send = (to: NodeId, message: PeerMessage): void => {
    this.effects.push({ type: 'send', to, message });
  };

  private takeEffects(): NodeEffect[] {
    for (let read = this.reads.shift(); read !== undefined; read = this.reads.shift()) read();
    const effects = this.effects;
    this.effects = [];
    return effects;
  }
}
