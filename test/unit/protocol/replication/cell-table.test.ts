import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { CausalObject } from '../../../../src/protocol/causal/object.ts';
import { type Cell, CellTable } from '../../../../src/protocol/replication/cell-table.ts';
import type { RecordRead } from '../../../../src/protocol/replication/record.ts';

const CACHE_BYTES = 10_000;

function objectOf(bytes: number): CausalObject {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return { entries: [{ dot: { actor: 'a'.repeat(16), counter: 1 }, hlc: 1, expiresAtMs: 0, payload }], past: null };
}

function setup(tables = { object: true, hint: false }) {
  const reads: { id: number; key: RecordRead }[] = [];
  let durable = Number.POSITIVE_INFINITY;
  const cells = new CellTable({
    cacheBytes: CACHE_BYTES,
    read: (id, key) => reads.push({ id, key }),
    tables: () => tables,
    isDurable: (id) => id <= durable,
  });
  const open = (key: string, use: (cell: Cell) => void = () => {}, shard = 1): void => {
    cells.open(shard, { bucket: 'b', key }, use);
  };
  const answer = (value: CausalObject | null): void => {
    const read = reads.shift();
    if (read === undefined) throw new Error('nothing is read');
    cells.handleRead(read.id, read.key.table === 'hint' ? { table: 'hint', value: null } : { table: 'object', value });
  };
  return { cells, reads, open, answer, setDurable: (id: number) => void (durable = id) };
}

describe('the cell table', () => {
  it('reads a key once and runs its operations in the order they came', () => {
    const { reads, open, answer } = setup();
    const log: string[] = [];
    const object = objectOf(1);
    open('k', (cell) => log.push(`first ${cell.object === object}`));
    open('k', () => log.push('second'));
    expect([reads.length, log.length]).toEqual([1, 0]);
    answer(object);
    expect(log).toEqual(['first true', 'second']);
    open('k', () => log.push('third'));
    expect(log).toEqual(['first true', 'second', 'third']);
    expect(reads).toEqual([]);
  });

  it('waits for both records where both may exist, and for none where none can', () => {
    const both = setup({ object: true, hint: true });
    let uses = 0;
    both.open('k', () => uses++);
    expect(both.reads.map(({ key }) => key.table)).toEqual(['object', 'hint']);
    both.answer(null);
    expect(uses).toBe(0);
    both.answer(null);
    expect(uses).toBe(1);
    const none = setup({ object: false, hint: false });
    none.open('k', () => uses++);
    expect([uses, none.reads.length]).toEqual([2, 0]);
  });

  it('ignores an answer that nobody waits for', () => {
    const { cells, open, answer } = setup();
    open('k');
    answer(null);
    expect(() => cells.handleRead(99, { table: 'object', value: null })).not.toThrow();
  });

  it('does not take what was read of a shard that was dropped meanwhile', () => {
    const { cells, open, answer } = setup();
    let seen: CausalObject | undefined;
    open('k', (cell) => (seen = cell.object));
    cells.dropShard(1);
    answer(objectOf(1));
    expect(seen?.entries).toEqual([]);
  });

  it('reads the hint of a key whose object is lost, and holds its operations until it is there too', () => {
    const { cells, reads, open } = setup({ object: true, hint: true });
    const hint = { entries: [], events: new CausalContext(), context: new CausalContext(), targets: ['t'] };
    let seen: Cell['hint'] | undefined;
    expect(cells.hold(1, { bucket: 'b', key: 'k' })).toBe(true);
    open('k', (cell) => (seen = cell.hint));
    expect(reads.map(({ key }) => key.table)).toEqual(['hint']);
    cells.release({ bucket: 'b', key: 'k' });
    expect(seen).toBeUndefined();
    cells.handleRead(reads[0]?.id ?? 0, { table: 'hint', value: hint });
    expect(seen).toBe(hint);
  });

  it('does not keep an object that was read before the key turned out lost', () => {
    const { cells, reads, open } = setup({ object: true, hint: true });
    let seen: Cell['object'] | undefined;
    open('k', (cell) => (seen = cell.object));
    const [object, hint] = reads;
    cells.handleRead(object?.id ?? 0, { table: 'object', value: objectOf(1) });
    expect(cells.hold(1, { bucket: 'b', key: 'k' })).toBe(true);
    cells.handleRead(hint?.id ?? 0, { table: 'hint', value: null });
    cells.release({ bucket: 'b', key: 'k' });
    expect(seen?.entries).toEqual([]);
  });

  it('forgets the objects of a dropped shard and of no other', () => {
    const { cells, open, answer } = setup();
    const seen: number[] = [];
    for (const shard of [1, 2]) {
      open(`k${shard}`, () => {}, shard);
      answer(objectOf(1));
    }
    cells.dropShard(1);
    for (const shard of [1, 2]) open(`k${shard}`, (cell) => seen.push(cell.object.entries.length), shard);
    expect(seen).toEqual([0, 1]);
  });

  it('evicts what was not used lately until the rest fits', () => {
    const { cells, reads, open, answer } = setup();
    const load = (key: string): void => {
      open(key);
      answer(objectOf(3000));
    };
    for (const key of ['a', 'b', 'c']) load(key);
    // The first pass takes the mark off all three, the second evicts the eldest.
    cells.trim();
    expect(cells.stats.cells).toBe(3);
    open('a');
    cells.trim();
    expect(cells.stats.cells).toBe(2);
    expect(cells.stats.bytes).toBeLessThanOrEqual(CACHE_BYTES);
    open('a');
    open('c');
    expect(reads).toEqual([]);
    open('b');
    expect(reads).toHaveLength(1);
  });

  it('keeps what is being read and what is not synced', () => {
    const { cells, reads, open, answer, setDurable } = setup();
    setDurable(6);
    open('unsynced', (cell) => {
      cell.object = objectOf(CACHE_BYTES);
      cells.noteChanged(cell, 7);
    });
    answer(null);
    open('loading');
    for (let round = 0; round < 4; round++) cells.trim();
    expect(cells.stats.cells).toBe(2);
    setDurable(7);
    for (let round = 0; round < 4; round++) cells.trim();
    expect(cells.stats.cells).toBe(1);
    answer(null);
    open('unsynced');
    expect(reads).toHaveLength(1);
  });

  it('counts the bytes of objects and hints', () => {
    const { cells, open, answer } = setup();
    let cell: Cell | undefined;
    open('k', (opened) => (cell = opened));
    const empty = cells.stats.bytes;
    answer(objectOf(1000));
    const loaded = cells.stats.bytes;
    expect(loaded).toBeGreaterThanOrEqual(empty + 1000);
    const { entries } = objectOf(500);
    const hint = { entries, events: new CausalContext(), context: new CausalContext(), targets: ['t'] };
    (cell as Cell).hint = hint;
    cells.noteChanged(cell as Cell, 1);
    expect(cells.stats.bytes).toBeGreaterThanOrEqual(loaded + 500);
    (cell as Cell).hint = null;
    cells.noteChanged(cell as Cell, 1);
    expect(cells.stats.bytes).toBe(loaded);
  });
});
