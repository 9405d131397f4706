import type { NodeConfig } from '../config/node-config.ts';
import { type Failure, failure, HoldfastError } from '../lib/failure.ts';
import { Prng } from '../lib/prng.ts';
import { roundedSeconds } from '../lib/seconds.ts';
import type { Clock } from '../ports/clock.ts';
import type { HubLink } from '../ports/hub-link.ts';
import type { Log } from '../ports/log.ts';
import type { MetricsRenderer } from '../ports/metrics.ts';
import type {
  BucketConfig,
  BucketView,
  ConflictsQuery,
  ConflictsView,
  HubView,
  IslandsView,
  LeaderView,
  LocateView,
  MemberView,
  NodeHandle,
  NodeStatus,
  RefoundView,
  RefusalReason,
  RingChange,
  RingChangeView,
  RingView,
} from '../ports/node-handle.ts';
import type { Signer } from '../ports/signer.ts';
import type { CorruptRecord, Storage } from '../ports/storage.ts';
import type { SystemSampler } from '../ports/system.ts';
import type { Transport } from '../ports/transport.ts';
import type { Member } from '../protocol/membership/member.ts';
import { CATALOG_LOST } from '../protocol/node/lost-catalog.ts';
import { Node } from '../protocol/node/node.ts';
import { LOCKS_BUCKET, type NodeReplyOf, type NodeRequest } from '../protocol/node/request.ts';
import { WIRE_VERSION } from '../wire/message.ts';
import { ChangeLog } from './change-log.ts';
import { claimAuthority } from './claim-authority.ts';
import {
  bucketView,
  clockView,
  conflictsView,
  findRingMember,
  hubView,
  islandsView,
  leaderView,
  locateView,
  memberViews,
  nameOf,
  refoundView,
  ringView,
  timeAt,
} from './cluster-views.ts';
import { DiskCare } from './disk-care.ts';
import { Driver } from './driver.ts';
import type { EventLog } from './event-log.ts';
import { EventRecorder } from './event-recorder.ts';
import { GossipPubSub } from './gossip-pub-sub.ts';
import { type MetricsSnapshot, nodeMetrics } from './node-metrics.ts';
import type { NodeState } from './node-state.ts';
import { NodeWaiters } from './node-waiters.ts';
import { replicasCapability } from './replica-counts.ts';
import { type Shortage, SpaceGuard, shortageText } from './space-guard.ts';
import { TransferProgress } from './transfer-progress.ts';

/** Between two looks at the machine. */
const SAMPLE_INTERVAL_MS = 5000;
/** Score changes smaller than this are not worth telling the cluster, and larger ones not all the time. */
const SCORE_STEP = 0.15;
const SCORE_INTERVAL_MS = 60_000;
/** Time that a leaving node gives its goodbye to be sent. */
const LEAVE_GRACE_MS = 300;

export interface LocalNodeOptions {
  readonly config: NodeConfig;
  readonly version: string;
  readonly clusterId: string;
  readonly state: NodeState;
  readonly storage: Storage;
  readonly transport: Transport;
  /** Null: there is no hub. */
  readonly hub: HubLink | null;
  readonly clock: Clock;
  readonly sampler: SystemSampler;
  readonly metrics: MetricsRenderer;
  readonly log: Log;
  /** 32 random bits: the seed of the node's protocol randomness. */
  readonly seed: number;
  readonly signer: Signer;
  /** 16 hex digits that no other run of any node has. */
  readonly proposerId: string;
  /** Names this run of the process in feeds. */
  readonly run: string;
  readonly processUsage: () => MetricsSnapshot['process'];
  /** The node cannot go on. */
  readonly onFatal: (error: unknown) => void;
}

/** A running node: the pure cores behind a driver, and what the interfaces may ask of them. */
export class LocalNode implements NodeHandle {
  readonly events: EventLog;
  readonly changes: ChangeLog;
  readonly pubSub: GossipPubSub;
  private readonly options: LocalNodeOptions;
  private readonly recorder: EventRecorder;
  private readonly node: Node;
  private readonly driver: Driver;
  private readonly space: SpaceGuard;
  private readonly care: DiskCare;
  private readonly waiters = new NodeWaiters();
  private readonly progress = new TransferProgress();
  private readonly refusals = new Map<string, number>();
  private readonly startedMs: number;
  private phase: 'starting' | 'serving' | 'stopping' = 'starting';
  private recordsLost: string | null = null;
  private score: number;
  private scoreToldMs = Number.NEGATIVE_INFINITY;
  private cancelSample: (() => void) | null = null;

  constructor(options: LocalNodeOptions, score: number) {
    this.options = options;
    this.score = score;
    const { config, clock, state, transport, storage, log, run } = options;
    const { tuning } = config;
    this.startedMs = clock.now().monoMs;
    this.recorder = new EventRecorder({
      run,
      clock,
      log,
      self: transport.self,
      replicas: tuning.replicas,
      nameOf: (id) => nameOf(this.node, id),
      onPlace: () => this.logPlace(),
    });
    this.events = this.recorder.feed;
    this.pubSub = new GossipPubSub(transport, clock, log);
    this.changes = this.newChangeLog();
    this.node = this.newNode(options);
    this.care = new DiskCare({
      storage,
      clock,
      log,
      scrubBytesPerSecond: tuning.scrubBytesPerSecond,
      scrubIntervalHours: tuning.scrubIntervalHours,
      scrub: state.scrub,
      wallMs: () => this.wallMs(),
      post: (input) => this.driver.post(input),
      write: (write) => this.driver.writeMeta(write),
      restoreMeta: (key) => this.driver.restoreMeta(key),
      onEvent: (type, data) => this.recorder.append(type, data),
    });
    this.space = new SpaceGuard({
      storage,
      clock,
      log,
      headroomBytes: tuning.diskHeadroomBytes,
      onShortage: (shortage, before) => this.handleShortage(shortage, before),
    });
    this.driver = new Driver({
      node: this.node,
      storage,
      meta: state.meta,
      transport,
      hub: options.hub,
      clock,
      log,
      hooks: {
        onReply: this.waiters.requests.settle,
        onBucketReply: this.waiters.buckets.settle,
        onConflictsReply: this.waiters.conflicts.settle,
        onRefoundReply: this.waiters.refoundings.settle,
        onRingReply: this.waiters.rings.settle,
        onFenceReply: this.waiters.fences.settle,
        onChanged: (bucket, key, entries) => this.changes.append(bucket, key, entries),
        onWatchCoverage: () => this.changes.handleCoverage(),
        onEvent: (event) => this.recorder.handle(event),
        onPublication: (topic, from, data) => this.pubSub.handlePublication(topic, from, data),
        onCommitRefused: (refused) => this.space.handleRefused(refused),
        onFatal: options.onFatal,
      },
    });
  }

  private newNode(options: LocalNodeOptions): Node {
    const { config, clock, state, transport, signer, clusterId, seed, proposerId, hub } = options;
    const { tuning } = config;
    return new Node(
      {
        self: transport.self,
        actor: state.actor,
        profile: profileOf(options, this.score),
        incarnation: state.incarnation,
        known: state.known.filter(({ id }) => id !== transport.self),
        catalog: state.catalog,
        lostCatalog: state.lostCatalog,
        vote: state.vote,
        mayHaveVoted: state.mayHaveVoted,
        shards: tuning.shards,
        replicas: tuning.replicas,
        outAfterMs: tuning.outAfterMs,
        membership: {
          probeIntervalMs: tuning.probeIntervalMs,
          probeTimeoutMs: tuning.probeTimeoutMs,
          probeWindowMs: tuning.probeWindowMs,
          suspicionMinMultiplier: tuning.suspicionMinMultiplier,
          suspicionMaxMultiplier: tuning.suspicionMaxMultiplier,
        },
        replication: {
          requestTimeoutMs: tuning.requestTimeoutMs,
          replicaTimeoutMs: tuning.replicaTimeoutMs,
          antiEntropyIntervalMs: tuning.antiEntropyIntervalMs,
          syncBytesPerSecond: tuning.syncBytesPerSecond,
          hintBytesMax: tuning.hintBytesMax,
          cacheBytes: tuning.cacheBytes,
          maxClockDriftMs: tuning.maxClockDriftMs,
        },
        restored: state.replication,
        restoredRegisters: state.registers,
        electorate: state.electorate,
        proposerId,
        hub: hub === null ? null : { clusterId, bytesPerSecond: tuning.hubBytesPerSecond },
        claims: claimAuthority(signer, clusterId),
        prng: new Prng(seed),
      },
      clock.now(),
    );
  }

  private newChangeLog(): ChangeLog {
    const { run, clock } = this.options;
    return new ChangeLog(
      run,
      clock,
      (buckets) => this.driver.post({ type: 'watch', buckets }),
      () => ({
        coverage: (bucket) => this.node.watchCoverage(bucket),
        isSettling: (bucket) => this.node.isWatchSettling(bucket),
        isStale: (bucket, coverage) => this.node.isWatchStale(bucket, coverage),
      }),
    );
  }

  /** Connects to the cluster and serves. */
  async start(): Promise<void> {
    await this.options.transport.start(this.driver);
    this.pubSub.start();
    this.driver.post({ type: 'update-profile', patch: { addresses: this.options.transport.addresses().slice(0, 16) } });
    this.driver.start();
    await Promise.all([this.sample(), this.space.start()]);
    this.care.start();
    if (this.phase !== 'starting') return;
    this.phase = 'serving';
    this.logPlace();
  }

  /** Leaves the cluster, lets what is under way end, and syncs. */
  async stop(): Promise<void> {
    const hasStarted = this.phase === 'serving';
    this.phase = 'stopping';
    this.cancelSample?.();
    this.space.stop();
    this.care.stop();
    this.pubSub.stop();
    this.changes.stop();
    if (hasStarted) {
      this.driver.post({ type: 'leave' });
      await new Promise<void>((resolve) => this.options.clock.after(LEAVE_GRACE_MS, resolve));
    }
    await this.driver.stop();
    this.waiters.rejectAll();
    await this.options.transport.stop();
  }

  /**
   * The disk has lost records that nobody can name. From now on, what is read of it may be missing something: nothing more
   * is said to anybody, and the next start finds out what is left. `stop` is still to come.
   */
  halt(): void {
    this.phase = 'stopping';
    this.driver.halt();
    this.waiters.rejectAll();
  }

  get ready(): boolean {
    return this.phase === 'serving' && this.node.refusal === null;
  }

  async request<R extends NodeRequest>(request: R): Promise<NodeReplyOf<R>> {
    const refusal = this.refusal() ?? this.missingBucket(request.bucket);
    if (refusal !== null) throw new HoldfastError(refusal);
    const reply = await this.waiters.requests.ask((id) => this.driver.post({ type: 'request', id, request }));
    if (reply.type === 'failed') throw new HoldfastError(reply.failure);
    return reply as NodeReplyOf<R>;
  }

  async createBucket(name: string, config: BucketConfig): Promise<BucketView> {
    const refusal = this.refusal();
    if (refusal !== null) throw new HoldfastError(refusal);
    const outcome = await this.waiters.buckets.ask((id) => this.driver.post({ type: 'put-bucket', id, name, config }));
    if (!outcome.ok) throw new HoldfastError(outcome.failure);
    return bucketView(outcome.bucket, this.node.ring.replicas);
  }

  status(): Promise<NodeStatus> {
    const { options, node } = this;
    const members = { alive: 0, suspect: 0, dead: 0, left: 0 };
    for (const member of node.members()) members[member.state]++;
    const { shards, hints } = node.replicationStats();
    const { leader, term, quorate } = this.leader();
    return Promise.resolve({
      name: options.config.name,
      peerId: options.transport.self,
      clusterId: options.clusterId,
      version: options.version,
      bootEpoch: options.state.bootEpoch,
      uptimeSeconds: roundedSeconds(options.clock.now().monoMs - this.startedMs),
      notReady: this.refusal()?.message ?? null,
      level: node.level.level,
      levelSince: timeAt(node.level.sinceMs, options.clock.now()),
      leader,
      term,
      quorate,
      members,
      ringEpoch: node.ringEpoch,
      ringPlace: this.ringPlace,
      shards,
      disk: this.disk(),
      scrub: this.care.view,
      hints,
      clock: clockView(node.clockState()),
      hub: this.hub(),
    });
  }

  members(): readonly MemberView[] {
    return memberViews(this.node, this.options.transport.self);
  }

  leader(): LeaderView {
    return leaderView(this.node, this.options.transport.self, this.options.clock.now());
  }

  islands(): IslandsView {
    return islandsView(this.node, this.options.transport.self, this.options.clock.now());
  }

  hub(): HubView | null {
    const { conflicts } = this.node.replicationStats();
    return hubView(this.node.uplinkState(this.options.clock.now()), conflicts, this.options.config);
  }

  async conflicts({ bucket, ...page }: ConflictsQuery): Promise<ConflictsView> {
    const refusal = this.refusal() ?? (bucket === null ? null : this.missingBucket(bucket));
    if (refusal !== null) throw new HoldfastError(refusal);
    const query = { ...page, bucket: bucket === null ? null : (this.node.dataName(bucket) ?? bucket) };
    const reply = await this.waiters.conflicts.ask((id) => this.driver.post({ type: 'conflicts', id, query }));
    if (reply.type === 'failed') throw new HoldfastError(reply.failure);
    return conflictsView(this.node, reply);
  }

  async fence(leader: string, token: number): Promise<LeaderView> {
    const refusal = this.refusal();
    if (refusal !== null) throw new HoldfastError(refusal);
    const { peerId } = findRingMember(this.node, leader);
    const { accepted, term } = await this.waiters.fences.ask((id) =>
      this.driver.post({ type: 'fence', id, token, leader: peerId }),
    );
    if (accepted) return this.leader();
    const message = `the token ${token} of ${leader} is not good: this node knows of term ${term}; whoever acts by it must stop and ask who leads now`;
    throw new HoldfastError(failure('stale-token', message, { data: { token, term } }));
  }

  ring(): RingView {
    const { shards } = this.node.replicationStats();
    return ringView(this.node, this.progress.observe(shards.transferring));
  }

  async changeRing(member: string, change: RingChange, from: string): Promise<RingChangeView> {
    const refusal = this.refusal();
    const { self } = this.options.transport;
    const isFounding = refusal === CATALOG_LOST && [self, this.options.config.name].includes(member);
    if (refusal !== null && !isFounding) throw new HoldfastError(refusal);
    const peerId = isFounding ? self : findRingMember(this.node, member).peerId;
    const by = `${from} at ${this.options.config.name}`;
    const outcome = await this.waiters.rings.ask((id) =>
      this.driver.post({ type: 'change-ring', id, member: peerId, change, by }),
    );
    if (!outcome.ok) {
      // As whoever asked has called it.
      const message = outcome.failure.message.replaceAll(peerId, () => member);
      throw new HoldfastError({ ...outcome.failure, message });
    }
    return { ...findRingMember(this.node, peerId), changed: outcome.changed };
  }

  async refound(names: readonly string[], from: string, dryRun: boolean): Promise<RefoundView> {
    const refusal = this.refusal();
    if (refusal !== null) throw new HoldfastError(refusal);
    const lost = names.map((name) => findRingMember(this.node, name).peerId);
    const command = { lost, by: `${from} at ${this.options.config.name}`, dryRun };
    const outcome = await this.waiters.refoundings.ask((id) => this.driver.post({ type: 'refound', id, command }));
    return refoundView(this.node, outcome, dryRun);
  }

  locate(bucket: string, key: string): LocateView {
    const missing = this.missingBucket(bucket);
    if (missing !== null) throw new HoldfastError(missing);
    return locateView(this.node, bucket, key);
  }

  buckets(): readonly BucketView[] {
    return this.node.buckets.map((record) => bucketView(record, this.node.ring.replicas));
  }

  bucket(name: string): BucketView | undefined {
    const record = this.node.bucket(name);
    return record === undefined ? undefined : bucketView(record, this.node.ring.replicas);
  }

  metrics(): Promise<string> {
    const { options, node } = this;
    return options.metrics.render(
      nodeMetrics({
        version: options.version,
        name: options.config.name,
        uptimeSeconds: (options.clock.now().monoMs - this.startedMs) / 1000,
        members: node.members(),
        membership: node.membershipStats(),
        ringEpoch: node.ringEpoch,
        leader: this.leader(),
        level: node.level.level,
        components: node.components(),
        clock: node.clockState(),
        replication: node.replicationStats(),
        uplink: node.uplinkState(options.clock.now()),
        registers: node.deciders.strong.stats(),
        disk: this.disk(),
        driver: this.driver.counters,
        sent: this.driver.sent,
        transport: options.transport.counters(),
        refusals: this.refusals,
        care: this.care.counters,
        pubSub: this.pubSub.counters,
        process: options.processUsage(),
      }),
    );
  }

  wallMs(): number {
    return this.node.wallMs(this.options.clock.now());
  }

  countRefusal(listener: 'http' | 'resp', reason: RefusalReason): void {
    const key = `${listener} ${reason}`;
    this.refusals.set(key, (this.refusals.get(key) ?? 0) + 1);
  }

  /** The disk gave back a record that failed its checksum; it has been set aside. */
  handleCorruptRecord(record: CorruptRecord): void {
    this.care.handleCorrupt(record);
  }

  /** The disk lost records before this run, which it cannot name. */
  handleRecordsLost(reason: string): void {
    this.recordsLost = reason;
    this.recorder.append('records-lost', { reason });
  }

  private refusal(): Failure | null {
    switch (this.phase) {
      case 'starting':
        return failure('not-ready', 'the node is starting; retry in a moment');
      case 'serving':
        return this.node.refusal;
      case 'stopping':
        return failure('shutting-down', 'the node is shutting down; send the request to another node');
    }
  }

  private missingBucket(name: string): Failure | null {
    // No catalog has it, and no client names it.
    if (name === LOCKS_BUCKET || this.node.bucket(name) !== undefined) return null;
    return failure('bucket-not-found', `there is no bucket ${name}; create it with PUT /v1/buckets/${name}`);
  }

  private get ringPlace(): NodeStatus['ringPlace'] {
    const { self } = this.options.transport;
    return this.node.ringPlaces.find(({ id }) => id === self)?.place ?? 'in';
  }

  private disk(): NodeStatus['disk'] {
    const { space, recordsLost } = this;
    const { diskHeadroomBytes: headroomBytes } = this.options.config.tuning;
    return { ...space.usage, headroomBytes, readOnly: space.shortage !== null, recordsLost };
  }

  private async sample(): Promise<void> {
    const { sampler, clock, log } = this.options;
    try {
      const { score } = await sampler.sample();
      this.tellScore(score);
    } catch (error) {
      log.warn('the machine could not be sampled', { reason: error instanceof Error ? error.message : String(error) });
    }
    if (this.phase !== 'stopping') this.cancelSample = clock.after(SAMPLE_INTERVAL_MS, () => void this.sample());
  }

  /** Every change is told to every member: on a busy machine that would be most of the traffic of an idle cluster. */
  private tellScore(score: number): void {
    const nowMs = this.options.clock.now().monoMs;
    // So that all scores together stay in proportion, however many there are.
    const intervalMs = SCORE_INTERVAL_MS * Math.max(1, this.node.members().length / 32);
    if (Math.abs(score - this.score) < SCORE_STEP || nowMs - this.scoreToldMs < intervalMs) return;
    this.score = score;
    this.scoreToldMs = nowMs;
    this.driver.post({ type: 'update-profile', patch: { score } });
  }

  private handleShortage(shortage: Shortage | null, before: Shortage | null): void {
    const { freeBytes } = this.space.usage;
    if (shortage === null) {
      this.driver.post({ type: 'storage-writable', writable: true });
      this.recorder.append('disk-writable', { freeBytes }, 'writes go on');
      return;
    }
    const { name, tuning } = this.options.config;
    const headroomBytes = tuning.diskHeadroomBytes;
    const text = shortageText(shortage, name, headroomBytes);
    this.driver.post({ type: 'storage-writable', writable: false, refusal: text });
    if (before === null) this.recorder.append('disk-full', { freeBytes, headroomBytes }, text);
  }

  /** A node that owns nothing should not leave its operator wondering. */
  private logPlace(): void {
    const { log } = this.options;
    switch (this.ringPlace) {
      case 'in':
        return;
      case 'missing':
        log.info('this node was gone for long and is out of the ring; the leader puts it in again');
        return;
      case 'out':
        log.warn('this node is out of the ring: it serves requests, and hands over the data it holds');
        return;
      case 'removed':
        log.warn(
          'this node was removed from the ring: it hands over the data it holds, and can then be stopped for good',
        );
    }
  }
}

function profileOf({ config, state }: LocalNodeOptions, score: number): Member['profile'] {
  const { name, zone, labels, tuning } = config;
  const versions = { versionMin: WIRE_VERSION, versionMax: WIRE_VERSION, bootEpoch: state.bootEpoch };
  const own = { name, zone, labels, capabilities: [replicasCapability(tuning.replicas)], weight: tuning.weight };
  return { ...own, ...versions, addresses: [], score, coordinate: null };
}
