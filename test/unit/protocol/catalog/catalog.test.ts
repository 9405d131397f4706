import { describe, expect, it } from 'vitest';
import { Catalog } from '../../../../src/protocol/catalog/catalog.ts';
import { BUCKETS_MAX, type BucketConfig, type BucketRecord } from '../../../../src/protocol/catalog/record.ts';
import {
  RING_MEMBERS_MAX,
  type RingPlace,
  type RingRecord,
  unspoken,
  VERSION_MAX,
} from '../../../../src/protocol/catalog/ring-record.ts';

const CONFIG: BucketConfig = {
  consistency: 'eventual',
  conflict: 'siblings',
  replicas: null,
  preferredZones: [],
  sync: 'none',
  ttlSeconds: 60,
  island: 'accept',
};
const OWN = { weight: 1, zone: 'north', actor: '00000000000000a1' };
const REPLICAS = 3;

describe('buckets', () => {
  it('has default from the start', () => {
    const catalog = new Catalog();
    expect(catalog.bucket('default')).toMatchObject({
      consistency: 'eventual',
      conflict: 'lww',
      sync: 'up',
      ttlSeconds: null,
      island: 'accept',
    });
    expect(catalog.buckets.map((bucket) => bucket.name)).toEqual(['default', 'strong']);
    expect(catalog.state()).toEqual({ members: [], buckets: [] });
  });

  it('creates once, and refuses other settings for the same name', () => {
    const catalog = new Catalog();
    expect(catalog.putBucket('readings', CONFIG, REPLICAS)).toMatchObject({
      ok: true,
      created: true,
      bucket: { name: 'readings' },
    });
    const digest = catalog.digest();
    expect(catalog.putBucket('readings', CONFIG, REPLICAS)).toMatchObject({ ok: true, created: false });
    const refused = catalog.putBucket('readings', { ...CONFIG, conflict: 'lww' }, REPLICAS);
    expect(refused).toMatchObject({ ok: false, failure: { code: 'bucket-exists' } });
    expect(catalog.putBucket('default', CONFIG, REPLICAS)).toMatchObject({
      ok: false,
      failure: { code: 'bucket-exists' },
    });
    expect(catalog.digest()).toBe(digest);
    expect(catalog.buckets.map((bucket) => bucket.name)).toEqual(['default', 'readings', 'strong']);
  });

  it.each(['', 'A', '-a', '.a', 'a b', 'a/b', 'ä', 'a'.repeat(64), 'a\n'])('refuses the name %j', (name) => {
    expect(new Catalog().putBucket(name, CONFIG, REPLICAS)).toMatchObject({
      ok: false,
      failure: { code: 'bad-bucket' },
    });
  });

  it.each(['a', '0', 'a.b_c-d', 'a'.repeat(63)])('takes the name %j', (name) => {
    expect(new Catalog().putBucket(name, CONFIG, REPLICAS)).toMatchObject({ ok: true, created: true });
  });

  it.each([
    { replicas: 0 },
    { replicas: 1.5 },
    { replicas: 8 },
    { ttlSeconds: 0 },
    { ttlSeconds: Number.NaN },
    { sync: 'sideways' },
    { conflict: '' },
    { consistency: undefined },
    { island: 'perhaps' },
    { island: undefined },
  ])('refuses the settings %j', (wrong) => {
    const config = { ...CONFIG, ...wrong } as unknown as BucketConfig;
    expect(new Catalog().putBucket('a', config, REPLICAS)).toMatchObject({
      ok: false,
      failure: { code: 'bad-bucket' },
    });
  });

  it('keeps what it does in an island, for life', () => {
    const catalog = new Catalog();
    expect(catalog.putBucket('orders', { ...CONFIG, island: 'refuse' }, REPLICAS)).toMatchObject({
      created: true,
      bucket: { island: 'refuse' },
    });
    expect(catalog.putBucket('orders', CONFIG, REPLICAS)).toMatchObject({ failure: { code: 'bucket-exists' } });
    expect(new Catalog(catalog.state()).bucket('orders')?.island).toBe('refuse');
  });

  it('takes back from others what an older node has left out', () => {
    const refusing = new Catalog();
    refusing.putBucket('orders', { ...CONFIG, island: 'refuse' }, REPLICAS);
    const state = refusing.state();
    const left = { ...state, buckets: state.buckets.map((bucket) => ({ ...bucket, island: 'accept' as const })) };
    const catalog = new Catalog(left);
    expect(catalog.join(state).buckets).toEqual(['orders']);
    expect(catalog.bucket('orders')?.island).toBe('refuse');
    expect(catalog.join(left).buckets).toEqual([]);
    expect(catalog.digest()).toBe(refusing.digest());
  });

  it('stops at its limit', () => {
    const catalog = new Catalog();
    for (let i = 0; i < BUCKETS_MAX; i++) expect(catalog.putBucket(`b${i}`, CONFIG, REPLICAS).ok).toBe(true);
    expect(catalog.putBucket('one-more', CONFIG, REPLICAS)).toMatchObject({
      ok: false,
      failure: { code: 'too-many-requests' },
    });
    const extra: BucketRecord = { ...CONFIG, name: 'one-more', version: 1, born: 0 };
    expect(catalog.join({ members: [], buckets: [extra] })).toEqual({
      members: [],
      buckets: [],
      conflicts: [],
      rejected: 1,
    });
  });
});

/** Members that have spoken for themselves. */
function catalogOf(...ids: readonly string[]): Catalog {
  const catalog = new Catalog();
  for (const id of ids) catalog.setOwn(id, OWN);
  return catalog;
}

function placeOf(catalog: Catalog, id: string): RingPlace | undefined {
  return catalog.ringMembers.find((each) => each.id === id);
}

describe('ring members', () => {
  it('are in when they are new, with the settings of their own', () => {
    const catalog = catalogOf('a', 'b');
    expect(placeOf(catalog, 'a')).toEqual({ id: 'a', place: 'in', in: true, weight: 1, zone: 'north' });
    expect(catalog.epoch()).toBe(2);
    expect(catalog.setOwn('a', OWN)).toBe(false);
    expect(catalog.setOwn('a', { ...OWN, weight: 2 })).toBe(true);
    expect(placeOf(catalog, 'a')?.weight).toBe(2);
    expect(catalog.epoch()).toBe(3);
    expect(() => catalog.setOwn('c', { ...OWN, weight: 0 })).toThrow('valid settings of a ring member');
  });

  it('are where operators put them', () => {
    const catalog = catalogOf('a', 'b');
    expect(catalog.changeMember('a', { place: 'out' }, 'ann')).toEqual({ ok: true, changed: true });
    expect(catalog.changeMember('a', { place: 'out' }, 'ben')).toEqual({ ok: true, changed: false });
    expect(placeOf(catalog, 'a')).toMatchObject({ place: 'out', in: false });
    expect(catalog.ringRecord('a')?.place).toEqual({ version: 1, value: 'out', by: 'ann' });
    // It starts again.
    catalog.setOwn('a', { ...OWN, weight: 3 });
    expect(placeOf(catalog, 'a')).toMatchObject({ place: 'out', in: false, weight: 3 });
    expect(catalog.changeMember('a', { place: 'removed' }, 'ann')).toMatchObject({ changed: true });
    expect(catalog.changeMember('a', { place: 'in' }, 'ann')).toMatchObject({ changed: true });
    expect(placeOf(catalog, 'a')).toMatchObject({ place: 'in', in: true });
    expect(catalog.epoch()).toBe(2 + 1 + 3);
  });

  it('have the weight and zone that operators gave them, until these are cleared', () => {
    const catalog = catalogOf('a');
    expect(catalog.changeMember('a', { weight: 2, zone: 'south' }, 'ann')).toEqual({ ok: true, changed: true });
    catalog.setOwn('a', { ...OWN, weight: 5, zone: 'west' });
    expect(placeOf(catalog, 'a')).toMatchObject({ weight: 2, zone: 'south' });
    catalog.changeMember('a', { weight: null }, 'ann');
    expect(placeOf(catalog, 'a')).toMatchObject({ weight: 5, zone: 'south' });
    catalog.changeMember('a', { zone: null }, 'ann');
    expect(placeOf(catalog, 'a')).toMatchObject({ weight: 5, zone: 'west' });
    // A zone may be no zone.
    catalog.changeMember('a', { zone: '' }, 'ann');
    expect(placeOf(catalog, 'a')?.zone).toBe('');
  });

  it('refuses what makes no sense, and the last member that is in', () => {
    const catalog = catalogOf('a', 'b');
    const digest = catalog.digest();
    const codeOf = (id: string, change: object): string | undefined => {
      const outcome = catalog.changeMember(id, change, 'ann');
      return outcome.ok ? undefined : outcome.failure.code;
    };
    expect(codeOf('c', { place: 'out' })).toBe('member-not-found');
    expect(codeOf('a', { place: 'up' })).toBe('bad-request');
    expect(codeOf('a', { weight: 0 })).toBe('bad-request');
    expect(codeOf('a', { weight: '1' })).toBe('bad-request');
    expect(codeOf('a', { weight: Number.NaN })).toBe('bad-request');
    expect(codeOf('a', { zone: 'z'.repeat(65) })).toBe('bad-request');
    expect(codeOf('a', { zone: 7 })).toBe('bad-request');
    expect(catalog.digest()).toBe(digest);
    expect(codeOf('a', { place: 'out' })).toBeUndefined();
    expect(codeOf('b', { place: 'out' })).toBe('last-member');
    expect(codeOf('b', { place: 'removed' })).toBe('last-member');
    expect(placeOf(catalog, 'b')?.in).toBe(true);
  });

  it('are in all the same where two commands have taken everyone out', () => {
    const [left, right] = [catalogOf('a', 'b', 'c'), catalogOf('a', 'b', 'c')];
    for (const catalog of [left, right]) catalog.changeMember('c', { place: 'removed' }, 'ann');
    left.changeMember('a', { place: 'out' }, 'ann');
    right.changeMember('b', { place: 'out' }, 'ben');
    left.join(right.state());
    expect(left.ringMembers.map((each) => [each.id, each.place, each.in])).toEqual([
      ['a', 'out', true],
      ['b', 'out', true],
      ['c', 'removed', false],
    ]);
    left.changeMember('b', { place: 'in' }, 'ann');
    expect(left.ringMembers.map((each) => each.in)).toEqual([false, true, false]);
  });

  it('of two commands at once, the one that takes further out holds, and different ones both do', () => {
    const [left, right] = [catalogOf('a', 'b'), catalogOf('a', 'b')];
    left.changeMember('a', { place: 'out' }, 'ann');
    right.changeMember('a', { place: 'removed' }, 'ann');
    right.changeMember('a', { weight: 4 }, 'ben');
    left.changeMember('a', { zone: 'south' }, 'ben');
    left.join(right.state());
    expect(placeOf(left, 'a')).toEqual({ id: 'a', place: 'removed', in: false, weight: 4, zone: 'south' });
  });

  it('lets the higher version win, whichever side it is on', () => {
    const record = catalogOf('a').ringRecord('a') as RingRecord;
    const version = (count: number, value: 'in' | 'out'): RingRecord => ({
      ...record,
      place: { version: count, value, by: 'ann' },
    });
    const catalog = new Catalog({ members: [version(2, 'out')], buckets: [] });
    expect(catalog.join({ members: [version(1, 'in')], buckets: [] }).members).toEqual([]);
    expect(catalog.ringRecord('a')?.place.value).toBe('out');
    expect(catalog.join({ members: [version(3, 'in')], buckets: [] }).members).toEqual(['a']);
    expect(catalog.ringRecord('a')?.place.value).toBe('in');
  });

  it('leaves out and counts what is invalid', () => {
    const good = catalogOf('a').ringRecord('a') as RingRecord;
    const wrong: unknown[] = [
      { ...good, id: '' },
      { ...good, id: 'x'.repeat(129) },
      { ...good, id: 'ä' },
      { ...good, own: { ...OWN, version: -1 } },
      { ...good, own: { ...OWN, version: 1.5 } },
      { ...good, own: { ...OWN, version: VERSION_MAX + 1 } },
      { ...good, own: { ...OWN, version: 1, zone: '', weight: Number.NaN } },
      { ...good, own: { ...OWN, version: 1, zone: '', weight: 1e9 } },
      { ...good, own: { ...OWN, version: 1, zone: '', weight: '1' } },
      { ...good, own: { ...OWN, version: 1, zone: '', weight: null } },
      { ...good, own: { ...OWN, version: 1, zone: 'z'.repeat(65), weight: 1 } },
      { ...good, own: { ...OWN, version: 1, zone: null, weight: 1 } },
      { ...good, zone: { version: 1, value: '\ud800', by: '' } },
      { ...good, weight: { version: 1, value: 0, by: '' } },
      { ...good, place: { version: 1, value: 'up', by: '' } },
      { ...good, place: { version: 1, value: 'in', by: 'x'.repeat(129) } },
      { ...good, place: { version: 1, value: 'in', by: '\ud800' } },
    ];
    const catalog = new Catalog();
    const change = catalog.join({ members: [...(wrong as RingRecord[]), good], buckets: [] });
    expect(change).toEqual({ members: ['a'], buckets: [], conflicts: [], rejected: wrong.length });
    expect(catalog.state().members).toEqual([good]);
  });

  it('stops at its limits rather than failing', () => {
    const own = { ...OWN, version: 1 };
    const members = Array.from({ length: RING_MEMBERS_MAX + 5 }, (_, i) => ({ ...unspoken(`n${i}`), own }));
    const catalog = new Catalog();
    expect(catalog.join({ members, buckets: [] }).rejected).toBe(5);
    expect(catalog.setOwn('late', OWN)).toBe(false);
    const last = { version: VERSION_MAX, value: null, by: '' };
    catalog.join({
      members: [{ ...unspoken('n0'), own: { ...OWN, version: VERSION_MAX }, weight: last }],
      buckets: [],
    });
    expect(catalog.setOwn('n0', { ...OWN, weight: 2 })).toBe(false);
    expect(catalog.changeMember('n0', { weight: 2 }, 'ann')).toMatchObject({ failure: { code: 'too-many-requests' } });
    expect(catalog.changeMember('n1', { weight: 2 }, 'ann')).toMatchObject({ ok: true });
  });

  it('keeps the name of an asker within its bounds', () => {
    const catalog = catalogOf('a');
    catalog.changeMember('a', { weight: 2 }, `\ud800${'x'.repeat(500)}`);
    const { by } = (catalog.ringRecord('a') as RingRecord).weight;
    expect(by).toHaveLength(128);
    expect(new Catalog(catalog.state()).state()).toEqual(catalog.state());
  });
});
