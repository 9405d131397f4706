import { createHash } from 'node:crypto';
import type { ComponentLogger, PeerInfo, Startable } from '@libp2p/interface';
import type { MulticastDNSComponents } from '@libp2p/mdns';
import { mdns } from '@libp2p/mdns';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { NodeId } from '../../ports/transport.ts';

/** How often mDNS asks: often while the node is new and the network may lose packets, then rarely. */
export interface MdnsTiming {
  readonly warmUpMs: number;
  readonly warmUpIntervalMs: number;
  readonly intervalMs: number;
}

export const MDNS_TIMING: MdnsTiming = { warmUpMs: 10_000, warmUpIntervalMs: 1_000, intervalMs: 30_000 };

/** A DNS-SD service of its own for every cluster, so that two clusters on one network never dial each other. */
export function serviceTag(clusterId: string): string {
  const digest = createHash('sha256').update(clusterId).digest('hex').slice(0, 12);
  return `_hf${digest}._udp.local`;
}

export interface DiscoveryOptions {
  readonly clusterId: string;
  readonly timing: MdnsTiming;
  readonly logger: ComponentLogger;
  /** Addresses to answer with, with peer id. */
  readonly addresses: () => Multiaddr[];
  readonly handlePeer: (peer: NodeId, addresses: readonly Multiaddr[]) => void;
}

/**
 * mDNS discovery as a libp2p service. It starts after the listeners, so that a query is never answered with
 * nothing, and it bypasses libp2p's own discovery, which would put every announced stranger in the peer store.
 */
export function createDiscovery(options: DiscoveryOptions): Startable {
  const components = {
    logger: options.logger,
    addressManager: { getAddresses: options.addresses },
  } as unknown as MulticastDNSComponents;
  const create = (intervalMs: number, broadcast: boolean) => {
    const service = mdns({ serviceTag: serviceTag(options.clusterId), interval: intervalMs, broadcast })(components);
    service.addEventListener('peer', (event: CustomEvent<PeerInfo>) => {
      options.handlePeer(event.detail.id.toString(), event.detail.multiaddrs);
    });
    return service as typeof service & Startable;
  };
  // One asks seldom and answers; the other only asks, and only while the node is new.
  const steady = create(options.timing.intervalMs, true);
  const warmUp = create(options.timing.warmUpIntervalMs, false);
  let warmUpTimer: NodeJS.Timeout | undefined;

  return {
    start: () => undefined,
    async afterStart() {
      await steady.start();
      if (options.timing.warmUpMs <= 0) return;
      await warmUp.start();
      warmUpTimer = setTimeout(() => void warmUp.stop(), options.timing.warmUpMs);
    },
    async stop() {
      clearTimeout(warmUpTimer);
      await Promise.all([steady.stop(), warmUp.stop()]);
    },
  };
}
