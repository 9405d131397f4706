import { describe, expect, it } from 'vitest';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import { catalogWrites, openNodeState } from '../../../src/runtime/node-state.ts';
import { decodeDotRow, decodeShardRow, expiryRange, storageWrite, tableRange } from '../../../src/wire/record.ts';
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
