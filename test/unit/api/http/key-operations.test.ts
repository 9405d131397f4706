import { beforeEach, describe, expect, it } from 'vitest';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

const post = (path: string, body: unknown): Promise<Response> =>
  h.fetch(`/v1/kv/${path}`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
const answer = async (path: string, body: unknown): Promise<unknown> => (await post(path, body)).json();
const get = (path: string): Promise<Response> => h.fetch(`/v1/kv/${path}`);
const lines = async (path: string): Promise<unknown[]> =>
  (await (await h.fetch(path)).text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('a set', () => {
  it('takes members, says how many were new, and reads as JSON', async () => {
    const added = await post('default/s/add', { members: ['b', 'a', 'b'] });
    expect(added.status).toBe(200);
    expect(added.headers.get('holdfast-acks')).toBe('1/1');
    expect(await added.json()).toEqual({ added: 2 });
    expect(await answer('default/s/add', { members: ['a', 'c'] })).toEqual({ added: 1 });
    const got = await get('default/s');
    expect(got.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(got.headers.get('holdfast-type')).toBe('set');
    expect(got.headers.get('holdfast-context')).not.toBeNull();
    expect(await got.json()).toEqual({ members: ['a', 'b', 'c'] });
  });

  it('loses members, and is gone with the last one', async () => {
    await post('default/s/add', { members: ['a', 'b'] });
    const before = (await get('default/s')).headers.get('etag');
    expect(await answer('default/s/remove', { members: ['a', 'x'] })).toEqual({ removed: 1 });
    expect((await get('default/s')).headers.get('etag')).not.toBe(before);
    expect(await answer('default/s/remove', { members: ['a'] })).toEqual({ removed: 0 });
    expect(await answer('default/s/remove', { members: ['b'] })).toEqual({ removed: 1 });
    expect((await get('default/s')).status).toBe(404);
  });

  it('is as it was to a client that has its ETag', async () => {
    await post('default/s/add', { members: ['a'] });
    const etag = (await get('default/s')).headers.get('etag') ?? '';
    const again = await h.fetch('/v1/kv/default/s', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
  });

  it('removes what the context has seen, and no more', async () => {
    await post('default/s/add', { members: ['a'] });
    const context = (await get('default/s')).headers.get('holdfast-context') ?? '';
    await post('default/s/add', { members: ['a', 'b'] });
    const response = await h.fetch('/v1/kv/default/s/remove', {
      method: 'POST',
      headers: { 'holdfast-context': context },
      body: JSON.stringify({ members: ['a', 'b'] }),
    });
    expect(await response.json()).toEqual({ removed: 0 });
    expect(await (await get('default/s')).json()).toEqual({ members: ['a', 'b'] });
  });

  it('holds any text and any bytes', async () => {
    const members = ['', ' ', 'ä€😀', '__proto__', '\u0000', { base64: '/w==' }];
    await post('default/s/add', { members });
    expect(await (await get('default/s')).json()).toEqual({
      members: ['', '\u0000', ' ', '__proto__', 'ä€😀', { base64: '/w==' }],
    });
    // Two ways to say the same bytes.
    expect(await answer('default/s/remove', { members: [{ base64: 'IA==' }] })).toEqual({ removed: 1 });
  });

  it('is deleted and replaced as any value, and takes an expiry', async () => {
    await post('default/s/add', { members: ['a'] });
    expect((await h.put('/v1/kv/default/s', 'text')).status).toBe(204);
    expect(await (await get('default/s')).text()).toBe('text');
    expect(await problemOf(await post('default/s/add', { members: ['a'] }))).toBe('409 wrong-type');
    await h.fetch('/v1/kv/default/s', { method: 'DELETE' });
    expect(await answer('default/s/add', { members: ['a'] })).toEqual({ added: 1 });
  });

  it.each([
    '{',
    '{}',
    '{"members":[]}',
    '{"members":"a"}',
    '{"members":[1]}',
    '{"members":[{"base64":"?"}]}',
    '{"members":["\\ud800"]}',
    '{"members":["a"],"by":1}',
    '[]',
    '',
  ])('refuses the body %s', async (body) => {
    expect(await problemOf(await post('default/s/add', body))).toBe('400 bad-request');
    expect((await get('default/s')).status).toBe(404);
  });

  it('refuses more than a key may hold, and a body beyond all measure', async () => {
    const members = Array.from({ length: 16_384 }, (_, i) => String(i));
    expect(await answer('default/s/add', { members })).toEqual({ added: 16_384 });
    const refused = await post('default/s/add', { members: ['one more'] });
    expect(await problemOf(refused)).toBe('413 value-too-large');
    expect(await problemOf(await post('default/t/add', ' '.repeat(3 * 1024 * 1024 + 1)))).toBe('413 value-too-large');
  });

  it('needs a key before the word, and leaves keys alone that end in it', async () => {
    expect(await problemOf(await post('default/add', { members: ['a'] }))).toBe('405 method-not-allowed');
    expect(await problemOf(await post('default//add', { members: ['a'] }))).toBe('400 bad-key');
    expect(await answer('default/a/add/add', { members: ['x'] })).toEqual({ added: 1 });
    expect((await get('default/a/add')).headers.get('holdfast-type')).toBe('set');
    expect(await problemOf(await post('default/a%2Fadd', { members: ['x'] }))).toBe('405 method-not-allowed');
    // The bucket may be called like an operation: that is a batch.
    expect(await problemOf(await post('add', ''))).toBe('404 bucket-not-found');
  });
});

describe('a map', () => {
  it('takes, changes and loses fields', async () => {
    expect(await answer('default/m/fields', { put: { name: 'ann', age: '7' } })).toEqual({ added: 2 });
    expect(await answer('default/m/fields', { put: { name: 'bob', town: { base64: '/w==' } } })).toEqual({ added: 1 });
    expect(await answer('default/m/fields', { increment: { field: 'age', by: 2 } })).toEqual({ value: 9 });
    expect(await answer('default/m/fields', { increment: { field: 'visits' } })).toEqual({ value: 1 });
    const got = await get('default/m');
    expect(got.headers.get('holdfast-type')).toBe('map');
    expect(await got.json()).toEqual({ fields: { name: 'bob', age: '9', town: { base64: '/w==' }, visits: '1' } });
    expect(await answer('default/m/fields', { remove: ['name', 'age', 'town', 'none'] })).toEqual({ removed: 3 });
    expect(await answer('default/m/fields', { remove: ['visits'] })).toEqual({ removed: 1 });
    expect((await get('default/m')).status).toBe(404);
  });

  it('keeps names that mean something to JavaScript', async () => {
    const put = '{"put":{"__proto__":"a","constructor":"b","":"c"}}';
    expect(await answer('default/m/fields', put)).toEqual({ added: 3 });
    expect(await (await get('default/m')).text()).toBe('{"fields":{"":"c","__proto__":"a","constructor":"b"}}');
  });

  it('lists fields whose names are no text apart', async () => {
    await post('default/m/fields', { increment: { field: { base64: '/w==' }, by: 5 } });
    expect(await (await get('default/m')).json()).toEqual({
      fields: {},
      binaryFields: [{ field: { base64: '/w==' }, value: '5' }],
    });
  });

  it.each([
    '{}',
    '{"put":{}}',
    '{"put":{"a":1}}',
    '{"put":{"a":"1"},"remove":["b"]}',
    '{"remove":[]}',
    '{"increment":{"field":"a","by":0.5}}',
    '{"increment":{"by":1}}',
  ])('refuses the body %s', async (body) => {
    expect(await problemOf(await post('default/m/fields', body))).toBe('400 bad-request');
  });

  it('refuses to count what is no number, or too far', async () => {
    await post('default/m/fields', { put: { a: 'x', b: '9007199254740991' } });
    expect(await problemOf(await post('default/m/fields', { increment: { field: 'a' } }))).toBe('409 not-a-number');
    expect(await problemOf(await post('default/m/fields', { increment: { field: 'b' } }))).toBe('400 bad-value');
    expect(await problemOf(await post('default/m/increment', {}))).toBe('409 wrong-type');
    expect(await problemOf(await post('default/m/remove', { members: ['a'] }))).toBe('409 wrong-type');
  });
});

describe('sets and maps in listings', () => {
  it('are told with what they hold, or by their type alone', async () => {
    await post('default/m/fields', { put: { f: 'v' } });
    await post('default/s/add', { members: ['a'] });
    const about = { etag: expect.any(String) as string, hlcMs: expect.any(Number) as number };
    expect(await lines('/v1/kv/default')).toEqual([
      { key: 'm', type: 'map', fields: { f: 'v' }, ...about },
      { key: 's', type: 'set', members: ['a'], ...about },
    ]);
    expect(await lines('/v1/kv/default?values=false')).toEqual([
      { key: 'm', type: 'map', ...about },
      { key: 's', type: 'set', ...about },
    ]);
  });
});
