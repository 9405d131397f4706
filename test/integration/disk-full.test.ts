import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkDurability } from '../support/durability-story.ts';
import { LocalCluster, type LocalNodeProcess } from '../support/local-cluster.ts';
import { RespClient } from '../support/resp-client.ts';
import { SmallDisk, smallDiskUnavailable } from '../support/small-disk.ts';
import { until } from '../support/until.ts';
import { WriteLoad } from '../support/write-load.ts';

const unavailable = smallDiskUnavailable();
if (unavailable !== undefined) console.log(`disk-full tests skipped: ${unavailable}`);

const TIMEOUT_MS = 400_000;
const MIB = 1024 * 1024;
const DISK_MIB = 224;
const HEADROOM_MIB = 32;
/** What may be under way when the mark is reached: the log and the tables that a compaction writes anew. */
const FREE_MIN = (HEADROOM_MIB / 4) * MIB;

interface DiskStatus {
  readonly bootEpoch: number;
  readonly disk: { readonly freeBytes: number; readonly readOnly: boolean };
}

describe.skipIf(unavailable !== undefined)('a node on a small file system', () => {
  let cluster: LocalCluster;
  let disk: SmallDisk;
  let small: LocalNodeProcess;

  beforeEach(async () => {
    cluster = await LocalCluster.create({
      nodes: 4,
      env: { HOLDFAST_DISK_HEADROOM_BYTES: `${HEADROOM_MIB}MiB`, HOLDFAST_ANTI_ENTROPY_INTERVAL_MS: '2000' },
    });
    small = cluster.node(4);
    disk = SmallDisk.mount(small.dataDir, DISK_MIB);
    await cluster.startAll();
  }, TIMEOUT_MS);

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster?.logs());
    await cluster?.killAll();
    disk?.unmount();
    await cluster?.close();
  }, TIMEOUT_MS);

  const status = (): Promise<DiskStatus> => small.http.json<DiskStatus>('/v1/status');
  const untilReadOnly = (readOnly: boolean, timeoutMs: number): Promise<void> =>
    until(
      `the small disk is ${readOnly ? 'full' : 'writable'}`,
      async () => (await status()).disk.readOnly === readOnly,
      timeoutMs,
    );

  /** A key of which the small node is an owner or not. */
  const keyOwned = async (owned: boolean, prefix: string): Promise<string> => {
    for (let i = 0; ; i++) {
      const key = `${prefix}${i}`;
      const { owners } = await small.http.json<{ owners: string[] }>(`/v1/ring/locate?bucket=default&key=${key}`);
      if (owners.includes(small.name) === owned) return key;
    }
  };

  test(
    'fills, refuses writes, serves reads and deletes, and takes writes again once there is space',
    async () => {
      const clients = cluster.nodes.map(({ http }) => http);
      const [early, away] = [await keyOwned(true, 'early/'), await keyOwned(false, 'away/')];
      expect((await small.http.send('PUT', `/v1/kv/default/${early}`, { body: 'old' })).status).toBe(204);
      const { bootEpoch } = await status();
      const giveBack = disk.fillUpTo(HEADROOM_MIB + 24);
      const load = new WriteLoad({ clients, workers: 16, paddingBytes: 8 * 1024, keys: 8000, deleteShare: 0.05 });
      load.start();
      await untilReadOnly(true, 120_000);
      await until('a write was refused for lack of space', () => load.diskFull > 0, 30_000);

      let freeMin = Number.POSITIVE_INFINITY;
      const watch = setInterval(() => {
        freeMin = Math.min(freeMin, disk.freeBytes);
      }, 20);
      try {
        // The others carry on, and do not push their writes onto the full disk by other ways.
        await load.untilMore(3000);
        const refused = await small.http.send('PUT', `/v1/kv/default/${early}`, { body: 'new' });
        expect([refused.status, JSON.parse(refused.text).code]).toEqual([507, 'disk-full']);
        const resp = await RespClient.open(small.respPort);
        expect(await resp.call('SET', early, 'new')).toMatchObject({ message: expect.stringMatching(/^MISCONF /) });
        expect(await resp.call('GET', early)).toBe('old');
        expect(await resp.call('SET', away, 'elsewhere')).toBe('OK');
        expect(await resp.call('DEL', early)).toBe(1);
        expect(await resp.call('GET', early)).toBe(null);
        resp.close();
      } finally {
        clearInterval(watch);
      }
      expect(freeMin).toBeGreaterThan(FREE_MIN);

      giveBack();
      await untilReadOnly(false, 20_000);
      expect((await small.http.send('PUT', `/v1/kv/default/${early}`, { body: 'newer' })).status).toBe(204);
      expect((await status()).bootEpoch).toBe(bootEpoch);
      await load.untilMore(500);
      await load.stop();
      const report = await checkDurability(cluster, load);
      console.log(`disk full: at least ${Math.round(freeMin / MIB)} MiB stayed free; ${JSON.stringify(report)}`);
      expect(report).toMatchObject({ lost: [], differences: [], staleReads: [], idleDeletes: [] });
    },
    TIMEOUT_MS,
  );

  test(
    'takes writes again by itself after its data has been deleted',
    async () => {
      const [first] = cluster.nodes;
      if (first === undefined) throw new Error('there is no node');
      disk.fillUpTo(HEADROOM_MIB + 24);
      const load = new WriteLoad({ clients: [first.http], workers: 16, paddingBytes: 8 * 1024 });
      load.start();
      await untilReadOnly(true, 120_000);
      await load.stop();
      const keys = load.expectations().map(({ key }) => key);
      for (let i = 0; i < keys.length; i += 500) {
        const lines = keys.slice(i, i + 500).map((key) => JSON.stringify({ op: 'del', key }));
        const answer = await small.http.send('POST', '/v1/kv/default', { body: lines.join('\n') });
        expect(answer.status).toBe(200);
        expect(answer.text).not.toContain('"code"');
      }
      await untilReadOnly(false, 60_000);
      expect((await first.http.send('PUT', '/v1/kv/default/after', { body: 'v' })).status).toBe(204);
      const { text } = await small.http.send('GET', '/v1/kv/default?limit=1000&values=false');
      expect(text.split('\n').filter((line) => line.includes('load/'))).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
