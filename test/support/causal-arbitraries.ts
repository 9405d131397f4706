import fc from 'fast-check';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { compareDots, type Dot } from '../../src/protocol/causal/dot.ts';
import type { Entries, Entry, Payload } from '../../src/protocol/causal/entry.ts';
import { actor, text } from './name-arbitraries.ts';

const count = fc.maxSafeNat();
const signed = fc.maxSafeInteger().map((value) => value + 0);
const bytes = fc.uint8Array({ maxLength: 40 });

const few = <T>(item: fc.Arbitrary<T>, maxLength = 5): fc.Arbitrary<T[]> => fc.array(item, { maxLength });

export const dot: fc.Arbitrary<Dot> = fc.record({
  actor,
  counter: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
});
const range = fc
  .tuple(actor, fc.integer({ min: 1, max: 2 ** 52 }), fc.nat(2 ** 30))
  .map(([by, from, length]) => ({ actor: by, from, to: from + length }));
export const context: fc.Arbitrary<CausalContext> = few(range, 8).map((ranges) => CausalContext.fromRanges(ranges));

/** Receivers apply events one by one: there are never many. */
export const eventSet: fc.Arbitrary<CausalContext> = few(dot, 8).map((dots) => CausalContext.fromDots(dots));

const payload: fc.Arbitrary<Payload> = fc.oneof(
  fc.record({ kind: fc.constant('register' as const), value: bytes, contentType: text(256) }),
  fc.record({
    kind: fc.constant('counter' as const),
    total: signed,
    since: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  }),
  fc.record({ kind: fc.constant('set' as const) }),
  fc.record({ kind: fc.constant('set-member' as const), member: bytes }),
  fc.record({ kind: fc.constant('map' as const) }),
  fc.record({ kind: fc.constant('mark' as const), of: fc.array(dot, { maxLength: 4 }), atMs: count, latest: count }),
  fc.record({ kind: fc.constant('map-field' as const), field: bytes, hlc: count, value: bytes }),
  fc.record({
    kind: fc.constant('map-counter' as const),
    field: bytes,
    hlc: count,
    total: signed,
    since: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  }),
);
const entry: fc.Arbitrary<Entry> = fc.record({ dot, hlc: count, expiresAtMs: count, payload });
export const entries: fc.Arbitrary<Entries> = fc
  .uniqueArray(entry, { maxLength: 4, selector: (each) => `${each.dot.actor}-${each.dot.counter}` })
  .map((list) => list.sort((a, b) => compareDots(a.dot, b.dot)));
