import { beforeEach, describe, expect, it } from 'vitest';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

const DEFAULTS = {
  consistency: 'eventual',
  conflict: 'lww',
  replicas: 3,
  preferredZones: [],
  sync: 'none',
  ttlSeconds: null,
  island: 'accept',
};

describe('buckets', () => {
  it('are listed and shown', async () => {
    const { buckets } = (await (await h.fetch('/v1/buckets')).json()) as { buckets: { name: string }[] };
    expect(buckets.map(({ name }) => name)).toEqual(['default', 'strong', 'notes']);
    expect(await (await h.fetch('/v1/buckets/default')).json()).toEqual({ ...DEFAULTS, name: 'default', sync: 'up' });
    expect(await (await h.fetch('/v1/buckets/strong')).json()).toMatchObject({ consistency: 'strong', sync: 'none' });
    expect(await problemOf(await h.fetch('/v1/buckets/nope'))).toBe('404 bucket-not-found');
  });

  it('are created by path, with defaults', async () => {
    const created = await h.put('/v1/buckets/one', '');
    expect(created.status).toBe(201);
    expect(await created.json()).toEqual({ name: 'one', ...DEFAULTS });
    expect((await h.put('/v1/kv/one/k', '1')).status).toBe(204);
  });

  it('are created by name in the body', async () => {
    const settings = {
      conflict: 'siblings',
      replicas: 5,
      preferredZones: ['hall-2', 'hall-1'],
      sync: 'both',
      ttlSeconds: 60,
      island: 'refuse',
    };
    const created = await h.put('/v1/buckets', JSON.stringify({ name: 'two', ...settings }));
    expect(created.status).toBe(201);
    expect(await created.json()).toEqual({ name: 'two', ...DEFAULTS, ...settings });
    expect((await h.put('/v1/buckets/two', JSON.stringify({ name: 'two', ...settings }))).status).toBe(200);
  });

  it('do not change', async () => {
    await h.put('/v1/buckets/one', '');
    expect((await h.put('/v1/buckets/one', '{}')).status).toBe(200);
    expect(await problemOf(await h.put('/v1/buckets/one', '{"conflict":"siblings"}'))).toBe('409 bucket-exists');
  });

  it('may be strong, with a time to live', async () => {
    const created = await h.put('/v1/buckets/one', '{"consistency":"strong","sync":"none","ttlSeconds":60}');
    expect(created.status).toBe(201);
    expect(await created.json()).toEqual({ name: 'one', ...DEFAULTS, consistency: 'strong', ttlSeconds: 60 });
    expect((await h.put('/v1/buckets/one', '{"consistency":"strong","ttlSeconds":60}')).status).toBe(200);
    expect(await problemOf(await h.put('/v1/buckets/one', '{"ttlSeconds":60}'))).toBe('409 bucket-exists');
  });

  it.each([
    ['sync', 'up'],
    ['replicas', 3],
    ['preferredZones', ['a']],
    ['conflict', 'siblings'],
  ])('that are strong have no %s of their own', async (name, value) => {
    const response = await h.put('/v1/buckets/one', JSON.stringify({ consistency: 'strong', [name]: value }));
    expect(((await response.clone().json()) as { detail: string }).detail).toMatch(
      new RegExp(`^${name}: .*leave it out`),
    );
    expect(await problemOf(response)).toBe('400 bad-request');
    expect(h.node.bucket('one')).toBeUndefined();
  });

  it('of the nodes are out of reach', async () => {
    await h.node.createBucket('.locks', {
      ...DEFAULTS,
      consistency: 'strong',
      conflict: 'lww',
      sync: 'none',
      island: 'accept',
    });
    for (const path of ['/v1/buckets/.locks', '/v1/kv/.locks/k', '/v1/kv/.locks', '/v1/watch/.locks']) {
      expect(await problemOf(await h.fetch(path))).toBe('400 bad-bucket');
    }
    expect(await problemOf(await h.put('/v1/kv/.locks/k', '1'))).toBe('400 bad-bucket');
    expect(await problemOf(await h.put('/v1/buckets/.locks', '{"consistency":"strong"}'))).toBe('400 bad-bucket');
  });

  it.each([
    ['/v1/buckets/one', '{"name":"two"}', '400 bad-request'],
    ['/v1/buckets/one', '{"replicas":0}', '400 bad-request'],
    ['/v1/buckets/one', '{"replicas":8}', '400 bad-request'],
    ['/v1/buckets/one', '{"replicas":"3"}', '400 bad-request'],
    ['/v1/buckets/one', '{"preferredZones":"a"}', '400 bad-request'],
    ['/v1/buckets/one', '{"preferredZones":[""]}', '400 bad-request'],
    ['/v1/buckets/one', `{"preferredZones":["${'z'.repeat(65)}"]}`, '400 bad-request'],
    ['/v1/buckets/one', JSON.stringify({ preferredZones: '123456789'.split('') }), '400 bad-request'],
    ['/v1/buckets/one~3f', '{}', '400 bad-bucket'],
    ['/v1/buckets/one', '{"ttlSeconds":0}', '400 bad-request'],
    ['/v1/buckets/one', '{"conflict":"first"}', '400 bad-request'],
    ['/v1/buckets/one', '{"island":"leave"}', '400 bad-request'],
    ['/v1/buckets/one', '{"replica":3}', '400 bad-request'],
    ['/v1/buckets/one', '{"__proto__":{"replicas":1}}', '400 bad-request'],
    ['/v1/buckets/one', '[]', '400 bad-request'],
    ['/v1/buckets/one', '{', '400 bad-request'],
    ['/v1/buckets/one', ' '.repeat(20_000), '400 bad-request'],
    ['/v1/buckets/one?x=1', '', '400 bad-request'],
    ['/v1/buckets', '{}', '400 bad-request'],
    ['/v1/buckets', '{"name":""}', '400 bad-bucket'],
    ['/v1/buckets/-one', '', '400 bad-bucket'],
    ['/v1/buckets/.one', '', '400 bad-bucket'],
    ['/v1/buckets/a%2Fb', '', '400 bad-bucket'],
    [`/v1/buckets/${'x'.repeat(65)}`, '', '400 bad-bucket'],
    ['/v1/buckets/%C3%A9', '', '400 bad-bucket'],
  ])('refuse PUT %s %s', async (path, body, expected) => {
    expect(await problemOf(await h.put(path, body))).toBe(expected);
    expect(h.node.buckets()).toHaveLength(3);
  });

  it('names the member that is wrong', async () => {
    const response = await h.put('/v1/buckets/one', '{"ttlSeconds":"x"}');
    expect(((await response.json()) as { detail: string }).detail).toMatch(/^ttlSeconds: /);
  });
});
