import { describe, expect, it } from 'vitest';
import { Catalog } from '../../../../src/protocol/catalog/catalog.ts';
import {
  BUCKETS_MAX,
  type BucketConfig,
  type BucketRecord,
  RING_MEMBERS_MAX,
  type RingMemberRecord,
  VERSION_MAX,
} from '../../../../src/protocol/catalog/record.ts';

const CONFIG: BucketConfig = {
  consistency: 'eventual',
  conflict: 'siblings',
  replicas: 3,
  sync: 'none',
  ttlSeconds: 60,
};
const MEMBER = { in: true, weight: 1, zone: 'north' };

describe('buckets', () => {
  it('has default from the start', () => {
    const catalog = new Catalog();
    expect(catalog.bucket('default')).toMatchObject({
      consistency: 'eventual',
      conflict: 'lww',
      sync: 'up',
      ttlSeconds: null,
    });
    expect(catalog.buckets.map((bucket) => bucket.name)).toEqual(['default']);
    expect(catalog.state()).toEqual({ members: [], buckets: [] });
  });

  it('creates once, and refuses other settings for the same name', () => {
    const catalog = new Catalog();
    expect(catalog.putBucket('readings', CONFIG)).toMatchObject({
      ok: true,
      created: true,
      bucket: { name: 'readings' },
    });
    const digest = catalog.digest();
    expect(catalog.putBucket('readings', CONFIG)).toMatchObject({ ok: true, created: false });
    const refused = catalog.putBucket('readings', { ...CONFIG, conflict: 'lww' });
    expect(refused).toMatchObject({ ok: false, failure: { code: 'bucket-exists' } });
    expect(catalog.putBucket('default', CONFIG)).toMatchObject({ ok: false, failure: { code: 'bucket-exists' } });
    expect(catalog.digest()).toBe(digest);
    expect(catalog.buckets.map((bucket) => bucket.name)).toEqual(['default', 'readings']);
  });

  it.each(['', 'A', '-a', '.a', 'a b', 'a/b', 'ä', 'a'.repeat(64), 'a\n'])('refuses the name %j', (name) => {
    expect(new Catalog().putBucket(name, CONFIG)).toMatchObject({ ok: false, failure: { code: 'bad-bucket' } });
  });

  it.each(['a', '0', 'a.b_c-d', 'a'.repeat(63)])('takes the name %j', (name) => {
    expect(new Catalog().putBucket(name, CONFIG)).toMatchObject({ ok: true, created: true });
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
  ])('refuses the settings %j', (wrong) => {
    const config = { ...CONFIG, ...wrong } as unknown as BucketConfig;
    expect(new Catalog().putBucket('a', config)).toMatchObject({ ok: false, failure: { code: 'bad-bucket' } });
  });

  it('stops at its limit', () => {
    const catalog = new Catalog();
    for (let i = 0; i < BUCKETS_MAX; i++) expect(catalog.putBucket(`b${i}`, CONFIG).ok).toBe(true);
    expect(catalog.putBucket('one-more', CONFIG)).toMatchObject({ ok: false, failure: { code: 'too-many-requests' } });
    const extra: BucketRecord = { ...CONFIG, name: 'one-more', version: 1 };
    expect(catalog.join({ members: [], buckets: [extra] })).toEqual({ members: [], buckets: [], rejected: 1 });
  });
});

describe('ring members', () => {
  it('counts changes of a member as versions, and all of them as the epoch', () => {
    const catalog = new Catalog();
    expect(catalog.setRingMember('a', MEMBER)).toBe(true);
    expect(catalog.setRingMember('a', { ...MEMBER })).toBe(false);
    expect(catalog.setRingMember('a', { ...MEMBER, in: false })).toBe(true);
    expect(catalog.setRingMember('b', MEMBER)).toBe(true);
    expect(catalog.ringMember('a')).toEqual({ id: 'a', version: 2, in: false, weight: 1, zone: 'north' });
    expect(catalog.epoch()).toBe(3);
    expect(() => catalog.setRingMember('c', { ...MEMBER, weight: 0 })).toThrow('a valid ring member');
  });

  it('lets the higher version win, whichever side it is on', () => {
    const old: RingMemberRecord = { id: 'a', version: 1, ...MEMBER };
    const catalog = new Catalog({ members: [{ ...old, version: 2, in: false }], buckets: [] });
    expect(catalog.join({ members: [old], buckets: [] }).members).toEqual([]);
    expect(catalog.ringMember('a')?.in).toBe(false);
    expect(catalog.join({ members: [{ ...old, version: 3 }], buckets: [] }).members).toEqual(['a']);
    expect(catalog.ringMember('a')?.in).toBe(true);
  });

  it('leaves out and counts what is invalid', () => {
    const good: RingMemberRecord = { id: 'a', version: 1, ...MEMBER };
    const wrong: unknown[] = [
      { ...good, id: '' },
      { ...good, id: 'x'.repeat(129) },
      { ...good, id: 'ä' },
      { ...good, version: 0 },
      { ...good, version: 1.5 },
      { ...good, version: VERSION_MAX + 1 },
      { ...good, weight: Number.NaN },
      { ...good, weight: 1e9 },
      { ...good, weight: '1' },
      { ...good, zone: 'z'.repeat(65) },
      { ...good, zone: '\ud800' },
      { ...good, in: 1 },
    ];
    const catalog = new Catalog();
    const change = catalog.join({ members: [...(wrong as RingMemberRecord[]), good], buckets: [] });
    expect(change).toEqual({ members: ['a'], buckets: [], rejected: wrong.length });
    expect(catalog.state().members).toEqual([good]);
  });

  it('stops at its limits rather than failing', () => {
    const members = Array.from({ length: RING_MEMBERS_MAX + 5 }, (_, i) => ({ id: `n${i}`, version: 1, ...MEMBER }));
    const catalog = new Catalog();
    expect(catalog.join({ members, buckets: [] }).rejected).toBe(5);
    expect(catalog.setRingMember('late', MEMBER)).toBe(false);
    catalog.join({ members: [{ id: 'n0', ...MEMBER, version: VERSION_MAX }], buckets: [] });
    expect(catalog.setRingMember('n0', { ...MEMBER, in: false })).toBe(false);
    expect(catalog.setRingMember('n1', { ...MEMBER, in: false })).toBe(true);
  });
});
