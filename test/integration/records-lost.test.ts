import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import type { Storage } from '../../src/ports/storage.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { openNodeState } from '../../src/runtime/node-state.ts';
import { readKey, storageWrite } from '../../src/wire/record.ts';
import { LocalCluster } from '../support/local-cluster.ts';
import { RecordingLog } from '../support/recording-log.ts';

test('a table file that is gone does not leave a complete replica without its objects', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-records-lost-'));
  let hasLost = false;
  const open = (): Promise<Storage> =>
    openLevelStorage({
      directory,
      log: new RecordingLog(),
      onCorrupt: () => undefined,
      headroomBytes: 1,
      onRecordsLost: () => {
        hasLost = true;
      },
    });
  const actor = '00000000000000aa';
  const expected = {
    clusterId: 'c',
    shards: 16,
    drawActor: () => actor,
    corrupt: [],
    renewActor: false,
    hasRun: false,
  };
  const dot = { actor, counter: 1 };
  const name = { bucket: 'b', key: 'k' };
  try {
    let storage = await open();
    await openNodeState(storage, expected);
    const payload = { kind: 'register', value: new Uint8Array(8), contentType: '' } as const;
    const value = { entries: [{ dot, hlc: 1, expiresAtMs: 0, payload }], past: null };
    await storage.commit([storageWrite({ table: 'object', shard: 3, name, value })]);
    await storage.close();
    // As it opens, the store makes a table of its log. The shard's record is written again and again, and is newer.
    storage = await open();
    const record = {
      context: CausalContext.fromDots([dot]),
      complete: true,
      sources: new Set<string>(),
      bare: new CausalContext(),
      named: new CausalContext(),
    };
    await storage.commit([storageWrite({ table: 'shard', shard: 3, value: record })]);
    await storage.close();
    const tables = (await readdir(directory)).filter((file) => file.endsWith('.ldb'));
    expect(tables).toHaveLength(1);
    await rm(join(directory, tables[0] as string));
    storage = await open();
    expect(hasLost).toBe(true);
    const state = await openNodeState(storage, { ...expected, drawActor: () => '00000000000000bb', renewActor: true });
    expect(storage.read(readKey({ table: 'object', shard: 3, name }))).toBeUndefined();
    await storage.close();
    const shard = state.replication.shards.get(3);
    expect(shard?.complete).toBe(false);
    expect(shard?.context.has(dot)).toBe(false);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('a start with a damaged store says of it in the status and in the events', async () => {
  const cluster = await LocalCluster.start({ nodes: 1 });
  try {
    const node = cluster.node(1);
    expect(await node.status()).toMatchObject({ notReady: null, disk: { recordsLost: null } });
    await node.stop();
    await rm(join(node.dataDir, 'store', 'CURRENT'));
    await node.start();
    const reason = expect.stringContaining('CURRENT file is missing') as string;
    expect(await node.status()).toMatchObject({ disk: { recordsLost: reason } });
    const events = await node.http.send('GET', '/v1/events?follow=false');
    expect(events.text).toMatch(/event: records-lost\n.*CURRENT file is missing/s);
    await node.stop();
    await node.start();
    expect(await node.status()).toMatchObject({ disk: { recordsLost: null } });
  } finally {
    await cluster.close();
  }
});
