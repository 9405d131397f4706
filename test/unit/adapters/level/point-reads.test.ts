import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PointReads } from '../../../../src/adapters/level/point-reads.ts';
import { Prng } from '../../../../src/lib/prng.ts';

const KEYS = 12_000;
const PUTS = 12_000;
const GROUP = 16;
const VALUE_BYTES = 300;

let directory: string;
let handle: ClassicLevel<Uint8Array, Uint8Array>;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-reads-'));
  handle = new ClassicLevel(directory, { keyEncoding: 'view', valueEncoding: 'view', writeBufferSize: 256 * 1024 });
  await handle.open();
});

afterEach(async () => {
  await handle.close();
  await rm(directory, { recursive: true });
});

describe('point reads', () => {
  it('give values in the order of the keys, by iterators as by gets', async () => {
    const reads = new PointReads({ storeBytesMin: 0, nowMs: () => 0 });
    await handle.batch(['a', 'b', 'd'].map((key) => ({ type: 'put', key: bytes(key), value: bytes(`${key}!`) })));
    const keys = Array.from({ length: 300 }, (_, i) => ['d', 'c', 'a', 'b', 'e', ''][i % 6] as string)
      .filter((key) => key !== '')
      .map(bytes);
    const wanted = keys.map((key) => (['a', 'b', 'd'].includes(text(key)) ? `${text(key)}!` : undefined));
    const gets = await reads.readMany(handle, keys);
    expect(gets.map((value) => value && text(value))).toEqual(wanted);
    reads.noteWrites(keys.length);
    expect(reads.usesIterators).toBe(true);
    const iterated = await reads.readMany(handle, keys);
    expect(iterated.map((value) => value && text(value))).toEqual(wanted);
    expect(reads.usesIterators).toBe(false);
  });

  it('are gets in a small store, once they outnumber the writes, and after an iterator that took long', async () => {
    let nowMs = 0;
    const reads = new PointReads({ storeBytesMin: 100, nowMs: () => (nowMs += 1) });
    expect(reads.usesIterators).toBe(false);
    reads.noteWrites(3);
    expect(reads.usesIterators).toBe(false);
    reads.noteSize(100);
    expect(reads.usesIterators).toBe(true);
    await reads.readMany(handle, [bytes('a'), bytes('b')]);
    expect(reads.usesIterators).toBe(true);
    await reads.readMany(handle, [bytes('a')]);
    expect(reads.usesIterators).toBe(false);

    let stepMs = 300;
    const slow = new PointReads({ storeBytesMin: 0, nowMs: () => (nowMs += stepMs) });
    slow.noteWrites(1000);
    await slow.readMany(handle, [bytes('a')]);
    expect(slow.usesIterators).toBe(false);
    stepMs = 1;
    nowMs += 10_000;
    expect(slow.usesIterators).toBe(true);
  });

  it('do not have every new table merged with all that is below it', async () => {
    const merged = await mergedBytes(async (reads, keys) => void (await reads.readMany(handle, keys)));
    await handle.clear();
    const before = await compactedBytes();
    const byGets = (await mergedBytes(async (_reads, keys) => void (await handle.getMany([...keys])))) - before;
    expect(merged).toBeGreaterThan(0);
    expect(byGets).toBeGreaterThan(1.5 * merged);
  }, 60_000);
});

/** Reads and writes keys at random; what compactions have written then. */
async function mergedBytes(read: (reads: PointReads, keys: readonly Uint8Array[]) => Promise<void>): Promise<number> {
  const random = new Prng(1);
  const reads = new PointReads({ storeBytesMin: 0 });
  const write = async (ids: readonly number[]): Promise<void> => {
    await handle.batch(ids.map((id) => ({ type: 'put', key: keyOf(id), value: randomBytes(VALUE_BYTES) })));
    reads.noteWrites(ids.length);
  };
  for (let id = 0; id < KEYS; id += GROUP) await write(Array.from({ length: GROUP }, (_, i) => id + i));
  for (let puts = 0; puts < PUTS; puts += GROUP) {
    const ids = Array.from({ length: GROUP }, () => random.below(KEYS));
    await read(reads, ids.map(keyOf));
    await write(ids);
  }
  return await compactedBytes();
}

/** Summed over LevelDB's own log. */
async function compactedBytes(): Promise<number> {
  let sum = 0;
  for (const match of (await readFile(join(directory, 'LOG'), 'latin1')).matchAll(/Compacted .* => (\d+) bytes/g)) {
    sum += Number(match[1]);
  }
  return sum;
}

function keyOf(id: number): Uint8Array {
  return bytes(`key ${String(id).padStart(8, '0')}`);
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array): string {
  return new TextDecoder().decode(value);
}
