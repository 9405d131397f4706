import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { until } from '../support/until.ts';
import { WriteLoad } from '../support/write-load.ts';

const TIMEOUT_MS = 300_000;
const MOVE_TIMEOUT_MS = 90_000;

interface RingJson {
  readonly members: readonly { readonly name: string; readonly place: string; readonly shards: number }[];
  readonly changing: { readonly shards: number; readonly moved: number } | null;
}

describe('operators change the ring of real nodes', () => {
  let cluster: LocalCluster;

  beforeEach(async () => {
    cluster = await LocalCluster.start({ nodes: 4, env: { HOLDFAST_ANTI_ENTROPY_INTERVAL_MS: '1000' } });
  }, TIMEOUT_MS);

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster?.logs());
    await cluster?.close();
  }, TIMEOUT_MS);

  const ring = (...args: string[]): ReturnType<typeof runHoldfast> =>
    runHoldfast(['ring', ...args, '--api', cluster.node(1).http.base]);
  const placesAt = async (node: LocalNodeProcess): Promise<string[]> => {
    const { members } = await node.http.json<RingJson>('/v1/ring');
    return members.map(({ name, place }) => `${name} ${place}`).sort();
  };
  /** It knows its place, and has nothing left to take over or to hand over. */
  const untilMoved = (node: LocalNodeProcess, place: string): Promise<void> =>
    until(
      `${node.name} is ${place} and at rest`,
      async () => {
        const { changing } = await node.http.json<RingJson>('/v1/ring');
        return (await placesAt(node)).includes(`${node.name} ${place}`) && changing === null;
      },
      MOVE_TIMEOUT_MS,
    );
  const violationsOf = async (load: WriteLoad, node: LocalNodeProcess): Promise<string[]> => {
    const { text } = await node.http.send('GET', '/v1/kv/default?values=true');
    const values = new Map<string, string>();
    for (const line of text.trim().split('\n')) {
      const { key, value } = JSON.parse(line) as { key?: string; value?: string };
      if (key !== undefined) values.set(key, Buffer.from(value ?? '', 'base64').toString());
    }
    return load.violations((key) => values.get(key) ?? null);
  };

  test(
    'a node is decommissioned and comes back, and a broken one is removed, under load',
    async () => {
      const [n1, n2, n3, n4] = cluster.nodes as [
        LocalNodeProcess,
        LocalNodeProcess,
        LocalNodeProcess,
        LocalNodeProcess,
      ];
      const load = new WriteLoad({ clients: [n1.http, n2.http, n4.http], workers: 16, keys: 800, deleteShare: 0.1 });
      load.start();
      await load.untilMore(1500);

      expect(await ring('out', 'n4')).toMatchObject({ exit: 0 });
      await untilMoved(n4, 'out');
      expect((await n4.status()).shards).toMatchObject({ owned: 0, complete: 0, transferring: 0 });
      await load.untilMore(500);
      expect(await n4.stop()).toBe(0);
      await n4.start();
      await load.untilMore(500);
      expect(await placesAt(n4)).toContain('n4 out');

      expect(await ring('in', 'n4')).toMatchObject({ exit: 0 });
      for (const node of [n1, n2, n3, n4]) await untilMoved(node, 'in');
      const { peerId } = await n3.status();
      await n3.kill();
      expect(await ring('remove', peerId)).toMatchObject({ exit: 2 });
      expect(await ring('remove', peerId, '--yes')).toMatchObject({ exit: 0 });
      for (const node of [n1, n2, n4]) await untilMoved(node, 'in');
      await load.untilMore(500);
      await load.stop();
      for (const node of [n1, n2, n4]) {
        expect((await node.status()).shards).toMatchObject({ owned: 256, complete: 256, transferring: 0 });
        expect(await violationsOf(load, node)).toEqual([]);
      }

      await n3.start();
      await untilMoved(n3, 'removed');
      await until('its log says so', () => n3.logTail().includes('removed from the ring'), MOVE_TIMEOUT_MS);
      expect(await violationsOf(load, n3)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'weights move shards, and the last member stays in',
    async () => {
      const [n1, n2] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
      const sharesOf = async (): Promise<Record<string, number>> => {
        const { members } = await n2.http.json<RingJson>('/v1/ring');
        return Object.fromEntries(members.map(({ name, shards }) => [name, shards]));
      };
      const before = await sharesOf();
      expect(await ring('weight', 'n3', '0.1')).toMatchObject({ exit: 0 });
      await until('the others hear of it', async () => (await sharesOf())['n3'] !== before['n3'], MOVE_TIMEOUT_MS);
      expect((await sharesOf())['n3']).toBeLessThan((before['n3'] ?? 0) / 2);
      await cluster.untilComplete();
      for (const name of ['n2', 'n3', 'n4']) expect(await ring('out', name)).toMatchObject({ exit: 0 });
      const last = await ring('out', 'n1');
      expect(last).toMatchObject({ exit: 1, stdout: '' });
      expect(last.stderr).toContain('n1 is the last member that is in the ring');
      expect(last.stderr).toContain('(last-member)');
      await untilMoved(n1, 'in');
      expect((await n1.status()).shards).toMatchObject({ owned: 256, complete: 256, transferring: 0 });
    },
    TIMEOUT_MS,
  );
});
