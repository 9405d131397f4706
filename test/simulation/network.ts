import type { Prng } from '../../src/lib/prng.ts';
import { LANES } from '../../src/ports/transport.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { DialFailure } from '../../src/protocol/membership/input.ts';
import type { NodeInput } from '../../src/protocol/node/effect.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import { decodeFrame, FrameWriter, laneOf } from '../../src/wire/message.ts';
import type { Observers } from './observer.ts';
import type { Connection, Dial, Link, SimNode } from './sim-node.ts';
import type { VirtualClock } from './virtual-clock.ts';
import type { Weather } from './weather.ts';

/** A silent link tears the connection down after this time; as in `src/adapters/libp2p/transport.ts`. */
const STALL_MS = 15_000;
/** As in `src/adapters/libp2p/transport.ts`. */
const DIAL_TIMEOUT_MS = 3000;
/** The transport dials peers that it knows again, about this often. */
const REDIAL_MS = 500;
/** Until a node that has just started is found by multicast. */
const DISCOVERY_MS = 1000;
/** As in `src/runtime/frame-batcher.ts`. */
const FRAME_TARGET_BYTES = 64 * 1024;
/** How much later than the rest a message arrives that is duplicated or overtaken, at most. */
const STRAY_MS = 150;
/**
 * An order, not a fact: executed twice it would be two events. It relies on the stream, which delivers at most once;
 * everything else is idempotent.
 */
const ONCE: PeerMessage['type'] = 'forward';
/** A message whose tag no version knows yet. */
const FUTURE_MESSAGE = Uint8Array.of(3, 250, 1, 2);

export interface NetworkOptions {
  readonly clock: VirtualClock;
  readonly prng: Prng;
  readonly nodes: readonly SimNode[];
  readonly discovery: boolean;
  /** False: the transport dials only strangers; to find those again that it has met is left to membership. */
  readonly redial: boolean;
  readonly observers: Observers;
  /** Runs in the process that runs now, once it runs at all; not if it has died meanwhile. */
  readonly later: (node: SimNode, delayMs: number, run: () => void) => void;
  readonly input: (node: SimNode, input: NodeInput) => void;
  readonly inputs: (node: SimNode, inputs: readonly NodeInput[]) => void;
}

/**
 * Connections, dials and frames between the nodes. A connection has three ordered lanes, as in production; what is
 * harsher here is that single messages get lost, and on demand are duplicated or overtaken.
 */
export class Network {
  weather: Weather;
  private readonly options: NetworkOptions;
  private readonly dirty: Link[] = [];
  private readonly scratch = new FrameWriter();

  constructor(options: NetworkOptions, weather: Weather) {
    this.options = options;
    this.weather = weather;
  }

  /** Makes the links of a new node to all others. */
  addNode(node: SimNode): void {
    for (const other of this.options.nodes) {
      if (other === node) continue;
      const there: Link = newLink(node, other, () => back);
      const back: Link = newLink(other, node, () => there);
      node.links.set(other.id, there);
      other.links.set(node.id, back);
    }
  }

  /** Begins the transport of a process that has just started. */
  start(node: SimNode): void {
    for (const { to } of node.links.values()) this.learn(node, to.id, this.seedOf(to));
    this.redialForEver(node);
  }

  /** The process is gone: the kernel closes its connections, behind all that it has sent. */
  crash(node: SimNode): void {
    const { clock, later } = this.options;
    for (const link of node.links.values()) {
      link.dial = null;
      for (const writer of link.frames) writer.take();
      const connection = link.to.running?.peers.get(node.id);
      if (connection === undefined) continue;
      // Across a blocked link nobody hears of it until the stall.
      const arrivesMs = Math.max(clock.nowMs + this.latencyMs(link), ...link.laneMs);
      const delayMs = link.blocks > 0 ? STALL_MS : arrivesMs - clock.nowMs;
      later(link.to, delayMs, () => this.lose(link.to, node.id, connection));
    }
  }

  block(link: Link): void {
    if (link.blocks++ > 0) return;
    const { clock } = this.options;
    const sinceMs = clock.nowMs;
    link.blockedMs = sinceMs;
    clock.after(STALL_MS, () => {
      if (link.blocks > 0 && link.blockedMs === sinceMs) this.tearDown(link);
    });
  }

  unblock(link: Link): void {
    if (link.blocks > 0) link.blocks--;
  }

  /** Gathers a message into the frame that leaves at the end of the turn. */
  send(from: SimNode, to: NodeId, message: PeerMessage): void {
    const link = from.links.get(to);
    if (link === undefined || from.running?.peers.has(to) !== true) return;
    const { prng, observers } = this.options;
    const { weather } = this;
    const loss = Math.max(weather.loss, link.loss);
    const isLost = loss > 0 && prng.chance(loss);
    const isStray = weather.reorder > 0 && prng.chance(weather.reorder);
    const lane = LANES.indexOf(laneOf(message)) as 0 | 1 | 2;
    const frame = isLost || isStray ? this.scratch : link.frames[lane];
    const before = frame.length;
    frame.add(message);
    for (const observer of observers.ofMessages) observer.message(from, to, message, frame.length - before);
    if (isLost) {
      this.scratch.take();
      return;
    }
    if (isStray) this.sendStray(link, this.scratch.take());
    else if (before === 0) this.dirty.push(link);
    else if (frame.length >= FRAME_TARGET_BYTES) this.sendFrame(link, lane, frame.take());
    if (weather.duplication > 0 && message.type !== ONCE && prng.chance(weather.duplication)) {
      this.scratch.add(message);
      this.sendStray(link, this.scratch.take());
    }
  }

  /** Sends what the turn has gathered. */
  flush(): void {
    const { dirty } = this;
    if (dirty.length === 0) return;
    for (const lane of [0, 1, 2] as const) {
      for (const link of dirty) {
        const frame = link.frames[lane];
        if (frame.length > 0) this.sendFrame(link, lane, frame.take());
      }
    }
    dirty.length = 0;
  }

  /** The protocol asks for a connection. */
  dial(from: SimNode, to: NodeId, addresses: readonly string[]): void {
    const link = from.links.get(to);
    if (link === undefined || from.running === null || from.running.peers.has(to)) return;
    for (const address of addresses) this.learn(from, to, address);
    if (link.dial !== null) {
      link.dial.requested = true;
      return;
    }
    this.startDial(link, true);
  }

  /** The node itself ends a connection. */
  disconnect(node: SimNode, peer: NodeId): void {
    const connection = node.running?.peers.get(peer);
    const link = node.links.get(peer);
    if (connection === undefined || link === undefined) return;
    const { later } = this.options;
    later(node, 0, () => this.lose(node, peer, connection));
    const delayMs = link.blocks > 0 ? STALL_MS : this.latencyMs(link);
    later(link.to, delayMs, () => this.lose(link.to, node.id, connection));
  }

  private sendFrame(link: Link, lane: 0 | 1 | 2, bytes: Uint8Array): void {
    const { clock, prng } = this.options;
    const { unknown } = this.weather;
    const frame = unknown > 0 && prng.chance(unknown) ? withFutureMessage(bytes) : bytes;
    const atMs = Math.max(clock.nowMs + this.latencyMs(link), link.laneMs[lane]);
    link.laneMs[lane] = atMs;
    this.carry(link, frame, atMs - clock.nowMs);
  }

  /** Sends a message outside of its lane's order. */
  private sendStray(link: Link, frame: Uint8Array): void {
    this.carry(link, frame, this.latencyMs(link) + this.options.prng.float() * STRAY_MS);
  }

  private carry(link: Link, frame: Uint8Array, delayMs: number): void {
    const { from, to } = link;
    const connection = from.running?.peers.get(to.id);
    if (connection === undefined || link.blocks > 0) return;
    this.options.later(to, delayMs, () => {
      if (link.blocks > 0 || to.running?.peers.get(from.id) !== connection) return;
      const inputs = decodeFrame(frame).messages.map(
        (message): NodeInput => ({ type: 'message', from: from.id, message }),
      );
      this.options.inputs(to, inputs);
    });
  }

  private startDial(link: Link, requested: boolean): void {
    const { later } = this.options;
    const { from, to } = link;
    const dial: Dial = { requested, accepted: false, ended: false };
    link.dial = dial;
    later(from, DIAL_TIMEOUT_MS, () => this.failDial(link, dial, 'timeout'));
    const latencyMs = this.latencyMs(link);
    const isKnown = this.knowsAddress(from, to);
    this.options.clock.after(latencyMs, () => {
      if (dial.ended || link.blocks > 0 || link.back.blocks > 0) return;
      // Also where the peer has moved: nothing listens any more under its old address.
      if (to.running === null || !isKnown) later(from, latencyMs, () => this.failDial(link, dial, 'refused'));
      else if (!canTalk(from, to)) later(from, latencyMs * 2, () => this.failDial(link, dial, 'denied'));
      else later(to, latencyMs, () => this.accept(link, dial));
    });
  }

  private failDial(link: Link, dial: Dial, reason: DialFailure): void {
    if (dial.ended || dial.accepted) return;
    dial.ended = true;
    if (link.dial === dial) link.dial = null;
    const { from, to } = link;
    if (dial.requested && from.running?.peers.has(to.id) === false) {
      this.options.input(from, { type: 'dial-failed', peer: to.id, reason });
    }
  }

  /** The dialled side has admitted the other; the answer is on its way. */
  private accept(link: Link, dial: Dial): void {
    const { from, to, back } = link;
    if (dial.ended || link.dial !== dial || from.running === null) return;
    const present = to.running?.peers.get(from.id);
    if (back.dial?.accepted === true || (present !== undefined && from.running.peers.get(to.id) === present)) {
      // Both dialled at once, and the other was quicker.
      dial.ended = true;
      link.dial = null;
      return;
    }
    dial.accepted = true;
    const connection: Connection = { from, to };
    const { clock, later } = this.options;
    const delayMs = this.latencyMs(back);
    // Frames do not arrive before the connection that carries them.
    link.laneMs.fill(clock.nowMs);
    back.laneMs.fill(clock.nowMs + delayMs);
    later(from, delayMs, () => {
      dial.ended = true;
      if (link.dial === dial) link.dial = null;
      if (to.running?.peers.get(from.id) === connection) this.connect(from, to, connection);
      else if (dial.requested) this.options.input(from, { type: 'dial-failed', peer: to.id, reason: 'unreachable' });
    });
    this.connect(to, from, connection);
  }

  /** A new connection takes the place of one that the node has not noticed to be dead. */
  private connect(node: SimNode, peer: SimNode, connection: Connection): void {
    const { running } = node;
    if (running === null) return;
    this.learn(node, peer.id, peer.address);
    if (running.peers.has(peer.id)) this.options.input(node, { type: 'disconnected', peer: peer.id });
    running.peers.set(peer.id, connection);
    this.options.input(node, { type: 'connected', peer: peer.id });
  }

  private lose(node: SimNode, peer: NodeId, connection: Connection): void {
    if (node.running?.peers.get(peer) !== connection) return;
    node.running.peers.delete(peer);
    this.options.input(node, { type: 'disconnected', peer });
  }

  private tearDown({ from, to }: Link): void {
    for (const [node, peer] of [
      [from, to],
      [to, from],
    ] as const) {
      const connection = node.running?.peers.get(peer.id);
      if (connection !== undefined) this.options.later(node, 0, () => this.lose(node, peer.id, connection));
    }
  }

  /** The transport's own dials: a failure is not worth reporting, so only those that succeed are made. */
  private redialForEver(node: SimNode): void {
    const { prng, later } = this.options;
    later(node, REDIAL_MS * (0.5 + prng.float()), () => {
      for (const link of node.links.values()) {
        const { to, back } = link;
        if (!this.options.redial && node.disk.members.has(to.id)) continue;
        if (link.dial !== null || to.running === null || node.running?.peers.has(to.id) === true) continue;
        if (link.blocks > 0 || back.blocks > 0 || to.running.held !== null) continue;
        if (canTalk(node, to) && this.isFound(node, to)) this.startDial(link, false);
      }
      this.redialForEver(node);
    });
  }

  /** By multicast, or under an address that the node knows. */
  private isFound(node: SimNode, peer: SimNode): boolean {
    const { discovery, clock } = this.options;
    if (discovery && peer.running !== null && clock.nowMs - peer.running.startedMs >= DISCOVERY_MS) {
      this.learn(node, peer.id, peer.address);
    }
    return this.knowsAddress(node, peer);
  }

  private knowsAddress({ running }: SimNode, peer: SimNode): boolean {
    return running?.addresses.get(peer.id)?.has(peer.address) === true;
  }

  private learn({ running }: SimNode, peer: NodeId, address: string): void {
    const known = running?.addresses.get(peer);
    if (known === undefined) running?.addresses.set(peer, new Set([address]));
    else known.add(address);
  }

  /** What the configuration of every node says about a peer. */
  private seedOf(peer: SimNode): string {
    return addressOf(peer.name, 1);
  }

  private latencyMs(link: Link): number {
    const { latencyMinMs, latencyMaxMs } = this.weather;
    const maxMs = Math.max(latencyMaxMs, link.latencyMaxMs);
    return latencyMinMs + this.options.prng.float() * (maxMs - latencyMinMs);
  }
}

/** The address of a node, by how often it has moved. */
export function addressOf(name: string, version: number): string {
  return `/sim/${name}/${version}`;
}

function newLink(from: SimNode, to: SimNode, back: () => Link): Link {
  return {
    from,
    to,
    get back() {
      return back();
    },
    blocks: 0,
    blockedMs: 0,
    loss: 0,
    latencyMaxMs: 0,
    dial: null,
    laneMs: [0, 0, 0],
    frames: [new FrameWriter(), new FrameWriter(), new FrameWriter()],
  };
}

function canTalk(a: SimNode, b: SimNode): boolean {
  return a.versions.min <= b.versions.max && b.versions.min <= a.versions.max;
}

function withFutureMessage(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FUTURE_MESSAGE.length + frame.length);
  bytes.set(FUTURE_MESSAGE);
  bytes.set(frame, FUTURE_MESSAGE.length);
  return bytes;
}
