import { describe, expect, test } from 'vitest';
import { WriteLog } from '../../../../src/api/resp/write-log.ts';
import { CausalContext, type MutateReply } from '../../../../src/ports/node-handle.ts';

function reply(counter: number, acks: number, owners = 3): MutateReply {
  return {
    type: 'mutate',
    applied: counter > 0,
    dot: counter > 0 ? { actor: 'a', counter } : null,
    context: new CausalContext(),
    bare: new CausalContext(),
    acks,
    owners,
    quorum: 'strict',
    before: [],
    after: [],
  };
}

describe('WriteLog', () => {
  test('knows of nothing without a write', () => {
    const log = new WriteLog();
    expect(log.fewest).toBeUndefined();
    log.noteWrite('k', reply(0, 0));
    expect(log.fewest).toBeUndefined();
    expect(log.shortOf(3)).toEqual([]);
  });

  test('answers the fewest nodes of all writes, the latest of each key', () => {
    const log = new WriteLog();
    log.noteWrite('a', reply(1, 1));
    log.noteWrite('b', reply(2, 3));
    expect(log.fewest).toBe(1);
    log.noteWrite('a', reply(3, 2));
    expect(log.fewest).toBe(2);
    expect(log.shortOf(3).map(({ key }) => key)).toEqual(['a']);
    expect(log.shortOf(2)).toEqual([]);
  });

  test('follows a write until all owners have it', () => {
    const log = new WriteLog();
    log.noteWrite('a', reply(1, 1));
    let [write] = log.shortOf(3);
    log.noteNodes(write as never, 2, 3);
    expect(log.fewest).toBe(2);
    [write] = log.shortOf(3);
    // Who answered before and is silent now has it all the same.
    log.noteNodes(write as never, 1, 3);
    expect(log.fewest).toBe(2);
    log.noteNodes(write as never, 3, 3);
    expect(log.shortOf(4)).toEqual([]);
    expect(log.fewest).toBe(3);
    log.noteAnswered();
    expect(log.fewest).toBeUndefined();
  });

  test('a look at a write that has been overtaken says nothing about the new one', () => {
    const log = new WriteLog();
    log.noteWrite('a', reply(1, 1));
    const [write] = log.shortOf(3);
    log.noteWrite('a', reply(2, 1));
    log.noteNodes(write as never, 3, 3);
    expect(log.fewest).toBe(1);
  });

  test('is bounded, and does not forget that it forgot until that is told', () => {
    const log = new WriteLog();
    log.noteWrite('first', reply(1, 1));
    for (let i = 0; i < 1000; i++) log.noteWrite(`k${String(i)}`, reply(2 + i, 2));
    expect(log.shortOf(3)).toHaveLength(128);
    expect(log.fewest).toBe(1);
    log.noteAnswered();
    expect(log.fewest).toBe(2);
  });
});
