import { afterEach, beforeEach, expect, test } from 'vitest';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 120_000;

interface Locate {
  readonly owners: readonly string[];
}

let cluster: LocalCluster;

beforeEach(async () => {
  cluster = await LocalCluster.start({ nodes: 3 });
}, TIMEOUT_MS);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') console.error(cluster?.logs());
  await cluster?.close();
}, TIMEOUT_MS);

test(
  'buckets with placements of their own: from the command line to the disk, over a restart and a failure',
  async () => {
    const nodes = cluster.nodes as [LocalNodeProcess, LocalNodeProcess, LocalNodeProcess];
    const [n1, n2, n3] = nodes;
    const run = (...args: string[]): ReturnType<typeof runHoldfast> => runHoldfast([...args, '--api', n1.http.base]);
    expect(await run('ring', 'zone', 'n3', 'hall')).toMatchObject({ exit: 0 });
    expect(await run('bucket', 'create', 'single', '--replicas', '1')).toMatchObject({ exit: 0 });
    expect(await run('bucket', 'create', 'zoned', '--replicas', '2', '--preferred-zones', 'hall')).toMatchObject({
      exit: 0,
    });
    for (const bucket of ['single', 'zoned']) {
      const isThere = async (node: LocalNodeProcess): Promise<boolean> =>
        (await node.http.send('GET', `/v1/buckets/${bucket}`)).status === 200;
      for (const node of nodes) await until(`${node.name} knows ${bucket}`, () => isThere(node), TIMEOUT_MS);
    }
    const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
    for (const [i, key] of keys.entries()) {
      for (const bucket of ['single', 'zoned']) {
        const put = await (nodes[i % 3] as LocalNodeProcess).http.send('PUT', `/v1/kv/${bucket}/${key}`, { body: 'v' });
        expect(put.status).toBe(204);
      }
    }
    const ownersOf = async (bucket: string, key: string): Promise<readonly string[]> =>
      (await n2.http.json<Locate>(`/v1/ring/locate?bucket=${bucket}&key=${key}`)).owners;
    for (const key of keys) {
      expect(await ownersOf('single', key)).toHaveLength(1);
      const zoned = await ownersOf('zoned', key);
      expect(zoned).toHaveLength(2);
      expect(zoned[0]).toBe('n3');
    }
    const ring = await run('ring');
    expect(ring.stdout).toContain('1 replica: single');
    expect(ring.stdout).toContain('2 replicas, zones hall first: zoned');
    expect((await run('bucket', 'list')).stdout).toMatch(/zoned +eventual +lww +2 +hall/);

    await n2.kill();
    await n2.start();
    await cluster.untilComplete();
    const listed = async (bucket: string, node: LocalNodeProcess): Promise<number> =>
      (await node.http.send('GET', `/v1/kv/${bucket}`)).text.trim().split('\n').length;
    // The one owner of a key has to be connected to whoever is asked; until then a listing says that it is not complete.
    const untilListed = async (): Promise<void> => {
      for (const node of nodes) {
        await until('all are listed', async () => (await listed('single', node)) === keys.length, TIMEOUT_MS);
      }
    };
    await untilListed();

    await n3.kill();
    await until('n3 is noticed', async () => (await n1.status()).members['alive'] === 2, TIMEOUT_MS);
    for (const key of keys.slice(0, 20)) {
      const { status, text } = await n1.http.send('GET', `/v1/kv/zoned/${key}?r=one`);
      expect([status, text]).toEqual([200, 'v']);
    }
    await n3.start();
    await cluster.untilComplete();
    await untilListed();
  },
  TIMEOUT_MS,
);
