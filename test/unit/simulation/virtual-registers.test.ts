import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Prng } from '../../../src/lib/prng.ts';
import type { CorruptRecord } from '../../../src/ports/storage.ts';
import type { BadRegisterRecord, RegisterWrite } from '../../../src/protocol/register/record.ts';
import { openRegisters, scanRegisters } from '../../../src/runtime/register-reader.ts';
import { clearRanges, recordOf, storageWrite } from '../../../src/wire/record.ts';
import { shardKey, TABLES } from '../../../src/wire/record-key.ts';
import { decodeRegister, registerKey } from '../../../src/wire/register-record.ts';
import { repaired } from '../../simulation/disk-damage.ts';
import { VirtualDisk } from '../../simulation/virtual-disk.ts';
import { electorateOf } from '../../support/electorate-of.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { acceptorRow, shardRecord } from '../../support/register-arbitraries.ts';

const shard = fc.nat(1);
const name = fc.record({ bucket: fc.constantFrom('b', 'c'), key: fc.constantFrom('k', 'l', '\uff41', '\u{10000}') });
const write: fc.Arbitrary<RegisterWrite> = fc.oneof(
  fc.record({ table: fc.constant('register' as const), shard, name, value: fc.option(acceptorRow) }),
  fc.record({ table: fc.constant('register-shard' as const), shard, value: shardRecord }),
);
const clear = fc.record({ table: fc.constant('clear' as const), shard });
const damage = fc.record({
  table: fc.constant('damage' as const),
  record: fc.oneof(
    fc.record({ table: fc.constant('register' as const), shard, name }),
    fc.record({ table: fc.constant('register-shard' as const), shard }),
  ),
});
const steps = fc.array(
  fc.oneof({ weight: 12, arbitrary: write }, { weight: 1, arbitrary: clear }, { weight: 2, arbitrary: damage }),
  { maxLength: 60, size: 'max' },
);

/** A virtual disk and a store to which the same has happened; `found`: what the store has found bad until now. */
async function twins(all: readonly Step[]) {
  const corrupt: CorruptRecord[] = [];
  const storage = new MemoryStorage({ onCorrupt: (record) => corrupt.push(record) });
  const disk = new VirtualDisk('00000000000000a1');
  for (const step of all) {
    if (step.table === 'clear') {
      disk.registers.clear(step.shard);
      for (const range of clearRanges({ table: 'register', shard: step.shard })) await storage.clear(range);
    } else if (step.table === 'damage') {
      if (disk.registers.damage(step.record)) storage.corrupt(keyOf(step.record));
    } else {
      disk.apply(step);
      await storage.commit([storageWrite(step)]);
    }
  }
  return { disk, storage, corrupt, found: () => corrupt.map(({ key }) => recordOf(key)) };
}

type Step = (typeof steps extends fc.Arbitrary<infer T> ? T : never) extends (infer S)[] ? S : never;

function keyOf(record: BadRegisterRecord): Uint8Array {
  return record.table === 'register'
    ? registerKey(record.shard, record.name)
    : shardKey(TABLES['register-shard'], record.shard);
}

it('the virtual disk keeps registers as a store does, and finds what is bad', async () => {
  const scanned = fc.record({ shard, after: fc.option(name), limit: fc.integer({ min: 1, max: 9 }) });
  await fc.assert(
    fc.asyncProperty(steps, scanned, name, async (all, asked, point) => {
      const { disk, storage, found } = await twins(all);
      const { registers } = disk;
      const told: BadRegisterRecord[] = [];
      const row = storage.read(registerKey(asked.shard, point));
      expect(registers.read(asked.shard, point, (bad) => told.push(bad))).toEqual(
        row === undefined ? null : decodeRegister(row),
      );
      expect(told).toEqual(found());
      // A page is enough for a store; the virtual disk looks at the whole shard.
      const page = await scanRegisters(storage, { type: 'register-scan', id: 1, bytesMax: 1 << 20, ...asked });
      expect(registers.scan(asked.shard, asked.after, asked.limit, (bad) => told.push(bad))).toEqual(page);
      expect(told).toEqual(expect.arrayContaining(found()));
      // Each is told once.
      registers.scrub((bad) => told.push(bad));
      expect(new Set(told.map((bad) => JSON.stringify(bad))).size).toBe(told.length);
      const copy = disk.clone();
      for (const at of [0, 1]) registers.clear(at);
      expect(copy.registers.scan(asked.shard, asked.after, asked.limit)).toEqual(page);
      expect(registers.scan(asked.shard, null, 1)).toEqual({ rows: [], more: false });
    }),
    { numRuns: 150 },
  );
});

it('a virtual disk is opened as a store is', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.uniqueArray(shard), fc.nat(9), async (all, suspect, epoch) => {
      const { disk, storage, corrupt, found } = await twins(all);
      const { registers } = disk;
      const told = registers.open(epoch, suspect);
      const { shards } = await openRegisters(storage, { corrupt, epoch, suspect });
      expect(registers.shards).toEqual(shards);
      expect(told).toHaveLength(corrupt.length);
      expect(told).toEqual(expect.arrayContaining(found()));
      // What has been found is gone; the rest is found when it is read.
      registers.scrub((bad) => expect(bad.table).toBe('register'));
      for (const at of [0, 1]) {
        const page = await scanRegisters(storage, {
          type: 'register-scan',
          id: 1,
          shard: at,
          after: null,
          limit: 99,
          bytesMax: 1 << 20,
        });
        expect(registers.scan(at, null, 99)).toEqual(page);
      }
    }),
    { numRuns: 150 },
  );
});

it('what a repaired store has left of registers has no say', () => {
  const disk = new VirtualDisk('00000000000000a1');
  const ballot = { counter: 1, proposer: 'p' };
  for (let i = 0; i < 40; i++) {
    const key = `k${i}`;
    disk.apply({
      table: 'register',
      shard: i % 8,
      name: { bucket: 'b', key },
      value: { promised: ballot, accepted: null, generation: 0 },
    });
    disk.apply({
      table: 'register-shard',
      shard: i % 8,
      value: { floor: ballot, epoch: 3, member: true, whole: [['n']], generation: 0 },
    });
  }
  disk.electorate = electorateOf(3);
  const copy = new VirtualDisk('00000000000000a1');
  const left = Array.from({ length: 60 }, (_, seed) =>
    repaired(disk, copy, new Prng(seed)).salvaged('00000000000000a2'),
  );
  const sizes = left.map(({ registers }) => registers.all().length);
  expect([Math.min(...sizes), Math.max(...sizes)]).toEqual([0, 40]);
  expect(new Set(sizes).size).toBeGreaterThan(5);
  for (const { registers, electorate } of left) {
    for (const [shard, rows] of registers.rows) expect(rows.size === 0 || registers.shards.has(shard)).toBe(true);
    for (const record of registers.shards.values()) {
      expect(record).toMatchObject({ member: false, whole: [] });
      expect(record.epoch).toBeGreaterThanOrEqual(electorate.current?.epoch ?? 0);
    }
  }
});
