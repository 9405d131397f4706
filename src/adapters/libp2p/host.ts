import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify } from '@libp2p/identify';
import type { ComponentLogger, ConnectionGater, Libp2p, PrivateKey } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { TransportError } from '../../ports/transport.ts';
import { announceable, withPeer } from './addresses.ts';
import type { MdnsTiming } from './discovery.ts';
import { createDiscovery } from './discovery.ts';
import type { Pubsub } from './pubsub.ts';

const STREAMS_PER_CONNECTION_MAX = 64;
/** Inbound connections of one address in a second: whole fleets share 127.0.0.1 or one NAT. */
const INBOUND_PER_SECOND_MAX = 200;
const INBOUND_PENDING_MAX = 256;
const UPGRADE_TIMEOUT_MS = 5_000;

export interface HostOptions {
  readonly privateKey: PrivateKey;
  readonly self: string;
  readonly listen: readonly Multiaddr[];
  /** Announced instead of what the node listens on; empty for none. */
  readonly announce: readonly Multiaddr[];
  readonly clusterId: string;
  readonly mdns: MdnsTiming | undefined;
  readonly connectionsMax: number;
  readonly dialTimeoutMs: number;
  readonly logger: ComponentLogger;
  readonly gater: ConnectionGater;
  readonly pubsub: Pubsub;
  readonly handleDiscovered: (peer: string, addresses: readonly Multiaddr[]) => void;
}

export interface Host {
  readonly libp2p: Libp2p;
  /** Everything this node listens on, wildcards expanded, without peer id. */
  listening(): Multiaddr[];
  /** What it announces: best first, with peer id. */
  announced(): Multiaddr[];
}

/** A libp2p host that has not been started. */
export async function createHost(options: HostOptions): Promise<Host> {
  let listening: () => Multiaddr[] = () => [];
  const announced = (): Multiaddr[] =>
    (options.announce.length > 0 ? [...options.announce] : announceable(listening())).map((address) =>
      withPeer(address, options.self),
    );
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.privateKey,
    logger: options.logger,
    addresses: { listen: options.listen.map((address) => address.toString()), announceFilter: () => announced() },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({ maxInboundStreams: STREAMS_PER_CONNECTION_MAX, maxOutboundStreams: STREAMS_PER_CONNECTION_MAX }),
    ],
    connectionGater: options.gater,
    // It would abort a connection on one late ping; the failure detector is membership.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: options.connectionsMax,
      inboundConnectionThreshold: INBOUND_PER_SECOND_MAX,
      maxIncomingPendingConnections: INBOUND_PENDING_MAX,
      inboundUpgradeTimeout: UPGRADE_TIMEOUT_MS,
      dialTimeout: options.dialTimeoutMs,
      addressDialTimeout: options.dialTimeoutMs,
      connectionCloseTimeout: 500,
    },
    services: {
      // Answers, but does not ask: what we need to know of a peer arrives with its admission.
      identify: identify({ runOnConnectionOpen: false }),
      pubsub: (components) => options.pubsub.create(components),
      discovery: (components) => {
        listening = () => components.transportManager.getAddrs();
        if (options.mdns === undefined) return {};
        return createDiscovery({
          clusterId: options.clusterId,
          timing: options.mdns,
          logger: components.logger,
          addresses: announced,
          handlePeer: options.handleDiscovered,
        });
      },
    },
  });
  return { libp2p, listening: () => listening(), announced };
}

/** Turns libp2p's failure to listen into an error that names the address and the fix. */
export function listenError(cause: unknown, listen: readonly { toString(): string }[]): TransportError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const addresses = listen.map((address) => address.toString()).join(', ');
  const inUse = /EADDRINUSE[^\n]*?address already in use ([^\s]+)/.exec(text);
  if (inUse !== null) {
    return new TransportError(
      'address-in-use',
      `cannot listen on ${String(inUse[1])} (${addresses}): another process uses this port; stop it, or choose another --listen address`,
      { cause },
    );
  }
  const unavailable = /(EADDRNOTAVAIL|EACCES|EAFNOSUPPORT)/.exec(text);
  if (unavailable !== null) {
    return new TransportError(
      'address-unavailable',
      `cannot listen on ${addresses} (${String(unavailable[1])}): this machine has no such address or may not use the port; ` +
        'choose another --listen address',
      { cause },
    );
  }
  return new TransportError('io', `cannot listen on ${addresses}: ${text.trim()}`, { cause });
}
