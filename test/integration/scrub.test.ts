import { afterEach, expect, test } from 'vitest';
import { readDisks, ringOf, valueOn } from '../support/disk-check.ts';
import { checkDurability } from '../support/durability-story.ts';
import { LocalCluster } from '../support/local-cluster.ts';
import { corruptRows } from '../support/record-corruption.ts';
import { until } from '../support/until.ts';
import { WriteLoad } from '../support/write-load.ts';

const TIMEOUT_MS = 400_000;
const TABLES = { object: 20, dot: 5, shard: 3, floor: 3, expiry: 3, meta: 2 } as const;

let cluster: LocalCluster | undefined;

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') console.error(cluster?.logs());
  await cluster?.close();
}, TIMEOUT_MS);

test(
  'the scrubber finds what went bad on a disk while nobody reads it, and it is made good',
  async () => {
    cluster = await LocalCluster.start({
      nodes: 3,
      env: { HOLDFAST_SCRUB_INTERVAL_HOURS: '0.0005', HOLDFAST_ANTI_ENTROPY_INTERVAL_MS: '1000' },
    });
    const [a, bad] = [cluster.node(1), cluster.node(2)];
    const load = new WriteLoad({ clients: cluster.nodes.map(({ http }) => http), workers: 24 });
    load.start();
    await load.untilTotal(1500);
    await load.stop();
    for (let i = 0; i < 10; i++) await a.http.send('PUT', `/v1/kv/default/expires/${i}?ttl=20`, { body: 'soon' });
    await until(
      'the index is compacted',
      async () => (await bad.http.metric('holdfast_index_rows_stripped_total')) >= 1500,
      30_000,
    );
    // What the third misses keeps its rows in the index of the others.
    await cluster.node(3).kill();
    const later = new WriteLoad({ clients: [a.http, bad.http], workers: 8, prefix: 'later/' });
    later.start();
    await later.untilTotal(100);
    await later.stop();
    await bad.kill();
    const damaged: Record<string, number> = {};
    for (const [table, count] of Object.entries(TABLES)) {
      damaged[table] = await corruptRows(bad.dataDir, table as keyof typeof TABLES, count);
    }
    expect(damaged).toEqual(TABLES);
    const passes = async (): Promise<number> => await bad.http.metric('holdfast_scrub_passes_total');
    await bad.start();
    await cluster.node(3).start();
    await until('two passes of the scrubber', async () => (await passes()) >= 2, 60_000);
    const found = await bad.http.metric('holdfast_corrupt_records_total');
    console.log(`damaged ${JSON.stringify(damaged)}; ${found} found`);
    expect(found).toBeGreaterThanOrEqual(Object.values(damaged).reduce((sum, count) => sum + count, 0) - 2);
    await until(
      'nothing bad is found any more',
      async () => {
        const before = await bad.http.metric('holdfast_corrupt_records_total');
        const from = await passes();
        await until('another pass', async () => (await passes()) > from, 30_000);
        return (await bad.http.metric('holdfast_corrupt_records_total')) === before;
      },
      60_000,
    );
    const report = await checkDurability(cluster, load);
    expect(report).toMatchObject({ lost: [], differences: [] });
    const images = await readDisks(cluster.nodes.map(({ name, dataDir }) => ({ name, peerId: '', dataDir })));
    for (const image of images) {
      const ring = ringOf(image);
      expect(later.violations((key) => valueOn(image, ring, 'default', key))).toEqual([]);
    }
  },
  TIMEOUT_MS,
);
