import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkDurability, killAndRestart } from '../support/durability-story.ts';
import { LocalCluster } from '../support/local-cluster.ts';
import { WriteLoad } from '../support/write-load.ts';

const TIMEOUT_MS = 400_000;

describe('three nodes under load', () => {
  let cluster: LocalCluster;

  beforeEach(async () => {
    cluster = await LocalCluster.start({ nodes: 3 });
  }, TIMEOUT_MS);

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster?.logs());
    await cluster?.close();
  }, TIMEOUT_MS);

  const loadOf = (options: { keys?: number; deleteShare?: number } = {}): WriteLoad =>
    new WriteLoad({ clients: cluster.nodes.map(({ http }) => http), workers: 48, ...options });

  test(
    '10,000 quorum writes survive a node that is killed and restarted twice',
    async () => {
      const load = loadOf();
      load.start();
      await killAndRestart(cluster, load, { node: 2, times: 2, writesBetween: 1500 });
      await load.untilTotal(10_000);
      await load.stop();
      const report = await checkDurability(cluster, load);
      expect(report).toMatchObject({ lost: [], differences: [], staleReads: [], idleDeletes: [] });
      expect(report.failedAttempts).toBeGreaterThan(0);
    },
    TIMEOUT_MS,
  );

  test(
    'overwrites and deletes survive it too, and replicas become equal',
    async () => {
      const load = loadOf({ keys: 960, deleteShare: 0.3 });
      load.start();
      await killAndRestart(cluster, load, { node: 3, times: 2, writesBetween: 800 });
      await load.stop();
      const report = await checkDurability(cluster, load);
      expect(report).toMatchObject({ lost: [], differences: [], staleReads: [], idleDeletes: [] });
      expect(report.deletes).toBeGreaterThan(500);
    },
    TIMEOUT_MS,
  );

  test(
    'every acknowledged write is there after all nodes are killed at once',
    async () => {
      const load = loadOf({ keys: 4800, deleteShare: 0.1 });
      load.start();
      await load.untilMore(2500);
      await cluster.killAll('SIGKILL');
      await load.stop(true);
      await cluster.startAll();
      const report = await checkDurability(cluster, load);
      expect(report).toMatchObject({ lost: [], differences: [], staleReads: [], idleDeletes: [] });
    },
    TIMEOUT_MS,
  );
});
