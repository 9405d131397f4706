/** Where the members of a cluster run: all on loopback, or each in a network namespace of its own. */
import { spawnSync } from 'node:child_process';
import { freePorts } from '../../test/support/local-cluster.ts';
import { NetnsCluster, type NetnsNode } from '../../test/support/netns-cluster.ts';
import { LOOPBACK } from './system.ts';

/** One member's place. */
export interface Seat {
  readonly name: string;
  readonly ip: string;
  /** Free ports of this member alone: for its peers, its interface for clients, a debugger. */
  readonly ports: readonly [peers: number, clients: number, debug: number];
  /** Goes before the command that runs there. */
  readonly prefix: readonly string[];
}

export interface Place {
  readonly seats: readonly Seat[];
  /** Ends whatever was made for it. */
  close(): void;
}

export async function loopbackPlace(count: number): Promise<Place> {
  const seats = (await portsFor(count)).map((ports, i) => ({ name: nameOf(i), ip: LOOPBACK, ports, prefix: [] }));
  return { seats, close: () => undefined };
}

/** Namespaces on one bridge, without the programs of the cluster. */
export class NamespacePlace implements Place {
  readonly seats: readonly Seat[];
  private readonly cluster: NetnsCluster;
  private readonly nodes: readonly NetnsNode[];

  private constructor(cluster: NetnsCluster, ports: readonly Seat['ports'][]) {
    this.cluster = cluster;
    this.nodes = cluster.status().nodes;
    this.seats = this.nodes.map(({ ip, namespace }, i) => ({
      name: nameOf(i),
      ip,
      ports: ports[i] as Seat['ports'],
      prefix: ['ip', 'netns', 'exec', namespace],
    }));
  }

  static async create(count: number): Promise<NamespacePlace> {
    const ports = await portsFor(count);
    return new NamespacePlace(NetnsCluster.up({ nodes: count, start: false }), ports);
  }

  /** From now on no packet passes between this member and the others, and nobody is told. */
  cut(name: string): void {
    this.cluster.isolate(this.nodeOf(name));
  }

  heal(): void {
    this.cluster.heal();
  }

  /** Bytes that each member has sent since its namespace exists: Ethernet frames with all that is in them. */
  sentBytes(): Map<string, number> {
    const bridge = `hf-${this.cluster.id}-sw`;
    const { stdout } = spawnSync('ip', ['netns', 'exec', bridge, 'cat', '/proc/net/dev'], { encoding: 'utf8' });
    // The bridge's port p3 receives what n3 sends; the first number of a line is the bytes received.
    const lines = stdout.matchAll(/^\s*p(\d+):\s*(\d+)/gm);
    return new Map(Array.from(lines, ([, port, bytes]) => [`n${port ?? ''}`, Number(bytes)]));
  }

  close(): void {
    this.cluster.down();
  }

  private nodeOf(name: string): number {
    return this.seats.findIndex((seat) => seat.name === name) + 1;
  }
}

function nameOf(index: number): string {
  return `n${index + 1}`;
}

async function portsFor(count: number): Promise<Seat['ports'][]> {
  const ports = await freePorts(count * 3);
  return Array.from({ length: count }, (_, i) => ports.slice(i * 3, i * 3 + 3) as [number, number, number]);
}
