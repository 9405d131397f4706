import { describe, expect, it } from 'vitest';
import { conflictsIn } from '../../../../src/protocol/causal/conflict.ts';
import type { Entries, Entry, Payload } from '../../../../src/protocol/causal/entry.ts';

const NOTHING: Entries = [];
const WHAT = new TextEncoder().encode('what');

function entry(actor: string, hlc: number, payload: Payload): Entry {
  return { dot: { actor: actor.repeat(16), counter: 1 }, hlc, expiresAtMs: 0, payload };
}

function register(actor: string, hlc: number): Entry {
  return entry(actor, hlc, { kind: 'register', value: WHAT, contentType: '' });
}

const a = register('a', 1);
const b = register('b', 2);
const c = register('c', 3);

describe('what lost', () => {
  it('is every register that is beside the one that is seen', () => {
    expect(conflictsIn(NOTHING, [a])).toEqual([]);
    expect(conflictsIn([a], [b])).toEqual([]);
    expect(conflictsIn([a], [a, b])).toEqual([{ winner: b, loser: a }]);
    expect(conflictsIn(NOTHING, [a, b, c])).toEqual([
      { winner: c, loser: a },
      { winner: c, loser: b },
    ]);
  });

  it('is not named again where something else wins, or goes', () => {
    expect(conflictsIn([a, b], [a, b])).toEqual([]);
    expect(conflictsIn([a, b], [a, b, c])).toEqual([{ winner: c, loser: b }]);
    expect(conflictsIn([a, b, c], [a, b])).toEqual([]);
    expect(conflictsIn([a, c], [a, b, c])).toEqual([{ winner: c, loser: b }]);
  });

  it('is a register beside a set or map that won, and no register on which a counter stands', () => {
    const member = entry('d', 4, { kind: 'set-member', member: WHAT });
    expect(conflictsIn([a], [a, member])).toEqual([{ winner: member, loser: a }]);
    const count = entry('e', 5, { kind: 'counter', total: 1, since: 1 });
    expect(conflictsIn([b], [b, count])).toEqual([]);
    expect(conflictsIn([a, count], [a, b, count])).toEqual([{ winner: b, loser: a }]);
    // A set that lost is no register: what its members were, who added them knows.
    expect(conflictsIn(NOTHING, [entry('d', 0, { kind: 'set-member', member: WHAT }), a])).toEqual([]);
  });

  it('is what readers do not see once a mark says that a stamp is wrong', () => {
    const far = register('f', 9e12);
    expect(conflictsIn([a], [a, far])).toEqual([{ winner: far, loser: a }]);
    const mark = entry('d', 10, { kind: 'mark', of: [far.dot], atMs: 10, latest: 100 });
    const now = register('a', 9e11);
    expect(conflictsIn(NOTHING, [now, mark, far])).toEqual([{ winner: now, loser: far }]);
  });
});
