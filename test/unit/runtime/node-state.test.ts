import { describe, expect, it } from 'vitest';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import { NO_BALLOT } from '../../../src/protocol/register/ballot.ts';
import type { AcceptorRow, RegisterWrite, ShardRecord } from '../../../src/protocol/register/record.ts';
import { catalogWrites, electorateWrite, openNodeState } from '../../../src/runtime/node-state.ts';
import { decodeDotRow, decodeShardRow, expiryRange, storageWrite, tableRange } from '../../../src/wire/record.ts';
import { registerKey } from '../../../src/wire/register-record.ts';
import { electorateOf } from '../../support/electorate-of.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';

const EXPECTED = {
  clusterId: 'c',
  shards: 16,
  drawActor: () => '00000000000000a1',
  corrupt: [],
  renewActor: false,
  hasRun: false,
};
/** Of another class than the first. */
const FAR = 0x7fff_ffff * 65_536 + 65_535;

it('finds what is left of shards that are not held, of any class', async () => {
  const storage = new MemoryStorage();
  const name = { bucket: 'b', key: 'k' };
  const context = new CausalContext();
  await storage.commit([
    storageWrite({
      table: 'shard',
      shard: 1,
      value: { context, complete: true, sources: new Set(), bare: new CausalContext(), named: new CausalContext() },
    }),
    storageWrite({
      table: 'shard',
      shard: FAR - 1,
      value: { context, complete: true, sources: new Set(), bare: new CausalContext(), named: new CausalContext() },
    }),
    ...[1, 2, FAR - 1, FAR].flatMap((shard) => [
      storageWrite({ table: 'object', shard, name, value: { entries: [], past: null } }),
      storageWrite({ table: 'object', shard, name: { ...name, key: 'l' }, value: { entries: [], past: null } }),
    ]),
    storageWrite({ table: 'floor', shard: 65_536, value: context }),
    storageWrite({ table: 'dot', shard: FAR, actor: '00000000000000a1', counter: 7, value: name }),
  ]);
  const { replication } = await openNodeState(storage, EXPECTED);
  expect([...replication.orphans].sort((a, b) => a - b)).toEqual([2, 65_536, FAR]);
});

it('counts, after records were lost that cannot be named, what is on the disk and nothing else', async () => {
  const storage = new MemoryStorage();
  const actor = '00000000000000aa';
  const name = { bucket: 'b', key: 'k' };
  const payload = { kind: 'register', value: new Uint8Array(1), contentType: '' } as const;
  const entry = (counter: number) => ({ dot: { actor, counter }, hlc: 1, expiresAtMs: 5000, payload });
  const all = CausalContext.fromRanges([{ actor, from: 1, to: 9 }]);
  const sources = new Set(['peer']);
  await storage.commit([
    storageWrite({
      table: 'shard',
      shard: 1,
      value: { context: all, complete: true, sources, bare: new CausalContext(), named: new CausalContext() },
    }),
    storageWrite({ table: 'floor', shard: 1, value: CausalContext.fromDots([{ actor, counter: 1 }]) }),
    storageWrite({ table: 'object', shard: 1, name, value: { entries: [entry(2), entry(4)], past: null } }),
    // The event of 6 has not come yet.
    storageWrite({
      table: 'object',
      shard: 1,
      name: { ...name, key: 'l' },
      value: { entries: [entry(6)], past: CausalContext.fromDots([{ actor, counter: 6 }]) },
    }),
    // The delete of some key, and an event of which the object is gone.
    ...[2, 3, 5].map((counter) => storageWrite({ table: 'dot', shard: 1, actor, counter, value: name })),
    // Its record is lost.
    storageWrite({ table: 'object', shard: 2, name, value: { entries: [entry(8)], past: null } }),
  ]);
  const { actor: own, replication } = await openNodeState(storage, { ...EXPECTED, renewActor: true });
  expect(own).toBe('00000000000000a1');
  const first = CausalContext.fromDots([2, 4].map((counter) => ({ actor, counter })));
  const second = CausalContext.fromDots([{ actor, counter: 8 }]);
  expect(replication.shards).toEqual(
    new Map([
      [
        1,
        {
          complete: false,
          sources,
          context: first,
          bare: first,
          named: CausalContext.fromDots([{ actor, counter: 6 }]),
        },
      ],
      [2, { complete: false, sources: new Set(), context: second, bare: second, named: new CausalContext() }],
    ]),
  );
  expect(replication.floors).toEqual(
    new Map([
      [1, new CausalContext()],
      [2, new CausalContext()],
    ]),
  );
  expect(replication.orphans).toEqual([]);
  // All of it is on the disk: what comes next may be a crash.
  const rows = await storage.scan(tableRange('dot'), 10, 1000);
  expect(rows.map((row) => decodeDotRow(row).counter)).toEqual([2, 4, 8]);
  expect((await storage.scan(expiryRange(5000), 10, 1000)).length).toBe(3);
  const again = await storage.scan(tableRange('shard'), 10, 10_000);
  expect(new Map(again.map((row) => [decodeShardRow(row).shard, decodeShardRow(row).record]))).toEqual(
    replication.shards,
  );
});

it('starts with records that cannot be decoded, and reports them as bad', async () => {
  const corrupt: CorruptRecord[] = [];
  const storage = new MemoryStorage({ onCorrupt: (record) => corrupt.push(record) });
  const name = { bucket: 'b', key: 'k' };
  const context = new CausalContext();
  const { key: hintKey } = storageWrite({ table: 'hint', shard: 1, name, value: null });
  await storage.commit([
    storageWrite({
      table: 'shard',
      shard: 1,
      value: { context, complete: true, sources: new Set(), bare: new CausalContext(), named: new CausalContext() },
    }),
    { key: hintKey, value: Uint8Array.of(9) },
  ]);
  const { replication } = await openNodeState(storage, { ...EXPECTED, corrupt });
  expect(replication).toMatchObject({ hints: [] });
  expect(corrupt.map(({ key }) => key)).toEqual([hintKey]);
});

describe('a node that has run before, on a disk without a catalog', () => {
  it('has lost it where the actor id is gone too, also after a restart, until there is one again', async () => {
    const storage = new MemoryStorage();
    const hasRun = { ...EXPECTED, hasRun: true };
    expect(await openNodeState(storage, hasRun)).toMatchObject({ lostCatalog: true });
    expect(await openNodeState(storage, hasRun)).toMatchObject({ lostCatalog: true });
    await storage.commit(catalogWrites({ members: [], buckets: [] }));
    expect(await openNodeState(storage, hasRun)).toMatchObject({ lostCatalog: false });
  });

  it('has lost it where records were lost that cannot be named', async () => {
    const storage = new MemoryStorage();
    await openNodeState(storage, EXPECTED);
    expect(await openNodeState(storage, { ...EXPECTED, renewActor: true })).toMatchObject({ lostCatalog: true });
    expect(await openNodeState(storage, EXPECTED)).toMatchObject({ lostCatalog: true });
  });

  it('never had one where its first start ended before it wrote it', async () => {
    const storage = new MemoryStorage();
    expect(await openNodeState(storage, EXPECTED)).toMatchObject({ lostCatalog: false });
    expect(await openNodeState(storage, { ...EXPECTED, hasRun: true })).toMatchObject({ lostCatalog: false });
  });
});

describe('the registers of a disk', () => {
  const EPOCH = 8;
  const RECORD: ShardRecord = { floor: NO_BALLOT, epoch: 5, member: true, whole: [['n1']], generation: 1 };
  const NO_SAY = { epoch: EPOCH, member: false, whole: [], generation: 1 };
  const ROW: AcceptorRow = { promised: { counter: 1, proposer: 'p' }, accepted: null, generation: 1 };
  const name = { bucket: 'b', key: 'k' };
  const record = (shard: number): RegisterWrite => ({ table: 'register-shard', shard, value: RECORD });
  const row = (shard: number): RegisterWrite => ({ table: 'register', shard, name, value: ROW });

  async function disk(...writes: RegisterWrite[]) {
    const corrupt: CorruptRecord[] = [];
    const storage = new MemoryStorage({ onCorrupt: (bad) => void corrupt.push(bad) });
    await storage.commit([...writes.map(storageWrite), electorateWrite(electorateOf(EPOCH))]);
    return { storage, expected: { ...EXPECTED, corrupt } };
  }

  it('are whole as they were', async () => {
    const { storage, expected } = await disk(record(1), record(FAR), row(1));
    const { registers } = await openNodeState(storage, expected);
    expect(registers.shards).toEqual(
      new Map([
        [1, RECORD],
        [FAR, RECORD],
      ]),
    );
  });

  it('count no more where a record is bad', async () => {
    const { storage, expected } = await disk(record(1), row(1), record(2), row(2), record(3), row(3));
    storage.corrupt(storageWrite(record(1)).key);
    // Its checksum is right, and it was found while something else was looked for.
    storage.reject(registerKey(2, name), 'not decodable');
    const { registers } = await openNodeState(storage, expected);
    expect(registers.shards.get(1)).toMatchObject(NO_SAY);
    expect(registers.shards.get(2)).toMatchObject(NO_SAY);
    expect(registers.shards.get(3)).toEqual(RECORD);
  });

  it('count no more in any shard of which there is something, where records were lost that cannot be named', async () => {
    const { storage, expected } = await disk(record(1), row(1), record(2), row(FAR - 1), row(FAR));
    const { registers } = await openNodeState(storage, { ...expected, renewActor: true });
    expect([...registers.shards.keys()].sort((a, b) => a - b)).toEqual([1, 2, FAR - 1, FAR]);
    for (const shard of registers.shards.values()) expect(shard).toMatchObject(NO_SAY);
    // Nothing else is forgotten.
    for (const shard of [1, FAR - 1, FAR]) expect(storage.read(registerKey(shard, name))).toBeDefined();
    // It is on the disk.
    expect((await openNodeState(storage, expected)).registers).toEqual(registers);
  });
});
