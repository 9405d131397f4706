import type { GossipSub, GossipSubComponents, Message } from '@libp2p/gossipsub';
import { gossipsub } from '@libp2p/gossipsub';
import type { Connection, PeerId, Stream, StreamHandler, Topology } from '@libp2p/interface';
import type { NodeId } from '../../ports/transport.ts';
import { PUBLICATION_BYTES_MAX, TransportError } from '../../ports/transport.ts';

/** Unsent bytes of one peer's gossip stream after which it is reset. */
const OUTBOUND_BYTES_MAX = 8 * 1024 * 1024;
const PROTOCOL_PREFIX = '/meshsub/';

export interface PubsubOptions {
  readonly isAdmitted: (connection: Connection) => boolean;
  readonly refuseStream: (stream: Stream) => void;
  readonly handlePublication: (topic: string, from: NodeId, data: Uint8Array) => void;
}

type Registrar = GossipSubComponents['registrar'];

/**
 * Gossipsub for application messages, open to admitted peers only.
 *
 * Gossipsub meets the network in two places of libp2p's registrar: it handles inbound streams, and it is told of
 * peers that speak its protocol. Both pass through here. A stream of a connection that was not admitted is reset
 * before gossipsub sees it, and gossipsub is told of a peer only when we admit it, instead of after identify. So it
 * neither reads from nor ever opens a stream to a peer that has not proven the secret. Messages are signed by their
 * origin and verified (StrictSign), so members cannot speak for one another.
 */
export class Pubsub {
  private readonly options: PubsubOptions;
  private readonly topologies = new Map<string, Topology>();
  private service: GossipSub | undefined;

  constructor(options: PubsubOptions) {
    this.options = options;
  }

  /** The libp2p service factory. */
  create(components: GossipSubComponents): GossipSub {
    const factory = gossipsub({
      allowPublishToZeroTopicPeers: true,
      emitSelf: true,
      fallbackToFloodsub: false,
      globalSignaturePolicy: 'StrictSign',
      maxInboundDataLength: PUBLICATION_BYTES_MAX + 64 * 1024,
      maxOutboundBufferSize: OUTBOUND_BYTES_MAX,
      maxInboundStreams: 4,
      maxOutboundStreams: 4,
      tagMeshPeers: false,
      // Many nodes behind one address (one host, one NAT) are normal here, and all of them are members.
      scoreParams: { IPColocationFactorWeight: 0 },
    });
    const { privateKey, peerId, peerStore, connectionManager, logger } = components;
    const registrar = this.guard(components.registrar);
    const service = factory({ privateKey, peerId, peerStore, connectionManager, logger, registrar });
    service.addEventListener('message', (event: CustomEvent<Message>) => {
      const message = event.detail;
      if (message.type === 'signed') {
        this.options.handlePublication(message.topic, message.from.toString(), message.data);
      }
    });
    this.service = service;
    return service;
  }

  async publish(topic: string, data: Uint8Array): Promise<void> {
    if (data.byteLength > PUBLICATION_BYTES_MAX) {
      throw new TransportError(
        'too-large',
        `a publication of ${data.byteLength} bytes is over the limit of ${PUBLICATION_BYTES_MAX}; split it`,
      );
    }
    await this.service?.publish(topic, data);
  }

  subscribe(topic: string): void {
    this.service?.subscribe(topic);
  }

  unsubscribe(topic: string): void {
    this.service?.unsubscribe(topic);
  }

  /** Tells gossipsub of an admitted peer, or again after its stream was lost with one of several connections. */
  connect(connection: Connection): void {
    // One topology is enough: gossipsub negotiates its protocol version on the stream.
    const topology = this.topologies.values().next().value;
    void topology?.onConnect?.(connection.remotePeer, withLiveStreams(connection));
  }

  disconnect(peer: PeerId): void {
    const topology = this.topologies.values().next().value;
    void topology?.onDisconnect?.(peer);
  }

  /** Whether gossipsub has a stream to send on over one of these connections. */
  hasStream(connections: readonly Connection[]): boolean {
    return connections.some((connection) =>
      connection.streams.some(
        (stream) => stream.direction === 'outbound' && stream.protocol.startsWith(PROTOCOL_PREFIX),
      ),
    );
  }

  private guard(registrar: Registrar): Registrar {
    const guarded = Object.create(registrar) as Registrar;
    guarded.handle = (protocol, handler, options) => registrar.handle(protocol, this.guardHandler(handler), options);
    guarded.register = (protocol, topology) => {
      this.topologies.set(protocol, topology);
      return Promise.resolve(protocol);
    };
    guarded.unregister = (protocol) => void this.topologies.delete(protocol);
    return guarded;
  }

  private guardHandler(handler: StreamHandler): StreamHandler {
    return (stream, connection) => {
      if (this.options.isAdmitted(connection)) return handler(stream, withLiveStreams(connection));
      return this.options.refuseStream(stream);
    };
  }
}

/**
 * Gossipsub listens for the end of a stream only after it has noted it, and keeps one that was reset before that for
 * good. With this connection a stream that is already dead is a failure to open, which `hasStream` finds later.
 */
function withLiveStreams(connection: Connection): Connection {
  const checked = Object.create(connection) as Connection;
  checked.newStream = async (protocols, options) => {
    const stream = await connection.newStream(protocols, options);
    if (stream.status !== 'open') throw new Error('the stream was reset while it was opened');
    return stream;
  };
  return checked;
}
