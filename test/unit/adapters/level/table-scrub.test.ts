import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLevelStorage } from '../../../../src/adapters/level/level-storage.ts';
import type { Storage } from '../../../../src/ports/storage.ts';
import { RecordingLog } from '../../../support/recording-log.ts';

const RECORDS = 3000;

let root: string;
let directory: string;
let storage: Storage;
let losses: string[];
let corrupt: number;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'holdfast-scrub-'));
  directory = join(root, 'store');
  losses = [];
  corrupt = 0;
  storage = await open();
  for (let from = 0; from < RECORDS; from += 500) {
    await storage.commit(
      Array.from({ length: 500 }, (_, i) => ({
        key: keyOf(from + i),
        value: Buffer.from(`value ${from + i}`.repeat(9)),
      })),
    );
  }
  // As it opens, the store makes tables of its log.
  await storage.close();
  storage = await open();
});

afterEach(async () => {
  await storage.close();
  await rm(root, { recursive: true, force: true });
});

function open(): Promise<Storage> {
  return openLevelStorage({
    directory,
    log: new RecordingLog(),
    onCorrupt: () => corrupt++,
    onRecordsLost: (reason) => losses.push(reason),
    headroomBytes: 1,
    writeBufferBytes: 64 * 1024,
  });
}

function keyOf(i: number): Uint8Array {
  return Buffer.from(`key${String(i).padStart(5, '0')}`);
}

async function tables(): Promise<string[]> {
  return (await readdir(directory)).filter((name) => name.endsWith('.ldb')).sort();
}

/** How many files there were. */
async function verifyAll(): Promise<number> {
  let files = 0;
  for (let file = await storage.verify(0); file !== null; file = await storage.verify(file.number)) files++;
  return files;
}

describe('the files of an open store', () => {
  it('are read one after another, and are sound', async () => {
    const names = await tables();
    expect(names.length).toBeGreaterThan(1);
    const numbers: number[] = [];
    let bytes = 0;
    for (let file = await storage.verify(0); file !== null; file = await storage.verify(file.number)) {
      numbers.push(file.number);
      bytes += file.bytes;
    }
    expect(numbers).toEqual(names.map((name) => Number.parseInt(name, 10)));
    expect(bytes).toBeGreaterThan(10_000);
    expect(losses).toEqual([]);
  });

  it('are verified beside writes and compactions', async () => {
    let isWriting = true;
    const writes = (async () => {
      for (let round = 0; isWriting || round < 10; round++) {
        await storage.commit(
          Array.from({ length: 200 }, (_, i) => ({ key: keyOf(i * 7), value: Buffer.alloc(300, round) })),
        );
        if (round % 10 === 9) await storage.reclaim();
      }
    })();
    for (let round = 0; round < 10; round++) await verifyAll();
    isWriting = false;
    await writes;
    expect(losses).toEqual([]);
  });

  async function damageKey(): Promise<void> {
    const [name = ''] = await tables();
    const damaged = await readFile(join(directory, name));
    const at = damaged.indexOf('key');
    expect(at).toBeGreaterThan(0);
    await storage.close();
    damaged[at] = 'j'.charCodeAt(0);
    await writeFile(join(directory, name), damaged);
    storage = await open();
  }

  it('are repaired once, whoever looks at them together', async () => {
    await damageKey();
    await Promise.all([storage.verify(0), storage.verify(0)]);
    expect(losses).toHaveLength(1);
  });

  it('are left alone once the store is being closed', async () => {
    await damageKey();
    const verified = storage.verify(0).catch(() => null);
    await storage.close();
    await verified;
    expect(losses).toEqual([]);
    storage = await open();
  });

  it('are repaired where a key was damaged, of which no read says anything', async () => {
    await damageKey();
    expect(storage.read(keyOf(0))).toBeUndefined();
    expect(corrupt).toBe(0);
    expect(losses).toEqual([]);
    await verifyAll();
    expect(losses).toEqual([expect.stringContaining('is damaged')]);
    await verifyAll();
    expect(losses).toHaveLength(1);
  });
});
