import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/ports/node-handle.ts';
import { encodeContextToken } from '../../../../src/wire/context-token.ts';
import { connectSite, EDGE_ACTOR, pushOf } from '../../../support/hub-fixture.ts';
import { problemOf } from '../http/harness.ts';
import { type HubHarness, startHubHarness } from './harness.ts';

const KV = '/v1/sites/hall-2/kv';

async function connected(): Promise<HubHarness> {
  const harness = await startHubHarness();
  await connectSite(harness);
  return harness;
}

function put(body: string, headers: Record<string, string> = {}): RequestInit {
  return { method: 'PUT', body, headers: { 'content-type': 'text/plain', ...headers } };
}

describe('a value', () => {
  it('is put, read and deleted as at a node', async () => {
    const { fetch } = await connected();
    const written = await fetch(`${KV}/both/path/to%2Fa`, put('hello', { 'content-type': 'text/x-own' }));
    expect(written.status).toBe(204);
    expect(written.headers.get('etag')).toMatch(/^"[0-9a-f]{16}-1"$/);
    const read = await fetch(`${KV}/both/path/to%2Fa`);
    expect([read.status, await read.text(), read.headers.get('content-type')]).toEqual([200, 'hello', 'text/x-own']);
    expect(read.headers.get('etag')).toBe(written.headers.get('etag'));
    expect(read.headers.get('content-security-policy')).toContain('sandbox');
    const head = await fetch(`${KV}/both/path/to%2Fa`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const known = { 'if-none-match': read.headers.get('etag') ?? '' };
    expect((await fetch(`${KV}/both/path/to%2Fa`, { headers: known })).status).toBe(304);
    expect((await fetch(`${KV}/both/path/to%2Fa`, { method: 'DELETE' })).status).toBe(204);
    expect(await problemOf(await fetch(`${KV}/both/path/to%2Fa`))).toBe('404 not-found');
    const again = await fetch(`${KV}/both/path/to%2Fa`, { method: 'DELETE' });
    expect([again.status, again.headers.get('etag')]).toEqual([204, null]);
  });

  it('expires as the request says, or the bucket', async () => {
    const { fetch, clock } = await connected();
    await fetch(`${KV}/both/a?ttl=10`, put('x'));
    await fetch(`${KV}/both/b`, put('x'));
    await fetch(`${KV}/orders/a`, put('x'));
    await fetch(`${KV}/orders/b?ttl=100`, put('x'));
    const present = async (): Promise<string[]> => {
      const keys = ['both/a', 'both/b', 'orders/a', 'orders/b'];
      const statuses = await Promise.all(keys.map(async (key) => (await fetch(`${KV}/${key}`)).status));
      return keys.filter((_, i) => statuses[i] === 200);
    };
    expect(await present()).toHaveLength(4);
    clock.advance(10_000);
    expect(await present()).toEqual(['both/b', 'orders/a', 'orders/b']);
    clock.advance(50_000);
    expect(await present()).toEqual(['both/b', 'orders/b']);
  });

  it('with a context goes on from what that has seen', async () => {
    const harness = await connected();
    const { fetch } = harness;
    const session = await connectSite(harness, 'hall-2', 'peer-2');
    await session.request(pushOf({ bucket: 'carts~1k', key: 'ann', value: 'pear', counter: 1 }));
    await session.request(pushOf({ bucket: 'carts~1k', key: 'ann', value: 'plum', counter: 1, actor: 'b'.repeat(16) }));
    const both = await fetch(`${KV}/carts/ann`);
    expect(both.status).toBe(300);
    expect(await both.json()).toHaveLength(2);
    const context = { 'holdfast-context': both.headers.get('holdfast-context') ?? '' };
    const resolved = await fetch(`${KV}/carts/ann`, put('pear,plum', context));
    expect(resolved.status).toBe(204);
    const own = { 'holdfast-context': resolved.headers.get('holdfast-context') ?? '' };
    const read = await fetch(`${KV}/carts/ann`, { headers: own });
    expect([read.status, await read.text()]).toEqual([200, 'pear,plum']);
    expect(await problemOf(await fetch(`${KV}/carts/bob`, { headers: own }))).toBe('400 bad-context');
  });

  it('that a node has shown and the hub has not got yet is waited for', async () => {
    const harness = await connected();
    const { fetch } = harness;
    const context = CausalContext.fromDots([{ actor: EDGE_ACTOR, counter: 1 }]);
    const token = encodeContextToken({ context, bare: new CausalContext() }, { bucket: 'readings', key: 'a' });
    const headers = { 'holdfast-context': token ?? '' };
    const early = await fetch(`${KV}/readings/a`, { headers });
    expect([early.headers.get('retry-after'), await problemOf(early)]).toEqual(['1', '503 session-unavailable']);
    const session = await connectSite(harness, 'hall-2', 'peer-2');
    await session.request(pushOf({ bucket: 'readings', key: 'a', value: '20.5', counter: 1 }));
    expect(await (await fetch(`${KV}/readings/a`, { headers })).text()).toBe('20.5');
  });

  it('is refused where it cannot be taken', async () => {
    const { fetch } = await connected();
    const outcomes: [string, RequestInit, string][] = [
      ['/readings/a', put('x'), '409 not-synced-down'],
      ['/readings/a', { method: 'DELETE' }, '409 not-synced-down'],
      ['/none/a', put('x'), '404 bucket-not-found'],
      ['/none/a', {}, '404 bucket-not-found'],
      ['/both/', put('x'), '400 bad-key'],
      [`/both/${'x'.repeat(1025)}`, put('x'), '400 bad-key'],
      ['/both/a?ttl=0', put('x'), '400 bad-request'],
      ['/both/a?w=all', put('x'), '400 bad-request'],
      ['/both/a', put('x', { 'if-match': '*' }), '501 not-supported'],
      ['/both/a', put('x', { 'holdfast-context': 'nonsense' }), '400 bad-context'],
      ['/both/a', put('x'.repeat(1024 * 1024 + 1)), '413 value-too-large'],
      ['/both/a', { method: 'POST' }, '405 method-not-allowed'],
    ];
    for (const [path, init, outcome] of outcomes) {
      expect([path, init.method, await problemOf(await fetch(`${KV}${path}`, init))]).toEqual([
        path,
        init.method,
        outcome,
      ]);
    }
    expect(await problemOf(await fetch('/v1/sites/hall-9/kv/both/a'))).toBe('404 site-not-found');
    expect(await problemOf(await fetch(`${KV}/both/a`))).toBe('404 not-found');
  });
});

describe('a counter', () => {
  it('is added to', async () => {
    const { fetch } = await connected();
    const add = (path: string, body?: string): Promise<Response> =>
      fetch(`${KV}${path}/increment`, { method: 'POST', ...(body === undefined ? {} : { body }) });
    expect(await (await add('/both/n', '{"by":5}')).json()).toEqual({ value: 5 });
    expect(await (await add('/both/n')).json()).toEqual({ value: 6 });
    expect(await (await fetch(`${KV}/both/n`)).text()).toBe('6');
    await fetch(`${KV}/both/text`, put('x'));
    expect(await problemOf(await add('/both/text'))).toBe('409 not-a-number');
    expect(await problemOf(await add('/both/n', '{"by":"x"}'))).toBe('400 bad-request');
    expect(await problemOf(await add('/readings/n'))).toBe('409 not-synced-down');
    // A key of that name is one.
    await fetch(`${KV}/both/increment`, put('key'));
    expect(await (await fetch(`${KV}/both/increment`)).text()).toBe('key');
  });
});

describe('a listing', () => {
  it('has a line for each key', async () => {
    const { fetch } = await connected();
    for (const key of ['a', 'b', 'c']) await fetch(`${KV}/both/${key}`, put(`value ${key}`));
    const lines = async (query: string): Promise<unknown[]> => {
      const text = await (await fetch(`${KV}/both${query}`)).text();
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as unknown);
    };
    expect(await lines('')).toMatchObject([
      { key: 'a', value: Buffer.from('value a').toString('base64'), contentType: 'text/plain' },
      { key: 'b' },
      { key: 'c' },
    ]);
    const [first, next] = await lines('?limit=1&values=false');
    expect(first).not.toHaveProperty('value');
    expect(next).toEqual({ next: 'a' });
    expect(await lines('?after=a&prefix=b')).toMatchObject([{ key: 'b' }]);
    expect(await problemOf(await fetch(`${KV}/nothing`))).toBe('404 bucket-not-found');
    expect(await problemOf(await fetch('/v1/sites/hall-9/kv/both'))).toBe('404 site-not-found');
  });
});
