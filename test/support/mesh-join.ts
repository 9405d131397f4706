import { HttpClient } from './http-client.ts';
import { NetnsCluster, type NetnsNode, runNetnsCluster } from './netns-cluster.ts';
import { until } from './until.ts';

export interface JoinTimes {
  /** From the start of the last node's process until every node sees all alive. */
  readonly fromLastStartMs: number;
  /** Of that: until the last node answered over HTTP for the first time. */
  readonly lastAnswersMs: number;
}

const TIMEOUT_MS = 60_000;

/** Number of members that each node holds alive; null for one that does not answer. */
export async function aliveCounts(clients: readonly HttpClient[]): Promise<(number | null)[]> {
  return Promise.all(
    clients.map(async (client) => {
      try {
        const { members } = await client.json<{ members: { alive: number } }>('/v1/status');
        return members.alive;
      } catch {
        return null;
      }
    }),
  );
}

/** The clients of a cluster's nodes, in their order. */
export function clientsOf(nodes: readonly NetnsNode[]): HttpClient[] {
  return nodes.map(({ http }) => new HttpClient(http));
}

/**
 * Starts nodes without seeds, one after the other, each once the one before answers, and measures how long after the
 * start of the last one all views are complete. The namespaces and all files are new each time.
 */
export async function measureMdnsJoin(size: number): Promise<JoinTimes> {
  const cluster = NetnsCluster.up({ nodes: size, seeds: 'off', mdns: 'on', start: false });
  const clients = clientsOf(cluster.status().nodes);
  try {
    for (let node = 1; node < size; node++) cluster.start(node);
    const startedMs = performance.now();
    startWithoutWait(cluster, size);
    const last = clients.slice(-1);
    await until('the last node answers', async () => (await aliveCounts(last))[0] !== null, TIMEOUT_MS);
    const lastAnswersMs = performance.now() - startedMs;
    let seen: (number | null)[] = [];
    await until(
      'all views are complete',
      async () => {
        seen = await aliveCounts(clients);
        return seen.every((count) => count === size);
      },
      TIMEOUT_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: members alive at each node ${JSON.stringify(seen)}`, { cause: error });
    });
    return { fromLastStartMs: performance.now() - startedMs, lastAnswersMs };
  } finally {
    for (const client of clients) client.close();
    cluster.down();
  }
}

function startWithoutWait(cluster: NetnsCluster, node: number): void {
  const result = runNetnsCluster(['start', String(node), '--wait', '0', '--id', cluster.id]);
  if (result.status !== 0) throw new Error(result.stderr);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
