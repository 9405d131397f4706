import { expect, it } from 'vitest';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import { openNodeState } from '../../../src/runtime/node-state.ts';
import { storageWrite } from '../../../src/wire/record.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';

const EXPECTED = { clusterId: 'c', shards: 16, drawActor: () => '00000000000000a1', corrupt: [], renewActor: false };
/** Of another class than the first. */
const FAR = 0x7fff_ffff * 65_536 + 65_535;

it('finds what is left of shards that are not held, of any class', async () => {
  const storage = new MemoryStorage();
  const name = { bucket: 'b', key: 'k' };
  const context = new CausalContext();
  await storage.commit([
    storageWrite({ table: 'shard', shard: 1, value: { context, complete: true, sources: new Set() } }),
    storageWrite({ table: 'shard', shard: FAR - 1, value: { context, complete: true, sources: new Set() } }),
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
