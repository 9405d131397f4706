import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import { metaKey } from '../../src/wire/record.ts';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { until } from '../support/until.ts';

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.start({ nodes: 2 });
});

afterAll(async () => cluster.close());

async function forgetCluster(node: LocalNodeProcess): Promise<void> {
  const storage = await openLevelStorage({
    directory: join(node.dataDir, 'store'),
    log: new RecordingLog(),
    onCorrupt: () => undefined,
    headroomBytes: 1,
    onRecordsLost: () => undefined,
  });
  await storage.commit([{ key: metaKey('catalog'), value: null }]);
  await storage.close();
}

test('a node that has lost what the cluster was serves again once its operator says that no other is left', async () => {
  const [first, second] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
  const api = { HOLDFAST_API: `http://127.0.0.1:${second.httpPort}` };
  const put = await first.http.send('PUT', '/v1/kv/default/key?w=all', { body: 'kept' });
  expect(put.status).toBe(204);
  await first.stop();
  await second.stop();
  await forgetCluster(second);
  second.spawn();
  await until('the node answers', async () => (await runHoldfast(['status'], api)).exit === 0, 20_000);
  expect(await second.http.send('GET', '/v1/kv/default/key')).toMatchObject({ status: 503 });
  const refused = await runHoldfast(['get', 'default', 'key'], api);
  expect(refused).toMatchObject({ exit: 1, stderr: expect.stringContaining('holdfast ring in') as string });
  expect((await runHoldfast(['ring', 'in', first.name], api)).exit).not.toBe(0);
  expect(await runHoldfast(['ring', 'in', second.name], api)).toMatchObject({ exit: 0 });
  expect(await runHoldfast(['get', 'default', 'key'], api)).toMatchObject({
    exit: 0,
    stdout: expect.stringContaining('kept') as string,
  });
});
