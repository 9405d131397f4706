import { beforeEach, describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { ballotText, type NodeRequest, parseBallot } from '../../../../src/ports/node-handle.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

const KEY = '/v1/kv/strong/k';
const put = (value: string, headers: Record<string, string> = {}): Promise<Response> => h.put(KEY, value, headers);
const get = (headers: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
  h.fetch(KEY, { method, headers });
const del = (headers: Record<string, string> = {}): Promise<Response> => get(headers, 'DELETE');
const tagOf = (response: Response): string | null => response.headers.get('etag');
const value = async (): Promise<string | null> => {
  const response = await get();
  return response.status === 404 ? null : response.text();
};

/** The types of what the node is asked from now on. */
function recordRequests(): NodeRequest['type'][] {
  const types: NodeRequest['type'][] = [];
  h.node.before = ({ type }) => void types.push(type);
  return types;
}

describe('a key of a strong bucket', () => {
  it('keeps bytes and content type, and names its version', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const written = await h.put(KEY, bytes, { 'content-type': 'image/png; x=1' });
    expect(written.status).toBe(204);
    expect(tagOf(written)).toBe('"1-00000000000000aa"');
    expect(written.headers.get('holdfast-quorum')).toBe('strict');
    expect(written.headers.get('holdfast-acks')).toBeNull();
    expect(written.headers.get('holdfast-context')).toBeNull();

    const read = await get();
    expect(read.status).toBe(200);
    expect(new Uint8Array(await read.arrayBuffer())).toEqual(bytes);
    expect(read.headers.get('content-type')).toBe('image/png; x=1');
    expect(tagOf(read)).toBe(tagOf(written));
    expect(read.headers.get('x-content-type-options')).toBe('nosniff');
    expect(read.headers.get('content-security-policy')).toContain('sandbox');
    expect(read.headers.get('holdfast-context')).toBeNull();
  });

  it('is absent before and after', async () => {
    expect(await problemOf(await get())).toBe('404 not-found');
    expect(tagOf(await del())).toBeNull();
    await put('1');
    const deleted = await del();
    expect([deleted.status, deleted.headers.get('holdfast-quorum')]).toEqual([204, 'strict']);
    expect(tagOf(deleted)).toBe('"3-00000000000000aa"');
    const absent = await get();
    expect(tagOf(absent)).toBeNull();
    expect(absent.headers.get('holdfast-complete')).toBeNull();
    expect(await problemOf(absent)).toBe('404 not-found');
  });

  it('answers HEAD, and 304 to a current ETag', async () => {
    const etag = tagOf(await put('12345')) as string;
    const head = await get({}, 'HEAD');
    expect([head.status, head.headers.get('content-length'), tagOf(head)]).toEqual([200, '5', etag]);
    for (const known of [etag, `"x", ${etag}`, `W/${etag}`, '*']) {
      const response = await get({ 'if-none-match': known });
      expect([response.status, tagOf(response)]).toEqual([304, etag]);
    }
    await put('2');
    expect((await get({ 'if-none-match': etag })).status).toBe(200);
  });

  it('expires by ttl, else by the default of the bucket', async () => {
    await h.put('/v1/buckets/short', '{"consistency":"strong","ttlSeconds":10}');
    await h.put('/v1/kv/short/default', '1');
    const own = tagOf(await h.put('/v1/kv/short/own?ttl=20', '1')) as string;
    await put('1');
    const alive = async (path: string): Promise<boolean> => (await h.fetch(path)).status === 200;
    h.node.clockMs += 9_999;
    expect(await alive('/v1/kv/short/default')).toBe(true);
    h.node.clockMs += 1;
    expect([await alive('/v1/kv/short/default'), await alive('/v1/kv/short/own')]).toEqual([false, true]);
    h.node.clockMs += 10_000;
    expect([await alive('/v1/kv/short/own'), await alive(KEY)]).toEqual([false, true]);
    const late = await h.put('/v1/kv/short/own', '2', { 'if-match': own });
    expect(await problemOf(late)).toBe('412 precondition-failed');
  });

  it('has a value of at most 1 MiB', async () => {
    const most = new Uint8Array(1_048_576).fill(7);
    expect((await h.put(KEY, most)).status).toBe(204);
    expect(await problemOf(await h.put(KEY, new Uint8Array(1_048_577)))).toBe('413 value-too-large');
    expect((await (await get()).arrayBuffer()).byteLength).toBe(1_048_576);
  });

  it('passes failures on, with what they say of the outcome', async () => {
    h.node.before = () => {
      throw new HoldfastError(failure('quorum-unavailable', 'too few', { stateChanged: 'maybe' }));
    };
    const response = await put('1');
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.clone().json()).toMatchObject({ stateChanged: 'maybe' });
    expect(await problemOf(response)).toBe('503 quorum-unavailable');
    expect(await problemOf(await get())).toBe('503 quorum-unavailable');
  });
});

describe('If-Match', () => {
  it('lets one of two writers of a version through', async () => {
    const first = tagOf(await put('1')) as string;
    const second = await put('2', { 'if-match': first });
    expect(second.status).toBe(204);
    const late = await put('3', { 'if-match': first });
    expect(tagOf(late)).toBe(tagOf(second));
    expect(late.headers.get('holdfast-quorum')).toBeNull();
    expect(await late.clone().json()).toMatchObject({ etag: tagOf(second), status: 412 });
    expect(await problemOf(late)).toBe('412 precondition-failed');
    expect(await value()).toBe('2');
  });

  it('holds for deletes', async () => {
    const first = tagOf(await put('1')) as string;
    const second = tagOf(await put('2')) as string;
    const refused = await del({ 'if-match': first });
    expect([refused.status, tagOf(refused)]).toEqual([412, second]);
    expect((await del({ 'if-match': second })).status).toBe(204);
    const gone = await del({ 'if-match': second });
    expect([gone.status, tagOf(gone)]).toEqual([412, null]);
    expect(await gone.json()).toMatchObject({ detail: expect.stringContaining('there is no key "k"') });
  });

  it('of * is any value', async () => {
    expect((await put('1', { 'if-match': '*' })).status).toBe(412);
    expect((await del({ 'if-match': '*' })).status).toBe(412);
    expect(await value()).toBeNull();
    await put('1');
    expect((await put('2', { 'if-match': ' * ' })).status).toBe(204);
    expect((await del({ 'if-match': '*' })).status).toBe(204);
  });

  it.each([
    'W/"1-00000000000000aa"',
    '"00000000000000aa-1"',
    '"1-00000000000000AA"',
    '"01-00000000000000aa"',
    '"0-00000000000000aa"',
    '"1-aa"',
    '"1-00000000000000aa!"',
    '"9007199254740991-00000000000000aa"',
    '""',
    '"x,y"',
  ])('never matches %s', async (tag) => {
    const etag = tagOf(await put('1'));
    const requests = recordRequests();
    const response = await put('2', { 'if-match': tag });
    expect([response.status, tagOf(response)]).toEqual([412, etag]);
    expect(requests).toEqual(['strong-get']);
    h.node.before = null;
    expect((await del({ 'if-match': tag })).status).toBe(412);
    expect(await value()).toBe('1');
  });

  it.each(['', '1-00000000000000aa', '"1-00000000000000aa', '"a", "b"', '*, *', 'w/"a"', '"a b"', '"a'])(
    'is refused as %j',
    async (tag) => {
      const requests = recordRequests();
      const response = await put('2', { 'if-match': tag });
      expect(await response.clone().json()).toMatchObject({
        detail: expect.stringMatching(/^If-Match must be one ETag/),
      });
      expect(await problemOf(response)).toBe('400 bad-request');
      expect(await problemOf(await del({ 'if-match': tag }))).toBe('400 bad-request');
      expect(requests).toEqual([]);
    },
  );
});

describe('If-None-Match of *', () => {
  it('lets the first of two writers through', async () => {
    expect((await put('1', { 'if-none-match': '*' })).status).toBe(204);
    const late = await put('2', { 'if-none-match': '*' });
    expect(tagOf(late)).toBe('"1-00000000000000aa"');
    expect(await problemOf(late)).toBe('412 precondition-failed');
    expect(await value()).toBe('1');
    await del();
    expect((await put('3', { 'if-none-match': '*' })).status).toBe(204);
  });

  it('keeps a delete from a value', async () => {
    expect((await del({ 'if-none-match': '*' })).status).toBe(204);
    await put('1');
    expect((await del({ 'if-none-match': '*' })).status).toBe(412);
    expect(await value()).toBe('1');
  });

  it.each([
    [{ 'if-none-match': '"1-00000000000000aa"' }, /^the If-None-Match of a write must be \*/],
    [{ 'if-none-match': '' }, /^the If-None-Match of a write must be \*/],
    [{ 'if-none-match': '*', 'if-match': '*' }, /cannot hold at once/],
  ])('is all that it may be: %j', async (headers, message) => {
    const response = await put('1', headers);
    expect(await response.clone().json()).toMatchObject({ detail: expect.stringMatching(message) });
    expect(await problemOf(response)).toBe('400 bad-request');
    expect(await value()).toBeNull();
  });
});

describe('a strong bucket', () => {
  it.each([
    ['PUT', `${KEY}?w=quorum`, {}, /leave out w$/],
    ['DELETE', `${KEY}?w=one`, {}, /leave out w$/],
    ['GET', `${KEY}?r=one`, {}, /leave out r$/],
    ['HEAD', `${KEY}?r=all`, {}, /leave out r$/],
    ['POST', '/v1/kv/strong?w=all', {}, /leave out w$/],
    ['PUT', KEY, { 'holdfast-context': 'AgKY' }, /leave out Holdfast-Context$/],
    ['DELETE', KEY, { 'holdfast-context': 'AgKY' }, /leave out Holdfast-Context$/],
    ['GET', KEY, { 'holdfast-context': 'AgKY' }, /leave out Holdfast-Context$/],
  ])('has no levels and contexts: %s %s', async (method, path, headers: Record<string, string>, message) => {
    const requests = recordRequests();
    const response = await h.fetch(path, { method, headers, ...(method.startsWith('P') ? { body: '' } : {}) });
    expect(response.status).toBe(400);
    expect(requests).toEqual([]);
    expect(h.node.refusals).toEqual(['http bad-request']);
    if (method !== 'HEAD') expect(await response.json()).toMatchObject({ detail: expect.stringMatching(message) });
  });

  it.each([
    ['GET', '/v1/kv/strong', /cannot be listed/],
    ['GET', '/v1/watch/strong', /cannot be watched.*If-None-Match/],
    ['POST', `${KEY}/increment`, /no counters, sets and maps.*If-Match/],
    ['POST', `${KEY}/add`, /no counters, sets and maps.*If-Match/],
    ['POST', `${KEY}/remove`, /no counters, sets and maps.*If-Match/],
    ['POST', `${KEY}/fields`, /no counters, sets and maps.*If-Match/],
  ])('says what it lacks: %s %s', async (method, path, message) => {
    const requests = recordRequests();
    const response = await h.fetch(path, { method, ...(method === 'POST' ? { body: '{"members":["a"]}' } : {}) });
    expect(await response.clone().json()).toMatchObject({ detail: expect.stringMatching(message) });
    expect(await problemOf(response)).toBe('501 not-supported');
    expect(requests).toEqual([]);
  });

  it('takes batches, each line by itself', async () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const first = tagOf(await put('1')) as string;
    const lines = [
      { op: 'put', key: 'k', value: base64('2'), ifMatch: first, contentType: 'text/x', ttl: 5 },
      { op: 'put', key: 'k', value: base64('3'), ifMatch: first },
      { op: 'put', key: 'k', value: base64('4'), ifNoneMatch: '*' },
      { op: 'put', key: 'other', value: base64('5'), ifNoneMatch: '*' },
      { op: 'del', key: 'other' },
      { op: 'del', key: 'other' },
      { op: 'del', key: 'other', ifMatch: '*' },
      { op: 'put', key: 'k', value: base64('6'), w: 'one' },
      { op: 'del', key: 'k', context: 'AgKY' },
      { op: 'del', key: 'k', ifMatch: 'k' },
    ];
    const response = await h.fetch('/v1/kv/strong', {
      method: 'POST',
      body: lines.map((line) => JSON.stringify(line)).join('\n'),
    });
    const results = (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const tag = expect.stringMatching(/^"\d-00000000000000aa"$/);
    const etag = tagOf(await get());
    const refused = (code: string, more = {}) => ({ ok: false, problem: { code, ...more } });
    expect(results).toMatchObject([
      { line: 1, key: 'k', ok: true, etag, quorum: 'strict' },
      refused('precondition-failed', { etag, status: 412 }),
      refused('precondition-failed', { etag }),
      { ok: true, etag: tag },
      { ok: true, etag: tag },
      { ok: true },
      refused('precondition-failed'),
      refused('bad-request'),
      refused('bad-request'),
      refused('bad-request'),
    ]);
    expect(Object.keys(results[0] ?? {})).toEqual(['line', 'key', 'ok', 'etag', 'quorum']);
    expect(results[5]).not.toHaveProperty('etag');
    const read = await get();
    expect([await read.text(), read.headers.get('content-type')]).toEqual(['2', 'text/x']);
    h.node.clockMs += 5000;
    expect(await value()).toBeNull();
  });

  it('alone takes conditions in batches', async () => {
    const line = JSON.stringify({ op: 'del', key: 'k', ifMatch: '*' });
    const response = await h.fetch('/v1/kv/default', { method: 'POST', body: line });
    expect(await response.json()).toMatchObject({ ok: false, problem: { code: 'not-supported' } });
  });
});

describe('the text of a ballot', () => {
  it('reads back as what it was', () => {
    for (const counter of [1, 42, 2 ** 52]) {
      const ballot = { counter, proposer: '0123456789abcdef' };
      expect(parseBallot(ballotText(ballot))).toEqual(ballot);
    }
  });

  it.each([
    `${2 ** 52 + 1}-0123456789abcdef`,
    '0-0123456789abcdef',
    '0-',
    '1e3-0123456789abcdef',
    ' 1-0123456789abcdef',
  ])('is not %j', (text) => expect(parseBallot(text)).toBeNull());
});
