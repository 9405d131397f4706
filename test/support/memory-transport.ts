import { assert } from '../../src/lib/assert.ts';
import type { Lane, Transport, TransportHandler } from '../../src/ports/transport.ts';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import type { NodeId } from '../../src/protocol/machine.ts';

const LANE_BYTES_MAX: Readonly<Record<Lane, number>> = { control: 1 << 20, data: 8 << 20, bulk: 8 << 20 };
const MISBEHAVIOUR_MAX = 10;

/** Joins memory transports of one process; each delivery is a microtask of its own, in order. */
export class MemoryNetwork {
  private readonly nodes = new Map<NodeId, MemoryTransport>();
  private created = 0;

  create(secret: string): MemoryTransport {
    this.created += 1;
    return new MemoryTransport(this, `memory-peer-${String(this.created)}`, secret);
  }

  attach(node: MemoryTransport): void {
    this.nodes.set(node.self, node);
  }

  detach(node: MemoryTransport): void {
    this.nodes.delete(node.self);
  }

  /** Finds who listens at an address of the form `/memory/<peer>`, as `addresses()` gives them. */
  at(address: string): MemoryTransport | undefined {
    return this.nodes.get(address.split('/')[2] ?? '');
  }

  find(peer: NodeId): MemoryTransport | undefined {
    return this.nodes.get(peer);
  }

  all(): readonly MemoryTransport[] {
    return [...this.nodes.values()];
  }
}

/** A transport without a network: what the port promises, and nothing more. */
export class MemoryTransport implements Transport {
  readonly self: NodeId;
  readonly secret: string;
  private readonly network: MemoryNetwork;
  private readonly peers = new Set<NodeId>();
  private readonly banned = new Set<NodeId>();
  private readonly offences = new Map<NodeId, number>();
  private readonly topics = new Set<string>();
  private readonly queued = new Map<string, number>();
  private readonly counted = new Map<string, number>();
  private handler: TransportHandler | undefined;

  constructor(network: MemoryNetwork, self: NodeId, secret: string) {
    this.network = network;
    this.self = self;
    this.secret = secret;
  }

  async start(handler: TransportHandler): Promise<void> {
    assert(this.handler === undefined, 'a transport is started once');
    this.handler = handler;
    this.network.attach(this);
  }

  async stop(): Promise<void> {
    for (const peer of this.peers) this.network.find(peer)?.lose(this.self);
    this.peers.clear();
    this.network.detach(this);
    this.handler = undefined;
  }

  addresses(): string[] {
    return [`/memory/${this.self}`];
  }

  isConnected(peer: NodeId): boolean {
    return this.peers.has(peer);
  }

  send(peer: NodeId, lane: Lane, frame: Uint8Array): boolean {
    assert(frame.byteLength > 0 && frame.byteLength <= FRAME_BYTES_MAX, 'a frame has 1 to FRAME_BYTES_MAX bytes');
    const key = `${peer} ${lane}`;
    const waiting = this.queued.get(key) ?? 0;
    if (!this.peers.has(peer) || (waiting > 0 && waiting + frame.byteLength > LANE_BYTES_MAX[lane])) {
      this.count(`frames_dropped_total_${lane}`);
      return false;
    }
    this.count(`frames_sent_total_${lane}`);
    this.queued.set(key, waiting + frame.byteLength);
    const copy = frame.slice();
    queueMicrotask(() => {
      this.queued.set(key, (this.queued.get(key) ?? 0) - copy.byteLength);
      if (this.peers.has(peer)) this.network.find(peer)?.receive(this.self, lane, copy);
    });
    return true;
  }

  dial(peer: NodeId, addresses: readonly string[]): void {
    if (this.peers.has(peer)) return;
    queueMicrotask(() => {
      if (this.peers.has(peer)) return;
      const other = addresses.map((address) => this.network.at(address)).find((node) => node?.self === peer);
      if (other === undefined) this.handler?.handleDialFailed(peer, 'refused');
      else if (!this.admits(other) || !other.admits(this)) this.handler?.handleDialFailed(peer, 'denied');
      else {
        this.join(other);
        other.join(this);
      }
    });
  }

  disconnect(peer: NodeId): void {
    if (!this.peers.has(peer)) return;
    this.lose(peer);
    this.network.find(peer)?.lose(this.self);
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    for (const node of this.network.all()) {
      if (node === this || this.peers.has(node.self)) node.deliver(topic, this.self, data.slice());
    }
  }

  subscribe(topic: string): void {
    this.topics.add(topic);
  }

  unsubscribe(topic: string): void {
    this.topics.delete(topic);
  }

  reportMisbehaviour(peer: NodeId): void {
    const offences = (this.offences.get(peer) ?? 0) + 1;
    this.offences.set(peer, offences);
    this.count('misbehaviour_total');
    if (offences <= MISBEHAVIOUR_MAX) return;
    this.banned.add(peer);
    this.disconnect(peer);
  }

  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counted);
  }

  admits(other: MemoryTransport): boolean {
    return this.secret === other.secret && !this.banned.has(other.self);
  }

  join(other: MemoryTransport): void {
    if (this.peers.has(other.self)) return;
    this.peers.add(other.self);
    this.handler?.handleConnected(other.self, other.addresses());
  }

  lose(peer: NodeId): void {
    if (!this.peers.delete(peer)) return;
    queueMicrotask(() => this.handler?.handleDisconnected(peer));
  }

  receive(from: NodeId, lane: Lane, frame: Uint8Array): void {
    if (!this.peers.has(from)) return;
    this.count(`frames_received_total_${lane}`);
    this.handler?.handleFrame(from, lane, frame);
  }

  deliver(topic: string, from: NodeId, data: Uint8Array): void {
    queueMicrotask(() => {
      if (this.topics.has(topic)) this.handler?.handlePublication(topic, from, data);
    });
  }

  private count(name: string): void {
    this.counted.set(name, (this.counted.get(name) ?? 0) + 1);
  }
}
