import { describe, expect, it } from 'vitest';
import { Journal } from '../../../src/lib/journal.ts';
import type { RecordWrite } from '../../../src/protocol/replication/record.ts';

const write = (shard: number): RecordWrite => ({ table: 'counter', shard, value: 1 });

function setup() {
  const journal = new Journal<RecordWrite>();
  const batches: string[] = [];
  const log: string[] = [];
  const flush = (complete = (): void => {}): void => {
    journal.flush((id, writes) => batches.push(`${id}: ${writes.map((each) => each.table).join(',')}`), complete);
  };
  const after = (text: string): void => journal.afterTurn(() => log.push(text));
  return { journal, batches, log, flush, after };
}

describe('the journal', () => {
  it('makes one batch of a turn and holds back what waits for it', () => {
    const { journal, batches, log, flush, after } = setup();
    journal.write(write(1));
    after('sent');
    journal.write(write(2));
    expect(journal.turnId).toBe(1);
    flush();
    expect(batches).toEqual(['1: counter,counter']);
    expect(log).toEqual([]);
    expect([journal.pending, journal.isDurable(1)]).toEqual([1, false]);
    journal.handlePersisted(1);
    expect(log).toEqual(['sent']);
    expect([journal.pending, journal.isDurable(1)]).toEqual([0, true]);
  });

  it('does not wait when nothing was written and nothing is pending', () => {
    const { batches, log, flush, after } = setup();
    after('sent');
    expect(log).toEqual([]);
    flush();
    expect(log).toEqual(['sent']);
    expect(batches).toEqual([]);
  });

  it('waits for earlier batches in a turn without writes of its own', () => {
    const { journal, log, flush, after } = setup();
    journal.write(write(1));
    flush();
    journal.write(write(1));
    flush();
    after('sent');
    flush();
    journal.handlePersisted(1);
    expect(log).toEqual([]);
    journal.handlePersisted(2);
    expect(log).toEqual(['sent']);
  });

  it('confirms all batches up to an id, in order', () => {
    const { journal, log, flush, after } = setup();
    for (const text of ['first', 'second', 'third']) {
      journal.write(write(1));
      after(text);
      flush();
    }
    journal.handlePersisted(2);
    expect(log).toEqual(['first', 'second']);
    journal.handlePersisted(3);
    expect(log).toEqual(['first', 'second', 'third']);
    expect(() => journal.handlePersisted(4)).toThrow('after it was handed out');
  });

  it('calls back for a batch of the past, the present and between', () => {
    const { journal, log, flush } = setup();
    const when = (id: number, text: string): void => journal.whenDurable(id, () => log.push(text));
    when(0, 'nothing written');
    expect(log).toEqual(['nothing written']);
    journal.write(write(1));
    when(journal.turnId, 'this turn');
    flush();
    when(1, 'under way');
    expect(log).toHaveLength(1);
    journal.handlePersisted(1);
    expect(log).toEqual(['nothing written', 'this turn', 'under way']);
    when(1, 'synced');
    expect(log.at(-1)).toBe('synced');
  });

  it('makes one more batch of what is written when the turn ends, and completes each', () => {
    const { journal, batches, log, flush, after } = setup();
    let dirty = true;
    journal.afterTurn(() => {
      journal.write(write(1));
      after('after the second');
    });
    flush(() => {
      if (dirty && batches.length === 0) journal.write({ table: 'shard', shard: 1, value: null });
      dirty = false;
    });
    expect(batches).toEqual(['1: shard']);
    journal.handlePersisted(1);
    flush();
    expect(batches).toEqual(['1: shard', '2: counter']);
    expect(log).toEqual([]);
    journal.handlePersisted(2);
    expect(log).toEqual(['after the second']);
  });
});
