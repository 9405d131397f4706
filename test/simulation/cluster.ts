import { hashString } from '../../src/lib/hash.ts';
import { Prng } from '../../src/lib/prng.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { NodeEffect, NodeInput } from '../../src/protocol/node/effect.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import { Node } from '../../src/protocol/node/node.ts';
import type { RecordClear, RecordWrite } from '../../src/protocol/replication/record.ts';
import type { ClientReply, ClientRequest } from '../../src/protocol/replication/request.ts';
import { decodeFrame, FrameWriter, laneOf } from '../../src/wire/message.ts';
import { testClaims } from '../support/test-claims.ts';
import { VirtualClock } from './virtual-clock.ts';
import { frozen, VirtualDisk } from './virtual-disk.ts';

/** Probabilities and times of what can go wrong on every message and sync. */
export interface Weather {
  /** Share of messages that never arrive. */
  readonly loss: number;
  readonly latencyMinMs: number;
  readonly latencyMaxMs: number;
  readonly syncMinMs: number;
  readonly syncMaxMs: number;
}

export const FAIR_WEATHER: Weather = { loss: 0, latencyMinMs: 0.2, latencyMaxMs: 3, syncMinMs: 0.3, syncMaxMs: 4 };

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly shards?: number;
  readonly zones?: number;
}

/** A silent link tears the connection down after this time, as TCP does. */
const STALL_MS = 15_000;
/** The transport redials peers that it knows. */
const REDIAL_MS = 500;
const WALL_START_MS = 1_790_000_000_000;

interface Running {
  readonly node: Node;
  /** Tells this run of the process from the next one on the same disk. */
  readonly run: number;
  timerMs: number | undefined;
  /** The connections that it has been told of. */
  readonly peers: Map<NodeId, number>;
}

interface SimNode {
  readonly id: NodeId;
  readonly name: string;
  readonly disk: VirtualDisk;
  running: Running | null;
  runs: number;
  /** Persisted, not synced yet, in order. */
  queue: ({ id: number; writes: readonly RecordWrite[] } | { clear: RecordClear } | { run: () => void })[];
  syncing: boolean;
}

/**
 * Whole nodes (the composed core) on a virtual clock, a virtual network and virtual disks. One seed decides
 * everything: the same seed gives the same run.
 */
export class SimCluster {
  readonly clock = new VirtualClock();
  readonly prng: Prng;
  readonly nodes: SimNode[] = [];
  weather: Weather = FAIR_WEATHER;
  /** Called for every message put on the wire. */
  onMessage: ((from: NodeId, to: NodeId, message: PeerMessage) => void) | null = null;
  private readonly shards: number;
  private readonly zones: number;
  private readonly connections = new Map<string, number>();
  private readonly blocked = new Set<string>();
  private readonly laneTimes = new Map<string, number>();
  private readonly replies = new Map<string, (reply: ClientReply) => void>();
  private lastRequest = 0;

  constructor(options: ClusterOptions) {
    this.prng = new Prng(options.seed);
    this.shards = options.shards ?? 16;
    this.zones = options.zones ?? 1;
    for (let i = 0; i < options.nodes; i++) this.addNode();
    this.redialForEver();
  }

  addNode(): SimNode {
    const index = this.nodes.length;
    const actor = this.prng.uint32().toString(16).padStart(8, '0') + this.prng.uint32().toString(16).padStart(8, '0');
    const name = `n${index + 1}`;
    const node = {
      id: `peer-${name}-${hashString(name).toString(36)}`,
      name,
      disk: new VirtualDisk(actor),
      running: null,
      runs: 0,
      queue: [],
      syncing: false,
    };
    this.nodes.push(node);
    return node;
  }

  start(node: SimNode): void {
    if (node.running !== null) return;
    const { disk } = node;
    disk.bootEpoch++;
    const run = ++node.runs;
    const core = new Node(
      {
        self: node.id,
        actor: disk.actor,
        profile: {
          name: node.name,
          zone: this.zones > 1 ? `z${this.nodes.indexOf(node) % this.zones}` : '',
          labels: {},
          capabilities: [],
          addresses: [`/sim/${node.name}`],
          versionMin: 1,
          versionMax: 1,
          bootEpoch: disk.bootEpoch,
          score: 0.5,
          weight: 1,
        },
        incarnation: disk.incarnation,
        known: [...disk.members.values()],
        catalog: disk.catalog,
        shards: this.shards,
        replicas: 3,
        membership: {},
        replication: {
          requestTimeoutMs: 5000,
          replicaTimeoutMs: 750,
          antiEntropyIntervalMs: 10_000,
          hintBytesMax: 1024 * 1024,
          // Small, so that keys leave the cache and are read from disk again.
          cacheBytes: 16 * 1024,
          maxClockDriftMs: 60_000,
        },
        restored: disk.restored(),
        claims: testClaims(node.id),
        prng: new Prng(this.prng.uint32()),
      },
      this.instant(),
    );
    node.running = { node: core, run, timerMs: undefined, peers: new Map() };
    this.arm(node);
  }

  /** The process dies: what was not synced is lost, its connections close. */
  crash(node: SimNode): void {
    if (node.running === null) return;
    node.running = null;
    node.queue = [];
    node.syncing = false;
    for (const [id, connection] of this.connections) {
      const [a, b] = id.split(' ') as [string, string];
      if (a !== node.id && b !== node.id) continue;
      this.connections.delete(id);
      const peer = this.byId(a === node.id ? b : a);
      // The kernel closes the connection; across a blocked link nobody hears of it until the stall.
      const delayMs = this.isBlocked(node.id, peer.id) ? STALL_MS : this.latencyMs();
      this.laterOn(peer, delayMs, () => this.lose(peer, node.id, connection));
    }
    for (const id of this.replies.keys()) if (id.startsWith(`${node.name}/`)) this.replies.delete(id);
  }

  /** Nothing passes between the groups from now on, silently. */
  partition(...groups: readonly (readonly SimNode[])[]): void {
    for (const [i, group] of groups.entries()) {
      for (const other of groups.slice(i + 1)) for (const a of group) for (const b of other) this.block(a, b);
    }
  }

  block(a: SimNode, b: SimNode): void {
    const id = pairId(a.id, b.id);
    if (this.blocked.has(id)) return;
    this.blocked.add(id);
    const connection = this.connections.get(id);
    if (connection === undefined) return;
    this.clock.after(STALL_MS, () => {
      if (this.connections.get(id) !== connection || !this.blocked.has(id)) return;
      this.disconnect(a.id, b.id);
    });
  }

  heal(): void {
    this.blocked.clear();
    this.weather = FAIR_WEATHER;
  }

  /** Sends a client's request to a node; `use` is called with the reply unless the node crashes first. */
  request(node: SimNode, request: ClientRequest, use: (reply: ClientReply) => void): void {
    if (node.running === null) return;
    const id = ++this.lastRequest;
    this.replies.set(`${node.name}/${id}`, use);
    this.input(node, { type: 'request', id, request });
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
    return this.nodes.every(({ running, queue, syncing }) => {
      if (running === null) return true;
      const { shards, hints, inFlight } = running.node.replicationStats();
      return shards.transferring === 0 && hints.records === 0 && inFlight === 0 && queue.length === 0 && !syncing;
    });
  }

  private byId(id: NodeId): SimNode {
    return this.nodes.find((node) => node.id === id) as SimNode;
  }

  private instant(): { monoMs: number; wallMs: number } {
    return { monoMs: this.clock.nowMs, wallMs: WALL_START_MS + Math.floor(this.clock.nowMs) };
  }

  private input(node: SimNode, input: NodeInput): void {
    const { running } = node;
    if (running === null) return;
    this.execute(node, running, running.node.handle(input, this.instant()));
    this.arm(node);
  }

  /** Calls back later unless the node has crashed meanwhile. */
  private laterOn(node: SimNode, delayMs: number, run: () => void): void {
    const current = node.running?.run;
    this.clock.after(delayMs, () => {
      if (node.running !== null && node.running.run === current) run();
    });
  }

  private arm(node: SimNode): void {
    const { running } = node;
    if (running === null) return;
    const deadline = running.node.nextDeadline();
    if (deadline === undefined || (running.timerMs !== undefined && running.timerMs <= deadline)) return;
    running.timerMs = deadline;
    this.clock.at(deadline, () => {
      if (node.running !== running || running.timerMs !== deadline) return;
      running.timerMs = undefined;
      const next = running.node.nextDeadline();
      if (next !== undefined && next <= this.clock.nowMs) {
        this.execute(node, running, running.node.handleTimeout(this.instant()));
      }
      this.arm(node);
    });
  }

  private execute(node: SimNode, running: Running, effects: readonly NodeEffect[]): void {
    for (const effect of effects) {
      if (node.running !== running) return;
      this.executeOne(node, effect);
    }
  }

  private executeOne(node: SimNode, effect: NodeEffect): void {
    switch (effect.type) {
      case 'send':
        return this.send(node, effect.to, effect.message);
      case 'dial':
        return this.dial(node, effect.peer);
      case 'disconnect':
        return this.disconnect(node.id, effect.peer);
      case 'persist':
        node.queue.push({ id: effect.id, writes: effect.writes.map(frozen) });
        return this.startSync(node);
      case 'clear':
        node.queue.push({ clear: effect.range });
        return this.startSync(node);
      case 'persist-incarnation': {
        const { incarnation } = effect;
        node.queue.push({
          run: () => {
            node.disk.incarnation = incarnation;
            this.laterOn(node, 0, () => this.input(node, { type: 'incarnation-persisted', incarnation }));
          },
        });
        return this.startSync(node);
      }
      case 'persist-catalog': {
        const { state } = effect;
        node.queue.push({ run: () => void (node.disk.catalog = state) });
        return this.startSync(node);
      }
      case 'persist-member': {
        const { id, profile } = effect.member;
        node.queue.push({ run: () => void node.disk.members.set(id, { id, profile }) });
        return this.startSync(node);
      }
      case 'forget-member':
        node.queue.push({ run: () => void node.disk.members.delete(effect.peer) });
        return this.startSync(node);
      case 'read':
        this.laterOn(node, this.prng.float() * 2, () => {
          this.input(node, { type: 'read-done', id: effect.id, result: node.disk.read(effect.key) });
        });
        return;
      case 'scan':
        this.laterOn(node, this.prng.float() * 4, () => {
          this.input(node, { type: 'scan-done', id: effect.id, result: node.disk.scan(effect.scan) });
        });
        return;
      case 'reply': {
        const id = `${node.name}/${effect.id}`;
        const use = this.replies.get(id);
        this.replies.delete(id);
        use?.(effect.reply);
        break;
      }
      case 'bucket-reply':
      case 'changed':
      case 'event':
    }
  }

  /** One sync at a time, of all that waits when it begins; a clear ends a batch. */
  private startSync(node: SimNode): void {
    if (node.syncing || node.queue.length === 0) return;
    node.syncing = true;
    // What the present turn still has to persist belongs to the same batch.
    this.laterOn(node, 0, () => this.sync(node));
  }

  private sync(node: SimNode): void {
    const clearAt = node.queue.findIndex((item) => 'clear' in item);
    const batch = node.queue.splice(0, clearAt === -1 ? node.queue.length : clearAt + 1);
    const { syncMinMs, syncMaxMs } = this.weather;
    this.laterOn(node, syncMinMs + this.prng.float() * (syncMaxMs - syncMinMs), () => {
      node.syncing = false;
      let last = 0;
      for (const item of batch) {
        if ('writes' in item) {
          for (const write of item.writes) node.disk.apply(write);
          last = item.id;
        } else if ('clear' in item) {
          const { shard } = item.clear;
          node.disk.clear(item.clear);
          this.laterOn(node, 0, () => this.input(node, { type: 'cleared', shard }));
        } else item.run();
      }
      if (last > 0) this.input(node, { type: 'persisted', id: last });
      this.startSync(node);
    });
  }

  private send(from: SimNode, to: NodeId, message: PeerMessage): void {
    this.onMessage?.(from.id, to, message);
    const connection = this.connections.get(pairId(from.id, to));
    if (connection === undefined || this.isBlocked(from.id, to)) return;
    if (this.weather.loss > 0 && this.prng.chance(this.weather.loss)) return;
    const writer = new FrameWriter();
    writer.add(message);
    const frame = writer.take();
    const lane = `${from.id} ${to} ${laneOf(message)}`;
    const atMs = Math.max(this.clock.nowMs + this.latencyMs(), this.laneTimes.get(lane) ?? 0);
    this.laneTimes.set(lane, atMs);
    const target = this.byId(to);
    this.laterOn(target, atMs - this.clock.nowMs, () => {
      if (this.connections.get(pairId(from.id, to)) !== connection || this.isBlocked(from.id, to)) return;
      for (const decoded of decodeFrame(frame).messages) {
        this.input(target, { type: 'message', from: from.id, message: decoded });
      }
    });
  }

  private dial(from: SimNode, to: NodeId): void {
    const target = this.byId(to);
    const id = pairId(from.id, to);
    if (this.connections.has(id)) return;
    if (this.isBlocked(from.id, to)) {
      this.laterOn(from, 3000, () => this.input(from, { type: 'dial-failed', peer: to, reason: 'timeout' }));
      return;
    }
    this.laterOn(from, this.latencyMs() * 2, () => {
      if (this.connections.has(id)) return;
      if (this.isBlocked(from.id, to)) return;
      if (target.running === null) {
        this.input(from, { type: 'dial-failed', peer: to, reason: 'refused' });
        return;
      }
      const connection = this.prng.uint32();
      this.connections.set(id, connection);
      this.connect(from, to, connection);
      this.connect(target, from.id, connection);
    });
  }

  private disconnect(a: NodeId, b: NodeId): void {
    const connection = this.connections.get(pairId(a, b));
    if (connection === undefined) return;
    this.connections.delete(pairId(a, b));
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const node = this.byId(one);
      this.laterOn(node, 0, () => this.lose(node, other, connection));
    }
  }

  /** A new connection takes the place of one that the node has not noticed to be dead. */
  private connect(node: SimNode, peer: NodeId, connection: number): void {
    if (node.running === null) return;
    if (node.running.peers.has(peer)) this.input(node, { type: 'disconnected', peer });
    node.running.peers.set(peer, connection);
    this.input(node, { type: 'connected', peer });
  }

  private lose(node: SimNode, peer: NodeId, connection: number): void {
    if (node.running?.peers.get(peer) !== connection) return;
    node.running.peers.delete(peer);
    this.input(node, { type: 'disconnected', peer });
  }

  private redialForEver(): void {
    this.clock.after(REDIAL_MS, () => {
      for (const node of this.nodes) {
        if (node.running === null) continue;
        for (const peer of this.nodes) if (peer !== node && peer.runs > 0) this.dialQuietly(node, peer.id);
      }
      this.redialForEver();
    });
  }

  /** The transport's own redial: a failure is not worth reporting. */
  private dialQuietly(from: SimNode, to: NodeId): void {
    if (!this.isBlocked(from.id, to) && this.byId(to).running !== null) this.dial(from, to);
  }

  private isBlocked(a: NodeId, b: NodeId): boolean {
    return this.blocked.has(pairId(a, b));
  }

  private latencyMs(): number {
    const { latencyMinMs, latencyMaxMs } = this.weather;
    return latencyMinMs + this.prng.float() * (latencyMaxMs - latencyMinMs);
  }
}

export type { SimNode };

function pairId(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
