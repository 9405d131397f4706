import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Catalog } from '../../src/protocol/catalog/catalog.ts';
import type { BucketRecord, CatalogState } from '../../src/protocol/catalog/record.ts';
import type { RingChange, RingRecord, Setting } from '../../src/protocol/catalog/ring-record.ts';
import { Ring } from '../../src/protocol/ring/ring.ts';

// Few names and versions, so that records meet and tie.
const version = fc.integer({ min: 1, max: 3 });
const changes = fc.integer({ min: 0, max: 2 });
const by = fc.constantFrom('', 'ann', 'ben');
const setting = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Setting<T>> => fc.record({ version: changes, value, by });
const id = fc.constantFrom('a', 'b', 'c', 'd');
const weight = fc.constantFrom(0.5, 1, 2);
const zone = fc.constantFrom('', 'north', 'süd');
const actor = fc.constantFrom('', '00000000000000a1', '00000000000000b2');
const place = fc.constantFrom('in' as const, 'out' as const, 'removed' as const);
const member: fc.Arbitrary<RingRecord> = fc.record({
  id,
  own: fc.record({ version: changes, weight, zone, actor }),
  place: setting(place),
  weight: setting(fc.option(weight)),
  zone: setting(fc.option(zone)),
});
const settings = fc.record({
  version,
  consistency: fc.constantFrom('eventual' as const, 'strong' as const),
  conflict: fc.constantFrom('lww' as const, 'siblings' as const),
  born: fc.constantFrom(0, 7, 0xffff_ffff),
  sync: fc.constantFrom('none' as const, 'up' as const, 'down' as const, 'both' as const),
  ttlSeconds: fc.constantFrom(null, 1, 60),
  island: fc.constantFrom('accept' as const, 'refuse' as const),
});
const EVENTUAL = { consistency: 'eventual' } as const;
const placements = fc.record({
  name: fc.constantFrom('x', 'y'),
  replicas: fc.constantFrom(1, 2),
  preferredZones: fc.constantFrom([], ['east'], ['east', 'west']),
});
const common = fc.record({ name: fc.constantFrom('default', 'x', 'y'), replicas: fc.constant(null) });
const bucket: fc.Arbitrary<BucketRecord> = fc.tuple(settings, fc.oneof(placements, common)).map(([rest, placed]) => {
  // What a strong bucket cannot be (see `bucketConfigProblem`).
  const isStrong = rest.consistency === 'strong' && placed.replicas === null && placed.name !== 'default';
  const consistency = isStrong ? ({ consistency: 'strong', conflict: 'lww', sync: 'none' } as const) : EVENTUAL;
  return { preferredZones: [], ...placed, ...rest, ...consistency };
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
        expect([...new Set(change.buckets)].sort()).toEqual([...new Set(buckets.map((each) => each.name))].sort());
        expect(catalog.join(b)).toEqual({ members: [], buckets: [], conflicts: [], rejected: 0 });
        expect(catalog.join(after)).toEqual({ members: [], buckets: [], conflicts: [], rejected: 0 });
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

const change: fc.Arbitrary<RingChange> = fc.oneof(
  fc.record({ place }),
  fc.record({ weight: fc.option(weight) }),
  fc.record({ zone: fc.option(zone) }),
);
const command = fc.record({ id, change, by: fc.constantFrom('ann', 'ben') });

/** Four members that have spoken for themselves. */
function cluster(): Catalog {
  const catalog = new Catalog();
  for (const each of ['a', 'b', 'c', 'd']) catalog.setOwn(each, { weight: 1, zone: '', actor: '' });
  return catalog;
}

describe('operators on both sides of a partition', () => {
  it('agree afterwards, and every command holds that no other one of the same thing outranks', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 12 }), fc.array(command, { maxLength: 12 }), (here, there) => {
        const sides = [cluster(), cluster()] as const;
        const commands = [here, there] as const;
        const touched = commands.map(
          (list, side) =>
            new Set(
              list.flatMap((each) => {
                const outcome = sides[side]?.changeMember(each.id, each.change, each.by);
                return outcome?.ok === true && outcome.changed ? [`${each.id} ${Object.keys(each.change)[0]}`] : [];
              }),
            ),
        );
        const [a, b] = sides;
        const said = sides.map((side) => new Map(side.state().members.map((record) => [record.id, record])));
        const [stateA, stateB] = [a.state(), b.state()];
        a.join(stateB);
        b.join(stateA);
        same(a, b);
        for (const record of a.state().members) {
          for (const field of ['place', 'weight', 'zone'] as const) {
            const [left, right] = said.map((side) => side.get(record.id)?.[field]);
            expect([left, right]).toContainEqual(record[field]);
            // What only one side spoke of is as that side said.
            if (touched[0]?.has(`${record.id} ${field}`) !== true) expect(record[field]).toEqual(right);
            if (touched[1]?.has(`${record.id} ${field}`) !== true) expect(record[field]).toEqual(left);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('never leave a ring of nobody', () => {
    fc.assert(
      fc.property(fc.array(command), fc.array(command), (here, there) => {
        const sides = [cluster(), cluster()] as const;
        for (const { id: to, change: what, by: who } of here) sides[0].changeMember(to, what, who);
        for (const { id: to, change: what, by: who } of there) sides[1].changeMember(to, what, who);
        for (const side of sides) expect(side.ringMembers.some((each) => each.place === 'in')).toBe(true);
        sides[0].join(sides[1].state());
        const members = sides[0].ringMembers;
        expect(new Ring({ members }).memberCount).toBeGreaterThan(0);
        // While anybody's place is in, those are in and nobody else.
        const places = members.filter((each) => each.place === 'in');
        if (places.length > 0) expect(members.filter((each) => each.in)).toEqual(places);
      }),
      { numRuns: 500 },
    );
  });

  it('outrank a member that restarts, whatever its configuration says then', () => {
    fc.assert(
      fc.property(fc.array(command), weight, zone, (commands, ownWeight, ownZone) => {
        const catalog = cluster();
        for (const { id: to, change: what, by: who } of commands) catalog.changeMember(to, what, who);
        const restarted = new Catalog(catalog.state());
        restarted.setOwn('a', { weight: ownWeight, zone: ownZone, actor: '' });
        // A wiped one knows nothing of it at first.
        const wiped = new Catalog();
        wiped.setOwn('a', { weight: ownWeight, zone: ownZone, actor: '' });
        wiped.join(restarted.state());
        wiped.setOwn('a', { weight: ownWeight, zone: ownZone, actor: '' });
        for (const each of [restarted, wiped]) {
          const [before, after] = [catalog.ringRecord('a'), each.ringRecord('a')];
          expect(after?.place).toEqual(before?.place);
          const placed = each.ringMembers.find((one) => one.id === 'a');
          expect(placed?.weight).toBe(before?.weight.value ?? ownWeight);
          expect(placed?.zone).toBe(before?.zone.value ?? ownZone);
        }
      }),
      { numRuns: 300 },
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
