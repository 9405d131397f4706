import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rm, symlink, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LevelStorageOptions, openLevelStorage } from '../../../../src/adapters/level/level-storage.ts';
import type { Log } from '../../../../src/ports/log.ts';
import type { Storage } from '../../../../src/ports/storage.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

/** Of util-linux; a file system of its own needs a mount namespace of its own. */
const NAMESPACE_TOOL = 'unshare';

let root: string;
let directory: string;
let logged: string[];
let corrupted: string[];
let lost: string[];
let opened: Storage[];

const log: Log = {
  debug() {},
  info() {},
  warn: (message) => logged.push(message),
  error: (message) => logged.push(message),
  child: () => log,
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-level-'));
  directory = join(root, 'store');
  logged = [];
  corrupted = [];
  lost = [];
  opened = [];
});

afterEach(async () => {
  for (const storage of opened) await storage.close();
  await rm(root, { recursive: true });
});

async function openStore(options: Partial<LevelStorageOptions> = {}): Promise<Storage> {
  const storage = await openLevelStorage({
    directory,
    log,
    onCorrupt: (record) => corrupted.push(Buffer.from(record.key).toString()),
    onRecordsLost: (reason) => lost.push(reason),
    ...options,
  });
  opened.push(storage);
  return storage;
}

describe('a directory in use', () => {
  it('is refused within the process, under any of its names', async () => {
    const storage = await openStore();
    await symlink(directory, join(root, 'link'));
    for (const name of [directory, relative(process.cwd(), directory), join(root, 'link'), `${directory}/../store/`]) {
      await expect(openStore({ directory: name })).rejects.toMatchObject({
        code: 'in-use',
        message: expect.stringMatching(/store|link/),
      });
    }
    await storage.commit([put('a', '1')]);
  });

  it('is refused to another process, also after a refused attempt in this one', async () => {
    const storage = await openStore();
    expect(openElsewhere(directory)).toMatch(/^in-use: The data directory .*store is in use by another process\. Stop/);
    await expect(openStore()).rejects.toMatchObject({ code: 'in-use' });
    expect(openElsewhere(directory)).toMatch(/^in-use: /);
    await storage.close();
    expect(openElsewhere(directory)).toBe('opened');
  });

  it('is free again after close, and after an attempt that failed', async () => {
    await (await openStore()).close();
    await (await openStore()).close();
    await writeFile(join(root, 'file'), '');
    await expect(openStore({ directory: join(root, 'file') })).rejects.toMatchObject({ name: 'StorageError' });
    await rm(join(root, 'file'));
    await openStore({ directory: join(root, 'file') });
  });
});

describe('damaged files', () => {
  it('survives a damaged manifest', async () => {
    await fill(directory, 2000);
    await flipBytes(join(directory, await nameOf(/^MANIFEST-/)), 8, 40);
    await expectAll(await openStore(), 2000);
    expect(logged).toEqual([expect.stringMatching(/damaged; repairing/), expect.stringMatching(/was repaired/)]);
    expect(lost).toHaveLength(1);
  });

  it('says of each repair how many files were damaged, and where they are kept', async () => {
    await fill(directory, 5000);
    for (const repair of [1, 2]) {
      await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
      const recorded = new RecordingLog();
      const storage = await openStore({ log: recorded });
      await storage.scan(range('k', 'l'), 10_000, 1e9);
      await storage.close();
      const { fields } = recorded.lines.find(({ message }) => message.includes('was repaired')) ?? {};
      const told = { directory, reason: expect.any(String), damagedFiles: 1, kept: join(directory, 'lost') };
      expect(fields, `repair ${repair}`).toEqual(told);
    }
  });

  it.each([/^CURRENT$/, /^MANIFEST-/])('survives a missing %s without starting empty', async (file) => {
    await fill(directory, 2000);
    await unlink(join(directory, await nameOf(file)));
    await expectAll(await openStore(), 2000);
    expect(lost).toHaveLength(1);
  });

  it('survives a missing table: the rest is there, and the loss is reported', async () => {
    await fill(directory, 2000);
    await unlink(join(directory, await nameOf(/\.ldb$/)));
    const storage = await openStore();
    expect(lost).toEqual([expect.stringMatching(/its file \d+\.ldb is not as long as/)]);
    await storage.commit([put('new', '1')]);
    expect(storage.read(bytes('new'))).toBeDefined();
  });

  it('takes a torn tail of the log as the end, and a hole in it as a loss', async () => {
    const first = await openStore();
    for (let id = 0; id < 100; id++) await first.commit([put(`k${id}`, 'x'.repeat(1000))]);
    await first.close();
    const path = join(directory, await nameOf(/\.log$/));
    await truncate(path, 100_000);
    // As of a run that did not come to close it.
    await rm(join(directory, 'CLOSED'));
    const second = await openStore();
    const rows = await second.scan(range('k', 'l'), 1000, 1e9);
    expect(rows.length).toBeGreaterThan(90);
    expect(rows.length).toBeLessThan(100);
    expect(lost).toEqual([]);
    for (let id = 0; id < 100; id++) await second.commit([put(`m${id}`, 'x'.repeat(1000))]);
    await second.close();
    await flipBytes(join(directory, await nameOf(/\.log$/)), 40_000, 8);
    const third = await openStore();
    const left = await third.scan(range('m', 'n'), 1000, 1e9);
    expect(left.length).toBeGreaterThan(50);
    expect(left.length).toBeLessThan(100);
    expect(lost).toEqual(['the write-ahead log is damaged (parts: 1)']);
  });

  it('serves every other record while a table is damaged, and never a wrong value', async () => {
    await fill(directory, 5000);
    await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
    const storage = await openStore();
    const wrong: number[] = [];
    let absent = 0;
    for (let id = 0; id < 5000; id++) {
      const value = storage.read(bytes(keyOf(id)));
      if (value === undefined) absent += 1;
      else if (Buffer.from(value).toString() !== valueOf(id)) wrong.push(id);
    }
    expect(wrong).toEqual([]);
    expect(absent).toBeGreaterThan(0);
    expect(absent).toBeLessThan(500);
    await storage.commit([put('new', '1')]);
    const rows = await storage.scan(range('k', 'l'), 10_000, 1e9);
    expect(rows.length).toBeGreaterThan(4500);
    for (const row of rows)
      expect(Buffer.from(row.value).toString()).toBe(valueOf(Number(Buffer.from(row.key).toString().slice(1))));
    const values = await storage.readMany(Array.from({ length: 5000 }, (_, id) => bytes(keyOf(id))));
    expect(values.filter((value) => value === undefined).length).toBeLessThan(500);
    expect(storage.read(bytes('new'))).toBeDefined();
  });

  it('leaves nothing out of a scan that ends before its range does', async () => {
    await fill(directory, 5000);
    await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
    const storage = await openStore();
    await storage.scan(range('k', 'l'), 2500, 1e9);
    expect(lost).toHaveLength(1);
    await storage.close();

    await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
    const again = await openStore();
    for (let rows = await again.scan(range('k', 'l'), 5000, 16_384); rows.length > 0; ) {
      rows = await again.scan(range(`${Buffer.from(rows.at(-1)?.key ?? []).toString()}.`, 'l'), 5000, 16_384);
    }
    expect(lost).toHaveLength(2);
  });

  it('gives no older version of a record whose newest is in a damaged table', async () => {
    await fill(directory, 2000);
    const tables = new Set(await namesOf(/\.ldb$/));
    const newer = (id: number): string => `newer ${valueOf(id)}`;
    const before = await openStore({ writeBufferBytes: 128 * 1024 });
    for (let start = 0; start < 2000; start += 100) {
      await before.commit(Array.from({ length: 100 }, (_, i) => put(keyOf(start + i), newer(start + i))));
    }
    await before.close();
    const added = (await namesOf(/\.ldb$/)).filter((name) => !tables.has(name));
    for (const name of added) await flipBytes(join(directory, name), 20_000, 6000);
    const storage = await openStore({ writeBufferBytes: 16 * 1024 });
    await storage.commit(Array.from({ length: 2000 }, (_, id) => put(`other ${id}`, '1')));
    await vi.waitFor(() => expect(storage.prefersBatches).toBe(true), { interval: 5 });
    const values = await storage.readMany(Array.from({ length: 2000 }, (_, id) => bytes(keyOf(id))));
    const older = values.filter((value, id) => value !== undefined && Buffer.from(value).toString() !== newer(id));
    expect(older).toEqual([]);
    expect(values).toContain(undefined);
  });

  it('scans, clears and commits on a table whose blocks cannot be decoded, repairing it while running', async () => {
    await fill(directory, 5000);
    await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
    const storage = await openStore();
    const [rows, , value] = await Promise.all([
      storage.scan(range('k', 'l'), 10_000, 1e9),
      storage.commit([put('new', '1')]),
      storage.readMany([bytes('new'), bytes(keyOf(4999))]),
    ]);
    expect(rows.length).toBeGreaterThan(4500);
    expect(rows.length).toBeLessThan(5000);
    expect(value[1]).toBeDefined();
    expect(lost).toEqual([expect.stringMatching(/has been repaired$/)]);
    await storage.clear(range('k', 'l'));
    expect(await storage.scan(range('k', 'l'), 10, 1e9)).toEqual([]);
    expect(storage.read(bytes('new'))).toBeDefined();
  });

  it('repairs in the course of a clear', async () => {
    await fill(directory, 5000);
    await flipBytes(join(directory, await nameOf(/\.ldb$/)), 20_000, 6000);
    const storage = await openStore();
    await Promise.all([storage.clear(range('k', 'l')), storage.commit([put('k00001', 'again')])]);
    expect(await storage.scan(range('k', 'l'), 10, 1e9)).toHaveLength(1);
    expect(lost).toHaveLength(1);
  });

  it('repairs when a compaction has met the damage and LevelDB refuses to write', async () => {
    // Tables that overlap are merged with every further round; those of one pass would stay where they are.
    const round = async (storage: Storage, number: number) => {
      const writes = Array.from({ length: 1000 }, (_, id) => put(keyOf(id), `${number} ${valueOf(id)}`));
      await storage.commit(writes);
      return writes;
    };
    const before = await openStore({ writeBufferBytes: 64 * 1024 });
    for (let number = 0; number < 10; number++) await round(before, number);
    await before.close();
    for (const name of await namesOf(/\.ldb$/)) await flipBytes(join(directory, name), 20_000, 6000);

    const storage = await openStore({ writeBufferBytes: 64 * 1024 });
    for (let number = 10; number < 50 && lost.length === 0; number++) {
      const writes = await round(storage, number);
      for (const { key, value } of writes) expect(storage.read(key)).toEqual(value);
    }
    expect(lost).toEqual([expect.stringMatching(/Corruption/)]);
  });

  it('says so when nothing can be done', async () => {
    await mkdir(join(directory, 'CURRENT'), { recursive: true });
    await expect(openStore()).rejects.toMatchObject({
      name: 'StorageError',
      message: expect.stringContaining(directory),
    });
  });
});

describe('quarantine', () => {
  it('keeps the damaged bytes under its own prefix, the newest 256 of them', async () => {
    const ids = Array.from({ length: 300 }, (_, id) => id);
    const storage = await openStore();
    await storage.commit(ids.map((id) => put(keyOf(id), valueOf(id))));
    await storage.close();
    const raw = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
    await raw.batch(ids.map((id) => ({ type: 'put', key: bytes(keyOf(id)), value: bytes(`damaged ${id}`) })));
    await raw.close();

    const again = await openStore();
    expect(await again.scan(range('k', 'l'), 1000, 1e9)).toEqual([]);
    await vi.waitFor(() => expect(corrupted).toHaveLength(300), { interval: 5 });
    await again.close();
    expect(corrupted).toEqual(ids.map(keyOf));

    await raw.open();
    const kept = await raw.iterator({ gte: Uint8Array.of(0xff), lt: Uint8Array.of(0xff, 0xff) }).all();
    expect(kept).toHaveLength(256);
    expect(kept.map(([key]) => Buffer.from(key).toString('utf8', 10))).toEqual(ids.slice(44).map(keyOf));
    expect(Buffer.from(kept[0]?.[1] as Uint8Array).toString()).toBe('damaged 44');
    await raw.close();
  });

  it('copies a record that is to be kept, and reports it in every run until it is overwritten', async () => {
    const keeping = { keepsCorrupt: (key: Uint8Array) => key[0] === 'k'.charCodeAt(0) };
    const storage = await openStore();
    await storage.commit([put('kept', 'old'), put('moved', 'old')]);
    await storage.close();
    const raw = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
    await raw.put(bytes('kept'), bytes('damaged'));
    await raw.put(bytes('moved'), bytes('damaged'));
    await raw.close();
    for (let run = 1; run <= 2; run++) {
      const again = await openStore(keeping);
      for (let read = 0; read < 2; read++) expect(again.read(bytes('kept'))).toBeUndefined();
      expect(again.read(bytes('moved'))).toBeUndefined();
      await again.close();
    }
    expect(corrupted).toEqual(['kept', 'moved', 'kept']);
    const last = await openStore(keeping);
    await last.commit([put('kept', 'new')]);
    expect(last.read(bytes('kept'))).toEqual(bytes('new'));
    await last.close();
  });

  it('leaves a record alone that was rewritten before its turn came', async () => {
    const storage = await openStore();
    await storage.commit([put('a', 'old')]);
    await storage.close();
    const raw = new ClassicLevel<Uint8Array, Uint8Array>(directory, { keyEncoding: 'view', valueEncoding: 'view' });
    await raw.put(bytes('a'), bytes('damaged'));
    await raw.close();
    const again = await openStore();
    const commit = again.commit([put('a', 'new')]);
    expect(again.read(bytes('a'))).toBeUndefined();
    await commit;
    await again.close();
    const last = await openStore();
    expect(last.read(bytes('a'))).toEqual(bytes('new'));
    // The read that found it bad said so; the new record is not touched.
    expect(corrupted).toEqual(['a']);
  });
});

describe('a full disk', () => {
  it('refuses puts below the headroom; reads, deletes and clears go on', async () => {
    const filled = await openStore();
    await filled.commit([put('a', '1'), put('b', '1'), put('c', '1')]);
    await filled.close();
    const storage = await openStore({ headroomBytes: Number.MAX_SAFE_INTEGER });
    await expect(storage.commit([put('d', '1')])).rejects.toMatchObject({
      code: 'disk-full',
      message: expect.stringMatching(
        /store has \d+\.\d [MGT]iB free, and the store writes only with 8192\.0 TiB\. Free/,
      ),
    });
    await storage.commit([{ key: bytes('a'), value: null }]);
    await storage.clear(range('b', 'c'));
    const rows = await storage.scan(range('a', 'z'), 10, 1e6);
    expect(rows.map((row) => Buffer.from(row.key).toString())).toEqual(['c']);
  });

  it('gives the space of deleted records back when asked, and keeps all others', async () => {
    const storage = await openStore({ writeBufferBytes: 1024 * 1024 });
    const random = () => randomBytes(8 * 1024).toString('base64');
    const keys = Array.from({ length: 1500 }, (_, i) => `o${String.fromCharCode(i % 200)}${String(i)}`);
    for (let i = 0; i < keys.length; i += 100) {
      await storage.commit(keys.slice(i, i + 100).map((key) => put(key, random())));
    }
    const kept = keys[700] as string;
    await storage.commit(keys.filter((key) => key !== kept).map((key) => ({ key: bytes(key), value: null })));
    const before = sizeOf(directory);
    await storage.reclaim();
    expect(before).toBeGreaterThan(12e6);
    expect(sizeOf(directory)).toBeLessThan(before / 4);
    expect(storage.read(bytes(kept))?.byteLength).toBe(random().length);
    expect(storage.read(bytes(keys[0] as string))).toBe(undefined);
  });

  it('rewrites nothing below the headroom: a compaction needs room', async () => {
    const filled = await openStore({ writeBufferBytes: 1024 * 1024 });
    const keys = Array.from({ length: 300 }, (_, i) => `o${i}`);
    for (const key of keys) await filled.commit([put(key, randomBytes(8 * 1024).toString('base64'))]);
    await filled.close();
    const storage = await openStore({ headroomBytes: Number.MAX_SAFE_INTEGER });
    await storage.commit(keys.map((key) => ({ key: bytes(key), value: null })));
    const before = sizeOf(directory);
    await storage.reclaim();
    expect(sizeOf(directory)).toBe(before);
  });

  it.skipIf(!canMount())('survives ENOSPC itself: nothing acknowledged is lost, writes resume with space', async () => {
    const script = new URL('../../../support/fill-disk.ts', import.meta.url).pathname;
    const command = `mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" "$1"`;
    const mountPoint = join(root, 'small');
    await mkdir(mountPoint);
    const child = spawnSync(NAMESPACE_TOOL, ['-rm', 'sh', '-c', command, 'sh', mountPoint, process.execPath, script], {
      encoding: 'utf8',
    });
    expect(child.stderr).toBe('');
    expect(JSON.parse(child.stdout)).toEqual({
      code: 'disk-full',
      readableWhileFull: true,
      missing: 0,
      wrong: 0,
      resumed: true,
      survived: true,
      lost: [],
    });
  });
});

it('reports sizes from a cache, so that it may be asked often', async () => {
  const storage = await openStore();
  const before = await storage.usage();
  await storage.commit([put('a', 'x'.repeat(100_000))]);
  expect(await storage.usage()).toEqual(before);
  expect(before.freeBytes).toBeGreaterThan(0);
});

/** Many small records in several tables, and some in the log. */
async function fill(path: string, count: number): Promise<void> {
  const storage = await openStore({ directory: path, writeBufferBytes: 128 * 1024 });
  for (let start = 0; start < count; start += 100) {
    await storage.commit(Array.from({ length: 100 }, (_, index) => put(keyOf(start + index), valueOf(start + index))));
  }
  await storage.close();
}

async function expectAll(storage: Storage, count: number): Promise<void> {
  const rows = await storage.scan(range('k', 'l'), 1e6, 1e9);
  expect(rows.map((row) => Buffer.from(row.value).toString())).toEqual(
    Array.from({ length: count }, (_, i) => valueOf(i)),
  );
}

/** Oldest first. */
async function namesOf(pattern: RegExp): Promise<string[]> {
  return (await readdir(directory)).filter((name) => pattern.test(name)).sort();
}

async function nameOf(pattern: RegExp): Promise<string> {
  const [name] = await namesOf(pattern);
  if (name === undefined) throw new Error(`no ${pattern} in ${directory}`);
  return name;
}

async function flipBytes(path: string, offset: number, count: number): Promise<void> {
  const file = await open(path, 'r+');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, offset);
  expect(bytesRead).toBe(count);
  await file.write(
    buffer.map((byte) => byte ^ 0x5a),
    0,
    count,
    offset,
  );
  await file.close();
}

function openElsewhere(path: string): string {
  const source = `
    import { openLevelStorage } from ${JSON.stringify(new URL('../../../../src/adapters/level/level-storage.ts', import.meta.url).href)};
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    openLevelStorage({ directory: ${JSON.stringify(path)}, log, onCorrupt() {} })
      .then((storage) => storage.close().then(() => 'opened'), (error) => error.code + ': ' + error.message)
      .then((text) => console.log(text));`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' }).trim();
}

function canMount(): boolean {
  const probe = spawnSync(NAMESPACE_TOOL, ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt']);
  if (probe.status !== 0) console.warn('skipped: a full file system needs Linux user and mount namespaces');
  return probe.status === 0;
}

function keyOf(id: number): string {
  return `k${String(id).padStart(5, '0')}`;
}

/** Does not compress, so that damage hits records one by one. */
function valueOf(id: number): string {
  let state = id + 1;
  let value = `${id}:`;
  while (value.length < 120) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    value += state.toString(36);
  }
  return value;
}

function put(key: string, value: string) {
  return { key: bytes(key), value: bytes(value) };
}

function range(from: string, to: string) {
  return { from: bytes(from), to: bytes(to) };
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function sizeOf(folder: string): number {
  // The store deletes files at any time.
  const size = (name: string) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
  return readdirSync(folder).reduce((sum, name) => sum + size(name), 0);
}
