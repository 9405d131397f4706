import { describe, expect, it } from 'vitest';
import { hlcAt } from '../../../../src/lib/hlc.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import { compareDots, type Dot } from '../../../../src/protocol/causal/dot.ts';
import { type Entries, type Entry, VALUE_BYTES_MAX } from '../../../../src/protocol/causal/entry.ts';
import { mutate } from '../../../../src/protocol/causal/mutate.ts';
import type { Mutation } from '../../../../src/protocol/causal/mutation.ts';
import type { MutationContext, MutationOutcome } from '../../../../src/protocol/causal/outcome.ts';
import { liveEntries, readCounter, readRegister, readValue, winner } from '../../../../src/protocol/causal/value.ts';

const A = '000000000000000a';
const B = '000000000000000b';
const NOW = 1_700_000_000_000;
const SOON = NOW + 1000;
const PAST = NOW - 1;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (entries: Entries): string | undefined => {
  const read = readValue(entries);
  return read && new TextDecoder().decode(read.value);
};

function register(actor: string, counter: number, text: string, rest: Partial<Entry> = {}): Entry {
  const payload = { kind: 'register', value: bytes(text), contentType: 'text/x' } as const;
  return { dot: { actor, counter }, hlc: hlcAt(NOW - 1000) + counter, expiresAtMs: 0, payload, ...rest };
}

function counter(actor: string, count: number, total: number, rest: Partial<Entry> = {}): Entry {
  const payload = { kind: 'counter', total, since: 1 } as const;
  return { dot: { actor, counter: count }, hlc: hlcAt(NOW - 1000), expiresAtMs: 0, payload, ...rest };
}

function sorted(...entries: Entry[]): Entries {
  return entries.sort((a, b) => compareDots(a.dot, b.dot));
}

function at(rest: Partial<MutationContext> = {}): MutationContext {
  return {
    dot: { actor: A, counter: 9 },
    ownFrom: 1,
    isComplete: true,
    hlc: hlcAt(NOW),
    wallMs: NOW,
    context: null,
    conflict: 'lww',
    ...rest,
  };
}

function applied(outcome: MutationOutcome): Extract<MutationOutcome, { applied: true }> {
  if (!outcome.applied) throw new Error(`not applied: ${outcome.failure}`);
  expect([...outcome.after]).toEqual([...outcome.after].sort((a, b) => compareDots(a.dot, b.dot)));
  for (const entry of outcome.added) expect(outcome.after).toContain(entry);
  return outcome;
}

const put = (text: string, rest: Partial<Extract<Mutation, { type: 'put' }>> = {}): Mutation => ({
  type: 'put',
  value: bytes(text),
  contentType: 'text/plain',
  expiresAtMs: 0,
  onlyIf: null,
  ...rest,
});
const seen = (...dots: Dot[]): CausalContext => CausalContext.fromDots(dots);
const NOTHING_WRITTEN = { applied: false, failure: null };

describe('put', () => {
  const both = sorted(register(A, 1, 'x'), register(B, 1, 'y'));

  it('replaces everything here when the client names no context', () => {
    const outcome = applied(mutate(both, put('z'), at()));
    expect(textOf(outcome.after)).toBe('z');
    expect(outcome.after.length).toBe(1);
    expect(outcome.replaced).toEqual(both.map((entry) => entry.dot));
  });

  it('replaces just what the context covers, and never names dots that are not here', () => {
    const context = seen({ actor: B, counter: 1 }, { actor: B, counter: 7 });
    const outcome = applied(mutate(both, put('z'), at({ context, conflict: 'siblings' })));
    expect(outcome.replaced).toEqual([{ actor: B, counter: 1 }]);
    expect(outcome.after.map((entry) => entry.dot)).toEqual([both[0]?.dot, { actor: A, counter: 9 }]);
  });

  it('is stamped after all that it saw, even if the clock stands back', () => {
    const ahead = register(B, 1, 'y', { hlc: hlcAt(NOW + 5000) });
    const outcome = applied(mutate([ahead], put('z'), at()));
    expect(outcome.added[0]?.hlc).toBe(hlcAt(NOW + 5000) + 1);
  });

  it('only if absent or present: an expired value is absent, and replaced', () => {
    const expired = [register(B, 1, 'y', { expiresAtMs: NOW })];
    expect(mutate(both, put('z', { onlyIf: 'absent' }), at())).toEqual(NOTHING_WRITTEN);
    expect(mutate(expired, put('z', { onlyIf: 'present' }), at())).toEqual(NOTHING_WRITTEN);
    expect(mutate([], put('z', { onlyIf: 'present' }), at())).toEqual(NOTHING_WRITTEN);
    expect(applied(mutate(expired, put('z', { onlyIf: 'absent' }), at())).replaced).toEqual([expired[0]?.dot]);
    expect(textOf(applied(mutate(both, put('z', { onlyIf: 'present' }), at())).after)).toBe('z');
  });

  it('keeps the expiry of the value replaced, not of one that is gone', () => {
    const keep = put('z', { expiresAtMs: 'keep' });
    const expiryAfter = (before: Entries): number | undefined =>
      applied(mutate(before, keep, at())).added[0]?.expiresAtMs;
    expect(expiryAfter([register(B, 1, 'y', { expiresAtMs: SOON })])).toBe(SOON);
    expect(expiryAfter([register(B, 1, 'y', { expiresAtMs: PAST })])).toBe(0);
    expect(expiryAfter([])).toBe(0);
  });
});

describe('delete', () => {
  it('takes what was seen, expired or not, and is no event when that is nothing', () => {
    const before = sorted(register(A, 1, 'x', { expiresAtMs: PAST }), register(B, 1, 'y'));
    const whole = applied(mutate(before, { type: 'delete' }, at()));
    expect(whole).toMatchObject({ after: [], added: [], replaced: before.map((entry) => entry.dot) });
    const partial = applied(mutate(before, { type: 'delete' }, at({ context: seen({ actor: A, counter: 1 }) })));
    expect(partial.after).toEqual([before[1]]);
    expect(mutate([], { type: 'delete' }, at())).toEqual(NOTHING_WRITTEN);
    expect(mutate(before, { type: 'delete' }, at({ context: new CausalContext() }))).toEqual(NOTHING_WRITTEN);
  });
});

describe('expire', () => {
  it('rewrites the winner with the new expiry', () => {
    const before = sorted(register(A, 1, 'old'), register(B, 2, 'new'));
    const outcome = applied(mutate(before, { type: 'expire', expiresAtMs: SOON }, at()));
    expect(outcome.after).toMatchObject([{ expiresAtMs: SOON, dot: { actor: A, counter: 9 } }]);
    expect(textOf(outcome.after)).toBe('new');
    expect(readRegister(outcome.after)?.payload.contentType).toBe('text/x');
  });

  it('does nothing to an absent key, and deletes when the time has passed', () => {
    const expired = [register(A, 1, 'x', { expiresAtMs: PAST })];
    expect(mutate([], { type: 'expire', expiresAtMs: SOON }, at())).toEqual(NOTHING_WRITTEN);
    expect(mutate(expired, { type: 'expire', expiresAtMs: 0 }, at())).toEqual(NOTHING_WRITTEN);
    const outcome = applied(mutate([register(A, 1, 'x')], { type: 'expire', expiresAtMs: NOW }, at()));
    expect(outcome).toMatchObject({ after: [], added: [], replaced: [{ actor: A, counter: 1 }] });
  });

  it('leaves the other siblings of a siblings bucket alone', () => {
    const before = sorted(register(A, 1, 'x'), register(B, 2, 'y'));
    const outcome = applied(mutate(before, { type: 'expire', expiresAtMs: SOON }, at({ conflict: 'siblings' })));
    expect(outcome.replaced).toEqual([{ actor: B, counter: 2 }]);
    expect(outcome.after.length).toBe(2);
  });

  it('of a number keeps what others counted', () => {
    const before = sorted(register(B, 1, '10'), counter(B, 2, 5, { hlc: register(B, 1, '10').hlc }));
    const outcome = applied(mutate(before, { type: 'expire', expiresAtMs: SOON }, at()));
    expect(outcome.replaced).toEqual([]);
    expect(readCounter(outcome.after)).toBe(15);
    expect(winner(outcome.after)?.expiresAtMs).toBe(SOON);
    expect(readValue(outcome.after)?.contentType).toBe('text/x');
    expect(liveEntries(outcome.after, SOON, 'lww')).toEqual([]);
    const persisted = applied(
      mutate(outcome.after, { type: 'expire', expiresAtMs: 0 }, at({ dot: { actor: A, counter: 10 } })),
    );
    expect(persisted.replaced).toEqual([{ actor: A, counter: 9 }]);
    expect(readCounter(liveEntries(persisted.after, SOON, 'lww'))).toBe(15);
  });
});

describe('append', () => {
  it('extends the value and keeps its type and expiry', () => {
    const before = [register(B, 1, 'ab', { expiresAtMs: SOON })];
    const outcome = applied(mutate(before, { type: 'append', value: bytes('cd') }, at()));
    expect(textOf(outcome.after)).toBe('abcd');
    expect(outcome.added[0]).toMatchObject({ expiresAtMs: SOON, payload: { contentType: 'text/x' } });
  });

  it('starts an absent or expired key anew', () => {
    for (const before of [[], [register(B, 1, 'ab', { expiresAtMs: PAST })]]) {
      const outcome = applied(mutate(before, { type: 'append', value: bytes('cd') }, at()));
      expect(textOf(outcome.after)).toBe('cd');
      expect(outcome.after.length).toBe(1);
      expect(outcome.added[0]?.expiresAtMs).toBe(0);
    }
  });

  it('turns a counter into text, as Redis does', () => {
    const outcome = applied(mutate([counter(B, 1, 12)], { type: 'append', value: bytes('3') }, at()));
    expect(outcome.after.map((entry) => entry.payload.kind)).toEqual(['register']);
    expect(textOf(outcome.after)).toBe('123');
  });

  it('stops at the largest value', () => {
    const before = [register(B, 1, 'x'.repeat(VALUE_BYTES_MAX - 1))];
    expect(mutate(before, { type: 'append', value: bytes('1') }, at()).applied).toBe(true);
    expect(mutate(before, { type: 'append', value: bytes('12') }, at())).toEqual({
      applied: false,
      failure: 'value-too-large',
    });
  });
});

describe('increment', () => {
  const by = (n: number): Mutation => ({ type: 'increment', by: n });

  it('starts from nothing, and replaces only this actor’s total', () => {
    const first = applied(mutate([], by(3), at()));
    expect(first.after).toMatchObject([{ payload: { kind: 'counter', total: 3 }, expiresAtMs: 0 }]);
    const before = sorted(...first.after, counter(B, 4, 10, { hlc: hlcAt(NOW) }));
    const second = applied(mutate(before, by(-5), at({ dot: { actor: A, counter: 10 } })));
    expect(second.replaced).toEqual([{ actor: A, counter: 9 }]);
    expect(readCounter(second.after)).toBe(8);
  });

  it('goes on from a number that was put, and takes over its stamp and expiry', () => {
    const before = [register(B, 1, '-7', { expiresAtMs: SOON })];
    const outcome = applied(mutate(before, by(1), at()));
    expect(outcome.replaced).toEqual([]);
    expect(outcome.added[0]).toMatchObject({ hlc: before[0]?.hlc, expiresAtMs: SOON });
    expect(textOf(outcome.after)).toBe('-6');
    expect(winner(outcome.after)?.payload.kind).toBe('counter');
  });

  it('starts anew when all that is there has expired', () => {
    const before = sorted(counter(A, 1, 5, { expiresAtMs: PAST }), counter(B, 1, 5, { expiresAtMs: PAST }));
    const outcome = applied(mutate(before, by(1), at()));
    expect(outcome.replaced.length).toBe(2);
    expect(outcome.after).toMatchObject([{ payload: { total: 1 }, expiresAtMs: 0 }]);
  });

  it('keeps its total whatever the client has read', () => {
    const before = [counter(A, 1, 5)];
    expect(readCounter(applied(mutate(before, by(1), at({ context: new CausalContext() }))).after)).toBe(6);
    const expire: Mutation = { type: 'expire', expiresAtMs: SOON };
    const others = sorted(...before, counter(B, 1, 2));
    const outcome = applied(mutate(others, expire, at({ context: seen({ actor: B, counter: 1 }) })));
    expect(readCounter(outcome.after)).toBe(7);
  });

  it('folds the totals that its earlier runs began, where none of its own entries can be missing', () => {
    const own = (count: number, total: number): Entry => {
      return counter(A, count, total, { payload: { kind: 'counter', total, since: count } });
    };
    const before = sorted(own(1, 5), own(4, 20), counter(B, 1, 100));
    const whole = applied(mutate(before, by(1), at()));
    expect(whole.added).toMatchObject([{ payload: { total: 26, since: 1 } }]);
    expect(whole.replaced).toEqual([
      { actor: A, counter: 1 },
      { actor: A, counter: 4 },
    ]);
    expect(readCounter(whole.after)).toBe(126);
    // Also where it is not known any more what the event has replaced.
    expect(readCounter(sorted(...before, ...whole.added))).toBe(126);
    for (const rest of [{ isComplete: false }, { ownFrom: 2 }]) {
      const one = applied(mutate(before, by(1), at(rest)));
      expect(one.replaced).toEqual([{ actor: A, counter: 4 }]);
      expect(readCounter(one.after)).toBe(126);
    }
  });

  it.each(['', 'abc', '1.5', '01', '-0', '+1', ' 1', '1e3', '9007199254740992', '123456789012345678'])(
    'refuses to count from %j',
    (text) => {
      expect(mutate([register(B, 1, text)], by(1), at())).toEqual({ applied: false, failure: 'not-a-number' });
    },
  );

  it('refuses to leave the safe integers', () => {
    const most = [register(B, 1, String(Number.MAX_SAFE_INTEGER))];
    expect(mutate(most, by(1), at())).toEqual({ applied: false, failure: 'overflow' });
    expect(mutate(most, by(-1), at()).applied).toBe(true);
    expect(mutate([], by(Number.NaN), at())).toEqual({ applied: false, failure: 'overflow' });
    expect(mutate([], by(0.5), at())).toEqual({ applied: false, failure: 'overflow' });
  });

  it('begins a new count on a put that overrode its old one', () => {
    const base = register(B, 5, '100', { hlc: hlcAt(NOW) });
    const before = sorted(counter(A, 1, 7), base);
    expect(readCounter(before)).toBe(100);
    const outcome = applied(mutate(before, by(1), at()));
    expect(outcome.replaced).toEqual([{ actor: A, counter: 1 }]);
    expect(readCounter(outcome.after)).toBe(101);
  });
});
