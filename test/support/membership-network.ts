import { Prng } from '../../src/lib/prng.ts';
import type { Instant, NodeId } from '../../src/protocol/machine.ts';
import type { MembershipEffect } from '../../src/protocol/membership/effect.ts';
import type { DialFailure, MembershipInput } from '../../src/protocol/membership/input.ts';
import type { Member, MemberProfile, MemberState } from '../../src/protocol/membership/member.ts';
import { Membership } from '../../src/protocol/membership/membership.ts';
import type { MembershipMessage, MemberUpdate } from '../../src/protocol/membership/message.ts';
import type { KnownMember, MembershipTiming } from '../../src/protocol/membership/options.ts';
import { EventQueue } from './event-queue.ts';
import { testClaims } from './test-claims.ts';

/** Frame, Noise, yamux, TCP and IP headers of one small message, generously. */
const OVERHEAD_BYTES = 130;
const WALL_START_MS = 1_700_000_000_000;
const DIAL_TIMEOUT_MS = 3000;
/** Messages kept while a dial is under way. */
const DIAL_BUFFER_MAX = 64;

interface NetworkOptions {
  readonly seed: number;
  readonly latencyMs?: readonly [number, number];
  /** Share of messages lost without a trace; there is no retransmission below. */
  readonly lossRate?: number;
  readonly persistMs?: number;
  readonly timing?: Partial<MembershipTiming>;
}

interface Change {
  readonly atMs: number;
  readonly node: NodeId;
  readonly id: NodeId;
  readonly state: MemberState;
  readonly previous: MemberState | null;
}

interface Node {
  readonly id: NodeId;
  core: Membership;
  isRunning: boolean;
  /** Rises with each start, so that events of a former life find nobody. */
  life: number;
  incarnationOnDisk: number;
  readonly connections: Set<NodeId>;
  readonly dialling: Map<NodeId, MembershipMessage[]>;
  pausedUntilMs: number;
  wakeMs: number | undefined;
}

type Event =
  | { readonly type: 'wake'; readonly node: Node; readonly life: number; readonly atMs: number }
  | { readonly type: 'input'; readonly node: Node; readonly life: number; readonly input: MembershipInput }
  | {
      readonly type: 'dialled';
      readonly from: Node;
      readonly life: number;
      readonly to: NodeId;
      readonly waited: boolean;
    }
  | { readonly type: 'closed'; readonly node: Node; readonly life: number; readonly peer: NodeId };

export function profileOf(name: string, bootEpoch = 1): MemberProfile {
  return {
    name,
    zone: 'zone-a',
    labels: {},
    capabilities: ['data'],
    addresses: [`/ip4/10.0.0.1/tcp/7400/p2p/${name}`],
    versionMin: 1,
    versionMax: 1,
    bootEpoch,
    score: 0.5,
    weight: 1,
  };
}

/**
 * Membership cores on a virtual clock, joined by a network that delays, loses and cuts. Connections behave as
 * TCP ones: a killed process closes them, a cut leaves them open and silent. Everything follows from the seed.
 */
export class MembershipNetwork {
  nowMs = 0;
  readonly changes: Change[] = [];
  readonly sentBytes = new Map<NodeId, number>();
  readonly sentByType = new Map<string, number>();
  lossRate: number;
  private readonly options: NetworkOptions;
  private readonly prng: Prng;
  private readonly nodes = new Map<NodeId, Node>();
  private readonly events = new EventQueue<Event>();
  private isCut: (a: NodeId, b: NodeId) => boolean = () => false;
  private trace = 0;

  constructor(options: NetworkOptions) {
    this.options = options;
    this.lossRate = options.lossRate ?? 0;
    this.prng = new Prng(options.seed);
  }

  /** A hash over everything that was sent so far: equal for equal runs. */
  get fingerprint(): number {
    return this.trace;
  }

  core(id: NodeId): Membership {
    return this.node(id).core;
  }

  ids(): NodeId[] {
    return [...this.nodes.keys()];
  }

  running(): NodeId[] {
    return this.ids().filter((id) => this.node(id).isRunning);
  }

  /** Starts a node; `known` is its address book. */
  start(id: NodeId, known: readonly NodeId[] = []): void {
    const before = this.nodes.get(id);
    const life = (before?.life ?? 0) + 1;
    const incarnationOnDisk = before?.incarnationOnDisk ?? 0;
    const node: Node = {
      id,
      core: this.createCore(id, life, incarnationOnDisk, known),
      isRunning: true,
      life,
      incarnationOnDisk,
      connections: new Set(),
      dialling: new Map(),
      pausedUntilMs: 0,
      wakeMs: undefined,
    };
    this.nodes.set(id, node);
    this.scheduleWake(node);
  }

  /** Starts n00, n01, … and has each dial the first. */
  startCluster(size: number): NodeId[] {
    const ids = Array.from({ length: size }, (_, i) => `n${String(i).padStart(2, '0')}`);
    for (const id of ids) this.start(id);
    for (const id of ids.slice(1)) this.dial(id, ids[0] as NodeId);
    return ids;
  }

  dial(from: NodeId, to: NodeId): void {
    this.execute(this.node(from), [{ type: 'dial', peer: to, addresses: [] }]);
  }

  /** The process ends: its kernel closes every connection at once, unless the network is cut. */
  kill(id: NodeId): void {
    const node = this.node(id);
    node.isRunning = false;
    for (const peer of node.connections) this.closeAtPeer(id, peer);
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
    this.cut(() => false);
  }

  /** The process stands still; what arrives meanwhile waits. */
  pause(id: NodeId, forMs: number): void {
    this.node(id).pausedUntilMs = this.nowMs + forMs;
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
    this.runWhile(startMs + withinMs, () => {
      isMet ||= condition();
      return !isMet;
    });
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
    const running = this.running();
    return running.every((id) => {
      const alive = this.node(id).core.alive();
      return alive.length === running.length && running.every((other) => alive.includes(other));
    });
  }

  member(observer: NodeId, subject: NodeId): Member | undefined {
    return this.node(observer).core.member(subject);
  }

  deaths(): Change[] {
    return this.changes.filter((change) => change.state === 'dead');
  }

  private runWhile(endMs: number, goOn: () => boolean): void {
    for (let next = this.events.nextMs; next !== undefined && next <= endMs; next = this.events.nextMs) {
      const event = this.events.pop() as Event;
      this.nowMs = next;
      this.handleEvent(event);
      if (!goOn()) return;
    }
  }

  private handleEvent(event: Event): void {
    switch (event.type) {
      case 'wake':
        if (!isCurrent(event.node, event.life) || event.node.wakeMs !== event.atMs) return;
        if (event.node.pausedUntilMs > this.nowMs) {
          event.node.wakeMs = event.node.pausedUntilMs;
          this.events.push(event.node.pausedUntilMs, { ...event, atMs: event.node.pausedUntilMs });
          return;
        }
        event.node.wakeMs = undefined;
        this.execute(event.node, event.node.core.handleTimeout(this.instant()));
        return;
      case 'input':
        if (isCurrent(event.node, event.life)) this.deliver(event.node, event.input);
        return;
      case 'dialled':
        if (isCurrent(event.from, event.life)) this.handleDialled(event.from, event.to, event.waited);
        return;
      case 'closed':
        if (!isCurrent(event.node, event.life) || !event.node.connections.delete(event.peer)) return;
        this.deliver(event.node, { type: 'disconnected', peer: event.peer });
    }
  }

  private deliver(node: Node, input: MembershipInput): void {
    if (!node.isRunning) return;
    if (node.pausedUntilMs > this.nowMs) {
      this.events.push(node.pausedUntilMs, { type: 'input', node, life: node.life, input });
      return;
    }
    if (input.type === 'incarnation-persisted') node.incarnationOnDisk = input.incarnation;
    this.execute(node, node.core.handle(input, this.instant()));
  }

  private execute(node: Node, effects: readonly MembershipEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          this.send(node, effect.to, effect.message);
          break;
        case 'dial':
          this.startDial(node, effect.peer);
          break;
        case 'disconnect':
          if (!node.connections.delete(effect.peer)) break;
          this.events.push(this.nowMs, {
            type: 'input',
            node,
            life: node.life,
            input: { type: 'disconnected', peer: effect.peer },
          });
          this.closeAtPeer(node.id, effect.peer);
          break;
        case 'persist-incarnation':
          this.later(this.options.persistMs ?? 5, node, {
            type: 'incarnation-persisted',
            incarnation: effect.incarnation,
          });
          break;
        case 'member-changed': {
          const { id, state } = effect.member;
          this.changes.push({ atMs: this.nowMs, node: node.id, id, state, previous: effect.previous });
          break;
        }
        case 'forget':
          break;
      }
    }
    this.scheduleWake(node);
  }

  private send(node: Node, to: NodeId, message: MembershipMessage): void {
    const bytes = OVERHEAD_BYTES + sizeOf(message);
    this.sentBytes.set(node.id, (this.sentBytes.get(node.id) ?? 0) + bytes);
    this.sentByType.set(message.type, (this.sentByType.get(message.type) ?? 0) + 1);
    this.trace = (Math.imul(this.trace, 31) + bytes + Math.floor(this.nowMs)) >>> 0;
    const buffer = node.dialling.get(to);
    if (!node.connections.has(to)) {
      if (buffer !== undefined && buffer.length < DIAL_BUFFER_MAX) buffer.push(message);
      return;
    }
    this.transmit(node, to, message);
  }

  private transmit(node: Node, to: NodeId, message: MembershipMessage): void {
    const target = this.nodes.get(to);
    if (target?.isRunning !== true || this.isCut(node.id, to)) return;
    if (this.lossRate > 0 && this.prng.chance(this.lossRate)) return;
    this.later(this.latency(), target, { type: 'message', from: node.id, message });
  }

  private startDial(node: Node, to: NodeId): void {
    if (node.connections.has(to) || node.dialling.has(to)) return;
    node.dialling.set(to, []);
    const waited = this.isCut(node.id, to);
    const afterMs = waited ? DIAL_TIMEOUT_MS : this.latency() * 2;
    this.events.push(this.nowMs + afterMs, { type: 'dialled', from: node, life: node.life, to, waited });
  }

  private handleDialled(from: Node, to: NodeId, waited: boolean): void {
    const buffered = from.dialling.get(to) ?? [];
    from.dialling.delete(to);
    if (from.connections.has(to)) return;
    const target = this.nodes.get(to);
    const isPaused = target !== undefined && target.pausedUntilMs > this.nowMs;
    const failure = dialFailure(target, waited || isPaused || this.isCut(from.id, to));
    if (failure !== undefined || target === undefined) {
      this.deliver(from, { type: 'dial-failed', peer: to, reason: failure ?? 'unreachable' });
      return;
    }
    from.connections.add(to);
    this.deliver(from, { type: 'connected', peer: to });
    // The other side may still hold a connection that is dead for us: then it notices nothing new.
    if (!target.connections.has(from.id)) {
      target.connections.add(from.id);
      this.deliver(target, { type: 'connected', peer: from.id });
    }
    for (const message of buffered) this.transmit(from, to, message);
  }

  private closeAtPeer(id: NodeId, peer: NodeId): void {
    const node = this.nodes.get(peer);
    if (node?.isRunning !== true || this.isCut(id, peer)) return;
    this.events.push(this.nowMs + this.latency(), { type: 'closed', node, life: node.life, peer: id });
  }

  private later(afterMs: number, node: Node, input: MembershipInput): void {
    this.events.push(this.nowMs + afterMs, { type: 'input', node, life: node.life, input });
  }

  private scheduleWake(node: Node): void {
    if (!node.isRunning) return;
    const deadline = node.core.nextDeadline();
    if (deadline === undefined) {
      node.wakeMs = undefined;
      return;
    }
    const atMs = Math.max(deadline, this.nowMs);
    if (node.wakeMs === atMs) return;
    node.wakeMs = atMs;
    this.events.push(atMs, { type: 'wake', node, life: node.life, atMs });
  }

  private createCore(id: NodeId, life: number, incarnation: number, known: readonly NodeId[]): Membership {
    const book: KnownMember[] = known.map((other) => ({ id: other, profile: profileOf(other) }));
    return new Membership({
      self: id,
      profile: profileOf(id, life),
      incarnation,
      known: book,
      claims: testClaims(id),
      prng: new Prng(this.prng.uint32()),
      ...(this.options.timing === undefined ? {} : { timing: this.options.timing }),
    });
  }

  private node(id: NodeId): Node {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  private latency(): number {
    const [low, high] = this.options.latencyMs ?? [0.5, 3];
    return low + (high - low) * this.prng.float();
  }

  private instant(): Instant {
    return { monoMs: this.nowMs, wallMs: WALL_START_MS + this.nowMs };
  }
}

function isCurrent(node: Node, life: number): boolean {
  return node.isRunning && node.life === life;
}

function dialFailure(target: Node | undefined, isSilent: boolean): DialFailure | undefined {
  if (isSilent) return 'timeout';
  if (target === undefined) return 'unreachable';
  return target.isRunning ? undefined : 'refused';
}

/** About what a compact binary encoding takes. */
function sizeOf(message: MembershipMessage): number {
  switch (message.type) {
    case 'ping':
    case 'ack':
      return 6 + updatesSize(message.updates);
    case 'ping-request':
      return 50 + updatesSize(message.updates);
    case 'nack':
      return 6;
    case 'gossip':
    case 'push-pull-return':
      return 2 + updatesSize(message.updates);
    case 'push-pull':
      return 2 + 8 * message.digests.length;
    case 'push-pull-reply':
      return 2 + 2 * message.buckets.length + updatesSize(message.updates);
  }
}

function updatesSize(updates: readonly MemberUpdate[]): number {
  let size = 0;
  for (const update of updates) {
    size += 46;
    if (update.state === 'suspect' || update.state === 'dead') size += 40;
    if ('profile' in update && update.profile !== undefined) size += 250;
  }
  return size;
}
