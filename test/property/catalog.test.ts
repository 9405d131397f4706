import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Catalog } from '../../src/protocol/catalog/catalog.ts';
import type { BucketRecord, CatalogState, RingMemberRecord } from '../../src/protocol/catalog/record.ts';

// Few names and versions, so that records meet and tie.
const version = fc.integer({ min: 1, max: 3 });
const member: fc.Arbitrary<RingMemberRecord> = fc.record({
  id: fc.constantFrom('a', 'b', 'c', 'd'),
  version,
  in: fc.boolean(),
  weight: fc.constantFrom(0.5, 1, 2),
  zone: fc.constantFrom('', 'north', 'süd'),
});
const bucket: fc.Arbitrary<BucketRecord> = fc.record({
  name: fc.constantFrom('default', 'x', 'y'),
  version,
  consistency: fc.constantFrom('eventual' as const, 'strong' as const),
  conflict: fc.constantFrom('lww' as const, 'siblings' as const),
  replicas: fc.integer({ min: 1, max: 3 }),
  sync: fc.constantFrom('none' as const, 'up' as const, 'down' as const, 'both' as const),
  ttlSeconds: fc.constantFrom(null, 1, 60),
});
const state: fc.Arbitrary<CatalogState> = fc.record({
  members: fc.array(member, { maxLength: 8 }),
  buckets: fc.array(bucket, { maxLength: 8 }),
});

function joined(...states: readonly CatalogState[]): Catalog {
  const catalog = new Catalog();
  for (const each of states) catalog.join(each);
  return catalog;
}

function same(a: Catalog, b: Catalog): void {
  expect(a.state()).toEqual(b.state());
  expect(a.digest()).toBe(b.digest());
  expect(a.epoch()).toBe(b.epoch());
}

describe('the catalog is a join semilattice', () => {
  it('commutative', () => {
    fc.assert(
      fc.property(state, state, (a, b) => same(joined(a, b), joined(b, a))),
      { numRuns: 500 },
    );
  });

  it('associative', () => {
    fc.assert(
      fc.property(state, state, state, (a, b, c) =>
        same(joined(joined(a, b).state(), c), joined(a, joined(b, c).state())),
      ),
      { numRuns: 500 },
    );
  });

  it('idempotent, and says truly what changed', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        const catalog = joined(a);
        const before = catalog.state();
        const change = catalog.join(b);
        const after = catalog.state();
        const members = after.members.filter((each) => !before.members.some((old) => equal(old, each)));
        const buckets = after.buckets.filter((each) => !before.buckets.some((old) => equal(old, each)));
        expect([...new Set(change.members)].sort()).toEqual(members.map((each) => each.id));
        expect([...new Set(change.buckets)].sort()).toEqual(buckets.map((each) => each.name));
        expect(catalog.join(b)).toEqual({ members: [], buckets: [], rejected: 0 });
        expect(catalog.join(after)).toEqual({ members: [], buckets: [], rejected: 0 });
        expect(catalog.state()).toEqual(after);
      }),
      { numRuns: 500 },
    );
  });

  it('never lowers the epoch, and tells unequal contents apart', () => {
    fc.assert(
      fc.property(state, state, (a, b) => {
        const catalog = joined(a);
        const epoch = catalog.epoch();
        const digest = catalog.digest();
        const before = catalog.state();
        catalog.join(b);
        expect(catalog.epoch()).toBeGreaterThanOrEqual(epoch);
        expect(catalog.digest() === digest).toBe(equal(catalog.state(), before));
      }),
      { numRuns: 500 },
    );
  });
});

function equal(a: unknown, b: unknown): boolean {
  return JSON.stringify(sortFields(a)) === JSON.stringify(sortFields(b));
}

function sortFields(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortFields);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sortFields(field)]));
}
