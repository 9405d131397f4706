import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Dot } from '../../../../src/protocol/causal/dot.ts';
import type { Entry } from '../../../../src/protocol/causal/entry.ts';
import { joinEntries } from '../../../../src/protocol/causal/join.ts';
import { ABSENT, joinObject, type RemoteObject, seenOf, stripPast } from '../../../../src/protocol/causal/object.ts';

const A = '000000000000000a';
const B = '000000000000000b';

const dot = (actor: string, counter: number): Dot => ({ actor, counter });

function entry(actor: string, counter: number): Entry {
  const payload = { kind: 'register', value: new Uint8Array([counter]), contentType: '' } as const;
  return { dot: dot(actor, counter), hlc: counter, expiresAtMs: 0, payload };
}

const has = (...dots: Dot[]): ((each: Dot) => boolean) => {
  const context = CausalContext.fromDots(dots);
  return (each) => context.has(each);
};

describe('joinEntries', () => {
  it('keeps what both hold and what only one has seen', () => {
    const local = [entry(A, 1), entry(A, 2), entry(B, 1)];
    const remote = [entry(A, 1), entry(A, 3), entry(B, 2)];
    const joined = joinEntries(
      local,
      has(dot(A, 1), dot(A, 2), dot(B, 1), dot(B, 2)),
      remote,
      has(dot(A, 1), dot(A, 2), dot(A, 3), dot(B, 2)),
    );
    // A-2 was replaced there, B-2 was replaced here; B-1 and A-3 are news to the other side.
    expect(joined).toEqual({ entries: [entry(A, 1), entry(A, 3), entry(B, 1)], changed: true });
  });

  it('returns the very array when nothing changes', () => {
    const local = [entry(A, 1), entry(B, 1)];
    const all = has(dot(A, 1), dot(B, 1), dot(B, 2));
    for (const remote of [[entry(A, 1), entry(B, 1)], [entry(B, 2)]]) {
      const joined = joinEntries(local, all, remote, has(dot(B, 2)));
      expect(joined.changed).toBe(false);
      expect(joined.entries).toBe(local);
    }
    expect(joinEntries([], all, [], all)).toEqual({ entries: [], changed: false });
  });
});

describe('a past', () => {
  /** Every other event of so many. */
  const odd = (count: number): CausalContext =>
    CausalContext.fromDots(Array.from({ length: count }, (_, i) => dot(A, 2 * i + 1)));
  const whole = CausalContext.fromRanges([{ actor: A, from: 1, to: 1000 }]);

  it('is kept whole where it would fall into very many pieces, and goes once all of it is covered', () => {
    const object = { entries: [], past: whole };
    expect(stripPast(object, odd(60)).past).toEqual(CausalContext.fromRanges(whole.minus(odd(60))));
    expect(stripPast(object, odd(400)).past).toEqual(whole);
    expect(stripPast(object, whole).past).toBeNull();
    const remote = { entries: [entry(A, 1000)], seen: whole, events: new CausalContext(), past: whole };
    expect(joinObject(ABSENT, odd(400), remote).object.past).toEqual(whole);
    expect(joinObject(ABSENT, odd(10), remote).object.past?.rangeCount).toBe(10);
  });
});

describe('joinObject', () => {
  /** The delta of one put. */
  const put = (counter: number, ...replaced: number[]): RemoteObject => {
    const seen = CausalContext.fromDots([counter, ...replaced].map((each) => dot(A, each)));
    return { entries: [entry(A, counter)], seen, events: CausalContext.fromDots([dot(A, counter)]), past: seen };
  };

  it('does not claim an event that it only knows to be superseded', () => {
    // A-2 replaced replaced A-2; the second delta is late.
    const context = CausalContext.fromDots([dot(A, 1)]);
    const gap = joinObject({ entries: [entry(A, 1)], past: null }, context, put(3, 2));
    expect(gap.applied).toEqual([dot(A, 3)]);
    expect(gap.object.entries.map((each) => each.dot.counter)).toEqual([1, 3]);
    expect(gap.object.past?.ranges()).toEqual([{ actor: A, from: 2, to: 2 }]);
    for (const each of gap.applied) context.add(each);
    expect(seenOf(gap.object, context).has(dot(A, 2))).toBe(true);

    const late = joinObject(gap.object, context, put(2, 1));
    expect(late.applied).toEqual([dot(A, 2)]);
    expect(late.object).toEqual({ entries: [entry(A, 3)], past: null });
  });

  it('changes nothing the second time', () => {
    const context = new CausalContext();
    const first = joinObject(ABSENT, context, put(2, 1));
    for (const each of first.applied) context.add(each);
    const again = joinObject(first.object, context, put(2, 1));
    expect(again).toEqual({ object: first.object, changed: false, applied: [] });
    expect(again.object).toBe(first.object);
  });

  it('covers the events that a copy lists, and none besides', () => {
    const seen = CausalContext.fromRanges([{ actor: A, from: 1, to: 5 }]);
    const events = CausalContext.fromRanges([{ actor: A, from: 2, to: 4 }]);
    const context = CausalContext.fromDots([dot(A, 1), dot(A, 2)]);
    const copy = joinObject({ entries: [entry(A, 2)], past: null }, context, {
      entries: [entry(A, 4)],
      seen,
      events,
      past: null,
    });
    expect(copy.applied).toEqual([dot(A, 3), dot(A, 4)]);
    expect(copy.object).toEqual({ entries: [entry(A, 4)], past: null });
  });

  it('remembers the past of a copy, and entries ahead of their events, until the shard covers them', () => {
    const context = new CausalContext();
    const copy = joinObject(ABSENT, context, {
      entries: [entry(A, 4)],
      seen: CausalContext.fromRanges([{ actor: A, from: 1, to: 4 }]),
      events: new CausalContext(),
      past: CausalContext.fromDots([dot(A, 2)]),
    });
    expect(copy.applied).toEqual([]);
    expect(copy.object.entries).toEqual([entry(A, 4)]);
    expect(copy.object.past?.ranges()).toEqual([
      { actor: A, from: 2, to: 2 },
      { actor: A, from: 4, to: 4 },
    ]);

    // The delta of what was replaced comes late: its event counts, its entry stays away.
    const late = joinObject(copy.object, context, put(2, 1));
    expect(late.applied).toEqual([dot(A, 2)]);
    expect(late.object.entries).toEqual([entry(A, 4)]);
    for (const each of late.applied) context.add(each);

    const own = joinObject(late.object, context, put(4, 2));
    expect(own.applied).toEqual([dot(A, 4)]);
    for (const each of own.applied) context.add(each);
    expect(own.object.entries).toEqual([entry(A, 4)]);
    expect(own.object.past?.ranges()).toEqual([{ actor: A, from: 1, to: 1 }]);
    context.add(dot(A, 1));
    expect(stripPast(own.object, context)).toEqual({ entries: [entry(A, 4)], past: null });
  });

  it('applies a delete', () => {
    const context = CausalContext.fromDots([dot(A, 1)]);
    const seen = CausalContext.fromDots([dot(A, 1), dot(B, 1)]);
    const joined = joinObject({ entries: [entry(A, 1)], past: null }, context, {
      entries: [],
      seen,
      events: CausalContext.fromDots([dot(B, 1)]),
      past: seen,
    });
    expect(joined).toEqual({ object: { entries: [], past: null }, changed: true, applied: [dot(B, 1)] });
  });
});
