import { beforeEach, describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import type { NodeRequest } from '../../../../src/ports/node-handle.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

/** Everything the node is asked from now on. */
function recordRequests(): NodeRequest[] {
  const requests: NodeRequest[] = [];
  h.node.before = (request) => void requests.push(request);
  return requests;
}

describe('put and get', () => {
  it('keeps bytes and content type', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    h.node.acks = 3;
    h.node.owners = 3;
    const put = await h.put('/v1/kv/default/k', bytes, { 'content-type': 'image/png; x=1' });
    expect(put.status).toBe(204);
    expect(put.headers.get('etag')).toBe('"00000000000000aa-1"');
    expect(put.headers.get('holdfast-acks')).toBe('3/3');
    expect(put.headers.get('holdfast-quorum')).toBe('strict');
    expect(put.headers.get('holdfast-context')).toMatch(/^[A-Za-z0-9_-]+$/);

    const got = await h.fetch('/v1/kv/default/k');
    expect(got.status).toBe(200);
    expect(new Uint8Array(await got.arrayBuffer())).toEqual(bytes);
    expect(got.headers.get('content-type')).toBe('image/png; x=1');
    expect(got.headers.get('etag')).toBe('"00000000000000aa-1"');
    expect(got.headers.get('holdfast-complete')).toBeNull();
    expect(got.headers.get('x-content-type-options')).toBe('nosniff');
  });

  it.each(['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])(
    'does not parse a body of %s',
    async (contentType) => {
      expect((await h.put('/v1/kv/default/k', '{broken', { 'content-type': contentType })).status).toBe(204);
      const got = await h.fetch('/v1/kv/default/k');
      expect(await got.text()).toBe('{broken');
      expect(got.headers.get('content-type')).toBe(contentType);
    },
  );

  it('takes bytes without a content type for application/octet-stream', async () => {
    const answer = await h.raw(
      'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi',
    );
    expect(answer).toMatch(/^HTTP\/1.1 204 /);
    const got = await h.fetch('/v1/kv/default/k');
    expect(got.headers.get('content-type')).toBe('application/octet-stream');
    expect(await got.text()).toBe('hi');
  });

  it('stores an empty value, with a Content-Length of 0 and without one', async () => {
    expect((await h.put('/v1/kv/default/empty', '')).status).toBe(204);
    const got = await h.fetch('/v1/kv/default/empty');
    expect(got.status).toBe(200);
    expect(await got.text()).toBe('');
    const answer = await h.raw('PUT /v1/kv/default/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 204 /);
    expect((await h.fetch('/v1/kv/default/none')).status).toBe(200);
  });

  it('passes the levels on, quorum by default', async () => {
    const requests = recordRequests();
    await h.put('/v1/kv/default/k', '1');
    await h.put('/v1/kv/default/k?w=all', '1');
    await h.fetch('/v1/kv/default/k?r=one');
    await h.fetch('/v1/kv/default/k', { method: 'DELETE' });
    expect(requests.map((request) => 'level' in request && request.level)).toEqual(['quorum', 'all', 'one', 'quorum']);
  });

  it('expires by ttl, else by the default of the bucket', async () => {
    await h.put('/v1/buckets/short', '{"ttlSeconds":10}');
    await h.put('/v1/kv/short/default', '1');
    await h.put('/v1/kv/short/own?ttl=20', '1');
    await h.put('/v1/kv/default/ever', '1');
    const alive = async (path: string): Promise<boolean> => (await h.fetch(path)).status === 200;
    h.node.clockMs += 9_999;
    expect(await alive('/v1/kv/short/default')).toBe(true);
    h.node.clockMs += 1;
    expect(await alive('/v1/kv/short/default')).toBe(false);
    expect(await alive('/v1/kv/short/own')).toBe(true);
    h.node.clockMs += 10_000;
    expect(await alive('/v1/kv/short/own')).toBe(false);
    expect(await alive('/v1/kv/default/ever')).toBe(true);
  });

  it('says when an answer may be missing newer writes', async () => {
    await h.put('/v1/kv/default/k', '1');
    h.node.complete = false;
    expect((await h.fetch('/v1/kv/default/k')).headers.get('holdfast-complete')).toBe('false');
    const absent = await h.fetch('/v1/kv/default/absent');
    expect(absent.status).toBe(404);
    expect(absent.headers.get('holdfast-complete')).toBe('false');
    expect(await absent.json()).toMatchObject({
      detail: expect.stringContaining('as far as is known'),
      complete: false,
    });
    h.node.complete = true;
    expect(await (await h.fetch('/v1/kv/default/absent')).json()).not.toHaveProperty('complete');
  });

  it('never shows a session less than its context has seen', async () => {
    const context = (await h.put('/v1/kv/default/k', '1')).headers.get('holdfast-context') as string;
    const headers = { 'holdfast-context': context };
    expect(await (await h.fetch('/v1/kv/default/k', { headers })).text()).toBe('1');
    const other = await h.fetch('/v1/kv/default/other', { headers });
    expect(await problemOf(other)).toBe('400 bad-context');
    h.node.forget();
    expect(await problemOf(await h.fetch('/v1/kv/default/k', { headers }))).toBe('503 session-unavailable');
    expect((await h.fetch('/v1/kv/default/k')).status).toBe(404);
  });

  it('says when a quorum was sloppy', async () => {
    h.node.quorum = 'sloppy';
    expect((await h.put('/v1/kv/default/k', '1')).headers.get('holdfast-quorum')).toBe('sloppy');
  });

  it('answers 304 to a current ETag', async () => {
    const etag = (await h.put('/v1/kv/default/k', '1')).headers.get('etag') as string;
    const ask = (value: string) => h.fetch('/v1/kv/default/k', { headers: { 'if-none-match': value } });
    for (const value of [etag, `"x", ${etag}`, `W/${etag}`, '*']) {
      const response = await ask(value);
      expect(response.status).toBe(304);
      expect(response.headers.get('etag')).toBe(etag);
      expect(response.headers.get('holdfast-context')).not.toBeNull();
    }
    expect((await ask('"x"')).status).toBe(200);
    await h.put('/v1/kv/default/k', '2');
    expect((await ask(etag)).status).toBe(200);
  });

  it('answers HEAD like GET without the body', async () => {
    await h.put('/v1/kv/default/k', '12345', { 'content-type': 'text/x' });
    const head = await h.fetch('/v1/kv/default/k', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), head.headers.get('content-type')]).toEqual([
      200,
      '5',
      'text/x',
    ]);
    expect(head.headers.get('etag')).toBe('"00000000000000aa-1"');
    expect((await h.fetch('/v1/kv/default/absent', { method: 'HEAD' })).status).toBe(404);
  });

  it('gives an absent key a context, so that a later write is ordered after its deletion', async () => {
    await h.put('/v1/kv/notes/k', '1');
    await h.fetch('/v1/kv/notes/k', { method: 'DELETE' });
    const absent = await h.fetch('/v1/kv/notes/k');
    const context = absent.headers.get('holdfast-context') as string;
    expect(await problemOf(absent)).toBe('404 not-found');
    expect((await h.put('/v1/kv/notes/k', '2', { 'holdfast-context': context })).status).toBe(204);
  });
});

describe('delete', () => {
  it('says that it found nothing where too few could be asked', async () => {
    const remove = (key: string): Promise<Response> => h.fetch(`/v1/kv/default/${key}`, { method: 'DELETE' });
    expect((await remove('gone')).headers.has('holdfast-complete')).toBe(false);
    h.node.quorum = 'sloppy';
    expect((await remove('gone')).headers.get('holdfast-complete')).toBe('false');
    expect((await h.put('/v1/kv/default/there', '1')).headers.has('holdfast-complete')).toBe(false);
    expect((await remove('there')).headers.has('holdfast-complete')).toBe(false);
  });

  it('answers 204, also when there is nothing', async () => {
    await h.put('/v1/kv/default/k', '1');
    for (let i = 0; i < 2; i++) {
      const response = await h.fetch('/v1/kv/default/k', { method: 'DELETE' });
      expect(response.status).toBe(204);
      expect(response.headers.get('holdfast-acks')).toBe('1/1');
    }
    expect((await h.fetch('/v1/kv/default/k')).status).toBe(404);
  });

  it('removes only what its context has seen', async () => {
    const seen = (await h.put('/v1/kv/notes/k', 'old')).headers.get('holdfast-context') as string;
    h.node.writeConcurrently('notes', 'k', 'new');
    await h.fetch('/v1/kv/notes/k', { method: 'DELETE', headers: { 'holdfast-context': seen } });
    expect(await (await h.fetch('/v1/kv/notes/k')).text()).toBe('new');
  });
});

describe('siblings', () => {
  it('are all shown, and resolved by a put with the context', async () => {
    await h.put('/v1/kv/notes/k', 'left', { 'content-type': 'text/plain' });
    h.node.writeConcurrently('notes', 'k', 'right');
    const both = await h.fetch('/v1/kv/notes/k');
    expect(both.status).toBe(300);
    expect(await both.json()).toEqual([
      { value: 'bGVmdA==', contentType: 'text/plain', etag: '"00000000000000aa-1"', hlcMs: h.node.clockMs },
      { value: 'cmlnaHQ=', contentType: 'text/plain', etag: '"00000000000000aa-2"', hlcMs: h.node.clockMs },
    ]);
    const context = both.headers.get('holdfast-context') as string;
    await h.put('/v1/kv/notes/k', 'merged', { 'holdfast-context': context });
    const merged = await h.fetch('/v1/kv/notes/k');
    expect(merged.status).toBe(200);
    expect(await merged.text()).toBe('merged');
    expect(merged.headers.get('etag')).not.toBe(both.headers.get('etag'));
  });

  it('do not show in an lww bucket: the later write wins', async () => {
    await h.put('/v1/kv/default/k', 'first');
    h.node.clockMs += 1;
    h.node.writeConcurrently('default', 'k', 'second');
    const got = await h.fetch('/v1/kv/default/k');
    expect(got.status).toBe(200);
    expect(await got.text()).toBe('second');
  });
});

describe('increment', () => {
  const add = (key: string, body?: string) =>
    h.fetch(`/v1/kv/default/${key}/increment`, { method: 'POST', ...(body === undefined ? {} : { body }) });

  it('counts, by 1 unless told, and reads as decimal text', async () => {
    expect(await (await add('n')).json()).toEqual({ value: 1 });
    const response = await add('n', '{"by":-5}');
    expect(response.status).toBe(200);
    expect(response.headers.get('holdfast-acks')).toBe('1/1');
    expect(await response.json()).toEqual({ value: -4 });
    const got = await h.fetch('/v1/kv/default/n');
    expect(got.headers.get('content-type')).toMatch(/^text\/plain/);
    expect(await got.text()).toBe('-4');
  });

  it('starts from a decimal value, and changes the ETag each time', async () => {
    await h.put('/v1/kv/default/n', '41');
    expect(await (await add('n', '{}')).json()).toEqual({ value: 42 });
    const first = (await h.fetch('/v1/kv/default/n')).headers.get('etag');
    await add('n');
    expect((await h.fetch('/v1/kv/default/n')).headers.get('etag')).not.toBe(first);
  });

  it('cuts only the action off the key', async () => {
    await add('a/increment');
    await add('a%2Fb%2Fincrement');
    expect((await h.fetch('/v1/kv/default/a%2Fincrement')).status).toBe(200);
    expect((await h.fetch('/v1/kv/default/a/b/increment')).status).toBe(200);
  });

  it.each(['{', '{"by":1.5}', '{"by":"1"}', '{"by":9007199254740992}', '{"to":1}', '[]', 'null', '"x"'])(
    'refuses the body %s',
    async (body) => {
      expect(await problemOf(await add('n', body))).toBe('400 bad-request');
      expect((await h.fetch('/v1/kv/default/n')).status).toBe(404);
    },
  );

  it('refuses a value that is no number', async () => {
    await h.put('/v1/kv/default/n', 'text');
    expect(await problemOf(await add('n'))).toBe('409 not-a-number');
  });

  it('needs to be said: a key alone takes no POST', async () => {
    const response = await h.fetch('/v1/kv/default/n', { method: 'POST', body: '1' });
    expect(response.headers.get('allow')).toBe('DELETE, GET, HEAD, PUT');
    expect(await problemOf(response)).toBe('405 method-not-allowed');
  });
});

describe('keys', () => {
  it.each([
    ['slashes', 'a/b/c', 'a/b/c'],
    ['escaped slashes', 'a%2Fb%2Fc', 'a/b/c'],
    ['empty segments', '/a//b/', '/a//b/'],
    ['escapes', '%25%20%3F%23%00', '% ?#\0'],
    ['UTF-8', '%C3%A9%F0%9F%8C%8A', 'é🌊'],
    ['a plus', 'a+b', 'a+b'],
    ['1024 bytes', 'x'.repeat(1024), 'x'.repeat(1024)],
    ['1024 bytes of escapes', '%C3%A9'.repeat(512), 'é'.repeat(512)],
  ])('may hold %s', async (_name, path, key) => {
    const requests = recordRequests();
    expect((await h.put(`/v1/kv/default/${path}`, '1')).status).toBe(204);
    expect(requests[0]).toMatchObject({ key });
    expect((await h.fetch(`/v1/kv/default/${path}`)).status).toBe(200);
  });

  it.each([
    ['empty', ''],
    ['1025 bytes', 'x'.repeat(1025)],
    ['1025 bytes of UTF-8', `${'%C3%A9'.repeat(512)}x`],
  ])('must not be %s', async (_name, path) => {
    expect(await problemOf(await h.put(`/v1/kv/default/${path}`, '1'))).toBe('400 bad-key');
  });

  it.each(['%FF', '%C3', '%', '%zz', '%ED%A0%80', 'caf\xe9'])('must be percent-encoded UTF-8: %s', async (path) => {
    const answer = await h.raw(
      Buffer.from(`GET /v1/kv/default/${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 'latin1'),
    );
    expect(answer).toMatch(/^HTTP\/1.1 400 /);
    expect(answer).toMatch(/"code":"bad-(key|request)"/);
  });

  it('may come in an absolute request target', async () => {
    await h.put('/v1/kv/default/k', 'hi');
    const answer = await h.raw(`GET ${h.url}/v1/kv/default/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 200 [^]*\r\n\r\nhi$/);
  });
});

describe('refusals', () => {
  it.each([
    ['an unknown parameter', 'PUT', '/v1/kv/default/k?W=one', {}, '400 bad-request'],
    ['a parameter given twice', 'PUT', '/v1/kv/default/k?w=one&w=one', {}, '400 bad-request'],
    ['an unknown level', 'PUT', '/v1/kv/default/k?w=two', {}, '400 bad-request'],
    ['the read level in a write', 'PUT', '/v1/kv/default/k?r=one', {}, '400 bad-request'],
    ['a ttl of 0', 'PUT', '/v1/kv/default/k?ttl=0', {}, '400 bad-request'],
    ['a ttl that is no integer', 'PUT', '/v1/kv/default/k?ttl=1e3', {}, '400 bad-request'],
    ['a ttl beyond a century', 'PUT', '/v1/kv/default/k?ttl=99999999999', {}, '400 bad-request'],
    ['a broken escape in the query', 'PUT', '/v1/kv/default/k?w=%ff', {}, '400 bad-request'],
    ['a prototype member as a parameter', 'PUT', '/v1/kv/default/k?__proto__=1&constructor=1', {}, '400 bad-request'],
    ['a bad context', 'PUT', '/v1/kv/default/k', { 'holdfast-context': 'nonsense' }, '400 bad-context'],
    ['an empty context', 'DELETE', '/v1/kv/default/k', { 'holdfast-context': '' }, '400 bad-context'],
    ['a content type that is none', 'PUT', '/v1/kv/default/k', { 'content-type': 'nonsense' }, '400 bad-request'],
    [
      'a long content type',
      'PUT',
      '/v1/kv/default/k',
      { 'content-type': `text/plain; x=${'y'.repeat(300)}` },
      '400 bad-request',
    ],
    ['a condition', 'PUT', '/v1/kv/default/k', { 'if-match': '"x"' }, '501 not-supported'],
    ['an unknown bucket', 'PUT', '/v1/kv/nope/k', {}, '404 bucket-not-found'],
    ['what no bucket is called', 'GET', '/v1/kv/BAD%21/k', {}, '400 bad-bucket'],
    ['a bucket with a number', 'GET', '/v1/kv/nope~3f/k', {}, '404 bucket-not-found'],
    ['a condition that there is none', 'DELETE', '/v1/kv/default/k', { 'if-none-match': '*' }, '501 not-supported'],
  ])('%s', async (_name, method, path, headers, expected) => {
    await h.put('/v1/kv/default/k', 'untouched');
    const requests = recordRequests();
    const response = await h.fetch(path, {
      method,
      headers: headers as Record<string, string>,
      ...(method === 'PUT' ? { body: '1' } : {}),
    });
    expect(await problemOf(response)).toBe(expected);
    expect(requests).toEqual([]);
    expect(h.node.refusals).toEqual([`http ${expected.slice(4)}`]);
  });

  it('a value above the limit, by its announced length', async () => {
    // No body follows: the answer must come without waiting for it.
    const answer = await h.raw(
      'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1048577\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(answer).toContain('"limit":"valueBytesMax","max":1048576');
  });

  it('a value above the limit, of unknown length', async () => {
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        sent += 1;
        if (sent > 32) controller.close();
        else controller.enqueue(new Uint8Array(65_536));
      },
    });
    const response = await h.fetch('/v1/kv/default/k', { method: 'PUT', body, duplex: 'half' });
    expect(await problemOf(response)).toBe('413 value-too-large');
    expect((await h.fetch('/v1/kv/default/k')).status).toBe(404);
  });

  it('nothing of exactly the largest size', async () => {
    const value = new Uint8Array(1_048_576).fill(7);
    expect((await h.put('/v1/kv/default/k', value)).status).toBe(204);
    expect((await (await h.fetch('/v1/kv/default/k')).arrayBuffer()).byteLength).toBe(1_048_576);
    expect(await problemOf(await h.put('/v1/kv/default/k', new Uint8Array(1_048_577)))).toBe('413 value-too-large');
  });

  it('failures of the node, with their data', async () => {
    h.node.before = () => {
      throw new HoldfastError(
        failure('quorum-unavailable', 'only 1 of 3 owners answered', {
          stateChanged: 'maybe',
          data: { acks: 1, status: 7 },
        }),
      );
    };
    const response = await h.put('/v1/kv/default/k', '1');
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toEqual({
      type: '/docs#quorum-unavailable',
      title: 'Quorum unavailable',
      status: 503,
      detail: 'only 1 of 3 owners answered',
      code: 'quorum-unavailable',
      instance: '/v1/kv/default/k',
      stateChanged: 'maybe',
      acks: 1,
    });
  });

  it('a write that the bucket does not take in an island, which changes nothing and may be sent again', async () => {
    h.node.before = () => {
      throw new HoldfastError(failure('island-refused', 'no majority is here; write elsewhere'));
    };
    const response = await h.put('/v1/kv/default/k', '1');
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).not.toHaveProperty('stateChanged');
    expect(await problemOf(await h.put('/v1/kv/default/k', '1'))).toBe('503 island-refused');
  });

  it('faults of the program, telling nothing but logging all', async () => {
    h.node.before = () => {
      throw new TypeError('secret detail');
    };
    const response = await h.fetch('/v1/kv/default/k');
    const text = await response.clone().text();
    expect(await problemOf(response)).toBe('500 internal');
    expect(text).not.toContain('secret');
    expect(JSON.stringify(h.errors)).toContain('secret detail');
  });
});
