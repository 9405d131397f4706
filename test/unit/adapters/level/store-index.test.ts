import { copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStorage } from '../../../../src/adapters/level/level-storage.ts';
import type { Storage } from '../../../../src/ports/storage.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { rowsOf, storeKey, storeValue } from '../../../support/store-rows.ts';

const RECORDS = 1500;

let root: string;
let directory: string;
let lost: string[];

/** Three tables at least, of which the MANIFEST has been told one by one, and a log. */
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-index-'));
  directory = join(root, 'store');
  lost = [];
  const storage = await openStore();
  for (let from = 0; from < RECORDS; from += 10) {
    const keys = Array.from({ length: 10 }, (_, i) => storeKey(from + i));
    await storage.commit(keys.map((key) => ({ key, value: Buffer.from(storeValue(key), 'latin1') })));
  }
  await storage.close();
  expect((await readdir(directory)).filter((name) => name.endsWith('.ldb')).length).toBeGreaterThan(2);
});

afterEach(() => rm(root, { recursive: true, force: true }));

function openStore(at = directory): Promise<Storage> {
  return openLevelStorage({
    directory: at,
    log: new RecordingLog(),
    onCorrupt: () => undefined,
    onRecordsLost: (reason) => lost.push(reason),
    writeBufferBytes: 64 * 1024,
    headroomBytes: 1,
  });
}

async function pathOf(pattern: RegExp, folder = directory): Promise<string> {
  const name = (await readdir(folder)).find((each) => pattern.test(each));
  return join(folder, name ?? 'no such file');
}

/** Where the entries of the MANIFEST begin: checksum (4 bytes), length (2 bytes), kind (1 byte), and the entry. */
function entriesOf(manifest: Buffer): number[] {
  const entries: number[] = [];
  for (let at = 0; at + 7 <= manifest.length; at += 7 + manifest.readUInt16LE(at + 4)) entries.push(at);
  return entries;
}

async function countOf(): Promise<number> {
  const storage = await openStore();
  const rows = await rowsOf(storage);
  await storage.close();
  return rows.length;
}

describe('a MANIFEST', () => {
  const entry = [0, 1, 2, 3, 4];

  it.each(entry)('that ends before its entry %i is not taken for an older one', async (number) => {
    const path = await pathOf(/^MANIFEST/);
    await truncate(path, entriesOf(await readFile(path))[number]);
    await rm(join(directory, 'CLOSED'));
    expect(await countOf()).toBe(RECORDS);
    expect(lost).toEqual([expect.stringMatching(/MANIFEST is missing or damaged|log \d+ is missing|Corruption/)]);
  });

  it.each(entry)('with a wrong length in its entry %i does not end there', async (number) => {
    const path = await pathOf(/^MANIFEST/);
    const manifest = await readFile(path);
    const at = (entriesOf(manifest)[number] as number) + 5;
    manifest[at] = (manifest[at] as number) ^ 0x10;
    await writeFile(path, manifest);
    expect(await countOf()).toBe(RECORDS);
    expect(lost).toEqual([expect.stringContaining('MANIFEST is missing or damaged')]);
  });
});

describe('a table', () => {
  it('that ends too soon is noticed before it is read', async () => {
    const path = await pathOf(/\.ldb$/);
    await truncate(path, 1000);
    expect(await countOf()).toBeLessThan(RECORDS);
    expect(lost).toEqual([expect.stringMatching(/its file \d+\.ldb is not as long as when the store was closed/)]);
  });
});

describe('a repair', () => {
  it('leaves no older version of a record in front of a newer one', async () => {
    const older = await tableOf(join(root, 'older'), ['old']);
    directory = join(root, 'newer');
    await tableOf(directory, ['older', 'new']);
    // As of a compaction that ended after the newer version had been written to a table.
    await copyFile(older, join(directory, '000999.ldb'));
    await rm(await pathOf(/^MANIFEST/));
    const storage = await openStore();
    expect(Buffer.from(storage.read(storeKey(1)) ?? []).toString()).toBe('new');
    await storage.close();
  });
});

/** Path of the table of a new store in which one record was written so often. */
async function tableOf(at: string, values: readonly string[]): Promise<string> {
  const storage = await openStore(at);
  for (const value of values) await storage.commit([{ key: storeKey(1), value: Buffer.from(value) }]);
  await storage.close();
  // Opening makes a table of the log.
  await (await openStore(at)).close();
  return await pathOf(/\.ldb$/, at);
}

describe('a log', () => {
  it('that is missing is noticed', async () => {
    await rm(await pathOf(/\.log$/));
    expect(await countOf()).toBeLessThan(RECORDS);
    expect(lost).toEqual([expect.stringMatching(/log \d+ is missing/)]);
  });

  it.each([0, 0.5, 0.99])('that ends too soon is noticed, where the store was closed (at %d of it)', async (share) => {
    const path = await pathOf(/\.log$/);
    await truncate(path, Math.floor((await readFile(path)).length * share));
    expect(await countOf()).toBeLessThan(RECORDS);
    expect(lost).toEqual([expect.stringMatching(/^its log \d+\.log is not as long as when the store was closed$/)]);
    lost = [];
    await countOf();
    expect(lost).toEqual([]);
  });

  it('that LevelDB takes for its first part is told of before it is opened', async () => {
    const path = await pathOf(/\.log$/);
    const log = await readFile(path);
    log.fill(0, 33_000, 33_512);
    await writeFile(path, log);
    expect(await countOf()).toBeLessThan(RECORDS);
    expect(lost).toEqual(['the write-ahead log is damaged (parts: 1)']);
  });
});
