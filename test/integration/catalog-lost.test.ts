import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import { metaKey } from '../../src/wire/record.ts';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { until } from '../support/until.ts';

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.start({ nodes: 3 });
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

const KEY = '/v1/kv/default/key';

async function untilAnswers(node: LocalNodeProcess): Promise<void> {
  const answers = (): Promise<boolean> =>
    node.http.send('GET', '/healthz').then(
      ({ status }) => status === 200,
      () => false,
    );
  await until(`${node.name} answers`, answers, 20_000);
}

test('a node of which the store was deleted serves nobody before a member is there, whatever restarts', async () => {
  const [first, second, third] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess, LocalNodeProcess];
  expect(await first.http.send('PUT', `${KEY}?w=all`, { body: 'kept' })).toMatchObject({ status: 204 });
  for (const node of [first, second, third]) await node.stop();
  await rm(join(second.dataDir, 'store'), { recursive: true });
  for (let run = 0; run < 2; run++) {
    second.spawn();
    await untilAnswers(second);
    await until('the loss is told', () => Promise.resolve(second.logTail().includes('catalog-lost')), 20_000);
    expect(await second.http.send('GET', `${KEY}?r=one`)).toMatchObject({ status: 503 });
    expect(await second.http.send('PUT', `${KEY}?w=one`, { body: 'x' })).toMatchObject({ status: 503 });
    await second.kill();
  }
  second.spawn();
  await first.start();
  await third.start();
  await cluster.untilComplete();
  expect(await second.http.send('GET', `${KEY}?r=one`)).toMatchObject({ status: 200, body: Buffer.from('kept') });
});

test('a node of which the identity was deleted joins with what its store has', async () => {
  const [first, , third] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess, LocalNodeProcess];
  const { peerId } = await third.status();
  await third.stop();
  await rm(join(third.dataDir, 'identity.key'));
  await third.start();
  expect(third.logTail(1000)).toContain('identity.key was missing');
  const removed = await runHoldfast(['ring', 'remove', peerId, '--yes'], {
    HOLDFAST_API: `http://127.0.0.1:${first.httpPort}`,
  });
  expect(removed).toMatchObject({ exit: 0 });
  await cluster.untilComplete();
  expect(await third.http.send('GET', `${KEY}?r=all`)).toMatchObject({ status: 200, body: Buffer.from('kept') });
});

test('a node that has lost what the cluster was serves again once its operator says that no other is left', async () => {
  const [first, second, third] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess, LocalNodeProcess];
  const api = { HOLDFAST_API: `http://127.0.0.1:${second.httpPort}` };
  const put = await first.http.send('PUT', '/v1/kv/default/key?w=all', { body: 'kept' });
  expect(put.status).toBe(204);
  for (const node of [first, second, third]) await node.stop();
  await forgetCluster(second);
  second.spawn();
  await until('the node answers', async () => (await runHoldfast(['status'], api)).exit === 0, 20_000);
  expect(await second.http.send('GET', '/v1/kv/default/key')).toMatchObject({ status: 503 });
  expect(await second.status()).toMatchObject({
    notReady: expect.stringContaining('no member has told it yet') as string,
  });
  const refused = await runHoldfast(['get', 'default', 'key'], api);
  expect(refused).toMatchObject({ exit: 1, stderr: expect.stringContaining('holdfast ring in') as string });
  expect((await runHoldfast(['ring', 'in', first.name], api)).exit).not.toBe(0);
  expect(await runHoldfast(['ring', 'in', second.name], api)).toMatchObject({ exit: 0 });
  expect(await second.status()).toMatchObject({ notReady: null });
  expect(await runHoldfast(['get', 'default', 'key'], api)).toMatchObject({
    exit: 0,
    stdout: expect.stringContaining('kept') as string,
  });
});
