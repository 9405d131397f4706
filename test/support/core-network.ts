import { Prng } from '../../src/lib/prng.ts';
import type { Instant, Machine, NodeId } from '../../src/protocol/machine.ts';
import type { MembershipEffect } from '../../src/protocol/membership/effect.ts';
import type { DialFailure, MembershipInput } from '../../src/protocol/membership/input.ts';
import type { Member, MemberState } from '../../src/protocol/membership/member.ts';
import type { MembershipMessage, MemberUpdate } from '../../src/protocol/membership/message.ts';
import { MEMBERSHIP_LIMITS } from '../../src/protocol/membership/message.ts';
import { MEMBERSHIP_DEFAULTS } from '../../src/protocol/membership/options.ts';
import { EventQueue } from './event-queue.ts';
import { LINK_BYTES, messageBytes } from './message-bytes.ts';

const WALL_START_MS = 1_700_000_000_000;
const DIAL_TIMEOUT_MS = 3000;
/** Of a dial: TCP, multistream-select and Noise XX, multistream-select and yamux, identify, and admission's two. */
const DIAL_ROUND_TRIPS = 6;
/** What a lost packet of a dial costs: the usual least retransmission timeout of Linux, with some growth. */
const RETRANSMISSION_MS = 300;
/** Messages kept while a dial is under way. */
const DIAL_BUFFER_MAX = 64;
/** Up to so many members each node dials every other, as src/protocol/node/node.ts does. */
const MESH_MAX = MEMBERSHIP_DEFAULTS.meshMax;
/** As LINKS_MAX in src/adapters/libp2p/transport.ts: beyond, the connection that was not used for longest is closed. */
const LINKS_MAX = 512;
/** A late timer is reported from here on, as in src/runtime/driver.ts. */
const LAG_REPORT_MS = 100;
/** Payload of one TCP segment; each further segment costs its headers and half an acknowledgement. */
const SEGMENT_BYTES = 1400;
const SEGMENT_COST_BYTES = 52 + 26;

/** What a network runs: the membership core of this project, or another one that is compared with it. */
export interface MembershipCore extends Machine<MembershipInput, MembershipEffect> {
  readonly self: Member;
  member(id: NodeId): Member | undefined;
  /** Self included. */
  alive(): readonly NodeId[];
  /** For a core that stands for a process with threads: those that send or receive block until then, timers do not. */
  block?(untilMs: number): void;
}

export interface NetworkOptions {
  readonly seed: number;
  /** One way; default 0.5 to 3 ms. */
  readonly latencyMs?: readonly [number, number];
  /** Share of messages lost without a trace; there is no retransmission below. */
  readonly lossRate?: number;
  readonly persistMs?: number;
  /** Datagrams: everybody reaches everybody without a connection, and no closed one tells of a crash. */
  readonly connectionless?: boolean;
}

/** What a new core is given. */
export interface CoreStart {
  readonly id: NodeId;
  /** Number of this start of the node, from 1. */
  readonly life: number;
  readonly incarnation: number;
  readonly known: readonly NodeId[];
  readonly prng: Prng;
}

export interface Change {
  readonly atMs: number;
  readonly node: NodeId;
  readonly id: NodeId;
  readonly state: MemberState;
  readonly previous: MemberState | null;
}

/** What one node has sent since the last `resetTraffic`. */
export interface Traffic {
  bytes: number;
  messages: number;
  /** Connections that it dialled, whatever came of it. */
  dials: number;
}

interface SimulatedNode<C> {
  readonly id: NodeId;
  readonly core: C;
  isRunning: boolean;
  /** Rises with each start, so that events of a former life find nobody. */
  readonly life: number;
  incarnationOnDisk: number;
  /** With when each was last used. */
  readonly connections: Map<NodeId, number>;
  readonly dialling: Map<NodeId, MembershipMessage[]>;
  pausedUntilMs: number;
  /** Until then the process stands still as soon as it sends or receives. */
  blockedUntilMs: number;
  /** What arrived during a pause, in order. */
  held: MembershipInput[];
  stalledUntilMs: number;
  /** The earliest wake that is on its way. */
  wakeMs: number;
  members: number;
  readonly traffic: Traffic;
}

type Event<C> =
  | { readonly type: 'wake'; readonly node: SimulatedNode<C>; readonly atMs: number }
  | { readonly type: 'resume'; readonly node: SimulatedNode<C> }
  | { readonly type: 'input'; readonly node: SimulatedNode<C>; readonly input: MembershipInput }
  | {
      readonly type: 'message';
      readonly node: SimulatedNode<C>;
      readonly from: SimulatedNode<C>;
      readonly message: MembershipMessage;
    }
  | {
      readonly type: 'dialled';
      readonly node: SimulatedNode<C>;
      readonly to: NodeId;
      readonly startedMs: number;
      readonly isSilent: boolean;
    }
  | { readonly type: 'closed' | 'noticed'; readonly node: SimulatedNode<C>; readonly peer: NodeId };

/**
 * Membership cores on a virtual clock, joined by a network that delays, loses and cuts. Connections behave as
 * TCP ones: a killed process closes them, a cut leaves them open and silent. Everything follows from the seed.
 */
export class CoreNetwork<C extends MembershipCore> {
  nowMs = 0;
  changes: Change[] = [];
  readonly sentByType = new Map<string, number>();
  lossRate: number;
  /** Sees every change of a view as it happens; `changes` keeps them as well, unless this says false. */
  onChange: ((change: Change) => boolean) | undefined;
  protected readonly options: NetworkOptions;
  private readonly createCore: (start: CoreStart) => C;
  private readonly prng: Prng;
  private readonly nodes = new Map<NodeId, SimulatedNode<C>>();
  private readonly traffics = new Map<NodeId, Traffic>();
  private readonly events = new EventQueue<Event<C>>();
  /** Peers that this turn has sent a frame to: further messages to them travel in the same frame. */
  private readonly framed: NodeId[] = [];
  private isCut: ((a: NodeId, b: NodeId) => boolean) | null = null;
  private trace = 0;

  constructor(options: NetworkOptions, createCore: (start: CoreStart) => C) {
    this.options = options;
    this.createCore = createCore;
    this.lossRate = options.lossRate ?? 0;
    this.prng = new Prng(options.seed);
  }

  /** A hash over everything that was sent so far: equal for equal runs. */
  get fingerprint(): number {
    return this.trace;
  }

  core(id: NodeId): C {
    return this.node(id).core;
  }

  ids(): NodeId[] {
    return [...this.nodes.keys()];
  }

  running(): NodeId[] {
    return this.ids().filter((id) => this.node(id).isRunning);
  }

  /** The peers that a node is connected with. */
  connections(id: NodeId): NodeId[] {
    return [...this.node(id).connections.keys()];
  }

  traffic(id: NodeId): Readonly<Traffic> {
    return this.node(id).traffic;
  }

  /** Everybody's traffic counts from here. */
  resetTraffic(): void {
    for (const traffic of this.traffics.values()) Object.assign(traffic, { bytes: 0, messages: 0, dials: 0 });
    this.sentByType.clear();
  }

  /** Starts a node; `known` is its address book. */
  start(id: NodeId, known: readonly NodeId[] = []): void {
    const before = this.nodes.get(id);
    if (before !== undefined) before.isRunning = false;
    const life = (before?.life ?? 0) + 1;
    const incarnation = before?.incarnationOnDisk ?? 0;
    const node: SimulatedNode<C> = {
      id,
      core: this.createCore({ id, life, incarnation, known, prng: new Prng(this.prng.uint32()) }),
      isRunning: true,
      life,
      incarnationOnDisk: incarnation,
      connections: new Map(),
      dialling: new Map(),
      pausedUntilMs: 0,
      blockedUntilMs: 0,
      held: [],
      stalledUntilMs: 0,
      wakeMs: Number.POSITIVE_INFINITY,
      members: known.length + 1,
      traffic: this.trafficOf(id),
    };
    this.nodes.set(id, node);
    this.scheduleWake(node);
  }

  /** Starts n00, n01, … and has each dial the first. */
  startCluster(size: number): NodeId[] {
    const ids = nodeIds(size);
    for (const id of ids) this.start(id);
    for (const id of ids.slice(1)) this.dial(id, ids[0] as NodeId);
    return ids;
  }

  /**
   * Starts nodes with ids as long as peer ids and gives each the announcements of all, as a push-pull with a member that knows everybody
   * would: the state in which a big cluster ends up, without simulating how it grew. Up to MESH_MAX members
   * are connected as well; beyond, connections are up to the cores. Nothing of it counts as traffic or change.
   */
  formCluster(size: number, ids: readonly NodeId[] = peerIds(size)): readonly NodeId[] {
    for (const id of ids) this.start(id);
    this.run((this.options.persistMs ?? 5) + 1);
    const claims = ids.flatMap((id) => this.announcementOf(id));
    const packs: MemberUpdate[][] = [];
    while (claims.length > 0) packs.push(claims.splice(0, MEMBERSHIP_LIMITS.updatesPerMessageMax));
    for (const id of ids) {
      const node = this.node(id);
      const from = (id === ids[0] ? ids[1] : ids[0]) ?? id;
      for (const updates of packs) {
        node.core.handle({ type: 'message', from, message: { type: 'push-pull-return', updates } }, this.instant());
      }
      node.members = ids.length;
      this.scheduleWake(node);
    }
    if (ids.length <= MESH_MAX && this.options.connectionless !== true) this.connectAll(ids);
    this.changes = [];
    this.resetTraffic();
    return ids;
  }

  dial(from: NodeId, to: NodeId): void {
    this.execute(this.node(from), [{ type: 'dial', peer: to, addresses: [] }]);
  }

  /** The process ends: its kernel closes every connection at once, unless the network is cut. */
  kill(id: NodeId): void {
    const node = this.node(id);
    node.isRunning = false;
    for (const peer of node.connections.keys()) this.closeAtPeer(id, peer);
    node.connections.clear();
  }

  /** The connection between two running nodes breaks; both notice. */
  close(a: NodeId, b: NodeId): void {
    this.execute(this.node(a), [{ type: 'disconnect', peer: b }]);
  }

  /** Cuts every pair for which `isCut` holds, silently: connections stay open. */
  cut(isCut: (a: NodeId, b: NodeId) => boolean): void {
    this.isCut = isCut;
  }

  /** Cuts one node off. */
  silence(id: NodeId): void {
    this.cut((a, b) => a === id || b === id);
  }

  partition(side: readonly NodeId[]): void {
    const members = new Set(side);
    this.cut((a, b) => members.has(a) !== members.has(b));
  }

  heal(): void {
    this.isCut = null;
  }

  /** The process stands still (SIGSTOP, a blocked event loop); what arrives meanwhile waits. */
  pause(id: NodeId, forMs: number): void {
    this.pauseUntil(this.node(id), this.nowMs + forMs);
  }

  /**
   * Whatever in the process sends or receives next blocks "immediately before sending and immediately after
   * receiving" (Lifeguard): a process with one thread stands still from there on.
   */
  block(id: NodeId, forMs: number): void {
    const node = this.node(id);
    const untilMs = this.nowMs + forMs;
    if (node.core.block === undefined) {
      node.blockedUntilMs = untilMs;
    } else {
      node.core.block(untilMs);
      this.stall(id, forMs);
      this.scheduleWake(node);
    }
  }

  /** Messages from and to this node are held back, while its process runs on. */
  stall(id: NodeId, forMs: number): void {
    this.node(id).stalledUntilMs = this.nowMs + forMs;
  }

  input(id: NodeId, input: MembershipInput): void {
    this.deliver(this.node(id), input);
  }

  run(forMs: number): void {
    const endMs = this.nowMs + forMs;
    this.runWhile(endMs, () => true);
    this.nowMs = endMs;
  }

  /** Runs until `condition` holds (looked at after each event); returns how long it took, or undefined. */
  runUntil(condition: () => boolean, withinMs: number): number | undefined {
    const startMs = this.nowMs;
    let isMet = condition();
    if (!isMet) {
      this.runWhile(startMs + withinMs, () => {
        isMet = condition();
        return !isMet;
      });
    }
    if (!isMet) this.nowMs = startMs + withinMs;
    return isMet ? this.nowMs - startMs : undefined;
  }

  /** True when each of `observers` sees each of `subjects` in that state. */
  allSee(observers: readonly NodeId[], subjects: readonly NodeId[], state: MemberState): boolean {
    return observers.every((observer) => {
      const { core } = this.node(observer);
      return subjects.every((subject) => core.member(subject)?.state === state);
    });
  }

  /** Every running node sees exactly the running ones alive. */
  isConverged(): boolean {
    const running = new Set(this.running());
    for (const id of running) {
      const alive = this.node(id).core.alive();
      if (alive.length !== running.size || !alive.every((other) => running.has(other))) return false;
    }
    return true;
  }

  member(observer: NodeId, subject: NodeId): Member | undefined {
    return this.node(observer).core.member(subject);
  }

  deaths(): Change[] {
    return this.changes.filter((change) => change.state === 'dead');
  }

  /** What a node says of itself, by way of a push-pull with nobody. */
  private announcementOf(id: NodeId): MemberUpdate[] {
    const message = { type: 'push-pull', digests: [] } as const;
    const effects = this.node(id).core.handle({ type: 'message', from: 'formation', message }, this.instant());
    return effects.flatMap((effect) =>
      effect.type === 'send' && effect.message.type === 'push-pull-reply' ? effect.message.updates : [],
    );
  }

  private connectAll(ids: readonly NodeId[]): void {
    for (const id of ids) for (const peer of ids) if (peer !== id) this.node(id).connections.set(peer, 0);
    for (const id of ids) for (const peer of ids) if (peer !== id) this.input(id, { type: 'connected', peer });
  }

  private runWhile(endMs: number, goOn: () => boolean): void {
    for (let next = this.events.nextMs; next !== undefined && next <= endMs; next = this.events.nextMs) {
      const event = this.events.pop() as Event<C>;
      this.nowMs = next;
      if (event.node.isRunning) this.handleEvent(event);
      if (!goOn()) return;
    }
  }

  private handleEvent(event: Event<C>): void {
    const { node } = event;
    switch (event.type) {
      case 'wake':
        this.handleWake(node, event.atMs);
        return;
      case 'resume':
        if (node.pausedUntilMs <= this.nowMs) this.resume(node);
        return;
      case 'input':
        this.deliver(node, event.input);
        return;
      case 'message':
        this.handleArrival(node, event.from, event.message);
        return;
      case 'dialled':
        this.handleDialled(node, event.to, event.startedMs, event.isSilent);
        return;
      case 'noticed':
        this.handleClosed(node, event.peer);
        return;
      case 'closed':
        if (node.connections.delete(event.peer)) this.handleClosed(node, event.peer);
    }
  }

  private handleClosed(node: SimulatedNode<C>, peer: NodeId): void {
    this.deliver(node, { type: 'disconnected', peer });
    if (node.core.member(peer)?.state === 'alive') this.dialNear(node, peer);
  }

  /** As the node does, for its data: in a cluster that is not large everybody is connected with everybody. */
  private dialNear(node: SimulatedNode<C>, peer: NodeId): void {
    if (node.members <= MESH_MAX && peer !== node.id) this.startDial(node, peer);
  }

  private handleWake(node: SimulatedNode<C>, atMs: number): void {
    if (node.wakeMs !== atMs) return;
    node.wakeMs = Number.POSITIVE_INFINITY;
    if (node.pausedUntilMs > this.nowMs) return;
    const deadline = node.core.nextDeadline();
    if (deadline === undefined || deadline > this.nowMs) {
      this.scheduleWake(node);
      return;
    }
    const effects = node.core.handleTimeout(this.instant());
    if (node.blockedUntilMs > this.nowMs && effects.some(({ type }) => type === 'send')) {
      // Its frames leave when it goes on.
      node.stalledUntilMs = Math.max(node.stalledUntilMs, node.blockedUntilMs);
      this.pauseUntil(node, node.blockedUntilMs);
    }
    this.execute(node, effects);
  }

  private pauseUntil(node: SimulatedNode<C>, untilMs: number): void {
    node.pausedUntilMs = untilMs;
    this.events.push(untilMs, { type: 'resume', node });
  }

  /** As the driver does after a pause: the timer that is late, with its lag, before what waits in the sockets. */
  private resume(node: SimulatedNode<C>): void {
    const deadline = node.core.nextDeadline();
    if (deadline !== undefined && deadline < this.nowMs) {
      const lagMs = this.nowMs - deadline;
      if (lagMs > LAG_REPORT_MS) this.deliver(node, { type: 'lag', lagMs });
      const next = node.core.nextDeadline();
      if (next !== undefined && next <= this.nowMs) this.execute(node, node.core.handleTimeout(this.instant()));
    }
    const { held } = node;
    node.held = [];
    for (const input of held) this.deliver(node, input);
    this.scheduleWake(node);
  }

  private handleArrival(node: SimulatedNode<C>, from: SimulatedNode<C>, message: MembershipMessage): void {
    if (node.stalledUntilMs > this.nowMs) {
      this.events.push(node.stalledUntilMs, { type: 'message', node, from, message });
      return;
    }
    if (this.options.connectionless === true) {
      this.deliver(node, { type: 'message', from: from.id, message });
      return;
    }
    if (!node.connections.has(from.id)) {
      // Its kernel knows no such connection (any more) and resets it.
      if (from.connections.has(node.id)) this.closeAtPeer(node.id, from.id);
      return;
    }
    node.connections.set(from.id, this.nowMs);
    this.deliver(node, { type: 'message', from: from.id, message });
  }

  private deliver(node: SimulatedNode<C>, input: MembershipInput): void {
    if (!node.isRunning) return;
    if (node.blockedUntilMs > this.nowMs && node.pausedUntilMs < node.blockedUntilMs) {
      this.pauseUntil(node, node.blockedUntilMs);
    }
    if (node.pausedUntilMs > this.nowMs) {
      node.held.push(input);
      return;
    }
    if (input.type === 'incarnation-persisted') node.incarnationOnDisk = input.incarnation;
    this.execute(node, node.core.handle(input, this.instant()));
  }

  private execute(node: SimulatedNode<C>, effects: readonly MembershipEffect[]): void {
    this.framed.length = 0;
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.send(node, effect.to, effect.message);
          break;
        case 'dial':
          this.startDial(node, effect.peer);
          break;
        case 'disconnect':
          this.disconnect(node, effect.peer);
          break;
        case 'persist-incarnation': {
          const { incarnation } = effect;
          this.later(this.options.persistMs ?? 5, node, { type: 'incarnation-persisted', incarnation });
          break;
        }
        case 'member-changed':
          this.handleChange(node, effect.member, effect.previous);
          break;
        case 'forget':
          node.members -= 1;
          break;
        case 'misbehaviour':
      }
    }
    this.scheduleWake(node);
  }

  private handleChange(node: SimulatedNode<C>, { id, state }: Member, previous: MemberState | null): void {
    if (previous === null) node.members += 1;
    const change = { atMs: this.nowMs, node: node.id, id, state, previous };
    if (this.onChange?.(change) !== false) this.changes.push(change);
    if (state === 'alive') this.dialNear(node, id);
  }

  private send(node: SimulatedNode<C>, to: NodeId, message: MembershipMessage): void {
    if (this.options.connectionless !== true && !node.connections.has(to)) {
      const buffer = node.dialling.get(to);
      if (buffer !== undefined && buffer.length < DIAL_BUFFER_MAX) buffer.push(message);
      return;
    }
    if (this.options.connectionless !== true) node.connections.set(to, this.nowMs);
    this.transmit(node, to, message);
  }

  private transmit(node: SimulatedNode<C>, to: NodeId, message: MembershipMessage): void {
    let bytes = messageBytes(message);
    bytes += Math.floor(bytes / SEGMENT_BYTES) * SEGMENT_COST_BYTES;
    if (!this.framed.includes(to)) {
      this.framed.push(to);
      bytes += LINK_BYTES.frame;
    }
    node.traffic.bytes += bytes;
    node.traffic.messages += 1;
    this.sentByType.set(message.type, (this.sentByType.get(message.type) ?? 0) + 1);
    this.trace = (Math.imul(this.trace, 31) + bytes + Math.floor(this.nowMs)) >>> 0;
    const target = this.nodes.get(to);
    if (target?.isRunning !== true || this.isCut?.(node.id, to) === true) return;
    if (this.lossRate > 0 && this.prng.chance(this.lossRate)) return;
    const leavesMs = Math.max(this.nowMs, node.stalledUntilMs);
    this.events.push(leavesMs + this.latency(), { type: 'message', node: target, from: node, message });
  }

  private startDial(node: SimulatedNode<C>, to: NodeId): void {
    if (this.options.connectionless === true || node.connections.has(to) || node.dialling.has(to)) return;
    node.dialling.set(to, []);
    node.traffic.dials += 1;
    const target = this.nodes.get(to);
    const isSilent = this.isCut?.(node.id, to) === true;
    const tookMs = target?.isRunning === true ? this.dialMs() : this.latency() * 2;
    const afterMs = isSilent ? DIAL_TIMEOUT_MS : Math.min(tookMs, DIAL_TIMEOUT_MS);
    this.events.push(this.nowMs + afterMs, { type: 'dialled', node, to, startedMs: this.nowMs, isSilent });
  }

  private dialMs(): number {
    let tookMs = 0;
    const lost = 1 - (1 - this.lossRate) ** 2;
    for (let trip = 0; trip < DIAL_ROUND_TRIPS; trip++) {
      tookMs += this.latency() * 2;
      while (lost > 0 && tookMs < DIAL_TIMEOUT_MS && this.prng.chance(lost)) tookMs += RETRANSMISSION_MS;
    }
    return tookMs;
  }

  private handleDialled(from: SimulatedNode<C>, to: NodeId, startedMs: number, isSilent: boolean): void {
    const target = this.nodes.get(to);
    const endsMs = startedMs + DIAL_TIMEOUT_MS;
    const isCut = isSilent || this.isCut?.(from.id, to) === true;
    const blockedMs = Math.max(from.stalledUntilMs, target?.stalledUntilMs ?? 0, target?.pausedUntilMs ?? 0);
    if (this.nowMs < endsMs && (isCut || blockedMs > this.nowMs)) {
      // The handshake waits; only its end shows what became of it.
      const atMs = isCut ? endsMs : Math.min(endsMs, blockedMs);
      this.events.push(atMs, { type: 'dialled', node: from, to, startedMs, isSilent });
      return;
    }
    const buffered = from.dialling.get(to) ?? [];
    from.dialling.delete(to);
    if (from.connections.has(to)) return;
    const failure = dialFailure(target, isCut || this.nowMs >= endsMs || blockedMs > this.nowMs);
    from.traffic.bytes += dialBytes(failure) / (failure === undefined ? 2 : 1);
    if (failure !== undefined || target === undefined) {
      this.deliver(from, { type: 'dial-failed', peer: to, reason: failure ?? 'unreachable' });
      return;
    }
    target.traffic.bytes += dialBytes(failure) / 2;
    // The other side may still hold a connection that is dead for us: then it notices nothing new.
    const isNews = !target.connections.has(from.id);
    this.connect(from, to);
    if (isNews) this.connect(target, from.id);
    this.framed.length = 0;
    for (const message of buffered) this.transmit(from, to, message);
  }

  private connect(node: SimulatedNode<C>, peer: NodeId): void {
    node.connections.set(peer, this.nowMs);
    this.deliver(node, { type: 'connected', peer });
    if (node.connections.size <= LINKS_MAX) return;
    let [idlest, idlestMs] = ['', Number.POSITIVE_INFINITY];
    for (const [id, usedMs] of node.connections)
      if (id !== peer && usedMs < idlestMs) [idlest, idlestMs] = [id, usedMs];
    this.disconnect(node, idlest);
  }

  private disconnect(node: SimulatedNode<C>, peer: NodeId): void {
    if (!node.connections.delete(peer)) return;
    node.traffic.bytes += LINK_BYTES.close / 2;
    const other = this.nodes.get(peer);
    if (other !== undefined) other.traffic.bytes += LINK_BYTES.close / 2;
    this.events.push(this.nowMs, { type: 'noticed', node, peer });
    this.closeAtPeer(node.id, peer);
  }

  private closeAtPeer(id: NodeId, peer: NodeId): void {
    const node = this.nodes.get(peer);
    if (node?.isRunning !== true || this.isCut?.(id, peer) === true) return;
    this.events.push(this.nowMs + this.latency(), { type: 'closed', node, peer: id });
  }

  private later(afterMs: number, node: SimulatedNode<C>, input: MembershipInput): void {
    this.events.push(this.nowMs + afterMs, { type: 'input', node, input });
  }

  /** One wake at most is on its way to be early enough; a later deadline is seen when it arrives. */
  private scheduleWake(node: SimulatedNode<C>): void {
    const deadline = node.core.nextDeadline();
    if (deadline === undefined || !node.isRunning) return;
    const atMs = Math.max(deadline, this.nowMs);
    if (node.wakeMs <= atMs) return;
    node.wakeMs = atMs;
    this.events.push(atMs, { type: 'wake', node, atMs });
  }

  private node(id: NodeId): SimulatedNode<C> {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  private trafficOf(id: NodeId): Traffic {
    let traffic = this.traffics.get(id);
    if (traffic === undefined) this.traffics.set(id, (traffic = { bytes: 0, messages: 0, dials: 0 }));
    return traffic;
  }

  private latency(): number {
    const [low, high] = this.options.latencyMs ?? [0.5, 3];
    return low + (high - low) * this.prng.float();
  }

  private instant(): Instant {
    return { monoMs: this.nowMs, wallMs: WALL_START_MS + this.nowMs };
  }
}

function nodeIds(size: number): NodeId[] {
  const digits = Math.max(2, String(size - 1).length);
  return Array.from({ length: size }, (_, i) => `n${String(i).padStart(digits, '0')}`);
}

/** As long as the text of an Ed25519 peer id, so that messages have their true size. */
function peerIds(size: number): NodeId[] {
  return Array.from({ length: size }, (_, i) => `12D3KooW${String(i).padStart(44, '0')}`);
}

function dialFailure(target: { readonly isRunning: boolean } | undefined, isSilent: boolean): DialFailure | undefined {
  if (isSilent) return 'timeout';
  if (target === undefined) return 'unreachable';
  return target.isRunning ? undefined : 'refused';
}

function dialBytes(failure: DialFailure | undefined): number {
  if (failure === undefined) return LINK_BYTES.handshake;
  return failure === 'timeout' ? LINK_BYTES.dialTimeout : LINK_BYTES.dialRefused;
}
