import { networkInterfaces } from 'node:os';
import type { Multiaddr } from '@multiformats/multiaddr';
import {
  CODE_DNS,
  CODE_DNS4,
  CODE_DNS6,
  CODE_IP4,
  CODE_IP6,
  CODE_P2P,
  CODE_TCP,
  multiaddr,
} from '@multiformats/multiaddr';
import type { NodeId } from '../../ports/transport.ts';
import { TransportError } from '../../ports/transport.ts';

/** Addresses kept of one peer; the rest is ignored. */
export const PEER_ADDRESSES_MAX = 16;
export const ADDRESS_LENGTH_MAX = 256;

/** Interfaces that containers and virtual machines hang from: their addresses mean nothing on other machines. */
const BRIDGE_NAME = /^(docker|br-|virbr|veth|cni|cbr|podman|lxcbr|lxdbr|flannel|cali|weave|kube)/;

const HOST_CODES: ReadonlySet<number> = new Set([CODE_IP4, CODE_IP6, CODE_DNS, CODE_DNS4, CODE_DNS6]);

/** Parses a TCP multiaddr that a person configured, with or without a peer id; throws TransportError `bad-address`. */
export function parseAddress(text: string): Multiaddr {
  const parsed = parseTcpAddress(text);
  if (parsed !== undefined) return parsed;
  throw new TransportError(
    'bad-address',
    `"${text}" is not a TCP multiaddr; write it like /ip4/192.168.1.20/tcp/7400 or /dns4/node1/tcp/7400`,
  );
}

/** The same for addresses that peers sent: undefined instead of an error. */
function parseTcpAddress(text: string): Multiaddr | undefined {
  if (text.length > ADDRESS_LENGTH_MAX) return undefined;
  try {
    const address = multiaddr(text);
    const [host, port, last, ...rest] = address.getComponents();
    if (host === undefined || !HOST_CODES.has(host.code) || port?.code !== CODE_TCP) return undefined;
    if (rest.length > 0 || (last !== undefined && last.code !== CODE_P2P)) return undefined;
    return address;
  } catch {
    return undefined;
  }
}

export function peerOf(address: Multiaddr): NodeId | undefined {
  return address.getComponents().findLast((component) => component.code === CODE_P2P)?.value;
}

export function withoutPeer(address: Multiaddr): Multiaddr {
  return address.decapsulateCode(CODE_P2P);
}

export function withPeer(address: Multiaddr, peer: NodeId): Multiaddr {
  return withoutPeer(address).encapsulate(`/p2p/${peer}`);
}

function hostOf(address: Multiaddr): string {
  return address.getComponents()[0]?.value ?? '';
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}

/** Addresses of this machine's container bridges. */
function bridgeHosts(): Set<string> {
  const hosts = new Set<string>();
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    if (!BRIDGE_NAME.test(name)) continue;
    for (const entry of entries ?? []) hosts.add(entry.address);
  }
  return hosts;
}

/**
 * The addresses to announce out of those that this node listens on: those of real interfaces; only when there are
 * none, those of container bridges; only when there are none either, loopback. IPv4 first.
 */
export function announceable(
  listening: readonly Multiaddr[],
  bridges: ReadonlySet<string> = bridgeHosts(),
): Multiaddr[] {
  const tiers: [Multiaddr[], Multiaddr[], Multiaddr[]] = [[], [], []];
  for (const address of listening) {
    const host = hostOf(address);
    tiers[isLoopback(host) ? 2 : bridges.has(host) ? 1 : 0].push(address);
  }
  const best = tiers.find((tier) => tier.length > 0) ?? [];
  return best.toSorted((a, b) => familyRank(a) - familyRank(b)).slice(0, PEER_ADDRESSES_MAX);
}

function familyRank(address: Multiaddr): number {
  return address.getComponents()[0]?.code === CODE_IP6 ? 1 : 0;
}

/**
 * What to dial for a peer: valid addresses, each with the peer id, without repeats, at most PEER_ADDRESSES_MAX.
 * Left out: addresses of other peers and those this node itself listens on. The order is kept, loopback last.
 */
export function dialable(texts: Iterable<string>, peer: NodeId, own: readonly Multiaddr[]): Multiaddr[] {
  const ownTexts = new Set(own.map((address) => withoutPeer(address).toString()));
  const found = new Map<string, Multiaddr>();
  for (const text of texts) {
    if (found.size >= PEER_ADDRESSES_MAX) break;
    const address = parseTcpAddress(text);
    if (address === undefined || (peerOf(address) ?? peer) !== peer) continue;
    const bare = withoutPeer(address).toString();
    if (!ownTexts.has(bare) && !found.has(bare)) found.set(bare, withPeer(address, peer));
  }
  return [...found.values()].toSorted((a, b) => Number(isLoopback(hostOf(a))) - Number(isLoopback(hostOf(b))));
}

/**
 * Best first: the address that this node reached the peer at (`reached`, of an outbound connection), then those
 * with the host that the peer was seen coming from (`seen`, of an inbound one), then the rest as the peer sent them.
 */
export function rankAddresses(
  announced: readonly string[],
  peer: NodeId,
  observed: { reached?: Multiaddr; seen?: Multiaddr },
): string[] {
  const candidates = dialable(
    [...(observed.reached === undefined ? [] : [observed.reached.toString()]), ...announced],
    peer,
    [],
  );
  const reached = observed.reached === undefined ? undefined : withPeer(observed.reached, peer).toString();
  const seenHost = observed.seen === undefined ? undefined : hostOf(observed.seen);
  const rank = (address: Multiaddr): number =>
    address.toString() === reached ? 0 : hostOf(address) === seenHost ? 1 : 2;
  return candidates.toSorted((a, b) => rank(a) - rank(b)).map((address) => address.toString());
}
