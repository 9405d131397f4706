import { describe, expect, it } from 'vitest';
import { classOf, qualifiedName } from '../../../../src/lib/bucket-name.ts';
import { Catalog } from '../../../../src/protocol/catalog/catalog.ts';
import {
  type BucketConfig,
  type BucketRecord,
  classOfPlacement,
  PLACEMENTS_MAX,
} from '../../../../src/protocol/catalog/record.ts';
import { eventualBucket } from '../../../support/eventual-bucket.ts';

const CLUSTER_REPLICAS = 3;
const CONFIG = eventualBucket();
const ACTOR = '00000000000000a1';

function put(catalog: Catalog, name: string, asked: Partial<BucketConfig>): BucketRecord {
  const outcome = catalog.putBucket(name, { ...CONFIG, ...asked }, CLUSTER_REPLICAS);
  if (!outcome.ok) throw new Error(outcome.failure.message);
  return outcome.bucket;
}

function catalogOf(...ids: readonly string[]): Catalog {
  const catalog = new Catalog();
  for (const id of ids) catalog.setOwn(id, { weight: 1, zone: '', actor: ACTOR });
  return catalog;
}

/** Two placements of one class. */
function colliding(): readonly [string, string] {
  const seen = new Map<number, string>();
  for (let i = 0; ; i++) {
    const zone = `zone ${i}`;
    const number = classOfPlacement({ replicas: 1, preferredZones: [zone] });
    const other = seen.get(number);
    if (other !== undefined) return [other, zone];
    seen.set(number, zone);
  }
}

describe('placements of buckets', () => {
  it('are the common one where nothing else is asked for, or just that', () => {
    const catalog = catalogOf('a');
    put(catalog, 'plain', {});
    put(catalog, 'same', { replicas: CLUSTER_REPLICAS });
    expect(catalog.classes).toEqual([]);
    for (const name of ['default', 'plain', 'same']) expect(catalog.dataName(name)).toBe(name);
    expect(put(catalog, 'same', {})).toMatchObject({ replicas: null, born: 0 });
  });

  it('are shared by all who ask for the same, in whatever order', () => {
    const catalog = catalogOf('a');
    put(catalog, 'one', { replicas: 2, preferredZones: ['b', 'a'] });
    put(catalog, 'two', { replicas: 2, preferredZones: ['a', 'b', 'a'] });
    put(catalog, 'three', { replicas: 2 });
    const number = classOfPlacement({ replicas: 2, preferredZones: ['a', 'b'] });
    expect(catalog.classes.map((one) => one.number)).toContain(number);
    expect(catalog.classes).toHaveLength(2);
    expect(catalog.dataName('one')).toBe(qualifiedName('one', number));
    expect(classOf(catalog.dataName('two') ?? '')).toBe(number);
    expect(catalog.shownName(catalog.dataName('one') ?? '')).toBe('one');
  });

  it('with zones alone take the number that the cluster has then', () => {
    expect(put(catalogOf('a'), 'one', { preferredZones: ['a'] })).toMatchObject({ replicas: CLUSTER_REPLICAS });
  });

  it('are at most sixteen, and a merge may exceed that', () => {
    const [a, b] = [catalogOf('a'), catalogOf('a')];
    for (let i = 0; i < PLACEMENTS_MAX; i++) {
      put(a, `a${i}`, { preferredZones: [`a${i}`] });
      put(b, `b${i}`, { preferredZones: [`b${i}`] });
    }
    const more = { ...CONFIG, preferredZones: ['more'] };
    expect(a.putBucket('more', more, CLUSTER_REPLICAS)).toMatchObject({ failure: { code: 'too-many-requests' } });
    put(a, 'as-a-known-one', { preferredZones: ['a3'] });
    a.join(b.state());
    expect(a.classes).toHaveLength(2 * PLACEMENTS_MAX);
  });

  it('of one number: the second is refused, and after a partition all nodes take the same of them', () => {
    const [one, other] = colliding();
    const [a, b] = [catalogOf('a'), catalogOf('a')];
    put(a, 'one', { replicas: 1, preferredZones: [one] });
    const refused = a.putBucket('other', { ...CONFIG, replicas: 1, preferredZones: [other] }, CLUSTER_REPLICAS);
    expect(refused).toMatchObject({ failure: { code: 'bad-bucket' } });
    put(b, 'other', { replicas: 1, preferredZones: [other] });
    a.join(b.state());
    b.join(a.state());
    expect(a.classes).toEqual(b.classes);
    const [smaller] = [one, other].sort();
    expect(a.classes).toMatchObject([{ preferredZones: [smaller] }]);
    expect(a.bucket('one')).toBeDefined();
    expect(a.bucket('other')).toBeDefined();
  });

  it.each([
    { preferredZones: [''] },
    { preferredZones: ['z'.repeat(65)] },
    { preferredZones: ['\ud800'] },
    { preferredZones: '123456789'.split('') },
    { replicas: 8 },
  ])('refuse %j', (asked) => {
    const outcome = catalogOf('a').putBucket('b', { ...CONFIG, ...asked }, CLUSTER_REPLICAS);
    expect(outcome).toMatchObject({ failure: { code: 'bad-bucket' } });
  });

  it('of another node are taken in the form in which they are kept, and of default never', () => {
    const good: BucketRecord = { ...CONFIG, name: 'b', version: 1, replicas: 2, preferredZones: ['a', 'b'], born: 1 };
    const wrong: BucketRecord[] = [
      { ...good, preferredZones: ['b', 'a'] },
      { ...good, preferredZones: ['a', 'a'] },
      { ...good, replicas: null },
      { ...good, born: -1 },
      { ...good, born: 2 ** 32 },
      { ...good, name: 'default' },
      { ...good, name: 'b~1' },
    ];
    const catalog = catalogOf('a');
    expect(catalog.join({ members: [], buckets: wrong }).rejected).toBe(wrong.length);
    expect(catalog.dataName('default')).toBe('default');
    expect(catalog.join({ members: [], buckets: [good] }).rejected).toBe(0);
  });
});

describe('buckets of one name with different placements, from two sides of a partition', () => {
  it('both stay, one under its qualified name, and all nodes agree which', () => {
    const [a, b] = [catalogOf('a'), catalogOf('a')];
    const names = [put(a, 'x', { replicas: 1 }), put(b, 'x', { replicas: 2 })];
    const [stateA, stateB] = [a.state(), b.state()];
    expect(a.join(stateB).conflicts).toEqual(['x']);
    expect(b.join(stateA).conflicts).toEqual(['x']);
    expect(a.digest()).toBe(b.digest());
    for (const catalog of [a, b]) {
      const shown = catalog.buckets.map(({ name }) => name);
      expect(shown).toHaveLength(4);
      expect(shown).toContain('x');
      const found = shown.filter((name) => name !== 'strong').map((name) => String(catalog.bucket(name)?.replicas));
      expect(found.sort()).toEqual([...names.map(({ replicas }) => String(replicas)), 'null'].sort());
      for (const name of shown) expect(catalog.shownName(catalog.dataName(name) ?? '')).toBe(name);
      expect(new Set(shown.map((name) => catalog.dataName(name))).size).toBe(4);
    }
    expect(a.dataName('x')).toBe(b.dataName('x'));
    expect(a.join(stateB).conflicts).toEqual([]);
    expect(new Catalog(a.state()).buckets).toEqual(a.buckets);
  });

  it('of one placement are one bucket', () => {
    const [a, b] = [catalogOf('a'), catalogOf('a')];
    put(a, 'x', { replicas: 1 });
    put(b, 'x', { replicas: 1, conflict: 'siblings' });
    expect(a.join(b.state()).conflicts).toEqual([]);
    expect(a.buckets).toHaveLength(3);
  });
});

describe('the ring under which a class began', () => {
  it('is that of its first bucket', () => {
    const catalog = catalogOf('a', 'b');
    const first = catalog.ringDigest();
    put(catalog, 'm', { replicas: 1 });
    catalog.changeMember('b', { place: 'out' }, 'ann');
    expect(put(catalog, 'c', { replicas: 1 }).born).toBe(first);
    expect(catalog.classes).toMatchObject([{ born: first }]);
    expect(catalog.ringDigest()).not.toBe(first);
  });

  it('is another one once a change has been taken back, and once a member has another disk', () => {
    const catalog = catalogOf('a', 'b');
    const first = catalog.ringDigest();
    catalog.changeMember('b', { place: 'out' }, 'ann');
    catalog.changeMember('b', { place: 'in' }, 'ann');
    expect(catalog.ringDigest()).not.toBe(first);
    const wiped = catalogOf('a', 'b');
    expect(wiped.ringDigest()).toBe(first);
    expect(wiped.setOwn('b', { weight: 1, zone: '', actor: '00000000000000b2' })).toBe(true);
    expect(wiped.ringDigest()).not.toBe(first);
  });

  it('is nobody’s where it began on two sides under different ones', () => {
    const [a, b] = [catalogOf('a', 'b'), catalogOf('a', 'b')];
    b.changeMember('b', { weight: 2 }, 'ann');
    put(a, 'x', { replicas: 1 });
    put(b, 'y', { replicas: 1 });
    a.join(b.state());
    expect(a.classes).toMatchObject([{ born: null }]);
  });
});
