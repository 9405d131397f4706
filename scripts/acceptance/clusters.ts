import { appendFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HubSite } from '../../test/support/hub-site.ts';
import { LocalCluster } from '../../test/support/local-cluster.ts';
import { NamespaceNodes } from '../../test/support/namespace-nodes.ts';
import type { WriteLoad } from '../../test/support/write-load.ts';
import type { Outcome } from './outcome.ts';

/** How the stories are to run. */
export interface Setting {
  /** Keys, or writes, of each story. */
  readonly keys: number;
  /** On loopback instead of in network namespaces, where the story has no partition. */
  readonly loopback: boolean;
  /** For how long is measured what it costs when nothing happens. */
  readonly idleSeconds: number;
}

const PROGRESS_MS = 15_000;
/** What takes down the clusters that are up: they must not outlive the script. */
const open = new Set<() => Promise<void>>();

/** Takes down what is up, for a script that is ended half-way. */
export async function closeAll(): Promise<void> {
  for (const close of open) await close();
}

/** Runs a story on nodes that may be killed and started again; `run` starts them. */
export async function withCluster(
  nodes: number,
  { loopback }: Setting,
  run: (cluster: LocalCluster) => Promise<Outcome>,
): Promise<Outcome> {
  const cluster = await LocalCluster.create({ nodes, namespaces: !loopback });
  return await closing(
    () => cluster.close(),
    () => cluster.logs(),
    () => run(cluster),
  );
}

/** Runs a story on nodes whose network can be cut. */
export async function withNetwork(run: (nodes: NamespaceNodes) => Promise<Outcome>, count = 5): Promise<Outcome> {
  const nodes = NamespaceNodes.up(count);
  return await closing(
    async () => nodes.down(),
    () => nodes.logs(),
    () => run(nodes),
  );
}

/** Runs a story on a site with a hub; `run` starts them. */
export async function withHub(nodes: number, run: (site: HubSite) => Promise<Outcome>): Promise<Outcome> {
  const site = await HubSite.create({ nodes, isSyncing: true });
  return await closing(
    () => site.close(),
    () => site.logs(),
    () => run(site),
  );
}

async function closing(close: () => Promise<void>, logs: () => string, run: () => Promise<Outcome>): Promise<Outcome> {
  open.add(close);
  try {
    return await run();
  } catch (error) {
    const file = join(tmpdir(), `holdfast-acceptance-${process.pid}.log`);
    appendFileSync(file, `${logs()}\n`);
    console.error(`  the last lines of every node's log are in ${file}`);
    throw error;
  } finally {
    open.delete(close);
    await close();
  }
}

/** Says now and then how far a load is, until the work is done. */
export async function watched<T>(load: WriteLoad, work: () => Promise<T>): Promise<T> {
  const startedMs = performance.now();
  const timer = setInterval(() => {
    const elapsed = Math.round((performance.now() - startedMs) / 1000);
    const { acknowledged, failedAttempts } = load;
    console.log(
      `  ${elapsed} s: ${acknowledged.toLocaleString('en')} writes acknowledged, ${failedAttempts} failed attempts`,
    );
  }, PROGRESS_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
