import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashString } from '../../../src/lib/hash.ts';
import { compareUtf8 } from '../../../src/lib/utf8.ts';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { ReadResult, RecordScan, RecordWrite, ScanResult } from '../../../src/protocol/replication/record.ts';
import { type ReadRequest, readRecords, scanRecords } from '../../../src/runtime/record-reader.ts';
import { readKey, storageWrite } from '../../../src/wire/record.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';

const ACTOR = 'a'.repeat(16);
const SHARDS = 4;

function entriesOf(counter: number, bytes = 1): Entries {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return [{ dot: { actor: ACTOR, counter }, hlc: counter, expiresAtMs: 0, payload }];
}

function objectWrite(shard: number, bucket: string, key: string, entries: Entries): RecordWrite {
  return { table: 'object', shard, name: { bucket, key }, value: { entries, past: null } };
}

async function storageOf(writes: readonly RecordWrite[]): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await storage.commit(writes.map(storageWrite));
  return storage;
}

type Listing = Extract<RecordScan, { table: 'listing' }>;

async function list(storage: MemoryStorage, scan: Omit<Listing, 'table'>): Promise<{ keys: string[]; more: boolean }> {
  const result = (await scanRecords(storage, { table: 'listing', ...scan })) as Extract<
    ScanResult,
    { table: 'listing' }
  >;
  return { keys: result.rows.map(({ name }) => name.key), more: result.more };
}

/** U+FF41 comes before U+10000 in bytes and after it in UTF-16. */
const key = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '\u00e9', '\uff41', '\u{10000}'),
  minLength: 1,
  maxLength: 3,
});
const named = fc.record({ bucket: fc.constantFrom('b', 'b2', 'c'), key });

describe('a listing', () => {
  it('merges shards as a sort of all their keys would', async () => {
    const scan = fc.record({
      bucket: fc.constantFrom('b', 'b2', 'c'),
      shards: fc.uniqueArray(fc.nat(SHARDS - 1)),
      hints: fc.uniqueArray(fc.nat(SHARDS - 1)),
      prefix: fc.oneof(fc.constant(''), key),
      after: fc.oneof(fc.constant(''), key),
      limit: fc.integer({ min: 1, max: 40 }),
    });
    const names = fc.uniqueArray(named, {
      maxLength: 120,
      size: 'max',
      selector: ({ bucket, key: text }) => `${bucket}\0${text}`,
    });
    await fc.assert(
      fc.asyncProperty(names, scan, async (all, asked) => {
        const placed = all.map((name) => ({ ...name, shard: hashString(name.key) % SHARDS }));
        const storage = await storageOf(
          placed.map((each) => objectWrite(each.shard, each.bucket, each.key, entriesOf(1))),
        );
        const expected = placed
          .filter(({ bucket, shard }) => bucket === asked.bucket && asked.shards.includes(shard))
          .map((each) => each.key)
          .filter((text) => text.startsWith(asked.prefix) && (asked.after === '' || compareUtf8(text, asked.after) > 0))
          .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(await list(storage, asked)).toEqual({
          keys: expected.slice(0, asked.limit),
          more: expected.length > asked.limit,
        });
      }),
      { numRuns: 300 },
    );
  });

  it('goes on where a shard has more than was fetched at first', async () => {
    const keys = Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(3, '0')}`);
    // All of them in one of four shards: far beyond its share of the limit.
    const storage = await storageOf(keys.map((each) => objectWrite(2, 'b', each, entriesOf(1))));
    const scan = { bucket: 'b', shards: [0, 1, 2, 3], hints: [], prefix: '', after: '', limit: 90 };
    expect(await list(storage, scan)).toEqual({ keys: keys.slice(0, 90), more: true });
    expect(await list(storage, { ...scan, after: 'k089' })).toEqual({ keys: keys.slice(90), more: false });
  });

  it('goes on where large values cut a page short', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    const storage = await storageOf(keys.map((each) => objectWrite(0, 'b', each, entriesOf(1, 1024 * 1024))));
    expect(await list(storage, { bucket: 'b', shards: [0], hints: [], prefix: '', after: '', limit: 10 })).toEqual({
      keys,
      more: false,
    });
  });

  it('goes on where one large record cuts a page short', async () => {
    const siblings = [1, 2, 3, 4].flatMap((counter) => entriesOf(counter, 1_000_000));
    const storage = await storageOf([
      objectWrite(0, 'b', 'a', entriesOf(1, 300_000)),
      objectWrite(0, 'b', 'b', siblings),
      objectWrite(0, 'b', 'c', entriesOf(1)),
    ]);
    expect(await list(storage, { bucket: 'b', shards: [0], hints: [], prefix: '', after: '', limit: 10 })).toEqual({
      keys: ['a', 'b', 'c'],
      more: false,
    });
  });

  it('of no shards is empty', async () => {
    const storage = await storageOf([objectWrite(0, 'b', 'k', entriesOf(1))]);
    expect(await list(storage, { bucket: 'b', shards: [], hints: [], prefix: '', after: '', limit: 10 })).toEqual({
      keys: [],
      more: false,
    });
  });
});

describe('a listing of hints', () => {
  const hintWrite = (shard: number, text: string): RecordWrite => {
    const none = new CausalContext();
    const value = { entries: entriesOf(1), events: none, context: none, targets: ['a'] };
    return { table: 'hint', shard, name: { bucket: 'b', key: text }, value };
  };

  it('names their keys without entries, each once, in order with the objects', async () => {
    const storage = await storageOf([
      hintWrite(1, 'b'),
      hintWrite(1, 'd'),
      hintWrite(2, 'other shard'),
      objectWrite(0, 'b', 'a', entriesOf(1)),
      objectWrite(1, 'b', 'b', entriesOf(1)),
      objectWrite(1, 'b', 'c', entriesOf(1)),
    ]);
    const scan = {
      table: 'listing',
      bucket: 'b',
      shards: [0, 1],
      hints: [1],
      prefix: '',
      after: '',
      limit: 2,
    } as const;
    const named = async (after: string) => {
      const result = await scanRecords(storage, { ...scan, after });
      const { rows, more } = result as Extract<ScanResult, { table: 'listing' }>;
      return { rows: rows.map(({ name, entries }) => `${name.key}${entries.length}`), more };
    };
    expect(await named('')).toEqual({ rows: ['a1', 'b0'], more: true });
    expect(await named('b')).toEqual({ rows: ['c1', 'd0'], more: false });
  });
});

describe('a page of the index', () => {
  it("holds the actor's dots in the range, and says when there are more", async () => {
    const dots = Array.from({ length: 300 }, (_, i) => i + 1);
    const row = (actor: string, shard: number, counter: number): RecordWrite => {
      return { table: 'dot', shard, actor, counter, value: { bucket: 'b', key: `k${counter}` } };
    };
    const storage = await storageOf([
      ...dots.map((counter) => row(ACTOR, 1, counter)),
      row('b'.repeat(16), 1, 7),
      row(ACTOR, 2, 7),
    ]);
    const scan = { table: 'dot', shard: 1, actor: ACTOR, from: 5, to: 290 } as const;
    const counters = async (from: number, limit: number): Promise<{ counters: number[]; more: boolean }> => {
      const result = await scanRecords(storage, { ...scan, from, limit });
      return { counters: result.table === 'dot' ? result.rows.map(({ counter }) => counter) : [], more: result.more };
    };
    expect(await counters(5, 100)).toEqual({ counters: dots.slice(4, 104), more: true });
    expect(await counters(255, 36)).toEqual({ counters: dots.slice(254, 290), more: false });
    expect(await counters(255, 35)).toEqual({ counters: dots.slice(254, 289), more: true });
  });
});

describe('a page of the schedule', () => {
  it('holds what is due after a row', async () => {
    const names = ['a', 'b', 'c'].map((each) => ({ bucket: 'b', key: each }));
    const due = [5, 7].flatMap((atMs) => names.map((name) => ({ atMs, shard: 1, name })));
    const late = { atMs: 9, shard: 1, name: { bucket: 'b', key: 'a' } };
    const storage = await storageOf([...due, late].map((row) => ({ table: 'expiry', ...row, value: true })));
    const scan = { table: 'expiry', beforeMs: 7, limit: 4 } as const;
    const first = await scanRecords(storage, { ...scan, after: null });
    expect(first).toEqual({ table: 'expiry', rows: due.slice(0, 4), more: true });
    const after = due[3] as (typeof due)[number];
    expect(await scanRecords(storage, { ...scan, after })).toEqual({
      table: 'expiry',
      rows: due.slice(4),
      more: false,
    });
    expect(await scanRecords(storage, { ...scan, after: late })).toEqual({ table: 'expiry', rows: [], more: false });
  });
});

describe('a record that cannot be decoded', () => {
  const name = { bucket: 'b', key: 'k2' };
  const damaged = async (): Promise<{ storage: MemoryStorage; rejected: CorruptRecord[] }> => {
    const rejected: CorruptRecord[] = [];
    const storage = new MemoryStorage({ onCorrupt: (record) => rejected.push(record) });
    const writes = ['k1', 'k2', 'k3'].map((each) => storageWrite(objectWrite(0, 'b', each, entriesOf(1))));
    const { key: hintKey } = storageWrite({ table: 'hint', shard: 0, name, value: null });
    await storage.commit([
      ...writes,
      { key: readKey({ table: 'object', shard: 0, name }), value: Uint8Array.of(9) },
      { key: hintKey, value: Uint8Array.of(9) },
    ]);
    return { storage, rejected };
  };

  it.each(['object', 'hint'] as const)('is absent for a read of table %s, and reported as a bad one', async (table) => {
    const { storage, rejected } = await damaged();
    const key = { table, shard: 0, name };
    const answered = Promise.withResolvers<ReadResult>();
    readRecords(
      storage,
      [{ id: 1, key }],
      (_id, result) => answered.resolve(result),
      answered.reject,
      () => 0,
    );
    expect(await answered.promise).toEqual({ table, value: null });
    expect(rejected).toEqual([{ key: readKey(key), reason: expect.any(String) }]);
  });

  it('is absent for a read in the second batch too', async () => {
    const { storage, rejected } = await damaged();
    const answered = Promise.withResolvers<ReadResult>();
    let timeMs = 0;
    const late = (): number => (timeMs += 5);
    const key = { table: 'object', shard: 0, name } as const;
    readRecords(storage, [{ id: 1, key }], (_id, result) => answered.resolve(result), answered.reject, late);
    expect(await answered.promise).toEqual({ table: 'object', value: null });
    expect(rejected).toHaveLength(1);
  });

  it('is left out of a page', async () => {
    const { storage, rejected } = await damaged();
    const result = await scanRecords(storage, { table: 'object', shard: 0, after: null, limit: 10 });
    expect(result).toMatchObject({ rows: [{ name: { key: 'k1' } }, { name: { key: 'k3' } }], more: false });
    expect(await scanRecords(storage, { table: 'hint', shard: 0, after: null, limit: 10 })).toMatchObject({ rows: [] });
    expect(rejected).toHaveLength(2);
  });

  it('is a key that says nothing in a listing', async () => {
    const { storage, rejected } = await damaged();
    const scan = { bucket: 'b', shards: [0], hints: [], prefix: '', after: '', limit: 10 };
    expect(await list(storage, scan)).toEqual({ keys: ['k1', 'k2', 'k3'], more: false });
    expect(rejected).toHaveLength(1);
  });
});

describe('point reads', () => {
  const requests = (count: number): ReadRequest[] =>
    Array.from({ length: count }, (_, id) => ({
      id,
      key: { table: 'object', shard: 0, name: { bucket: 'b', key: `k${id}` } },
    }));
  const stored = async (count: number): Promise<MemoryStorage> =>
    storageOf(Array.from({ length: count }, (_, id) => objectWrite(0, 'b', `k${id}`, entriesOf(id + 1))));

  async function answers(
    storage: MemoryStorage,
    reads: readonly ReadRequest[],
    nowMs: () => number = () => 0,
  ): Promise<{ atOnce: number; ids: string[] }> {
    const ids: string[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    readRecords(
      storage,
      reads,
      (id, result) => {
        const counter = result.table === 'object' ? result.value?.entries[0]?.dot.counter : undefined;
        ids.push(`${id}: ${counter ?? 'absent'}`);
        if (ids.length === reads.length) resolve();
      },
      reject,
      nowMs,
    );
    const atOnce = ids.length;
    await promise;
    return { atOnce, ids };
  }

  it('are answered at once while the store is quick', async () => {
    const storage = await stored(3);
    expect(await answers(storage, requests(4))).toEqual({ atOnce: 4, ids: ['0: 1', '1: 2', '2: 3', '3: absent'] });
  });

  it('are answered in order when the store is slow, most of them later', async () => {
    const storage = await stored(9);
    let timeMs = 0;
    const { atOnce, ids } = await answers(storage, requests(10), () => (timeMs += 0.3));
    expect(atOnce).toBe(3);
    expect(ids).toEqual([...Array.from({ length: 9 }, (_, id) => `${id}: ${id + 1}`), '9: absent']);
  });

  it('are answered together where the store prefers that', async () => {
    const storage = await stored(2);
    storage.prefersBatches = true;
    expect(await answers(storage, requests(3))).toEqual({ atOnce: 0, ids: ['0: 1', '1: 2', '2: absent'] });
  });

  it('report a store that answers no more', async () => {
    const storage = await stored(1);
    await storage.close();
    await expect(answers(storage, requests(1))).rejects.toMatchObject({ code: 'io' });
    await expect(answers(storage, requests(9))).rejects.toMatchObject({ code: 'io' });
  });
});
