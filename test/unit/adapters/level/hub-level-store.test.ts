import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FORMAT_KEY, listingKey, objectKey, shardKey } from '../../../../src/adapters/level/hub-key.ts';
import { openHubLevelStore } from '../../../../src/adapters/level/hub-level-store.ts';
import { openLevelStorage } from '../../../../src/adapters/level/level-storage.ts';
import { systemClock } from '../../../../src/adapters/system/clock.ts';
import type { HubStore, HubTransaction } from '../../../../src/ports/hub-store.ts';
import { HUB_RECORDS } from '../../../../src/wire/hub-record.ts';
import {
  addSite,
  put,
  readObject,
  readShard,
  register,
  SITE,
  START_MS,
  shardOf,
  valueText,
  write,
} from '../../../support/hub-transactions.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

/** The first site's. */
const ID = 1;
const NAME = { shard: 3, bucket: 'readings', key: 'a' };

let directory: string;
let log: RecordingLog;
let store: HubStore;

const open = () => openHubLevelStore({ directory, log, clock: systemClock });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-hub-'));
  log = new RecordingLog();
  store = await open();
  await addSite(store);
  await store.noteSite(SITE, {
    clusterId: 'c',
    shards: 256,
    buckets: [
      { name: 'readings', sync: 'both', conflict: 'lww', ttlSeconds: null, origin: null },
      { name: 'settings', sync: 'up', conflict: 'lww', ttlSeconds: null, origin: null },
      { name: 'local', sync: 'none', conflict: 'lww', ttlSeconds: null, origin: null },
    ],
    actors: [],
    atMs: START_MS,
  });
  await write(store, [
    { type: 'shard', shard: 3, value: shardOf(2) },
    put(3, 'readings', 'a', register(1, 'x')),
    put(3, 'readings', 'b', register(2, 'y')),
  ]);
});

afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true });
});

/** Changes stored bytes; the store is reopened for it. */
async function edit(change: (raw: ClassicLevel<Uint8Array, Uint8Array>) => Promise<void>): Promise<void> {
  await store.close();
  const raw = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
  await change(raw);
  await raw.close();
  store = await open();
}

async function damage(key: Uint8Array): Promise<void> {
  await edit(async (raw) => {
    const stored = Uint8Array.from((await raw.get(key)) as Uint8Array);
    stored[stored.length - 1] = (stored.at(-1) as number) ^ 0x01;
    await raw.put(key, stored);
  });
}

describe('an object that is damaged', () => {
  it('is said to be missing by its shard, before a transaction relies on what the shard covers', async () => {
    await damage(objectKey(ID, 3, NAME));
    let runs = 0;
    const seen = await store.transact(SITE, function* (): HubTransaction<unknown> {
      runs++;
      const shards = yield { type: 'shards', shards: [3], lock: true };
      const objects = yield { type: 'objects', names: [NAME, { ...NAME, key: 'b' }] };
      const keys = objects.type === 'objects' ? objects.objects.size : 0;
      return { writes: [], result: [shards.type === 'shards' ? shards.shards.get(3)?.partial : null, keys] };
    });
    expect(seen).toEqual([['readings'], 1]);
    expect(runs).toBe(2);
    expect((await readShard(store, 3))?.revision).not.toBe(shardOf(2).revision);
    expect(log.lines.filter(({ level }) => level === 'error')[0]?.fields).toMatchObject({
      table: 'object',
      site: SITE,
    });
    expect((await store.totals(SITE)).keys).toBe(1);
    expect((await store.list(SITE, 'readings', { prefix: '', after: '', limit: 9 })).map(({ key }) => key)).toEqual([
      'b',
    ]);
  });

  it('is listed and counted again once it was written anew', async () => {
    await damage(objectKey(ID, 3, NAME));
    await readObject(store, NAME);
    await write(store, [{ type: 'shard', shard: 3, value: shardOf(4) }, put(3, 'readings', 'a', register(1, 'x'))]);
    store = await store.close().then(open);
    expect(valueText((await readObject(store, NAME))?.entries)).toBe('x');
    expect((await readShard(store, 3))?.partial).toEqual([]);
    expect((await store.totals(SITE)).keys).toBe(2);
    const listed = await store.list(SITE, 'readings', { prefix: '', after: '', limit: 9 });
    expect(listed.map(({ key }) => key)).toEqual(['a', 'b']);
  });
});

it('a lost shard reads as absent, and its keys are counted anew', async () => {
  await damage(shardKey(ID, 3));
  expect(await readShard(store, 3)).toBeUndefined();
  await write(store, [{ type: 'shard', shard: 3, value: shardOf(4) }, put(3, 'readings', 'c', register(3, 'z'))]);
  expect(await store.totals(SITE)).toEqual({ keys: 3, conflicts: 0 });
});

it('a damaged listing row is made anew from the objects', async () => {
  await damage(listingKey(ID, NAME));
  const keys = async (): Promise<string> =>
    (await store.list(SITE, 'readings', { prefix: '', after: '', limit: 9 })).map(({ key }) => key).join();
  await expect.poll(keys).toBe('a,b');
});

it('after a loss that cannot be named, every shard says that all synced buckets are to be compared', async () => {
  await edit((raw) => raw.del(FORMAT_KEY));
  expect((await readShard(store, 3))?.partial).toEqual(['readings', 'settings']);
  store = await store.close().then(open);
  await write(store, [{ type: 'shard', shard: 3, value: shardOf(5) }]);
  expect((await readShard(store, 3))?.partial).toEqual([]);
});

it('clears at its start what the end of the run before has left of a removed site', async () => {
  await store.close();
  const storage = await openLevelStorage({ directory, log, onCorrupt: () => {} });
  await storage.commit([
    { key: Uint8Array.of(0x52, 0, 0, 0, 9), value: HUB_RECORDS.number.encode(9) },
    { key: objectKey(9, 3, NAME), value: HUB_RECORDS.object.encode({ entries: [register(1, 'x')], past: null }) },
  ]);
  await storage.close();
  store = await open();
  await store.close();
  const raw = await openLevelStorage({ directory, log, onCorrupt: () => {} });
  expect(raw.read(objectKey(9, 3, NAME))).toBeUndefined();
  expect(raw.read(objectKey(ID, 3, NAME))).toBeDefined();
  await raw.close();
  store = await open();
});

describe('opening', () => {
  it('refuses a directory that another hub uses, and one that holds something else', async () => {
    await expect(open()).rejects.toMatchObject({ name: 'HubStoreError', code: 'in-use' });
    const other = await mkdtemp(join(tmpdir(), 'holdfast-node-'));
    const storage = await openLevelStorage({ directory: other, log, onCorrupt: () => {} });
    await storage.commit([{ key: Uint8Array.of(0x6d, 0x78), value: Uint8Array.of(1) }]);
    await storage.close();
    const opening = openHubLevelStore({ directory: other, log, clock: systemClock });
    await expect(opening).rejects.toMatchObject({ name: 'HubStoreError', code: 'unreadable' });
    await rm(other, { recursive: true });
  });

  it('refuses the format of a later version', async () => {
    await store.close();
    const storage = await openLevelStorage({ directory, log, onCorrupt: () => {} });
    await storage.commit([{ key: FORMAT_KEY, value: HUB_RECORDS.format.encode({ version: 2, losses: 0 }) }]);
    await storage.close();
    await expect(open()).rejects.toMatchObject({ name: 'HubStoreError', code: 'unreadable' });
  });
});

it('runs transactions on different shards beside each other', async () => {
  const READS_MAX = 10_000;
  let isOtherDone = false;
  let other: Promise<void> = Promise.resolve();
  const reads = await store.transact(SITE, function* (): HubTransaction<number> {
    yield { type: 'shards', shards: [10], lock: true };
    other = write(store, [put(11, 'readings', 'k', register(1, 'x'))]).then(() => {
      isOtherDone = true;
    });
    let count = 0;
    for (; !isOtherDone && count < READS_MAX; count++) yield { type: 'objects', names: [{ ...NAME, shard: 10 }] };
    return { writes: [], result: count };
  });
  expect(reads).toBeGreaterThan(0);
  expect(reads).toBeLessThan(READS_MAX);
  await other;
});
