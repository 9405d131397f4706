import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import type { ConnectionGater, Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { Log } from '../../ports/log.ts';
import type { Identity } from './identity.ts';
import { quietLogger } from './quiet-logger.ts';
import { mergeWrites } from './socket-writes.ts';

export const HUB_PROTOCOL = '/holdfast/hub/1';

/** The session's own stream, and room to refuse what else a peer opens. */
const STREAMS_PER_CONNECTION_MAX = 4;
/** Inbound connections of one address in a second: many sites may share a NAT. */
const INBOUND_PER_SECOND_MAX = 200;
const INBOUND_PENDING_MAX = 256;
/** A radio link needs seconds for what takes five round trips. */
const UPGRADE_TIMEOUT_MS = 10_000;

export interface HubHostOptions {
  readonly identity: Identity;
  /** Empty: only dials. */
  readonly listen: readonly Multiaddr[];
  readonly connectionsMax: number;
  readonly dialTimeoutMs?: number;
  readonly log: Log;
  /** True: no further connection is taken. */
  readonly isClosed: () => boolean;
}

export interface HubHost {
  readonly libp2p: Libp2p;
  /** Everything that it listens on, wildcards expanded, without peer id. */
  listening(): Multiaddr[];
}

/**
 * A libp2p host that has not been started, for sessions between sites and hubs: TCP, Noise and yamux, and nothing that
 * speaks unasked. The line may be metered: neither yamux nor libp2p sends anything of its own accord, and an idle
 * connection is not closed; that is for the session to decide, which has pings of its own.
 */
export async function createHubHost(options: HubHostOptions): Promise<HubHost> {
  let listening: () => Multiaddr[] = () => [];
  const libp2p = await createLibp2p({
    start: false,
    privateKey: options.identity.privateKey,
    logger: quietLogger(options.log),
    addresses: { listen: options.listen.map((address) => address.toString()) },
    transports: [tcp({ inboundSocketInactivityTimeout: 0, outboundSocketInactivityTimeout: 0 })],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        enableKeepAlive: false,
        maxInboundStreams: STREAMS_PER_CONNECTION_MAX,
        maxOutboundStreams: STREAMS_PER_CONNECTION_MAX,
      }),
    ],
    connectionGater: gater(options.isClosed),
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: options.connectionsMax,
      inboundConnectionThreshold: INBOUND_PER_SECOND_MAX,
      maxIncomingPendingConnections: INBOUND_PENDING_MAX,
      inboundUpgradeTimeout: UPGRADE_TIMEOUT_MS,
      connectionCloseTimeout: 500,
      ...(options.dialTimeoutMs === undefined
        ? {}
        : { dialTimeout: options.dialTimeoutMs, addressDialTimeout: options.dialTimeoutMs }),
    },
    services: {
      addresses: (components) => {
        listening = () => components.transportManager.getAddrs();
        return {};
      },
    },
  });
  return { libp2p, listening: () => listening() };
}

function gater(isClosed: () => boolean): ConnectionGater {
  return {
    denyInboundConnection: (connection) => {
      mergeWrites(connection);
      return isClosed();
    },
    // Not `denyOutboundConnection`, which is not asked where the address dialled has no peer id.
    denyOutboundEncryptedConnection: (_peer, connection) => {
      mergeWrites(connection);
      return isClosed();
    },
  };
}
