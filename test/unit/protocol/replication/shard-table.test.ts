import { expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import { Journal } from '../../../../src/protocol/replication/journal.ts';
import { ShardTable } from '../../../../src/protocol/replication/shard-table.ts';

const ACTOR = 'a'.repeat(16);
const SHARD = 1;
const GAP = 16;

it('leaves a gap after an event that the disk has forgotten: who tells of it need not know the latest', () => {
  const restored = { shards: new Map(), floors: new Map(), lost: [], counters: new Map([[SHARD, 3]]) };
  const first = { isConfirmed: () => false, gap: GAP };
  const table = new ShardTable('self', ACTOR, new Journal(), restored, first);
  const forgotten = CausalContext.fromDots([{ actor: ACTOR, counter: 100 }]);
  expect(table.peekCounter(SHARD)).toBe(3 + GAP + 1);
  // That run had begun behind a wider gap.
  expect(table.noteOwnEvents(SHARD, forgotten)).toBe(true);
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 1);
  expect(table.noteOwnEvents(SHARD, forgotten)).toBe(false);
  table.takeCounter(SHARD, 100 + GAP + 1);
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 2);
});
