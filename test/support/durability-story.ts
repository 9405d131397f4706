import { type DiskImage, readDisks, readRunningDisks, replicaDifferences, ringOf, valueOn } from './disk-check.ts';
import type { LocalCluster, LocalNodeProcess } from './local-cluster.ts';
import { until } from './until.ts';
import type { WriteLoad } from './write-load.ts';

const EQUAL_TIMEOUT_MS = 300_000;
const WRITES_TIMEOUT_MS = 600_000;

/** What was measured on the way, for people. */
export interface DurabilityReport {
  readonly acknowledged: number;
  readonly deletes: number;
  readonly failedAttempts: number;
  readonly sloppy: number;
  readonly staleReads: readonly string[];
  readonly idleDeletes: readonly string[];
  readonly lost: readonly string[];
  readonly differences: readonly string[];
  readonly equalAfterMs: number;
}

/** Kills one node under load, waits until the others went on without it, restarts it; as often as asked. */
export async function killAndRestart(
  cluster: LocalCluster,
  load: WriteLoad,
  options: { readonly node: number; readonly times: number; readonly writesBetween: number },
): Promise<void> {
  const node = cluster.node(options.node);
  for (let i = 0; i < options.times; i++) {
    await load.untilMore(options.writesBetween, WRITES_TIMEOUT_MS);
    await node.kill('SIGKILL');
    await load.untilMore(options.writesBetween, WRITES_TIMEOUT_MS);
    await node.start();
  }
  await load.untilMore(options.writesBetween, WRITES_TIMEOUT_MS);
}

/** Waits until all disks agree, then kills every node and checks every acknowledged write on every disk. */
export async function checkDurability(cluster: LocalCluster, load: WriteLoad): Promise<DurabilityReport> {
  const startedMs = performance.now();
  await cluster.untilComplete();
  const nodes = cluster.nodes.filter((node) => node.running);
  const peerIds = await Promise.all(nodes.map(async (node) => (await node.status()).peerId));
  const equalAfterMs = await untilEqual(nodes, peerIds, startedMs);
  const lost = await wrongAnswers(nodes, load);
  await cluster.killAll('SIGKILL');
  const images = await readDisks(nodes.map((node, i) => ({ ...named(node), peerId: peerIds[i] ?? '' })));
  for (const image of images) lost.push(...lostOnDisk(image, load));
  return {
    acknowledged: load.acknowledged,
    deletes: load.deletes,
    failedAttempts: load.failedAttempts,
    sloppy: load.sloppy,
    staleReads: load.staleReads,
    idleDeletes: load.idleDeletes,
    lost,
    differences: replicaDifferences(images),
    equalAfterMs,
  };
}

function named({ name, dataDir }: { name: string; dataDir: string }): { name: string; dataDir: string } {
  return { name, dataDir };
}

async function untilEqual(
  nodes: readonly LocalNodeProcess[],
  peerIds: readonly string[],
  startedMs: number,
): Promise<number> {
  let last: string[] = [];
  const isEqual = async (): Promise<boolean> => {
    last = replicaDifferences(await readRunningDisks(nodes, peerIds));
    return last.length === 0;
  };
  await until('all replicas are equal', isEqual, EQUAL_TIMEOUT_MS).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${last.join('\n')}`, { cause: error });
  });
  return performance.now() - startedMs;
}

/** Reads every key at quorum, each through another node in turn. */
async function wrongAnswers(nodes: readonly LocalNodeProcess[], load: WriteLoad): Promise<string[]> {
  const answers = new Map<string, string | null>();
  const keys = load.expectations().map(({ key }) => key);
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < keys.length; i = next++) {
      const key = keys[i] as string;
      const { http } = nodes[i % nodes.length] as LocalNodeProcess;
      const { status, text } = await http.send('GET', `/v1/kv/default/${encodeURIComponent(key)}`);
      if (status !== 200 && status !== 404) throw new Error(`GET ${key}: ${status} ${text}`);
      answers.set(key, status === 200 ? text : null);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return load.violations((key) => answers.get(key) ?? null).map((line) => `read ${line}`);
}

/** Every owner of a key must hold it. */
function lostOnDisk(image: DiskImage, load: WriteLoad): string[] {
  const ring = ringOf(image);
  const owns = (key: string): boolean => ring.owners(ring.shardOf('default', key)).includes(image.peerId);
  return load
    .violations((key) => valueOn(image, ring, 'default', key), owns)
    .map((line) => `disk of ${image.name}: ${line}`);
}
