import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CausalContext, type DotRange } from '../../src/protocol/causal/context.ts';
import type { Dot } from '../../src/protocol/causal/dot.ts';

const ACTORS = ['00000000000000a1', '00000000000000b2', 'ffffffff000000c3'] as const;
const COUNTER_MAX = 24;

const dot: fc.Arbitrary<Dot> = fc.record({
  actor: fc.constantFrom(...ACTORS),
  counter: fc.integer({ min: 1, max: COUNTER_MAX }),
});
const range: fc.Arbitrary<DotRange> = fc
  .tuple(fc.constantFrom(...ACTORS), fc.integer({ min: 1, max: COUNTER_MAX }), fc.nat(6))
  .map(([actor, from, length]) => ({ actor, from, to: from + length }));

/** The naive model: one text a dot. */
type Model = Set<string>;

function modelOf(ranges: Iterable<DotRange>): Model {
  const model: Model = new Set();
  for (const { actor, from, to } of ranges) for (let c = from; c <= to; c++) model.add(`${actor}-${c}`);
  return model;
}

const ALL_DOTS: readonly Dot[] = ACTORS.flatMap((actor) =>
  Array.from({ length: COUNTER_MAX + 8 }, (_, i) => ({ actor, counter: i + 1 })),
);

function pointsOf(context: CausalContext): string[] {
  return ALL_DOTS.filter((each) => context.has(each)).map((each) => `${each.actor}-${each.counter}`);
}

const operations = fc.array(
  fc.oneof(
    dot.map((each) => ({ actor: each.actor, from: each.counter, to: each.counter, single: true })),
    range.map((each) => ({ ...each, single: false })),
  ),
  { maxLength: 30, size: 'max' },
);

function build(list: readonly (DotRange & { single: boolean })[]): { context: CausalContext; model: Model } {
  const context = new CausalContext();
  for (const { actor, from, to, single } of list) {
    if (single) context.add({ actor, counter: from });
    else context.addRange({ actor, from, to });
  }
  return { context, model: modelOf(list) };
}

const pair = fc.tuple(operations.map(build), operations.map(build));

describe('CausalContext against a set of dots', () => {
  it('holds what was added, in maximal ranges', () => {
    fc.assert(
      fc.property(operations, (list) => {
        const { context, model } = build(list);
        expect(new Set(pointsOf(context))).toEqual(model);
        const ranges = context.ranges();
        ranges.forEach((each, i) => {
          const next = ranges[i + 1];
          expect(each.from).toBeLessThanOrEqual(each.to);
          // Neither overlapping nor touching, or equal sets would have several forms.
          if (next?.actor === each.actor) expect(next.from).toBeGreaterThan(each.to + 1);
        });
        expect(context.rangeCount).toBe(ranges.length);
        expect(context.isEmpty).toBe(model.size === 0);
        expect(context.actorCount).toBe(new Set([...model].map((text) => text.slice(0, 16))).size);
        expect(CausalContext.fromRanges([...ranges].reverse()).equals(context)).toBe(true);
      }),
    );
  });

  it('highest and contiguous', () => {
    fc.assert(
      fc.property(operations, fc.constantFrom(...ACTORS), (list, actor) => {
        const { context, model } = build(list);
        const counters = ALL_DOTS.filter((d) => d.actor === actor && model.has(`${actor}-${d.counter}`));
        expect(context.highest(actor)).toBe(counters.at(-1)?.counter ?? 0);
        let contiguous = 0;
        while (model.has(`${actor}-${contiguous + 1}`)) contiguous++;
        expect(context.contiguous(actor)).toBe(contiguous);
      }),
    );
  });

  it('union, minus, covers, equals and digest', () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const union = a.context.clone();
        union.union(b.context);
        expect(new Set(pointsOf(union))).toEqual(new Set([...a.model, ...b.model]));
        const swapped = b.context.clone();
        swapped.union(a.context);
        expect(swapped.equals(union)).toBe(true);
        expect(swapped.digest()).toBe(union.digest());
        expect(union.covers(a.context) && union.covers(b.context)).toBe(true);
        const onlyA = [...a.model].filter((text) => !b.model.has(text));
        expect(a.context.covers(b.context)).toBe([...b.model].every((text) => a.model.has(text)));
        expect(modelOf(a.context.minus(b.context))).toEqual(new Set(onlyA));
        const equal = a.model.size === b.model.size && onlyA.length === 0;
        expect(a.context.equals(b.context)).toBe(equal);
        // 32 bits: unequal small contexts that collide would be a flaw of the digest, not chance.
        expect(a.context.digest() === b.context.digest()).toBe(equal);
      }),
      { numRuns: 500 },
    );
  });

  it('a clone is independent', () => {
    fc.assert(
      fc.property(operations, dot, (list, extra) => {
        const { context } = build(list);
        const before = context.ranges();
        const copy = context.clone();
        copy.add(extra);
        copy.addRange({ actor: extra.actor, from: 1, to: COUNTER_MAX });
        expect(context.ranges()).toEqual(before);
      }),
    );
  });

  it('cappedAt leaves out the later dots of one actor', () => {
    fc.assert(
      fc.property(operations, fc.constantFrom(...ACTORS), fc.nat(COUNTER_MAX), (list, actor, counter) => {
        const { context, model } = build(list);
        const before = context.ranges();
        const kept = [...model].filter((text) => !text.startsWith(actor) || Number(text.slice(17)) <= counter);
        expect(new Set(pointsOf(context.cappedAt(actor, counter)))).toEqual(new Set(kept));
        expect(context.ranges()).toEqual(before);
      }),
    );
  });

  it('digests neighbouring counters of many actors apart', () => {
    const digests = new Set<number>();
    let count = 0;
    for (let i = 0; i < 60; i++) {
      for (let j = 0; j < 60; j++) {
        const context = new CausalContext();
        context.addRange({ actor: ACTORS[0], from: 1, to: 1000 + i });
        context.addRange({ actor: ACTORS[1], from: 1, to: 1000 + j });
        digests.add(context.digest());
        count++;
      }
    }
    // Of 3600 random 32-bit numbers two collide with a probability of 0.15 %.
    expect(digests.size).toBeGreaterThanOrEqual(count - 1);
  });

  it('takes counters beyond 32 bits', () => {
    const big = 2 ** 40;
    const a = CausalContext.fromRanges([{ actor: ACTORS[0], from: 1, to: big }]);
    const b = CausalContext.fromRanges([{ actor: ACTORS[0], from: 1, to: big + 2 ** 32 }]);
    expect(a.digest()).not.toBe(b.digest());
    expect(b.minus(a)).toEqual([{ actor: ACTORS[0], from: big + 1, to: big + 2 ** 32 }]);
    expect(() => a.add({ actor: ACTORS[0], counter: 0 })).toThrow('dots count from 1');
    expect(() => a.addRange({ actor: ACTORS[0], from: 2, to: 1 })).toThrow('upwards from 1');
  });
});
