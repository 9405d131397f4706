import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BucketFollower } from '../support/bucket-follower.ts';
import { LocalCluster } from '../support/local-cluster.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 300_000;

describe('a client that follows a bucket', () => {
  let cluster: LocalCluster;
  const follower = new BucketFollower();

  beforeEach(async () => {
    cluster = await LocalCluster.start({ nodes: 3 });
  }, TIMEOUT_MS);

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster?.logs());
    await follower.close();
    await cluster?.close();
  }, TIMEOUT_MS);

  const url = (node: number): string => `http://127.0.0.1:${cluster.nodes[node]?.httpPort}`;

  async function listing(): Promise<Map<string, string>> {
    const text = await (await fetch(`${url(0)}/v1/kv/default?limit=100000&values=false`)).text();
    const lines = text.split('\n').filter((line) => line !== '');
    return new Map(lines.map((line) => JSON.parse(line)).map(({ key, etag }) => [key, etag]));
  }

  /** Puts and deletes through the given nodes until stopped; failures do not matter here. */
  function write(nodes: readonly number[]): () => Promise<number> {
    let stopped = false;
    let written = 0;
    const work = async (worker: number): Promise<void> => {
      for (let i = 0; !stopped; i++) {
        const node = nodes[(worker + i) % nodes.length] as number;
        const method = i % 4 === 3 ? 'DELETE' : 'PUT';
        const path = `/v1/kv/default/k${(worker * 7 + i * 3) % 400}`;
        const init = method === 'PUT' ? { method, body: `${worker}-${i}` } : { method };
        const answer = await fetch(`${url(node)}${path}`, init).catch(() => null);
        await answer?.arrayBuffer().catch(() => undefined);
        if (answer?.status === 204) written++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const workers = Array.from({ length: 4 }, (_, worker) => work(worker));
    return async () => {
      stopped = true;
      await Promise.all(workers);
      return written;
    };
  }

  const isEqual = async (): Promise<boolean> => {
    const expected = await listing();
    if (!follower.synced || expected.size !== follower.content.size) return false;
    return [...expected].every(([key, etag]) => follower.content.get(key) === etag);
  };

  test(
    'ends with what the cluster has, over moves to other nodes and owners that die, while writes and deletes go on',
    async () => {
      const stopFirst = write([0, 1, 2]);
      await follower.connect(url(2));
      await until('the client has the state', () => follower.synced, 30_000);
      await follower.connect(url(1));
      await until(
        'it has been sent the state at another node',
        () => follower.resets.length === 2 && follower.synced,
        30_000,
      );
      // The same node again: it goes on where it was.
      await follower.connect(url(1));
      await until('changes arrive', () => follower.content.size > 60, 30_000);
      expect(follower.resets).toEqual(['snapshot', 'other-run']);
      expect(await stopFirst()).toBeGreaterThan(50);

      const stopSecond = write([0, 1]);
      await cluster.nodes[2]?.kill('SIGKILL');
      await until('a while passes with writes', () => new Promise((resolve) => setTimeout(() => resolve(true), 3000)));
      await cluster.nodes[2]?.start();
      await follower.connect(url(2));
      await cluster.nodes[0]?.kill('SIGKILL');
      await cluster.nodes[0]?.start();
      await cluster.untilComplete();
      expect(await stopSecond()).toBeGreaterThan(50);
      await until('the client has what the cluster has', isEqual, 60_000);
      expect(follower.resets.length).toBeGreaterThanOrEqual(3);
    },
    TIMEOUT_MS,
  );
});
