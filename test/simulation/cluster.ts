import { assert } from '../../src/lib/assert.ts';
import { hashString } from '../../src/lib/hash.ts';
import { Prng } from '../../src/lib/prng.ts';
import type { BucketConfig } from '../../src/protocol/catalog/record.ts';
import type { RingChange } from '../../src/protocol/catalog/ring-record.ts';
import type { ActorId } from '../../src/protocol/causal/dot.ts';
import type { NodeEffect, NodeInput } from '../../src/protocol/node/effect.ts';
import { Node } from '../../src/protocol/node/node.ts';
import type { RefoundOutcome } from '../../src/protocol/node/refounding.ts';
import type { NodeReply, NodeReplyOf, NodeRequest } from '../../src/protocol/node/request.ts';
import type { BadRegisterRecord } from '../../src/protocol/register/record.ts';
import type { BadRecord, ObjectName } from '../../src/protocol/replication/record.ts';
import type { ConflictsQuery, ConflictsReply, FailedReply } from '../../src/protocol/replication/request.ts';
import { addConfirmation } from '../../src/runtime/confirmation.ts';
import { testClaims } from '../support/test-claims.ts';
import { CommitQueue } from './commit-queue.ts';
import { DiskWork } from './disk-work.ts';
import { addressOf, Network } from './network.ts';
import { NodeClock } from './node-clock.ts';
import { Observers, type SimObserver } from './observer.ts';
import type { Running, SimNode } from './sim-node.ts';
import { VirtualClock } from './virtual-clock.ts';
import { VirtualDisk } from './virtual-disk.ts';
import { VirtualHub } from './virtual-hub.ts';
import { FAIR_WEATHER, type Weather } from './weather.ts';

export type { SimNode } from './sim-node.ts';

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly shards?: number;
  readonly zones?: number;
  /** Nodes find each other by multicast; otherwise by their first addresses and by membership. Default true. */
  readonly discovery?: boolean;
  /** The transport dials lost peers again by itself. Default true. */
  readonly redial?: boolean;
  /** How fast the first node sends others what they miss; 0, the default: as fast as it goes. */
  readonly firstSyncBytesPerSecond?: number;
  /** How long a member is gone before the leader takes it out of the ring; 0, the default: it never does. */
  readonly outAfterMs?: number;
  /** Shards are reconciled with a hub. */
  readonly hub?: boolean;
  /** At which nodes talk to it; 0, or left out: as fast as it goes. */
  readonly hubBytesPerSecond?: number;
  /** Shared with other clusters. Default: one of its own. */
  readonly clock?: VirtualClock;
  readonly observers?: readonly SimObserver[];
}

/** As in `src/runtime/driver.ts`: a timer later than this is reported. */
const LAG_REPORT_MS = 100;
/** Keeps the hub's draws apart from those of the cluster. */
const HUB_SEED = 0x6875_62;
/** As in `src/runtime/local-node.ts`: time for the goodbye to be sent. */
const LEAVE_GRACE_MS = 300;
/** A supervisor kills a process that does not end by then. */
const STOP_MAX_MS = 5000;
/** A process that cannot write its disk at start is started again after this time. */
const START_RETRY_MS = 1000;

/**
 * Whole nodes (the composed core) on virtual clocks, a virtual network and virtual disks. One seed decides
 * everything: the same seed gives the same run. The parts of the runtime that decide about order (driver, group
 * commit, frame batcher) are mirrored here, since they are asynchronous in production.
 */
export class SimCluster {
  readonly clock: VirtualClock;
  readonly prng: Prng;
  readonly nodes: SimNode[] = [];
  readonly network: Network;
  readonly observers = new Observers();
  readonly shards: number;
  readonly hub: VirtualHub | null;
  private readonly zones: number;
  private readonly firstSyncBytesPerSecond: number;
  private readonly hubBytesPerSecond: number;
  private readonly outAfterMs: number;
  private lastRequest = 0;

  constructor(options: ClusterOptions) {
    this.clock = options.clock ?? new VirtualClock();
    this.prng = new Prng(options.seed);
    this.shards = options.shards ?? 16;
    this.zones = options.zones ?? 1;
    this.outAfterMs = options.outAfterMs ?? 0;
    this.hubBytesPerSecond = options.hubBytesPerSecond ?? 0;
    this.firstSyncBytesPerSecond = options.firstSyncBytesPerSecond ?? 0;
    this.observers.push(...(options.observers ?? []));
    // A generator of its own: with or without a hub, the same seed means the same story.
    this.hub = options.hub === true ? new VirtualHub(this.clock, options.seed ^ HUB_SEED) : null;
    this.network = new Network(
      {
        clock: this.clock,
        prng: this.prng,
        nodes: this.nodes,
        discovery: options.discovery ?? true,
        redial: options.redial ?? true,
        observers: this.observers,
        later: (node, delayMs, run) => this.later(node, delayMs, run),
        input: (node, input) => this.inputs(node, [input]),
        inputs: (node, inputs) => this.inputs(node, inputs),
      },
      FAIR_WEATHER,
    );
    for (let i = 0; i < options.nodes; i++) this.addNode();
  }

  get weather(): Weather {
    return this.network.weather;
  }

  set weather(weather: Weather) {
    this.network.weather = weather;
  }

  addNode(): SimNode {
    const name = `n${this.nodes.length + 1}`;
    const node: SimNode = {
      index: this.nodes.length,
      id: `peer-${name}-${hashString(name).toString(36)}`,
      name,
      clock: new NodeClock(this.clock),
      links: new Map(),
      disk: this.newDisk(),
      address: addressOf(name, 1),
      versions: { min: 1, max: 1 },
      troubles: { refusing: 0, low: 0, syncMaxMs: [] },
      running: null,
      runs: 0,
    };
    this.nodes.push(node);
    this.network.addNode(node);
    return node;
  }

  start(node: SimNode): void {
    if (node.running !== null) return;
    if (node.troubles.refusing > 0) {
      // The start itself is counted on the disk.
      this.clock.after(START_RETRY_MS, () => this.start(node));
      return;
    }
    const bad = node.disk.open();
    node.disk.bootEpoch++;
    node.runs++;
    const core = this.newCore(node);
    const commits = new CommitQueue({
      disk: node.disk,
      syncMs: () => this.syncMs(node),
      isFull: () => node.troubles.refusing > 0,
      after: (delayMs, run) => this.clock.after(delayMs, run),
      deliver: (run) => this.deliver(node, running, run),
      onRefused: () => this.post(node, { type: 'storage-writable', writable: false }),
      onRecovered: () => this.post(node, { type: 'storage-writable', writable: true }),
    });
    const running: Running = {
      node: core,
      commits,
      disk: new DiskWork({
        disk: node.disk,
        commits,
        prng: this.prng,
        post: (input) => this.post(node, input),
        later: (delayMs, run) => this.later(node, delayMs, run),
      }),
      startedMs: this.clock.nowMs,
      peers: new Map(),
      addresses: new Map(),
      timer: null,
      inbox: [],
      replies: new Map(),
      conflictsReplies: new Map(),
      refoundReplies: new Map(),
      ringReplies: new Map(),
      bucketReplies: new Map(),
      fenceReplies: new Map(),
      turning: false,
      held: null,
      resumedMs: 0,
      timerIsDue: false,
    };
    node.running = running;
    for (const { id, profile } of node.disk.members.values()) running.addresses.set(id, new Set(profile.addresses));
    this.network.start(node);
    if (node.troubles.low > 0) this.post(node, { type: 'storage-writable', writable: false });
    this.inputs(node, [
      ...bad.map((record): NodeInput => ({ type: 'register-lost', record })),
      { type: 'update-profile', patch: { addresses: [node.address] } },
    ]);
  }

  /** The process dies: what was not synced is lost, its connections close. `torn`: its last batch was synced after all. */
  crash(node: SimNode, torn = false): void {
    const { running } = node;
    if (running === null) return;
    running.commits.crash(torn);
    node.running = null;
    this.hub?.close(node);
    this.network.crash(node);
  }

  /** The process says goodbye, syncs what it has, and ends. */
  stop(node: SimNode): void {
    const { running } = node;
    if (running === null) return;
    this.later(node, 0, () => this.inputs(node, [{ type: 'leave' }]));
    const deadlineMs = this.clock.nowMs + STOP_MAX_MS;
    const end = (): void => {
      if (node.running !== running) return;
      if (running.commits.idle || this.clock.nowMs >= deadlineMs) this.crash(node);
      else this.clock.after(LEAVE_GRACE_MS, end);
    };
    this.clock.after(LEAVE_GRACE_MS, end);
  }

  /** A new disk, with nothing on it, in a machine that is down. */
  replaceDisk(node: SimNode, disk: VirtualDisk = this.newDisk()): void {
    node.disk = disk;
    // Where nobody has ever heard of the node, nobody can tell it either: that is for an operator.
    const isKnown = this.nodes.some(
      (each) => each !== node && each.disk.catalog.members.some(({ id }) => id === node.id),
    );
    disk.lostCatalog ||= isKnown && disk.catalog.members.length === 0;
  }

  /** Stops the process where it is (SIGSTOP, or something synchronous that takes long). */
  pause(node: SimNode): void {
    if (node.running !== null) node.running.held ??= [];
  }

  /** The process goes on. `timersFirst`: its timer fires before it reads what has come meanwhile. */
  resume(node: SimNode, timersFirst: boolean): void {
    const { running } = node;
    if (running === null || running.held === null) return;
    const { held } = running;
    running.held = null;
    running.resumedMs = this.clock.nowMs;
    if (timersFirst) this.fireTimer(node);
    for (const run of held) {
      if (node.running !== running) return;
      run();
    }
    if (node.running !== running || !running.timerIsDue) return;
    // The turn that reads everything ends with the deadlines that have passed; the timer has nothing to say any more.
    running.timerIsDue = false;
    running.timer = null;
    this.runDeadlines(node, running, []);
  }

  /** Both clocks of a node run at `rate` times true speed. */
  setRate(node: SimNode, rate: number): void {
    node.clock.run(rate);
    this.rearm(node);
  }

  /** The clocks of a node are right again. */
  correctClock(node: SimNode): void {
    node.clock.correct();
    this.rearm(node);
  }

  /** Nothing passes between the groups from now on, silently. */
  partition(...groups: readonly (readonly SimNode[])[]): void {
    for (const [i, group] of groups.entries()) {
      for (const other of groups.slice(i + 1)) for (const a of group) for (const b of other) this.block(a, b);
    }
  }

  block(a: SimNode, b: SimNode): void {
    for (const link of [a.links.get(b.id), b.links.get(a.id)]) if (link?.blocks === 0) this.network.block(link);
  }

  /** All links work, and the weather is fair. */
  heal(): void {
    for (const node of this.nodes) for (const link of node.links.values()) link.blocks = 0;
    this.weather = FAIR_WEATHER;
  }

  /** Sends a client's request to a node; `use` is called with the reply unless the node crashes first. */
  request<R extends NodeRequest>(node: SimNode, request: R, use: (reply: NodeReplyOf<R> | FailedReply) => void): void {
    if (node.running === null) return;
    const id = ++this.lastRequest;
    node.running.replies.set(id, (reply) => {
      assert(isReplyTo(request, reply), 'a request is answered with a reply of its own kind');
      use(reply);
    });
    this.deliver(node, node.running, () => this.inputs(node, [{ type: 'request', id, request }]));
  }

  /** An operator's command to a node. False where it changes nothing as far as the node knows. */
  changeRing(node: SimNode, member: SimNode, change: RingChange): boolean {
    const { running } = node;
    if (running === null || running.held !== null) return false;
    const id = ++this.lastRequest;
    let changed = false;
    running.ringReplies.set(id, (outcome) => {
      changed = outcome.ok && outcome.changed;
    });
    this.inputs(node, [{ type: 'change-ring', id, member: member.id, change, by: `an operator at ${node.name}` }]);
    return changed;
  }

  /** What lost against concurrent writes. `use` is called with the reply unless the node crashes first. */
  conflicts(node: SimNode, query: ConflictsQuery, use: (reply: ConflictsReply | FailedReply) => void): void {
    const { running } = node;
    if (running === null) return;
    const id = ++this.lastRequest;
    running.conflictsReplies.set(id, use);
    this.deliver(node, running, () => this.inputs(node, [{ type: 'conflicts', id, query }]));
  }

  /** An operator's word at a node: these members never come back. `use` is called with the outcome unless it crashes first. */
  refound(node: SimNode, lost: readonly SimNode[], use: (outcome: RefoundOutcome) => void): void {
    const { running } = node;
    if (running === null) return;
    const id = ++this.lastRequest;
    running.refoundReplies.set(id, use);
    const command = { lost: lost.map((member) => member.id), by: `an operator at ${node.name}`, dryRun: false };
    this.deliver(node, running, () => this.inputs(node, [{ type: 'refound', id, command }]));
  }

  /** Asks a node to create a bucket. False where it refuses. */
  putBucket(node: SimNode, name: string, config: BucketConfig): boolean {
    const { running } = node;
    if (running === null || running.held !== null) return false;
    const id = ++this.lastRequest;
    let isThere = false;
    running.bucketReplies.set(id, (outcome) => {
      isThere = outcome.ok;
    });
    this.inputs(node, [{ type: 'put-bucket', id, name, config }]);
    return isThere;
  }

  /** What a node says of its free resources. */
  setScore(node: SimNode, score: number): void {
    const { running } = node;
    if (running === null) return;
    this.deliver(node, running, () => this.inputs(node, [{ type: 'update-profile', patch: { score } }]));
  }

  /** Asks a node whether it takes a leader's token. */
  fence(node: SimNode, leader: SimNode, token: number, use: (accepted: boolean) => void): void {
    const { running } = node;
    if (running === null) return;
    const id = ++this.lastRequest;
    running.fenceReplies.set(id, use);
    const input = { type: 'fence', id, token, leader: leader.id } as const;
    this.deliver(node, running, () => this.inputs(node, [input]));
  }

  /** Clients of a node watch these buckets from now on. */
  watch(node: SimNode, buckets: readonly string[]): void {
    const { running } = node;
    if (running !== null) this.deliver(node, running, () => this.inputs(node, [{ type: 'watch', buckets }]));
  }

  /** The disk has given back a bad record; it has been set aside. */
  reportLost(node: SimNode, shard: number, name: ObjectName): void {
    const { running } = node;
    if (running === null) return;
    this.deliver(node, running, () => this.inputs(node, [{ type: 'object-lost', shard, name }]));
  }

  /** The disk has given back a bad record that is not an object's. */
  reportBad(node: SimNode, record: BadRecord): void {
    const { running } = node;
    if (running === null) return;
    this.deliver(node, running, () => this.inputs(node, [{ type: 'record-lost', record }]));
  }

  /** The disk has given back a bad record of its registers. */
  reportBadRegister(node: SimNode, record: BadRegisterRecord): void {
    const { running } = node;
    if (running === null) return;
    this.deliver(node, running, () => this.inputs(node, [{ type: 'register-lost', record }]));
  }

  /** Tells a node whether its disk takes writes. */
  setWritable(node: SimNode, writable: boolean): void {
    const { running } = node;
    if (running === null) return;
    this.deliver(node, running, () => this.inputs(node, [{ type: 'storage-writable', writable }]));
  }

  run(forMs: number): void {
    this.clock.runUntil(this.clock.nowMs + forMs);
  }

  /** Runs until `condition` holds; false when it does not within the time. */
  runUntil(condition: () => boolean, forMs: number, stepMs = 50): boolean {
    const endMs = this.clock.nowMs + forMs;
    while (this.clock.nowMs < endMs) {
      if (condition()) return true;
      this.clock.runUntil(this.clock.nowMs + stepMs);
    }
    return condition();
  }

  isSettled(): boolean {
    return this.nodes.every(({ running }) => {
      if (running === null) return true;
      const { shards, hints, inFlight } = running.node.replicationStats();
      return shards.transferring === 0 && hints.records === 0 && inFlight === 0 && running.commits.idle;
    });
  }

  drawActor(): ActorId {
    const half = (): string => this.prng.uint32().toString(16).padStart(8, '0');
    return half() + half();
  }

  private newDisk(): VirtualDisk {
    return new VirtualDisk(this.drawActor());
  }

  private newCore(node: SimNode): Node {
    const { disk, name, versions } = node;
    return new Node(
      {
        self: node.id,
        actor: disk.actor,
        profile: {
          name,
          zone: this.zones > 1 ? `z${node.index % this.zones}` : '',
          labels: {},
          capabilities: [],
          addresses: [],
          versionMin: versions.min,
          versionMax: versions.max,
          bootEpoch: disk.bootEpoch,
          score: 0.5,
          coordinate: null,
          weight: 1,
        },
        incarnation: disk.incarnation,
        known: [...disk.members.values()],
        catalog: disk.catalog,
        lostCatalog: disk.lostCatalog,
        vote: disk.vote,
        mayHaveVoted: node.runs > 1,
        shards: this.shards,
        replicas: 3,
        outAfterMs: this.outAfterMs,
        membership: {},
        replication: {
          requestTimeoutMs: 5000,
          replicaTimeoutMs: 750,
          antiEntropyIntervalMs: 10_000,
          syncBytesPerSecond: node.index === 0 ? this.firstSyncBytesPerSecond : 0,
          hintBytesMax: 1024 * 1024,
          // Small, so that keys leave the cache and are read from disk again.
          cacheBytes: 16 * 1024,
          maxClockDriftMs: 60_000,
        },
        restored: disk.restored(),
        restoredRegisters: { shards: new Map(disk.registers.shards) },
        electorate: disk.electorate,
        proposerId: this.drawActor(),
        hub: this.hub === null ? null : { clusterId: 'cluster', bytesPerSecond: this.hubBytesPerSecond },
        claims: testClaims(node.id),
        prng: new Prng(this.prng.uint32()),
      },
      node.clock.now(),
    );
  }

  /** Runs in the process as soon as it handles anything, unless it has died meanwhile. */
  private deliver(node: SimNode, running: Running, run: () => void): void {
    if (node.running !== running) return;
    if (running.held === null) run();
    else running.held.push(run);
  }

  private later(node: SimNode, delayMs: number, run: () => void): void {
    const { running } = node;
    if (running !== null) this.clock.after(delayMs, () => this.deliver(node, running, run));
  }

  /** Into the inbox; a turn follows, at once or within the present one. */
  private post(node: SimNode, input: NodeInput): void {
    const { running } = node;
    if (running === null) return;
    const { inbox } = running;
    if (input.type === 'persisted' || input.type === 'register-persisted') addConfirmation(inbox, input);
    else inbox.push(input);
    if (!running.turning && inbox.length === 1) this.later(node, 0, () => this.turn(node, running));
  }

  private inputs(node: SimNode, inputs: readonly NodeInput[]): void {
    const { running } = node;
    if (running === null) return;
    running.inbox.push(...inputs);
    if (!running.turning) this.turn(node, running);
  }

  /** Takes everything in the inbox, sends one frame a peer and lane, and hands one batch to the disk. */
  private turn(node: SimNode, running: Running): void {
    const { inbox } = running;
    if (inbox.length === 0 && !running.turning) return;
    running.turning = true;
    for (let i = 0; i < inbox.length; i++) {
      if (node.running !== running) return;
      this.execute(node, running, running.node.handle(inbox[i] as NodeInput, node.clock.now()));
    }
    inbox.length = 0;
    this.endTurn(node, running);
  }

  private endTurn(node: SimNode, running: Running): void {
    running.turning = false;
    if (node.running !== running) return;
    this.network.flush();
    running.commits.flush();
    this.arm(node, running);
    for (const observer of this.observers.ofTurns) observer.turn(node);
  }

  private rearm(node: SimNode): void {
    const { running } = node;
    if (running === null || running.timerIsDue) return;
    running.timer = null;
    this.arm(node, running);
  }

  private arm(node: SimNode, running: Running): void {
    const deadlineMs = running.node.nextDeadline();
    if (deadlineMs === undefined) return;
    const atMs = node.clock.trueTimeOf(deadlineMs);
    if (running.timer !== null && running.timer.atMs <= atMs) return;
    const timer = { atMs, deadlineMs };
    running.timer = timer;
    this.clock.at(atMs, () => {
      if (node.running !== running || running.timer !== timer) return;
      if (running.held !== null) running.timerIsDue = true;
      else this.fireTimer(node);
    });
  }

  private fireTimer(node: SimNode): void {
    const { running } = node;
    if (running === null) return;
    const lateMs = running.timer === null ? 0 : node.clock.now().monoMs - running.timer.deadlineMs;
    running.timer = null;
    running.timerIsDue = false;
    this.runDeadlines(node, running, lateMs > LAG_REPORT_MS ? [{ type: 'lag', lagMs: lateMs }] : []);
  }

  private runDeadlines(node: SimNode, running: Running, inputs: readonly NodeInput[]): void {
    running.turning = true;
    const now = node.clock.now();
    for (const input of inputs) this.execute(node, running, running.node.handle(input, now));
    const deadlineMs = running.node.nextDeadline();
    // A deadline is due when its timer fires, whatever rounding says.
    if (deadlineMs !== undefined && deadlineMs <= now.monoMs + 1e-6) {
      const due = { ...now, monoMs: Math.max(now.monoMs, deadlineMs) };
      this.execute(node, running, running.node.handleTimeout(due));
    }
    this.turn(node, running);
  }

  private execute(node: SimNode, running: Running, effects: readonly NodeEffect[]): void {
    for (const effect of effects) {
      if (node.running !== running) return;
      this.executeOne(node, running, effect);
    }
  }

  private executeOne(node: SimNode, running: Running, effect: NodeEffect): void {
    switch (effect.type) {
      case 'send':
        return this.network.send(node, effect.to, effect.message);
      case 'dial':
        return this.network.dial(node, effect.peer, effect.addresses);
      case 'disconnect':
        return this.network.disconnect(node, effect.peer);
      case 'hub-open':
        return this.hub?.open(node, (input) => this.deliver(node, running, () => this.post(node, input)));
      case 'hub-close':
        return this.hub?.close(node);
      case 'hub-send':
        return this.hub?.send(node, effect.id, effect.request);
      case 'reply': {
        const use = running.replies.get(effect.id);
        running.replies.delete(effect.id);
        return use?.(effect.reply);
      }
      case 'refound-reply': {
        const use = running.refoundReplies.get(effect.id);
        running.refoundReplies.delete(effect.id);
        return use?.(effect.outcome);
      }
      case 'ring-reply': {
        const use = running.ringReplies.get(effect.id);
        running.ringReplies.delete(effect.id);
        return use?.(effect.outcome);
      }
      case 'conflicts-reply': {
        const use = running.conflictsReplies.get(effect.id);
        running.conflictsReplies.delete(effect.id);
        return use?.(effect.reply);
      }
      case 'changed':
        for (const observer of this.observers.ofChanges) observer.changed(node, effect);
        return;
      case 'watch-coverage':
        for (const observer of this.observers.ofCoverage) observer.coverage(node);
        return;
      case 'bucket-reply': {
        const use = running.bucketReplies.get(effect.id);
        running.bucketReplies.delete(effect.id);
        return use?.(effect.outcome);
      }
      case 'fence-reply': {
        const use = running.fenceReplies.get(effect.id);
        running.fenceReplies.delete(effect.id);
        return use?.(effect.accepted);
      }
      case 'misbehaviour':
        return;
      case 'event':
        for (const observer of this.observers.ofEvents) observer.event(node, effect.event);
        return;
      default:
        return running.disk.execute(effect);
    }
  }

  private syncMs({ troubles }: SimNode): number {
    const { syncMinMs, syncMaxMs } = this.weather;
    const maxMs = Math.max(syncMaxMs, ...troubles.syncMaxMs);
    return syncMinMs + this.prng.float() * (maxMs - syncMinMs);
  }
}

function isReplyTo<R extends NodeRequest>(request: R, reply: NodeReply): reply is NodeReplyOf<R> | FailedReply {
  if (reply.type === 'failed') return true;
  const isChange = request.type === 'strong-put' || request.type === 'strong-delete';
  return reply.type === (isChange ? 'strong-change' : request.type);
}
