import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { maskedCrc32c } from '../../../../src/adapters/level/format/crc32c.ts';
import { checkLog } from '../../../../src/adapters/level/format/log-file.ts';
import { uncompress } from '../../../../src/adapters/level/format/snappy.ts';
import { checkTable } from '../../../../src/adapters/level/format/table-file.ts';
import { cleanStore, damagedFiles } from '../../../../src/adapters/level/store-check.ts';

const RECORDS = 4000;

let root: string;
let directory: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-check-'));
  directory = join(root, 'store');
});

afterEach(() => rm(root, { recursive: true, force: true }));

/** Tables of some records and a log of others; half of the values compress. */
async function fill(): Promise<void> {
  const first = new ClassicLevel(directory, { writeBufferSize: 128 * 1024 });
  for (let from = 0; from < RECORDS; from += 100) await putMany(first, from, 100);
  await first.compactRange('a', 'z');
  for (let i = 0; i < 20; i++) await first.put(`log${i}`, noise(i).repeat(100));
  await first.close();
}

async function putMany(db: ClassicLevel, from: number, count: number): Promise<void> {
  await db.batch(
    Array.from({ length: count }, (_, i) => ({ type: 'put', key: keyOf(from + i), value: valueOf(from + i) })),
  );
}

function keyOf(id: number): string {
  return `k${String(id).padStart(5, '0')}`;
}

function valueOf(id: number): string {
  return id % 400 < 200 ? `${id} `.repeat(30) : noise(id);
}

function noise(id: number): string {
  return createHash('sha512').update(String(id)).digest('base64');
}

async function filesOf(pattern: RegExp): Promise<string[]> {
  return (await readdir(directory)).filter((name) => pattern.test(name)).map((name) => join(directory, name));
}

async function recordsOf(): Promise<Map<string, string>> {
  const db = new ClassicLevel(directory);
  const records = new Map(await db.iterator().all());
  await db.close();
  return records;
}

describe('the checksum', () => {
  it('is that of the standard, masked', () => {
    // CRC-32C of "123456789" is e3069283.
    const masked = (((0xe3069283 >>> 15) | (0xe3069283 << 17)) + 0xa282ead8) >>> 0;
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe(masked);
    expect(maskedCrc32c(Buffer.from('123'), Buffer.from('456789'))).toBe(masked);
  });
});

describe('what Snappy compressed', () => {
  it('is read again, with copies that run into themselves', () => {
    // "abab…": two literal bytes, and a copy of eight from two before.
    expect(Buffer.from(uncompress(Uint8Array.of(10, 0x04, 0x61, 0x62, (4 << 2) | 1, 2))).toString()).toBe('ababababab');
  });

  it.each([
    [[10, 0x04, 0x61, 0x62]],
    [[2, 0x08, 0x61, 0x62, 0x63]],
    [[10, 0x04, 0x61, 0x62, (4 << 2) | 1, 3]],
    [[255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]],
  ])('fails where it makes no sense: %j', (bytes) => {
    expect(() => uncompress(Uint8Array.from(bytes))).toThrow(RangeError);
  });
});

describe('a check of the store', () => {
  it('finds nothing in what LevelDB wrote', async () => {
    await fill();
    expect((await filesOf(/\.ldb$/)).length).toBeGreaterThan(0);
    expect((await filesOf(/\.log$/)).length).toBeGreaterThan(0);
    expect(await damagedFiles(directory)).toEqual([]);
    expect(await cleanStore(directory)).toEqual([]);
  });

  it('finds a changed byte anywhere in a table', async () => {
    await fill();
    const [path = ''] = await filesOf(/\.ldb$/);
    const table = await readFile(path);
    // Behind the handles there is a filler in the footer that nobody reads.
    const unread = { from: table.length - 40, to: table.length - 8 };
    for (let at = 0; at < table.length; at += 997) {
      if (at >= unread.from && at < unread.to) continue;
      const damaged = Buffer.from(table);
      damaged[at] = (damaged[at] as number) ^ 0xff;
      expect(checkTable(damaged).damaged, `byte ${at}`).toBeGreaterThan(0);
    }
  });

  it('finds a changed byte anywhere in a log', async () => {
    await fill();
    const log = await readFile((await filesOf(/\.log$/)).sort().at(-1) ?? '');
    expect(log.length).toBeGreaterThan(32 * 1024);
    for (let at = 0; at < log.length; at += at % 8900 < 30 || log.length - at < 3000 ? 1 : 1009) {
      const damaged = Buffer.from(log);
      damaged[at] = (damaged[at] as number) ^ 0x80;
      expect(checkLog(damaged).damaged, `byte ${at}`).toBe(1);
    }
  });

  it.each([0x00, 0xff])(
    'finds runs of %i in a log, and takes none at its end for damage but erased flash',
    async (byte) => {
      await fill();
      const log = await readFile((await filesOf(/\.log$/)).sort().at(-1) ?? '');
      for (let at = 0; at < log.length; at += 1009) {
        const damaged = Buffer.from(log).fill(byte, at, at + 512);
        expect(checkLog(damaged).damaged > 0, `byte ${at}`).toBe(byte === 0xff || at + 512 < log.length);
      }
    },
  );

  it('keeps one of two batches with the same numbers', async () => {
    await fill();
    const log = await readFile((await filesOf(/\.log$/)).sort().at(-1) ?? '');
    const page = log.subarray(0, 32 * 1024);
    const { damaged, rest } = checkLog(Buffer.concat([page, page]));
    expect(damaged).toBeGreaterThan(1);
    expect(rest?.length).toBeLessThanOrEqual(page.length);
    expect(checkLog(rest as Uint8Array)).toEqual({ damaged: 0, rest: null });
  });

  it('takes a torn end of the log for what it is', async () => {
    await fill();
    const path = (await filesOf(/\.log$/)).sort().at(-1) ?? '';
    await truncate(path, 30_000);
    expect(await damagedFiles(directory)).toEqual([]);
  });

  it('does not ask for tables that a crash left half written', async () => {
    await fill();
    const [path = ''] = await filesOf(/\.ldb$/);
    await copyFile(path, join(directory, '999999.ldb'));
    await truncate(join(directory, '999999.ldb'), 1000);
    expect(await damagedFiles(directory)).toEqual([]);
  });

  it('keeps what is sound of tables and logs, for a repair that does not look', async () => {
    await fill();
    const before = await recordsOf();
    // A log again: opening has made a table of it.
    const db = new ClassicLevel(directory);
    for (let i = 0; i < 20; i++) await db.put(`log${i}`, noise(i).repeat(100));
    await db.close();
    const files = [...(await filesOf(/\.ldb$/)), ...(await filesOf(/\.log$/))];
    const originals = new Map<string, Uint8Array>();
    for (const path of files) {
      const bytes = await readFile(path);
      originals.set(`${basename(path)}.damaged`, bytes);
      bytes.fill(0xff, bytes.length >> 1, (bytes.length >> 1) + 100);
      await writeFile(path, bytes);
    }
    const cleaned = await cleanStore(directory);
    expect(cleaned).toHaveLength(files.length);
    for (const path of await filesOf(/\.ldb$/)) expect(checkTable(await readFile(path)).damaged).toBe(0);
    for (const path of await filesOf(/\.log$/)) expect(checkLog(await readFile(path)).damaged).toBe(0);
    await ClassicLevel.repair(directory);
    for (const [name, bytes] of originals) expect(await readFile(join(directory, 'lost', name))).toEqual(bytes);
    const after = await recordsOf();
    expect(after.size).toBeGreaterThan(0.9 * before.size);
    for (const [key, value] of after) expect(value).toBe(before.get(key));
  });
});
