import { expect, it } from 'vitest';
import { Journal } from '../../../../src/lib/journal.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { RecordWrite } from '../../../../src/protocol/replication/record.ts';
import { ShardTable } from '../../../../src/protocol/replication/shard-table.ts';

const ACTOR = 'a'.repeat(16);
const SHARD = 1;
const GAP = 16;

const FIRST = { isConfirmed: () => false, gap: GAP };

it('leaves a gap after an event that the disk has forgotten and that came back before anybody told of it', () => {
  const context = CausalContext.fromDots([{ actor: ACTOR, counter: 3 }]);
  const none = new CausalContext();
  const record = { context, complete: true, sources: new Set<string>(), bare: none, named: new CausalContext() };
  const restored = { shards: new Map([[SHARD, record]]), floors: new Map(), lost: [], counters: new Map() };
  const table = new ShardTable('self', ACTOR, new Journal(), restored, FIRST);
  expect(table.peekCounter(SHARD)).toBe(3 + GAP + 1);
  context.add({ actor: ACTOR, counter: 3 + GAP + 1 });
  // Another owner has sent it. That run had begun behind a wider gap, and may have come further.
  context.add({ actor: ACTOR, counter: 100 });
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 1);
  context.add({ actor: ACTOR, counter: 100 + GAP + 1 });
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 2);
});

it('leaves a gap after an event that the disk has forgotten: who tells of it need not know the latest', () => {
  const restored = { shards: new Map(), floors: new Map(), lost: [], counters: new Map([[SHARD, 3]]) };
  const table = new ShardTable('self', ACTOR, new Journal(), restored, FIRST);
  const forgotten = CausalContext.fromDots([{ actor: ACTOR, counter: 100 }]);
  expect(table.peekCounter(SHARD)).toBe(3 + GAP + 1);
  // That run had begun behind a wider gap.
  expect(table.noteOwnEvents(SHARD, forgotten)).toBe(true);
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 1);
  expect(table.noteOwnEvents(SHARD, forgotten)).toBe(false);
  table.takeCounter(SHARD, 100 + GAP + 1);
  expect(table.peekCounter(SHARD)).toBe(100 + GAP + 2);
});

it('names dots as used that are not covered, up to the highest of each actor, until a later event is', () => {
  const other = 'b'.repeat(16);
  const dots = (...counters: number[]) =>
    CausalContext.fromDots(counters.map((counter) => ({ actor: other, counter })));
  const record = { context: dots(1, 2, 5), complete: true, sources: new Set<string>(), bare: dots(), named: dots() };
  const restored = { shards: new Map([[SHARD, record]]), floors: new Map(), lost: [], counters: new Map() };
  const journal = new Journal<RecordWrite>();
  const table = new ShardTable('self', ACTOR, journal, restored, { isConfirmed: () => true, gap: GAP });
  const shard = table.find(SHARD) ?? expect.unreachable();
  table.noteNamed(shard, dots(3, 4));
  table.writeDirty();
  expect(shard.named).toEqual(dots());
  table.forget(shard, { bucket: 'b', key: 'k' }, [{ actor: other, counter: 5 }], ['peer']);
  table.noteNamed(shard, dots(4));
  table.writeDirty();
  expect(shard.named).toEqual(dots(5));
  table.noteNamed(shard, dots(8));
  table.writeDirty();
  expect(shard.named).toEqual(dots(8));
  shard.context.addRange({ actor: other, from: 9, to: 9 });
  table.touch(shard);
  table.writeDirty();
  expect(shard.named).toEqual(dots());
});
