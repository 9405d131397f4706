import type { Connection, ConnectionGater, MultiaddrConnection, Stream, StreamMessageEvent } from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { assert } from '../../lib/assert.ts';
import type { Log } from '../../ports/log.ts';
import type { Lane, NodeId, Transport, TransportHandler } from '../../ports/transport.ts';
import { FRAME_BYTES_MAX, LANES } from '../../ports/transport.ts';
import { AddressDialer } from './address-dialer.ts';
import { parseAddress, rankAddresses } from './addresses.ts';
import type { ClusterHello, PeerHello, RefusalCode } from './admission-handshake.ts';
import { ADMISSION_DEADLINE_MS, ADMISSION_PROTOCOL, Admissions, closeSoon, deriveAdmissionKey } from './admissions.ts';
import { Counters } from './counters.ts';
import { Dialer } from './dialer.ts';
import type { MdnsTiming } from './discovery.ts';
import { MDNS_TIMING } from './discovery.ts';
import { FRAME_HEADER_BYTES, FrameReader } from './frame-reader.ts';
import type { Host } from './host.ts';
import { createHost, listenError } from './host.ts';
import type { Identity } from './identity.ts';
import { LANE_STREAMS_MAX, laneProtocol, PeerLink } from './peer-link.ts';
import { Penalties } from './penalties.ts';
import { Pubsub } from './pubsub.ts';
import { quietLogger } from './quiet-logger.ts';
import { refusalAdvice } from './refusal.ts';
import { mergeWrites } from './socket-writes.ts';
import { delayWindowUpdates } from './window-updates.ts';

export interface Libp2pTransportOptions {
  readonly identity: Identity;
  /** The cluster secret: what both ends of every connection must prove that they hold. */
  readonly secret: string | Uint8Array;
  readonly hello: ClusterHello;
  /** Multiaddrs to listen on; port 0 takes a free one. Empty: only dial. */
  readonly listen: readonly string[];
  /** Multiaddrs to announce instead of those, where a NAT or proxy is in between. */
  readonly announce?: readonly string[];
  /** Multiaddrs, with or without peer id, that are dialled for ever until whoever answers is connected. */
  readonly seeds?: readonly string[];
  /** False: off. Default: the usual timing. */
  readonly mdns?: false | MdnsTiming;
  /** The address book of an earlier run. */
  readonly knownPeers?: readonly { readonly peer: NodeId; readonly addresses: readonly string[] }[];
  /** Called for every admitted peer with where it can be dialled, for the address book. */
  readonly onAddresses?: (peer: NodeId, addresses: readonly string[]) => void;
  readonly log: Log;
  /** Time to reach one peer, over all its addresses; default 3000. */
  readonly dialTimeoutMs?: number;
  /** Time for the admission handshake; default 5000. */
  readonly admissionDeadlineMs?: number;
  /** Connections held at once; default 1024. */
  readonly connectionsMax?: number;
  readonly linksMax?: number;
}

const DIAL_TIMEOUT_MS = 3_000;
const CONNECTIONS_MAX = 1_024;
/** Peers kept connected: beyond it, the one that was not talked to for longest gives way. */
const LINKS_MAX = 512;
/** Two connections between the same peers admitted within this time come from dialling each other at once. */
const SIMULTANEOUS_MS = 5_000;
/** Time for both sides to move their lanes before a redundant connection is closed. */
const REDUNDANT_GRACE_MS = 1_500;
const TICK_MS = 1_000;
/** Queued frames that do not move for this long: the connection is dead, whatever TCP hopes. */
const STALL_MS = 15_000;
/** Penalty points of a broken frame; see Penalties for how many make a ban. */
const BROKEN_STREAM_POINTS = 4;
/** Time that `stop` gives queued frames to leave. */
const FLUSH_MS = 500;
/** Peers whose refusal has been logged; each is logged once per cause. */
const REFUSALS_LOGGED_MAX = 1_024;

/**
 * The transport over libp2p: TCP, Noise, yamux, mDNS and seeds for finding peers, gossipsub for application pub/sub.
 * A peer counts as connected once admitted (see AdmissionHandshake); until then it is served nothing else.
 * Counter names: see Counters. Fails with TransportError `bad-address` here, `address-in-use`,
 * `address-unavailable` or `io` in `start`. It can be started once; `stop` leaves no handles behind.
 */
export async function createLibp2pTransport(options: Libp2pTransportOptions): Promise<Transport> {
  const seeds = (options.seeds ?? []).map(parseAddress);
  const listen = options.listen.map(parseAddress);
  const announce = (options.announce ?? []).map(parseAddress);
  const key = await deriveAdmissionKey(options.secret, options.hello.clusterId);
  const transport = new Libp2pTransport(options, key, seeds, listen);
  transport.attach(
    await createHost({
      privateKey: options.identity.privateKey,
      self: options.identity.peer,
      listen,
      announce,
      clusterId: options.hello.clusterId,
      mdns: options.mdns === false ? undefined : (options.mdns ?? MDNS_TIMING),
      connectionsMax: options.connectionsMax ?? CONNECTIONS_MAX,
      dialTimeoutMs: options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
      logger: quietLogger(options.log),
      gater: transport.gater(),
      pubsub: transport.pubsub,
      handleDiscovered: (peer, addresses) => transport.handleDiscovered(peer, addresses),
    }),
  );
  return transport;
}

class Libp2pTransport implements Transport {
  readonly self: NodeId;
  readonly pubsub: Pubsub;
  private readonly options: Libp2pTransportOptions;
  private readonly seeds: readonly Multiaddr[];
  private readonly listen: readonly Multiaddr[];
  private readonly log: Log;
  private readonly metrics = new Counters();
  private readonly penalties = new Penalties();
  private readonly links = new Map<NodeId, PeerLink>();
  private readonly upgraded = new WeakSet<MultiaddrConnection>();
  private readonly refusalsLogged = new Set<string>();
  private readonly admissions: Admissions;
  private readonly dialer: Dialer;
  private readonly addressDialer: AddressDialer;
  private host: Host | undefined;
  private handler: TransportHandler | undefined;
  private tickTimer: NodeJS.Timeout | undefined;
  private stopping = false;

  constructor(
    options: Libp2pTransportOptions,
    key: Uint8Array,
    seeds: readonly Multiaddr[],
    listen: readonly Multiaddr[],
  ) {
    this.options = options;
    this.self = options.identity.peer;
    this.log = options.log;
    this.seeds = seeds;
    this.listen = listen;
    this.pubsub = new Pubsub({
      isAdmitted: (connection) => this.isAdmitted(connection),
      refuseStream: (stream) => this.refuseStream(stream),
      handlePublication: (topic, from, data) => {
        this.metrics.add('publications_received_total');
        this.handler?.handlePublication(topic, from, data);
      },
    });
    this.admissions = new Admissions({
      self: this.self,
      key,
      cluster: options.hello,
      addresses: () => this.addresses(),
      deadlineMs: options.admissionDeadlineMs ?? ADMISSION_DEADLINE_MS,
      handleAdmitted: (connection, hello) => this.handleAdmitted(connection, hello),
      handleRefused: (connection, refusal) => this.handleRefused(connection, refusal),
    });
    this.addressDialer = new AddressDialer({
      self: this.self,
      host: () => this.attachedHost(),
      admissions: this.admissions,
      counters: this.metrics,
      isConnected: (peer) => this.links.has(peer),
      timeoutMs: options.dialTimeoutMs ?? DIAL_TIMEOUT_MS,
    });
    this.dialer = new Dialer({
      dialPeer: (peer, addresses) => this.addressDialer.dialPeer(peer, addresses),
      dialSeed: (address) => this.addressDialer.dialSeed(address),
      isConnected: (peer) => this.links.has(peer),
      connectedCount: () => this.links.size,
      handleFailed: (peer, reason) => this.handler?.handleDialFailed(peer, reason),
      selfFirst: (peer) => this.self < peer,
      random: Math.random,
    });
  }

  attach(host: Host): void {
    this.host = host;
  }

  async start(handler: TransportHandler): Promise<void> {
    assert(this.handler === undefined && !this.stopping, 'a transport is started once');
    this.handler = handler;
    const { libp2p } = this.attachedHost();
    libp2p.addEventListener('connection:open', (event) => this.handleConnection(event.detail));
    await libp2p.handle(ADMISSION_PROTOCOL, (stream, connection) => this.admissions.handleStream(stream, connection), {
      maxInboundStreams: 1,
      maxOutboundStreams: 1,
    });
    const limits = { maxInboundStreams: LANE_STREAMS_MAX, maxOutboundStreams: LANE_STREAMS_MAX };
    for (const lane of LANES) {
      const accept = (stream: Stream, connection: Connection): void => this.handleLaneStream(lane, stream, connection);
      await libp2p.handle(laneProtocol(lane), accept, limits);
    }
    try {
      await libp2p.start();
    } catch (cause) {
      this.stopping = true;
      throw listenError(cause, this.listen);
    }
    this.tickTimer = setInterval(() => this.tick(), TICK_MS);
    for (const seed of this.seeds) this.dialer.addSeed(seed.toString());
    for (const { peer, addresses } of this.options.knownPeers ?? []) {
      if (peer !== this.self) this.dialer.addKnown(peer, addresses);
    }
  }

  async stop(): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    clearInterval(this.tickTimer);
    this.dialer.stop();
    await this.flush();
    for (const link of this.links.values()) link.close();
    this.admissions.stop();
    await this.attachedHost().libp2p.stop();
    this.links.clear();
  }

  addresses(): string[] {
    return this.attachedHost()
      .announced()
      .map((address) => address.toString());
  }

  isConnected(peer: NodeId): boolean {
    return this.links.has(peer);
  }

  send(peer: NodeId, lane: Lane, frame: Uint8Array): boolean {
    assert(frame.byteLength > 0 && frame.byteLength <= FRAME_BYTES_MAX, 'a frame has 1 to FRAME_BYTES_MAX bytes');
    const sent = !this.stopping && this.links.get(peer)?.send(lane, frame, performance.now()) === true;
    this.metrics.add(sent ? `frames_sent_total_${lane}` : `frames_dropped_total_${lane}`);
    return sent;
  }

  dial(peer: NodeId, addresses: readonly string[]): void {
    if (this.handler !== undefined && !this.stopping && peer !== this.self) this.dialer.request(peer, addresses);
  }

  disconnect(peer: NodeId): void {
    const link = this.links.get(peer);
    // Reported later, never inside the caller's own call.
    if (link !== undefined && this.dropLink(link, { wanted: false })) queueMicrotask(() => this.reportLost(peer));
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    await this.pubsub.publish(topic, data);
    this.metrics.add('publications_sent_total');
  }

  subscribe(topic: string): void {
    this.pubsub.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    this.pubsub.unsubscribe(topic);
  }

  reportMisbehaviour(peer: NodeId, reason: string): void {
    this.penalise(peer, 1, reason);
  }

  counters(): Readonly<Record<string, number>> {
    const queued = LANES.map((lane): [string, number] => {
      const bytes = [...this.links.values()].reduce((sum, link) => sum + link.queuedBytes(lane), 0);
      return [`lane_queue_bytes_${lane}`, bytes];
    });
    const connections = [...this.links.values()].reduce((sum, link) => sum + link.connections.length, 0);
    return {
      ...this.metrics.read(),
      peers_connected: this.links.size,
      connections_open: connections,
      ...Object.fromEntries(queued),
    };
  }

  /** Refuses banned peers as soon as Noise has named them, and counts inbound connections that never get that far. */
  gater(): ConnectionGater {
    const banned = (peer: { toString(): string }): boolean =>
      this.penalties.isBanned(peer.toString(), performance.now());
    return {
      denyDialPeer: banned,
      denyInboundConnection: (connection) => {
        mergeWrites(connection);
        connection.addEventListener('close', () => {
          if (!this.upgraded.has(connection)) this.metrics.add('inbound_handshakes_failed_total');
        });
        return this.stopping;
      },
      denyInboundEncryptedConnection: (peer, connection) => {
        this.upgraded.add(connection);
        if (!banned(peer)) return false;
        this.metrics.add('inbound_denied_total');
        return true;
      },
      // Not `denyOutboundConnection`, which is not asked where the address dialled has no peer id, as of most seeds.
      denyOutboundEncryptedConnection: (peer, connection) => {
        mergeWrites(connection);
        return banned(peer);
      },
    };
  }

  handleDiscovered(peer: NodeId, addresses: readonly Multiaddr[]): void {
    if (this.stopping || peer === this.self) return;
    const isNew = this.dialer.addDiscovered(
      peer,
      addresses.map((address) => address.toString()),
    );
    if (!isNew) return;
    this.metrics.add('discoveries_total');
    this.log.debug('found a peer by mDNS', { peer });
  }

  private attachedHost(): Host {
    assert(this.host !== undefined, 'the host is attached on creation');
    return this.host;
  }

  // Connections and admission

  private handleConnection(connection: Connection): void {
    const peer = connection.remotePeer.toString();
    if (this.stopping) {
      connection.abort(new Error('shutting down'));
      return;
    }
    this.metrics.add('connections_total');
    if (!this.admissions.begin(connection)) {
      this.metrics.add('inbound_denied_total');
      return;
    }
    // Somebody else got there first: an inbound connection, or a seed that turned out to be a known peer.
    const redundant = this.links.has(peer) || this.admissions.pendingOutbound(peer, connection) !== undefined;
    if (connection.direction === 'outbound' && redundant) this.admissions.cancel(connection);
  }

  private isAdmitted(connection: Connection): boolean {
    return this.links.get(connection.remotePeer.toString())?.has(connection) === true;
  }

  private handleAdmitted(connection: Connection, hello: PeerHello): void {
    const peer = connection.remotePeer.toString();
    if (this.stopping || connection.status !== 'open') return;
    this.metrics.add('admissions_accepted_total');
    connection.addEventListener('close', () => this.handleConnectionClosed(peer, connection));
    const existing = this.links.get(peer);
    if (existing !== undefined && this.isStale(existing, connection)) this.loseLink(existing);
    const link = this.links.get(peer);
    if (link === undefined) this.createLink(peer, connection, hello);
    else this.addConnection(link, connection);
  }

  /** The peer dialled although we believe that it is connected: it restarted, or our connection is half open. */
  private isStale(link: PeerLink, fresh: Connection): boolean {
    if (fresh.direction !== 'inbound') return false;
    const redialled = link.connections.some(({ direction }) => direction === 'inbound');
    return redialled || performance.now() - link.sinceMs > SIMULTANEOUS_MS;
  }

  private createLink(peer: NodeId, connection: Connection, hello: PeerHello): void {
    const link = new PeerLink(connection.remotePeer, this.metrics, performance.now());
    link.add(connection);
    this.links.set(peer, link);
    const remote = connection.remoteAddr;
    const observed = connection.direction === 'outbound' ? { reached: remote } : { seen: remote };
    const addresses = rankAddresses(hello.addresses, peer, observed);
    this.dialer.handleConnected(peer, addresses);
    this.pubsub.connect(connection);
    this.log.debug('peer admitted', { peer, address: remote.toString(), direction: connection.direction });
    if (addresses.length > 0) this.options.onAddresses?.(peer, addresses);
    this.handler?.handleConnected(peer, addresses);
    this.closeIdlest(link);
  }

  /** Keeps the number of links: membership dials on demand, and nobody takes a closed idle connection for a crash. */
  private closeIdlest(fresh: PeerLink): void {
    if (this.links.size <= (this.options.linksMax ?? LINKS_MAX)) return;
    let idlest: PeerLink | undefined;
    for (const link of this.links.values()) {
      if (link !== fresh && (idlest === undefined || link.usedMs < idlest.usedMs)) idlest = link;
    }
    if (idlest === undefined) return;
    this.metrics.add('links_evicted_total');
    this.disconnect(idlest.peer);
  }

  /**
   * Both sides dialled at once. Both prefer the connection that the smaller peer id dialled; the other's dialler
   * closes it once lanes have had time to move.
   */
  private addConnection(link: PeerLink, connection: Connection): void {
    this.metrics.add('duplicate_connections_total');
    link.add(connection);
    const preferredDirection = this.self < link.peer ? 'outbound' : 'inbound';
    const preferred = link.connections.find(({ direction }) => direction === preferredDirection) ?? link.connections[0];
    if (preferred === undefined) return;
    link.prefer(preferred);
    const redundant = link.connections.filter((other) => other !== preferred && other.direction === 'outbound');
    for (const other of redundant) {
      setTimeout(() => {
        if (link.has(other) && link.connections.length > 1) closeSoon(other);
      }, REDUNDANT_GRACE_MS).unref();
    }
  }

  private handleConnectionClosed(peer: NodeId, connection: Connection): void {
    const link = this.links.get(peer);
    if (link === undefined || !link.has(connection)) return;
    if (link.remove(connection)) this.loseLink(link);
    else setTimeout(() => this.restorePubsub(link), 0).unref();
  }

  private loseLink(link: PeerLink): void {
    if (this.dropLink(link, { wanted: true })) this.reportLost(link.peer);
  }

  /** `wanted`: the connection was lost and is to be had again; otherwise this node ends it. False: it is gone already. */
  private dropLink(link: PeerLink, { wanted }: { wanted: boolean }): boolean {
    if (this.links.get(link.peer) !== link) return false;
    this.links.delete(link.peer);
    link.close();
    this.pubsub.disconnect(link.peerId);
    for (const connection of link.connections) {
      if (wanted) connection.abort(new Error('replaced or broken'));
      else closeSoon(connection);
    }
    if (!this.stopping) this.dialer.handleDisconnected(link.peer, wanted);
    return true;
  }

  private reportLost(peer: NodeId): void {
    if (this.stopping) return;
    this.log.debug('peer disconnected', { peer });
    this.handler?.handleDisconnected(peer);
  }

  private handleRefused(
    connection: Connection,
    refusal: { code: RefusalCode; by: 'self' | 'peer'; hello?: PeerHello },
  ): void {
    const peer = connection.remotePeer.toString();
    this.metrics.add(`admissions_refused_total_${refusal.code}`);
    if (connection.direction === 'inbound') this.penalise(peer, 1, `admission refused: ${refusal.code}`);
    const key = `${peer} ${refusal.code}`;
    if (this.refusalsLogged.has(key)) return;
    if (this.refusalsLogged.size >= REFUSALS_LOGGED_MAX) this.refusalsLogged.clear();
    this.refusalsLogged.add(key);
    this.log.warn(refusalAdvice(refusal.code, this.options.hello, refusal.hello), {
      peer,
      address: connection.remoteAddr.toString(),
      code: refusal.code,
      refusedBy: refusal.by,
    });
  }

  private refuseStream(stream: Stream): void {
    this.metrics.add('streams_refused_total');
    stream.abort(new Error('not admitted'));
  }

  // Frames

  private handleLaneStream(lane: Lane, stream: Stream, connection: Connection): void {
    const link = this.links.get(connection.remotePeer.toString());
    if (link === undefined || !link.has(connection)) {
      this.refuseStream(stream);
      return;
    }
    // The peer has moved the lane: what the old stream still holds must not arrive after newer frames.
    link.inbound[lane]?.abort(new Error('replaced by a newer stream'));
    link.inbound[lane] = stream;
    delayWindowUpdates(stream);
    const reader = new FrameReader(FRAME_BYTES_MAX);
    const handleFrame = (frame: Uint8Array): void => {
      if (this.links.get(link.peer) !== link || link.inbound[lane] !== stream) return;
      link.usedMs = performance.now();
      this.metrics.add(`frames_received_total_${lane}`);
      this.metrics.add(`bytes_received_total_${lane}`, FRAME_HEADER_BYTES + frame.byteLength);
      this.handler?.handleFrame(link.peer, lane, frame);
    };
    stream.addEventListener('message', (event: StreamMessageEvent) => {
      if (reader.push(event.data, handleFrame) || stream.status !== 'open') return;
      this.metrics.add('lane_resets_total');
      stream.abort(new Error('broken frame'));
      this.penalise(link.peer, BROKEN_STREAM_POINTS, `a frame on the ${lane} lane with an impossible length`);
    });
    stream.addEventListener('remoteCloseWrite', () => {
      stream.close().catch((cause: unknown) => stream.abort(cause instanceof Error ? cause : new Error(String(cause))));
    });
  }

  private penalise(peer: NodeId, points: number, reason: string): void {
    this.metrics.add('misbehaviour_total');
    this.log.debug('a peer broke the wire contract', { peer, reason });
    if (!this.penalties.report(peer, points, performance.now())) return;
    this.metrics.add('bans_total');
    this.log.warn('a peer keeps breaking the wire contract and is refused for a minute; check its version', {
      peer,
      reason,
    });
    this.disconnect(peer);
  }

  private tick(): void {
    const nowMs = performance.now();
    for (const link of this.links.values()) {
      if (link.isStalled(nowMs, STALL_MS)) {
        this.metrics.add('stalls_total');
        this.loseLink(link);
      } else {
        this.restorePubsub(link);
      }
    }
  }

  /** Gossipsub gives up on a peer whose stream broke; it is told again as long as the peer is here. */
  private restorePubsub(link: PeerLink): void {
    const connection = link.current();
    if (this.links.get(link.peer) !== link || connection === undefined) return;
    if (!this.pubsub.hasStream(link.connections)) this.pubsub.connect(connection);
  }

  private async flush(): Promise<void> {
    const deadlineMs = performance.now() + FLUSH_MS;
    const queued = (): boolean =>
      [...this.links.values()].some((link) => LANES.some((lane) => link.queuedBytes(lane) > 0));
    while (queued() && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
