import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Entries } from '../../../../src/protocol/causal/entry.ts';
import { ChangeMemory } from '../../../../src/protocol/node/change-memory.ts';
import type { KeyState } from '../../../../src/protocol/node/key-state.ts';

const ACTOR = 'a'.repeat(16);
const KEYS_MAX = 16_384;

function entriesOf(...counters: readonly number[]): Entries {
  return counters.map((counter) => ({
    dot: { actor: ACTOR, counter },
    hlc: counter,
    expiresAtMs: 0,
    payload: { kind: 'register', value: new Uint8Array(1), contentType: '' },
  }));
}

/** The state of a replica that covers the actor's first `covered` events. */
function state(key: string, counters: readonly number[], covered: number): KeyState {
  const context = CausalContext.fromRanges(covered === 0 ? [] : [{ actor: ACTOR, from: 1, to: covered }]);
  return { bucket: 'b', key, shard: 0, entries: entriesOf(...counters), context, past: null };
}

function dots(entries: Entries | string): readonly number[] | string {
  return typeof entries === 'string' ? entries : entries.map(({ dot }) => dot.counter);
}

describe('change memory', () => {
  it('takes each state once, from whoever tells it first', () => {
    const memory = new ChangeMemory();
    expect(dots(memory.take(state('k', [1], 1)))).toEqual([1]);
    expect(dots(memory.take(state('k', [1], 1)))).toBe('known');
    expect(dots(memory.take(state('k', [2], 2)))).toEqual([2]);
    // A slower owner.
    expect(dots(memory.take(state('k', [1], 1)))).toBe('known');
    expect(dots(memory.take(state('k', [], 3)))).toEqual([]);
    expect(dots(memory.take(state('k', [2], 2)))).toBe('known');
    expect(dots(memory.take(state('k', [4], 4)))).toEqual([4]);
  });

  it('joins states of which neither has seen the other', () => {
    const memory = new ChangeMemory();
    memory.take({ ...state('k', [1], 0), context: CausalContext.fromDots([{ actor: ACTOR, counter: 1 }]) });
    const other = { ...state('k', [3], 0), context: CausalContext.fromDots([{ actor: ACTOR, counter: 3 }]) };
    expect(dots(memory.take(other))).toEqual([1, 3]);
  });

  it('drops what is known to be superseded, although its event has not been applied', () => {
    const memory = new ChangeMemory();
    memory.take({ ...state('k', [5], 0), context: CausalContext.fromDots([{ actor: ACTOR, counter: 5 }]) });
    const past = CausalContext.fromDots([{ actor: ACTOR, counter: 5 }]);
    const without = { ...state('k', [8], 0), context: CausalContext.fromDots([{ actor: ACTOR, counter: 8 }]), past };
    expect(dots(memory.take(without))).toEqual([8]);
    expect(dots(memory.take(state('k', [5], 5)))).toBe('known');
  });

  it('is unsure of a key that it has forgotten, unless the teller covers what was told', () => {
    const memory = new ChangeMemory();
    memory.take(state('first', [5], 5));
    for (let i = 0; i < KEYS_MAX; i++) memory.take(state(`k${i}`, [i + 6], i + 6));
    expect(dots(memory.take(state('first', [4], 4)))).toBe('unsure');
    expect(dots(memory.force(state('first', [5], 5)))).toEqual([5]);
    expect(dots(memory.take(state('first', [99_999], 99_999)))).toEqual([99_999]);
  });

  it('shows a snapshot no less than was told, and says what is news', () => {
    const memory = new ChangeMemory();
    memory.take(state('k', [3], 3));
    const shown = (counters: readonly number[], covered: number) => {
      const { entries, isNews } = memory.show(state('k', counters, covered));
      return [dots(entries), isNews];
    };
    expect(shown([2], 2)).toEqual([[3], false]);
    expect(shown([3], 3)).toEqual([[3], false]);
    expect(shown([4], 4)).toEqual([[4], true]);
    expect(memory.show(state('other', [1], 9)).isNews).toBe(false);
    // The client of the snapshot has it; an announcement from before is older.
    expect(dots(memory.take(state('other', [1], 8)))).toBe('unsure');
    expect(dots(memory.take(state('other', [1], 9)))).toEqual([1]);
  });

  it('adds to a snapshot what was told and is neither in it nor deleted by it', () => {
    const memory = new ChangeMemory();
    memory.take(state('a', [1], 1));
    memory.take(state('b', [7], 7));
    memory.take(state('c', [2], 2));
    memory.take(state('z', [3], 3));
    const contexts = new Map([[0, state('', [], 5).context]]);
    const bounds = { bucket: 'b', prefix: '', after: '', upTo: 'c', keys: new Set(['c']), contexts };
    const missing = [...memory.missing(bounds)].map(({ key, entries, isNews }) => [key, dots(entries), isNews]);
    expect(missing).toEqual([
      ['a', [], true],
      ['b', [7], false],
    ]);
    expect([...memory.missing({ ...bounds, after: 'b' })]).toEqual([]);
    expect([...memory.missing({ ...bounds, prefix: 'x' })]).toEqual([]);
  });

  it('knows that nothing was told', () => {
    const memory = new ChangeMemory();
    memory.discard();
    expect(dots(memory.take(state('k', [2], 2)))).toEqual([2]);
  });

  it('is unsure of everything once what was told counts no more', () => {
    const memory = new ChangeMemory();
    memory.take(state('k', [3], 3));
    memory.discard();
    expect(dots(memory.take(state('k', [2], 2)))).toBe('unsure');
  });
});
