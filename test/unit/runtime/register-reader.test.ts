import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import type { Ballot } from '../../../src/protocol/register/ballot.ts';
import {
  type AcceptorRow,
  compareNames,
  type NamedRow,
  nameId,
  type RegisterName,
  type RegisterWrite,
  type ShardRecord,
} from '../../../src/protocol/register/record.ts';
import { openRegisters, readRegisters, scanRegisters } from '../../../src/runtime/register-reader.ts';
import { storageWrite } from '../../../src/wire/record.ts';
import { registerKey } from '../../../src/wire/register-record.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { acceptorRow, registerName } from '../../support/register-arbitraries.ts';

const SHARD = 3;
const BYTES = 256 * 1024;

function ballotOf(counter: number): Ballot {
  return { counter, proposer: 'a'.repeat(16) };
}

function rowOf(bytes = 1, generation = 0): AcceptorRow {
  const content = { bytes: new Uint8Array(bytes), contentType: '', expiresAtMs: null };
  const value = { version: ballotOf(1), base: ballotOf(1), content };
  return { promised: ballotOf(2), accepted: { ballot: ballotOf(1), value, copied: false }, generation };
}

function nameOf(key: string): RegisterName {
  return { bucket: 'b', key };
}

function write(key: string, row = rowOf(), shard = SHARD): RegisterWrite {
  return { table: 'register', shard, name: nameOf(key), value: row };
}

async function storageOf(writes: readonly RegisterWrite[], corrupt: CorruptRecord[] = []): Promise<MemoryStorage> {
  const storage = new MemoryStorage({ onCorrupt: (record) => void corrupt.push(record) });
  await storage.commit(writes.map(storageWrite));
  return storage;
}

/** Passes its checksum all the same. */
async function spoil(storage: MemoryStorage, key: string): Promise<void> {
  await storage.commit([{ key: registerKey(SHARD, nameOf(key)), value: Uint8Array.of(0xff) }]);
}

function read(storage: MemoryStorage, names: readonly RegisterName[]): Promise<(AcceptorRow | null)[]> {
  const rows: (AcceptorRow | null)[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<(AcceptorRow | null)[]>();
  readRegisters(
    storage,
    names.map((name, id) => ({ type: 'register-read', id, shard: SHARD, name })),
    (id, row) => {
      expect(id).toBe(rows.length);
      if (rows.push(row) === names.length) resolve(rows);
    },
    reject,
    () => 0,
  );
  return promise;
}

function scan(
  storage: MemoryStorage,
  after: RegisterName | null = null,
  { limit = 64, bytesMax = BYTES } = {},
): Promise<{ rows: NamedRow[]; more: boolean }> {
  return scanRegisters(storage, { type: 'register-scan', id: 1, shard: SHARD, after, limit, bytesMax });
}

describe('reading a register', () => {
  it.each([false, true])('finds rows by their names, in the order of the reads (batched: %s)', async (batched) => {
    const storage = await storageOf([write('a', rowOf(7)), write('c'), write('b', rowOf(), SHARD + 1)]);
    storage.prefersBatches = batched;
    expect(await read(storage, ['c', 'b', 'a'].map(nameOf))).toEqual([rowOf(), null, rowOf(7)]);
  });

  it('that went bad finds nothing, and says so', async () => {
    const corrupt: CorruptRecord[] = [];
    const storage = await storageOf([write('a'), write('b'), write('c')], corrupt);
    storage.corrupt(registerKey(SHARD, nameOf('a')));
    await spoil(storage, 'b');
    expect(await read(storage, ['a', 'b', 'c'].map(nameOf))).toEqual([null, null, rowOf()]);
    await Promise.resolve();
    expect(corrupt.map(({ key }) => key)).toEqual(['a', 'b'].map((key) => registerKey(SHARD, nameOf(key))));
  });
});

describe('a scan of registers', () => {
  it('page by page shows all rows of the shard, each once, in the order of names', async () => {
    const rows = fc.uniqueArray(fc.record({ name: registerName, row: acceptorRow }), {
      maxLength: 40,
      selector: ({ name }) => nameId(name),
    });
    const sizes = fc.record({ limit: fc.integer({ min: 1, max: 50 }), bytesMax: fc.integer({ min: 1, max: 5000 }) });
    await fc.assert(
      fc.asyncProperty(rows, sizes, async (all, { limit, bytesMax }) => {
        const storage = await storageOf([
          ...all.map(({ name, row }): RegisterWrite => ({ table: 'register', shard: SHARD, name, value: row })),
          write('other', rowOf(), SHARD - 1),
          write('other', rowOf(), SHARD + 1),
        ]);
        const found: NamedRow[] = [];
        for (let more = true; more; ) {
          const page = await scan(storage, found.at(-1)?.name ?? null, { limit, bytesMax });
          expect(page.rows.length).toBeLessThanOrEqual(limit);
          expect(page.rows.length > 0 || !page.more).toBe(true);
          found.push(...page.rows);
          ({ more } = page);
        }
        expect(found).toEqual(all.toSorted((a, b) => compareNames(a.name, b.name)));
      }),
      { numRuns: 200 },
    );
  });

  it('says exactly whether there is more', async () => {
    const storage = await storageOf(['a', 'b', 'c'].map((key) => write(key)));
    expect(await scan(storage, null, { limit: 2 })).toMatchObject({ rows: [{}, {}], more: true });
    expect(await scan(storage, null, { limit: 3 })).toMatchObject({ rows: [{}, {}, {}], more: false });
    expect(await scan(storage, nameOf('c'))).toEqual({ rows: [], more: false });
    const large = await storageOf([write('a', rowOf(10)), write('b', rowOf(BYTES * 2)), write('c')]);
    expect(await scan(large)).toMatchObject({ rows: [{ name: nameOf('a') }], more: true });
    expect(await scan(large, nameOf('a'))).toMatchObject({ rows: [{ name: nameOf('b') }], more: true });
  });

  it('passes over bad rows, also where a page has no others', async () => {
    const corrupt: CorruptRecord[] = [];
    const storage = await storageOf(
      ['a', 'b', 'c', 'd', 'e'].map((key) => write(key)),
      corrupt,
    );
    for (const key of ['a', 'b']) await spoil(storage, key);
    storage.corrupt(registerKey(SHARD, nameOf('c')));
    expect(await scan(storage, null, { limit: 1 })).toMatchObject({ rows: [{ name: nameOf('d') }], more: true });
    expect(corrupt).toHaveLength(3);
  });
});

describe('what a start finds of registers', () => {
  const RECORD: ShardRecord = { floor: ballotOf(9), epoch: 4, member: true, whole: [['n1', 'n2']], generation: 2 };
  const shardWrite = (shard: number, value = RECORD): RegisterWrite => ({ table: 'register-shard', shard, value });
  const disk = { corrupt: [], epoch: 5, suspect: [] };

  it('is one record a shard', async () => {
    const storage = await storageOf([shardWrite(1), shardWrite(2 ** 48 - 1), write('a')]);
    const { shards } = await openRegisters(storage, disk);
    expect(shards).toEqual(
      new Map([
        [1, RECORD],
        [2 ** 48 - 1, RECORD],
      ]),
    );
    expect(storage.syncs).toBe(1);
  });

  it('is no say in a shard with a bad row, durably, and the row is gone', async () => {
    const corrupt: CorruptRecord[] = [];
    const storage = await storageOf([shardWrite(SHARD), shardWrite(1), write('a')], corrupt);
    await spoil(storage, 'a');
    await scan(storage);
    const expected = { ...RECORD, epoch: 5, member: false, whole: [] };
    const { shards } = await openRegisters(storage, { ...disk, corrupt });
    expect([shards.get(SHARD), shards.get(1)]).toEqual([expected, RECORD]);
    expect(await scan(storage)).toEqual({ rows: [], more: false });
    expect((await openRegisters(storage, disk)).shards.get(SHARD)).toEqual(expected);
  });

  it('is no say in a shard whose record is bad, nor any row that it had', async () => {
    const corrupt: CorruptRecord[] = [];
    const rows = [write('a', rowOf(1, 1)), write('b', rowOf(1, 2)), write('c', rowOf(1, 0))];
    const storage = await storageOf([shardWrite(SHARD), ...rows], corrupt);
    storage.corrupt(storageWrite(shardWrite(SHARD)).key);
    const { shards } = await openRegisters(storage, { ...disk, corrupt });
    const expected = { floor: { counter: 0, proposer: '' }, epoch: 5, member: false, whole: [], generation: 2 };
    expect(shards.get(SHARD)).toEqual(expected);
    expect((await openRegisters(storage, disk)).shards.get(SHARD)).toEqual(expected);
  });

  it('is no say in the shards of a disk that has lost what nobody can name', async () => {
    const storage = await storageOf([shardWrite(1), shardWrite(2)]);
    const { shards } = await openRegisters(storage, { ...disk, suspect: [1, 7] });
    expect(shards.get(1)).toEqual({ ...RECORD, epoch: 5, member: false, whole: [] });
    expect(shards.get(2)).toEqual(RECORD);
    expect(shards.get(7)).toMatchObject({ epoch: 5, member: false, whole: [] });
  });
});
