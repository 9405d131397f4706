import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LocalCluster, LocalNodeProcess } from './local-cluster.ts';
import { until } from './until.ts';
import type { WriteLoad } from './write-load.ts';

const CHANGE_TIMEOUT_MS = 600_000;

export interface ChangeReport {
  /** From the change until all shards are whole again, under load. */
  readonly completeAfterMs: number;
}

/** Kills a node, takes its data away, and starts it again with the identity it had; the load goes on. */
export async function wipeStore(
  cluster: LocalCluster,
  load: WriteLoad,
  options: { readonly node: number; readonly writesBetween: number },
): Promise<ChangeReport> {
  const node = cluster.node(options.node);
  await load.untilMore(options.writesBetween, CHANGE_TIMEOUT_MS);
  await node.kill('SIGKILL');
  rmSync(join(node.dataDir, 'store'), { recursive: true });
  await load.untilMore(options.writesBetween, CHANGE_TIMEOUT_MS);
  const startMs = performance.now();
  await node.start();
  await cluster.untilComplete(CHANGE_TIMEOUT_MS);
  return { completeAfterMs: performance.now() - startMs };
}

/** Starts one more node under load. */
export async function addNode(cluster: LocalCluster, node: LocalNodeProcess): Promise<ChangeReport> {
  const startMs = performance.now();
  await node.start();
  await cluster.untilComplete(CHANGE_TIMEOUT_MS);
  return { completeAfterMs: performance.now() - startMs };
}

/** Takes a node out of the ring under load, waits until it has handed everything over, and ends it for good. */
export async function removeNode(cluster: LocalCluster, node: LocalNodeProcess): Promise<ChangeReport> {
  const startMs = performance.now();
  const answer = await node.http.send('POST', `/v1/ring/members/${node.name}`, {
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ in: false }),
  });
  if (answer.status !== 200) throw new Error(`ring out ${node.name}: ${answer.status} ${answer.text}`);
  const others = cluster.nodes.filter((other) => other.running && other !== node);
  await until(
    `${node.name} has handed over its shards`,
    async () => {
      const { shards } = await node.status();
      if (shards.owned > 0 || shards.transferring > 0) return false;
      const statuses = await Promise.all(others.map((other) => other.status()));
      return statuses.every(({ shards: their }) => their.complete === their.owned && their.transferring === 0);
    },
    CHANGE_TIMEOUT_MS,
  );
  const completeAfterMs = performance.now() - startMs;
  await node.stop();
  return { completeAfterMs };
}
