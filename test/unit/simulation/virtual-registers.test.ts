import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { RegisterWrite } from '../../../src/protocol/register/record.ts';
import { openRegisters, scanRegisters } from '../../../src/runtime/register-reader.ts';
import { clearRanges, storageWrite } from '../../../src/wire/record.ts';
import { VirtualDisk } from '../../simulation/virtual-disk.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { acceptorRow, shardRecord } from '../../support/register-arbitraries.ts';

const shard = fc.nat(1);
const name = fc.record({ bucket: fc.constantFrom('b', 'c'), key: fc.constantFrom('k', 'l', '\uff41', '\u{10000}') });
const write: fc.Arbitrary<RegisterWrite> = fc.oneof(
  fc.record({ table: fc.constant('register' as const), shard, name, value: fc.option(acceptorRow) }),
  fc.record({ table: fc.constant('register-shard' as const), shard, value: shardRecord }),
);
const clear = fc.record({ table: fc.constant('clear' as const), shard });

it('the virtual disk keeps registers as a store does', async () => {
  const steps = fc.array(fc.oneof({ weight: 12, arbitrary: write }, { weight: 1, arbitrary: clear }), {
    maxLength: 60,
    size: 'max',
  });
  const scanned = fc.record({ shard, after: fc.option(name), limit: fc.integer({ min: 1, max: 9 }) });
  await fc.assert(
    fc.asyncProperty(steps, scanned, async (all, asked) => {
      const storage = new MemoryStorage();
      const disk = new VirtualDisk('00000000000000a1');
      for (const step of all) {
        if (step.table === 'clear') {
          disk.registers.clear(step.shard);
          for (const range of clearRanges({ table: 'register', shard: step.shard })) await storage.clear(range);
        } else {
          disk.registers.apply(step);
          await storage.commit([storageWrite(step)]);
        }
      }
      const page = await scanRegisters(storage, { type: 'register-scan', id: 1, bytesMax: 1 << 20, ...asked });
      expect(disk.registers.scan(asked.shard, asked.after, asked.limit)).toEqual(page);
      const [first] = page.rows;
      if (first !== undefined) expect(disk.registers.read(asked.shard, first.name)).toEqual(first.row);
      const { shards } = await openRegisters(storage, { corrupt: [], epoch: 0, suspect: [] });
      expect(disk.registers.shards).toEqual(shards);
      const copy = disk.clone();
      for (const at of [0, 1]) disk.registers.clear(at);
      expect(copy.registers.scan(asked.shard, asked.after, asked.limit)).toEqual(page);
      expect(disk.registers.scan(asked.shard, null, 1)).toEqual({ rows: [], more: false });
    }),
    { numRuns: 150 },
  );
});
