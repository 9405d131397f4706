import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { diffRings, Ring, type RingMember } from '../../src/protocol/ring/ring.ts';

const SHARDS = 64;

const member = fc.record({
  id: fc.string({ unit: fc.constantFrom(...'abcdefgh0123'.split('')), minLength: 1, maxLength: 8 }),
  zone: fc.constantFrom('', 'north', 'south', 'east', 'west'),
  weight: fc.constantFrom(0.5, 1, 1, 1, 2, 4),
  in: fc.boolean(),
});
const members = fc.uniqueArray(member, { selector: (each) => each.id, maxLength: 24, size: 'max' });
const replicas = fc.integer({ min: 1, max: 5 });

function ring(list: readonly RingMember[], count = 3): Ring {
  return new Ring({ members: list, shards: SHARDS, replicas: count });
}

function ownersOf(each: Ring): (readonly string[])[] {
  return Array.from({ length: each.shards }, (_, shard) => each.owners(shard));
}

describe('a ring', () => {
  it('is a function of the set of members', () => {
    fc.assert(
      fc.property(members, replicas, fc.infiniteStream(fc.nat()), (list, count, keys) => {
        const shuffled = list
          .map((each) => ({ each, key: keys.next().value }))
          .sort((a, b) => a.key - b.key)
          .map(({ each }) => ({ ...each }));
        const a = ring(list, count);
        const b = ring(shuffled, count);
        expect(ownersOf(b)).toEqual(ownersOf(a));
        expect(diffRings(a, b)).toEqual([]);
        for (let shard = 0; shard < SHARDS; shard += 7) expect(b.preference(shard)).toEqual(a.preference(shard));
      }),
      { numRuns: 60 },
    );
  });

  it('names distinct owners, of as many zones as there can be, and then everyone else', () => {
    fc.assert(
      fc.property(members, replicas, (list, count) => {
        const inside = list.filter((each) => each.in);
        const zoneOf = new Map(inside.map((each) => [each.id, each.zone]));
        const zones = new Set(zoneOf.values()).size;
        const built = ring(list, count);
        expect(built.memberCount).toBe(inside.length);
        for (let shard = 0; shard < SHARDS; shard++) {
          const owners = built.owners(shard);
          expect(owners.length).toBe(Math.min(count, inside.length));
          expect(new Set(owners).size).toBe(owners.length);
          expect(new Set(owners.map((id) => zoneOf.get(id))).size).toBe(Math.min(owners.length, zones));
          const preference = built.preference(shard);
          expect(preference.slice(0, owners.length)).toEqual(owners);
          expect([...preference].sort()).toEqual(inside.map((each) => each.id).sort());
        }
      }),
      { numRuns: 100 },
    );
  });

  it('answers the same from both sides', () => {
    fc.assert(
      fc.property(members, (list) => {
        const built = ring(list);
        for (const { id } of list) {
          const owned = new Set(built.shardsOf(id));
          for (let shard = 0; shard < SHARDS; shard++) expect(built.isOwner(shard, id)).toBe(owned.has(shard));
        }
      }),
      { numRuns: 30 },
    );
  });

  it('reports exactly what changes hands', () => {
    fc.assert(
      fc.property(members, members, (before, after) => {
        const a = ring(before);
        const b = ring(after);
        const changes = new Map(diffRings(a, b).map((change) => [change.shard, change]));
        for (let shard = 0; shard < SHARDS; shard++) {
          const { gained = [], lost = [] } = changes.get(shard) ?? {};
          const moved = new Set([...a.owners(shard), ...gained]);
          for (const id of lost) expect(moved.delete(id)).toBe(true);
          expect([...moved].sort()).toEqual([...b.owners(shard)].sort());
        }
      }),
      { numRuns: 50 },
    );
  });

  it('moves nothing between members when one leaves or joins and all are owners', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(99), { minLength: 2, maxLength: 3 }), (ids) => {
        const list = ids.map((id) => ({ id: `n${id}`, zone: '', weight: 1, in: true }));
        const a = ring(list);
        const b = ring(list.slice(1));
        for (const change of diffRings(a, b)) {
          expect(change.gained).toEqual([]);
          expect(change.lost).toEqual([list[0]?.id]);
        }
      }),
      { numRuns: 20 },
    );
  });
});

function equals(count: number, seed: number): RingMember[] {
  return Array.from({ length: count }, (_, i) => ({ id: `12D3KooW-${seed}-${i}`, zone: '', weight: 1, in: true }));
}

/** Shards that change owner when a member joins or leaves, per its fair share of 768 / (count + 1). */
function movement(list: readonly RingMember[]): { moved: number; elsewhere: number } {
  const newcomer = list.at(-1) as RingMember;
  const changes = diffRings(new Ring({ members: list.slice(0, -1) }), new Ring({ members: list }));
  const fair = (256 * 3) / list.length;
  const gained = changes.flatMap((change) => change.gained);
  return { moved: gained.length / fair, elsewhere: gained.filter((id) => id !== newcomer.id).length / fair };
}

function quantile(numbers: readonly number[], q: number): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length * q)] as number;
}

describe('balance and movement of equal members, 256 shards', () => {
  const seeds = Array.from({ length: 60 }, (_, i) => i);

  it.each([3, 5, 10, 20])('%i members: the fullest has at most 1.15 times the mean', (count) => {
    for (const seed of seeds) {
      const { shardsMax, shardsMean } = new Ring({ members: equals(count, seed) }).balance();
      expect(shardsMax / shardsMean).toBeLessThanOrEqual(1.15);
    }
  });

  it.each([3, 5, 10])(
    'when one joins %i members, about its fair share moves, nearly all of it to the newcomer',
    (count) => {
      const results = seeds.map((seed) => movement(equals(count + 1, seed)));
      const moved = results.map((result) => result.moved);
      expect(quantile(moved, 0.5)).toBeGreaterThan(0.95);
      expect(quantile(moved, 0.5)).toBeLessThan(1.05);
      expect(moved.filter((each) => each < 0.9 || each > 1.1).length / moved.length).toBeLessThanOrEqual(0.1);
      expect(
        quantile(
          results.map((result) => result.elsewhere),
          0.5,
        ),
      ).toBeLessThan(0.05);
    },
  );
});

describe('preferred zones', () => {
  const preferred = fc.uniqueArray(fc.constantFrom<string[]>('', 'north', 'south', 'east', 'west', 'nowhere'), {
    maxLength: 4,
  });
  const prefer = (list: readonly RingMember[], preferredZones: readonly string[], count: number): Ring =>
    new Ring({ members: list, shards: SHARDS, replicas: count, preferredZones, salt: 77 });

  it('give the owners as far as they have members, spread over as many of them as there can be, and stand in first', () => {
    fc.assert(
      fc.property(members, preferred, replicas, (list, zones, count) => {
        const inside = list.filter((each) => each.in);
        const zoneOf = new Map(inside.map((each) => [each.id, each.zone]));
        const isPreferred = (id: string): boolean => zones.includes(zoneOf.get(id) as string);
        const there = inside.filter(({ id }) => isPreferred(id));
        const others = inside.filter(({ id }) => !isPreferred(id));
        const zonesOf = (ids: readonly string[]): number => new Set(ids.map((id) => zoneOf.get(id))).size;
        const built = prefer(list, zones, count);
        for (let shard = 0; shard < SHARDS; shard++) {
          const owners = built.owners(shard);
          expect(new Set(owners).size).toBe(Math.min(count, inside.length));
          const first = owners.slice(0, Math.min(count, there.length));
          const rest = owners.slice(first.length);
          expect(first.every(isPreferred)).toBe(true);
          expect(rest.some(isPreferred)).toBe(false);
          expect(zonesOf(first)).toBe(Math.min(first.length, zonesOf(there.map(({ id }) => id))));
          expect(zonesOf(rest)).toBe(Math.min(rest.length, zonesOf(others.map(({ id }) => id))));
          const preference = built.preference(shard);
          expect(preference.slice(0, owners.length)).toEqual(owners);
          expect([...preference].sort()).toEqual(inside.map((each) => each.id).sort());
          const fallbacks = preference.slice(owners.length);
          expect(fallbacks.slice(0, there.length - first.length).every(isPreferred)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('that nobody is in change nothing', () => {
    fc.assert(
      fc.property(members, replicas, (list, count) => {
        expect(ownersOf(prefer(list, ['nowhere'], count))).toEqual(ownersOf(prefer(list, [], count)));
      }),
      { numRuns: 30 },
    );
  });

  it('are not touched by who comes and goes elsewhere, while they have enough members', () => {
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 3 }), (list, count) => {
        const home = equals(4, 5).map((each) => ({ ...each, zone: 'home' }));
        const a = prefer([...home, ...list], ['home'], count);
        expect(diffRings(a, prefer([...home, ...list.slice(1)], ['home'], count))).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it('are filled in balance, and so is what others have to make up for', () => {
    for (let seed = 0; seed < 20; seed++) {
      const list = equals(12, seed).map((each, i) => ({ ...each, zone: ['a', 'a', 'b', 'c'][i % 4] as string }));
      const load = (zones: readonly string[], count: number): number =>
        new Ring({ members: list, replicas: count, preferredZones: zones, salt: seed }).balance().loadMax;
      for (const count of [1, 2, 3]) {
        expect(load(['a'], count)).toBeLessThan(1.15);
        expect(load(['a', 'b'], count)).toBeLessThan(1.15);
      }
      // Three members are in b: the fourth copy and the fifth are made elsewhere.
      expect(load(['b'], 5)).toBeLessThan(1.15);
    }
  });

  it('a member that joins them takes its fair share and nearly nothing moves besides', () => {
    const results = Array.from({ length: 40 }, (_, seed) => {
      const list = [
        ...equals(6, seed),
        ...equals(7, seed + 100).map((each) => ({ ...each, zone: 'home' })),
      ] as RingMember[];
      const build = (some: readonly RingMember[]): Ring =>
        new Ring({ members: some, replicas: 2, preferredZones: ['home'], salt: seed });
      const gained = diffRings(build(list.slice(0, -1)), build(list)).flatMap((change) => change.gained);
      const newcomer = gained.filter((id) => id === list.at(-1)?.id).length;
      const fair = (256 * 2) / 7;
      return { moved: newcomer / fair, elsewhere: (gained.length - newcomer) / fair };
    });
    const moved = results.map((result) => result.moved);
    expect(quantile(moved, 0.5)).toBeGreaterThan(0.93);
    expect(quantile(moved, 0.5)).toBeLessThan(1.07);
    const elsewhere = results.map((result) => result.elsewhere);
    expect(quantile(elsewhere, 0.5)).toBeLessThan(0.05);
  });
});

describe('salts', () => {
  it('place the same members independently: who is the fullest in one ring is not so in all', () => {
    const list = equals(10, 3);
    const fullest = Array.from({ length: 24 }, (_, salt) => {
      const built = new Ring({ members: list, replicas: 2, salt });
      const loads = list.map(({ id }) => built.shardsOf(id).length);
      expect(built.balance().loadMax).toBeLessThan(1.15);
      return loads.indexOf(Math.max(...loads));
    });
    expect(new Set(fullest).size).toBeGreaterThan(4);
  });
});

describe('weights', () => {
  it('give shares in proportion, as far as the replica count leaves room', () => {
    for (let seed = 0; seed < 20; seed++) {
      const list = equals(12, seed).map((each, i) => ({ ...each, weight: i % 3 === 0 ? 2 : 1 }));
      const built = new Ring({ members: list });
      const mean = (weight: number): number => {
        const some = list.filter((each) => each.weight === weight);
        return some.reduce((sum, each) => sum + built.shardsOf(each.id).length, 0) / some.length;
      };
      expect(mean(2) / mean(1)).toBeGreaterThan(1.7);
      expect(mean(2) / mean(1)).toBeLessThan(2.2);
      expect(built.balance().loadMax).toBeLessThan(1.15);
    }
  });

  it('of a zone with few members do not outweigh the spread over zones', () => {
    const list = equals(9, 1).map((each, i) => ({ ...each, zone: i === 0 ? 'small' : i % 2 === 0 ? 'a' : 'b' }));
    const built = new Ring({ members: list });
    expect(built.shardsOf(list[0]?.id as string).length).toBe(256);
    expect(built.balance().loadMax).toBeLessThan(1.15);
  });
});
