import { readFileSync } from 'node:fs';
import { type PausableNode, readRunningDisks, replicaDifferences } from './disk-check.ts';
import type { HttpClient } from './http-client.ts';
import { aliveCounts, clientsOf } from './mesh-join.ts';
import { NetnsCluster, type NetnsNode } from './netns-cluster.ts';
import { until } from './until.ts';

const TIMEOUT_MS = 120_000;
const EQUAL_TIMEOUT_MS = 300_000;
const WORKERS = 8;

interface NodeStatus {
  readonly shards: Readonly<Record<'owned' | 'complete' | 'transferring', number>>;
  readonly hints: { readonly records: number };
}

function isComplete({ shards }: NodeStatus): boolean {
  return shards.complete === shards.owned && shards.transferring === 0;
}

/** Real nodes in namespaces, found by mDNS, and what every story about them waits for. */
export class NamespaceNodes {
  readonly cluster: NetnsCluster;
  readonly nodes: readonly NetnsNode[];
  readonly clients: readonly HttpClient[];

  constructor(cluster: NetnsCluster) {
    this.cluster = cluster;
    this.nodes = cluster.status().nodes;
    this.clients = clientsOf(this.nodes);
  }

  static up(nodes: number): NamespaceNodes {
    return new NamespaceNodes(NetnsCluster.up({ nodes, seeds: 'off', mdns: 'on' }));
  }

  /** The last lines of every node's log. */
  logs(): string {
    return this.nodes
      .map(({ name, log }) => `--- ${name}\n${readFileSync(log, 'utf8').trimEnd().split('\n').slice(-40).join('\n')}`)
      .join('\n');
  }

  down(): void {
    for (const client of this.clients) client.close();
    this.cluster.down();
  }

  /** All see all, and all shards are complete. */
  async untilFormed(): Promise<void> {
    await this.untilAlive(this.clients.map(() => this.clients.length));
    await this.untilShardsComplete();
  }

  async untilAlive(expected: readonly number[]): Promise<void> {
    let seen: (number | null)[] = [];
    await until(
      `members alive ${JSON.stringify(expected)}`,
      async () => {
        seen = await aliveCounts(this.clients);
        return expected.every((count, i) => seen[i] === count);
      },
      TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; seen ${JSON.stringify(seen)}`, { cause: error });
    });
  }

  async untilShardsComplete(): Promise<void> {
    await this.untilStatus('all shards are complete', isComplete);
  }

  /** No node keeps anything for another. */
  async untilHandedOver(): Promise<void> {
    await this.untilStatus('no hints are left', (status) => isComplete(status) && status.hints.records === 0);
  }

  private async untilStatus(what: string, isMet: (status: NodeStatus) => boolean): Promise<void> {
    const met = async (client: HttpClient): Promise<boolean> => isMet(await client.json<NodeStatus>('/v1/status'));
    await until(what, async () => (await Promise.all(this.clients.map(met))).every(Boolean), EQUAL_TIMEOUT_MS);
  }

  /** Of every shard all owners are equal on disk. Returns when the disks were read that were, and what differed last before. */
  async untilEqual(): Promise<{ readonly atMs: number; readonly lastDifferences: readonly string[] }> {
    // Reading the disks stops the nodes and takes a core for seconds: not before they have a chance of being equal.
    await this.untilHandedOver();
    const status = this.cluster.status().nodes;
    const peerIds = await Promise.all(
      this.clients.map(async (client) => (await client.json<{ peerId: string }>('/v1/status')).peerId),
    );
    const pausable = status.map(
      ({ name, dataDir, pid }): PausableNode => ({
        name,
        dataDir,
        signal: (signal) => {
          if (pid === null) throw new Error(`${name} does not run`);
          process.kill(pid, signal);
        },
      }),
    );
    let last: string[] = [];
    let atMs = 0;
    await until(
      'all owners of every shard are equal on disk',
      async () => {
        const images = await readRunningDisks(pausable, peerIds, () => {
          atMs = performance.now();
        });
        const differences = replicaDifferences(images);
        if (differences.length > 0) last = differences;
        return differences.length === 0;
      },
      EQUAL_TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${last.join('\n')}`, { cause: error });
    });
    return { atMs, lastDifferences: last };
  }

  /** Runs some at once, in order of the items. */
  async forEach<T>(items: readonly T[], use: (item: T, index: number) => Promise<void>): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let i = next++; i < items.length; i = next++) await use(items[i] as T, i);
    };
    await Promise.all(Array.from({ length: WORKERS }, worker));
  }
}
