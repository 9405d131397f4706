import { multiaddr } from '@multiformats/multiaddr';
import type { HostPort } from './node-config.ts';

/** Ed25519 peer ids, the only kind that nodes have. */
const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/;
const HOST = /^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/;
const IPV6_HOST = /^[0-9A-Fa-f:.]{2,45}$/;

/** `HOST:PORT` with IPv6 hosts in brackets; undefined when it is none. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, ipv6, plain] = match;
  const port = Number(match[3]);
  if (port > 65_535) return undefined;
  if (ipv6 !== undefined) return isIpv6(ipv6) ? { host: ipv6, port } : undefined;
  return plain !== undefined && HOST.test(plain) ? { host: plain, port } : undefined;
}

export function hostPortText(address: HostPort): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** True where only processes of the same machine can connect. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function isIpv6(text: string): boolean {
  if (!IPV6_HOST.test(text)) return false;
  try {
    multiaddr(`/ip6/${text}`);
    return true;
  } catch {
    return false;
  }
}

interface Endpoint {
  readonly kind: string;
  readonly host: string;
  readonly port: number;
  readonly peerId: string | undefined;
}

/** `/KIND/HOST/tcp/PORT[/p2p/ID]`, or why it is not that. */
function parseEndpoint(text: string): Endpoint | string {
  let parts: { name: string; value?: string }[];
  try {
    const address = multiaddr(text);
    // Encoding checks what the textual form does not.
    void address.bytes;
    parts = address.getComponents();
  } catch (error) {
    return `is not a multiaddr (${error instanceof Error ? error.message : String(error)})`;
  }
  const [host, tcp, peer, ...rest] = parts;
  if (
    host?.value === undefined ||
    tcp?.name !== 'tcp' ||
    rest.length > 0 ||
    (peer !== undefined && peer.name !== 'p2p')
  ) {
    return 'is not a TCP address';
  }
  if (host.name.startsWith('dns') && !HOST.test(host.value)) return 'has no valid host name';
  if (peer !== undefined && !PEER_ID.test(peer.value ?? '')) return 'has no valid peer id after /p2p/';
  return { kind: host.name, host: host.value, port: Number(tcp.value), peerId: peer?.value };
}

/** What is wrong with an address to listen on; undefined when nothing is. */
export function checkListenAddress(text: string): string | undefined {
  const endpoint = parseEndpoint(text);
  if (typeof endpoint === 'string') return endpoint;
  if (endpoint.kind !== 'ip4' && endpoint.kind !== 'ip6') return 'does not begin with /ip4/ or /ip6/';
  if (endpoint.peerId !== undefined) return 'has a peer id, which an address to listen on must not have';
  return undefined;
}

/** What is wrong with an address to dial; undefined when nothing is. */
export function checkSeedAddress(text: string): string | undefined {
  const endpoint = parseEndpoint(text);
  if (typeof endpoint === 'string') return endpoint;
  if (!['ip4', 'ip6', 'dns', 'dns4', 'dns6'].includes(endpoint.kind)) {
    return 'does not begin with /ip4/, /ip6/, /dns/, /dns4/ or /dns6/';
  }
  if (endpoint.port === 0) return 'has port 0, which nobody listens on';
  if (endpoint.host === '0.0.0.0' || endpoint.host === '::') return 'names every interface instead of one host';
  return undefined;
}

/** The TCP endpoint of an address that `checkListenAddress` accepts. */
export function listenEndpoint(text: string): HostPort | undefined {
  const endpoint = parseEndpoint(text);
  return typeof endpoint === 'string' ? undefined : { host: endpoint.host, port: endpoint.port };
}
