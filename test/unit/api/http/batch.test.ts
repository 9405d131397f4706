import { request as httpRequest } from 'node:http';
import { beforeEach, describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

type Line = Record<string, unknown>;

function post(body: string | Uint8Array, query = '', bucket = 'default'): Promise<Response> {
  return h.fetch(`/v1/kv/${bucket}${query}`, { method: 'POST', body: body as string });
}

/** Sent in chunks, without a Content-Length. */
function stream(...parts: (string | Uint8Array)[]): Promise<Response> {
  const body = ReadableStream.from(parts.map((part) => Buffer.from(part as string)));
  return h.fetch('/v1/kv/default', { method: 'POST', body, duplex: 'half' });
}

async function batch(body: string | Uint8Array, query = '', bucket = 'default'): Promise<Line[]> {
  return linesOf(await post(body, query, bucket));
}

async function linesOf(response: Response): Promise<Line[]> {
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  return (await response.text())
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const put = (key: string, value: string, more: Line = {}): string =>
  JSON.stringify({ op: 'put', key, value: Buffer.from(value).toString('base64'), ...more });
const del = (key: string, more: Line = {}): string => JSON.stringify({ op: 'del', key, ...more });
const valueOf = async (key: string, bucket = 'default'): Promise<string | null> => {
  const response = await h.fetch(`/v1/kv/${bucket}/${key}`);
  return response.status === 404 ? null : response.text();
};

describe('batch', () => {
  it('writes and deletes, one result a line in order', async () => {
    await h.put('/v1/kv/default/gone', '1');
    h.node.acks = 2;
    h.node.owners = 3;
    const results = await batch([put('a', '1'), del('gone'), put('b', '2', { contentType: 'text/x' })].join('\n'));
    expect(results.map(({ line, key, ok, acks, quorum }) => [line, key, ok, acks, quorum])).toEqual([
      [1, 'a', true, '2/3', 'strict'],
      [2, 'gone', true, '2/3', 'strict'],
      [3, 'b', true, '2/3', 'strict'],
    ]);
    expect(results[0]?.['etag']).toBe('"00000000000000aa-2"');
    expect([await valueOf('a'), await valueOf('gone'), await valueOf('b')]).toEqual(['1', null, '2']);
    expect((await h.fetch('/v1/kv/default/b')).headers.get('content-type')).toBe('text/x');
  });

  it('takes a level of its own for an operation', async () => {
    const levels: unknown[] = [];
    h.node.before = (request) => void (request.type === 'mutate' && levels.push(request.level));
    const results = await batch([put('a', '1', { w: 'one' }), del('a', { w: 'all' }), put('b', '1')].join('\n'));
    expect(results.map(({ ok }) => ok)).toEqual([true, true, true]);
    expect([...levels].map(String).sort((a, b) => a.localeCompare(b))).toEqual(['all', 'one', 'quorum']);
    const [refused] = await batch(put('a', '1', { w: 'most' }));
    expect(refused).toMatchObject({ ok: false, problem: { code: 'bad-request' } });
  });

  it('takes level, ttl and context', async () => {
    const first = (await h.put('/v1/kv/notes/k', 'old')).headers.get('holdfast-context') as string;
    h.node.writeConcurrently('notes', 'k', 'other');
    const levels: unknown[] = [];
    h.node.before = (request) => void (request.type === 'mutate' && levels.push(request.level));
    await batch(put('k', 'new', { ttl: 5, context: first }), '?w=all', 'notes');
    expect(levels).toEqual(['all']);
    h.node.before = null;
    expect((await h.fetch('/v1/kv/notes/k')).status).toBe(300);
    h.node.clockMs += 5000;
    expect(await valueOf('k', 'notes')).toBe('other');
  });

  it('reports a bad line as its result and goes on', async () => {
    const context = 'nonsense';
    const lines = [
      'rubbish',
      '[]',
      del(''),
      put('k', '', { value: '!' }),
      put('k', '1', { extra: 1 }),
      put('k', '1', { ttl: 0 }),
      del('k', { context }),
      '{"op":"add","key":"k"}',
      '{"op":"del","key":"\\ud800"}',
      put('good', '1'),
    ];
    const results = await batch(lines.join('\n'));
    const codes = results.map(({ problem }) => (problem as { code: string } | undefined)?.code ?? 'ok');
    expect(codes).toEqual([
      'bad-request',
      'bad-request',
      'bad-key',
      'bad-request',
      'bad-request',
      'bad-request',
      'bad-context',
      'bad-request',
      'bad-key',
      'ok',
    ]);
    expect(results.map(({ line }) => line)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(await valueOf('good')).toBe('1');
    expect(await valueOf('k')).toBeNull();
  });

  it('leaves the others alone when one write fails', async () => {
    h.node.before = (request) => {
      if (request.type === 'mutate' && request.key === 'b') throw new HoldfastError(failure('disk-full', 'full'));
    };
    const results = await batch([put('a', '1'), put('b', '1'), put('c', '1')].join('\n'));
    expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
    expect(results[1]).toMatchObject({ key: 'b', problem: { status: 507, code: 'disk-full' } });
  });

  it('skips empty lines but counts them', async () => {
    const results = await batch(`\n${put('a', '1')}\r\n\n  \n${put('b', '1')}\n`);
    expect(results.map(({ line, ok }) => [line, ok])).toEqual([
      [2, true],
      [5, true],
    ]);
    expect(await batch('')).toEqual([]);
  });

  it('keeps the order of operations on one key, while others overtake', async () => {
    const order: string[] = [];
    const gates = new Map<string, () => void>();
    h.node.before = (request) => {
      if (request.type !== 'mutate') return undefined;
      const { key, mutation } = request;
      order.push(mutation.type === 'put' ? `${key}=${Buffer.from(mutation.value).toString()}` : key);
      if (order.length > 1) return undefined;
      return new Promise((resolve) => gates.set(key, resolve));
    };
    const answer = batch([put('a', '1'), put('a', '2'), put('b', '1'), put('a', '3')].join('\n'));
    await expect.poll(() => order).toEqual(['a=1', 'b=1']);
    gates.get('a')?.();
    expect((await answer).map(({ line }) => line)).toEqual([1, 2, 3, 4]);
    expect(order).toEqual(['a=1', 'b=1', 'a=2', 'a=3']);
    expect(await valueOf('a')).toBe('3');
  });

  it('bounds the operations under way', async () => {
    let running = 0;
    let most = 0;
    h.node.before = async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    };
    const results = await batch(Array.from({ length: 300 }, (_, i) => put(`k${i}`, '1')).join('\n'));
    expect(results.every(({ ok }) => ok)).toBe(true);
    expect(most).toBe(32);
  });

  it('answers each line before the next one comes', async () => {
    const client = httpRequest(`${h.url}/v1/kv/default`, { method: 'POST' });
    client.flushHeaders();
    const ask = (line: string): void => void client.write(`${line}\n`);
    ask(put('a', '1'));
    const response = await new Promise<NodeJS.ReadableStream>((resolve) => client.on('response', resolve));
    const lines = response[Symbol.asyncIterator]();
    const answer = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value)).line;
    expect(await answer()).toBe(1);
    ask(put('b', '1'));
    expect(await answer()).toBe(2);
    client.end();
    expect((await lines.next()).done).toBe(true);
  });

  it('refuses a short batch with a line above the limit before anything is written', async () => {
    const response = await post(`${put('a', '1')}\n${'x'.repeat(1_500_000)}\n${put('b', '1')}`);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ code: 'batch-too-large', limit: 'batchLineBytesMax' });
    expect([await valueOf('a'), await valueOf('b')]).toEqual([null, null]);
  });

  it('ends at a line above the limit in a stream', async () => {
    const results = await linesOf(await stream(`${put('a', '1')}\n`, 'x'.repeat(1_500_000), `\n${put('b', '1')}`));
    expect(results).toHaveLength(2);
    expect(results[1]).toMatchObject({ problem: { code: 'batch-too-large', limit: 'batchLineBytesMax' } });
    expect(results[1]).not.toHaveProperty('line');
    expect([await valueOf('a'), await valueOf('b')]).toEqual(['1', null]);
  });

  it('discards the rest of a body that it does not read, for the next request on the connection', async () => {
    // Far more than the buffers of a socket hold.
    const body = 'x'.repeat(16 * 1024 * 1024);
    const answers = await h.raw(
      `POST /v1/kv/default HTTP/1.1\r\nhost: h\r\ncontent-length: ${body.length}\r\n\r\n`,
      body,
      'GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n',
    );
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 200']);
    expect(answers).toContain('batch-too-large');
  });

  it('refuses a short batch with too many operations before anything is written', async () => {
    const response = await post(Array.from({ length: 10_001 }, (_, i) => put(`k${i}`, '1')).join('\n'));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({
      code: 'batch-too-large',
      limit: 'batchOperationsMax',
      max: 10_000,
      line: 10_001,
    });
    expect(await valueOf('k0')).toBeNull();
    expect(await batch(Array.from({ length: 10_000 }, () => del('k')).join('\n\n'))).toHaveLength(10_000);
  });

  it.each([
    ['in a stream', () => stream(Array.from({ length: 10_001 }, () => del('k')).join('\n'))],
    ['in a long body', () => post(`${' '.repeat(1024)}\n`.repeat(5000) + `${del('k')}\n`.repeat(10_001))],
  ])('ends at the operation above the limit %s', async (_where, send) => {
    const results = await linesOf(await send());
    expect(results).toHaveLength(10_001);
    expect(results[9_999]).toMatchObject({ ok: true });
    expect(results[10_000]).toMatchObject({
      problem: { code: 'batch-too-large', limit: 'batchOperationsMax', max: 10_000 },
    });
  });

  it('takes a value of the largest size and refuses a larger one', async () => {
    const results = await batch([put('a', 'x'.repeat(1_048_576)), put('b', 'x'.repeat(1_048_577))].join('\n'));
    expect(results[0]).toMatchObject({ ok: true });
    expect(results[1]).toMatchObject({ ok: false, problem: { code: 'value-too-large', limit: 'valueBytesMax' } });
  });

  it('ends at a line that is not UTF-8', async () => {
    const bytes = Buffer.concat([Buffer.from(`${put('a', '1')}\n`), Buffer.from([0xff, 0x0a])]);
    expect(await problemOf(await post(bytes))).toBe('400 bad-request');
    expect(await valueOf('a')).toBeNull();
    const results = await linesOf(await stream(bytes));
    expect(results[0]).toMatchObject({ ok: true });
    expect(results[1]).toMatchObject({ problem: { code: 'bad-request' } });
  });

  it('refuses an unknown bucket or parameter before it reads', async () => {
    const ask = (path: string) => h.fetch(path, { method: 'POST', body: put('a', '1') });
    expect(await problemOf(await ask('/v1/kv/nope'))).toBe('404 bucket-not-found');
    expect(await problemOf(await ask('/v1/kv/default?x=1'))).toBe('400 bad-request');
    expect(await valueOf('a')).toBeNull();
  });

  it('survives a client that goes away in the middle', async () => {
    await new Promise<void>((resolve) => {
      const client = httpRequest(`${h.url}/v1/kv/default`, { method: 'POST' });
      client.on('error', () => undefined).on('close', resolve);
      client.on('response', (response) => {
        response.on('error', () => undefined);
        client.destroy();
      });
      client.write(`${put('a', '1')}\n`);
    });
    expect(await valueOf('a')).toBe('1');
    expect(h.errors).toEqual([]);
  });
});
