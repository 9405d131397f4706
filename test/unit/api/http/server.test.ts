import { connect, createServer } from 'node:net';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startHttpApi } from '../../../../src/api/http/server.ts';
import { FakeNodeHandle } from '../../../support/fake-node-handle.ts';
import { RecordingLog } from '../../../support/recording-log.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

describe('routing', () => {
  let h: Harness;

  beforeEach(async () => {
    h = await startHarness();
  });

  it.each(['/', '/v1', '/v1/leaders', '/v1/hubs', '/v1/kv', '/V1/status', '/v1/status/', '//v1/status', '/openapi'])(
    'knows no %s',
    async (path) => {
      expect(await problemOf(await h.fetch(path))).toBe('404 route-not-found');
    },
  );

  it.each([
    ['POST', '/v1/status', 'GET, HEAD'],
    ['DELETE', '/v1/kv/default', 'GET, POST'],
    ['PATCH', '/v1/kv/default/k', 'DELETE, GET, HEAD, PUT'],
    ['OPTIONS', '/v1/kv/default/k', 'DELETE, GET, HEAD, PUT'],
    ['HEAD', '/v1/events', 'GET'],
    ['DELETE', '/v1/buckets/default', 'GET, HEAD, PUT'],
  ])('refuses %s %s', async (method, path, allow) => {
    const response = await h.fetch(path, { method });
    expect(response.headers.get('allow')).toBe(allow);
    if (method === 'HEAD') expect(response.status).toBe(405);
    else expect(await problemOf(response)).toBe('405 method-not-allowed');
  });

  it('refuses writes from pages of other origins, and takes its own', async () => {
    const from = (origin: string, method = 'PUT') =>
      h.fetch('/v1/kv/default/k', { method, headers: { origin }, ...(method === 'PUT' ? { body: '1' } : {}) });
    expect(await problemOf(await from('https://elsewhere.example'))).toBe('401 unauthorized');
    expect(await problemOf(await from('null'))).toBe('401 unauthorized');
    expect((await from(h.url)).status).toBe(204);
    expect((await from('https://elsewhere.example', 'GET')).status).toBe(200);
  });
});

describe('malformed HTTP', () => {
  it.each([
    ['garbage', Buffer.from([0x16, 0x03, 0x01, 0x00, 0xa5, 0x01, 0x00, 0x00]), 400],
    ['a request line that is none', 'HELLO\r\n\r\n', 400],
    ['another protocol', '*1\r\n$4\r\nPING\r\n', 400],
    [
      'two lengths',
      'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
    ],
    [
      'length and chunks',
      'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a bad chunk', 'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400],
    ['a negative length', 'PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', 400],
    ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', 400],
    ['a header that is too long', `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`, 431],
    ['a path that is too long', `GET /${'y'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
  ])('%s is refused and the node lives on', async (_name, bytes, status) => {
    const h = await startHarness();
    const answer = await h.raw(bytes);
    expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    expect((await h.fetch('/healthz')).status).toBe(200);
    expect(h.errors).toEqual([]);
  });

  it('is answered with a problem document and counted', async () => {
    const h = await startHarness();
    const answer = await h.raw('HELLO\r\n\r\n');
    const [head = '', body = ''] = answer.split('\r\n\r\n');
    expect(head).toContain('content-type: application/problem+json');
    expect(JSON.parse(body)).toMatchObject({ status: 400, code: 'bad-request' });
    expect(h.node.refusals).toEqual(['http protocol']);
  });
});

describe('slow and absent clients', () => {
  it('are cut off when the headers do not come', async () => {
    const h = await startHarness({ headersTimeoutMs: 50, timeoutCheckIntervalMs: 10 });
    expect(await h.raw('GET /healthz HTTP/1.1\r\nHost: x\r\nX: ')).toMatch(/^HTTP\/1.1 408 /);
  });

  it('are cut off when the body does not come', async () => {
    const h = await startHarness({ headersTimeoutMs: 50, requestTimeoutMs: 60, timeoutCheckIntervalMs: 10 });
    const answer = await h.raw('PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab');
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    expect((await h.fetch('/v1/kv/default/k')).status).toBe(404);
  });

  it('are cut off when nothing moves', async () => {
    const h = await startHarness({ idleTimeoutMs: 30 });
    expect(await h.raw()).toBe('');
  });

  it('do no harm when they go in the middle of a body', async () => {
    const h = await startHarness();
    const socket = connect(h.api.port, '127.0.0.1');
    socket.write('PUT /v1/kv/default/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab');
    await expect.poll(async () => (await h.fetch('/healthz')).status).toBe(200);
    socket.destroy();
    expect((await h.fetch('/v1/kv/default/k')).status).toBe(404);
    expect(h.errors).toEqual([]);
  });

  it('beyond the number of connections are dropped', async () => {
    const h = await startHarness({ connectionsMax: 1 });
    const first = connect(h.api.port, '127.0.0.1');
    onTestFinished(() => void first.destroy());
    await new Promise((resolve) => first.once('connect', resolve));
    expect(await h.raw('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('');
  });
});

describe('listening', () => {
  const log = new RecordingLog();
  const start = (host: string, port: number) =>
    startHttpApi({ node: new FakeNodeHandle(), host, port, log, version: '0' });

  it('tells what is wrong with a used port', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    await expect(start('127.0.0.1', port)).rejects.toMatchObject({
      name: 'ListenError',
      code: 'address-in-use',
      message: `cannot open the HTTP API on 127.0.0.1:${port}: another process uses this port; stop it or choose another with --http HOST:PORT`,
    });
  });

  it('tells what is wrong with a foreign address', async () => {
    await expect(start('192.0.2.1', 0)).rejects.toMatchObject({ code: 'address-not-available' });
  });

  it('closes although a request hangs', async () => {
    const h = await startHarness({ closeGraceMs: 20 });
    let entered = false;
    h.node.before = () => {
      entered = true;
      return new Promise(() => undefined);
    };
    const hanging = h.fetch('/v1/kv/default/k').then(
      () => 'answered',
      () => 'cut',
    );
    await expect.poll(() => entered).toBe(true);
    await h.api.close();
    expect(await hanging).toBe('cut');
    await expect(h.fetch('/healthz')).rejects.toThrow();
  });

  it('lets a request under way finish when it closes', async () => {
    const h = await startHarness({ closeGraceMs: 5000 });
    let release = (): void => undefined;
    h.node.before = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    const answer = h.put('/v1/kv/default/k', '1');
    const idle = release;
    await expect.poll(() => release !== idle).toBe(true);
    const closed = h.api.close();
    release();
    expect((await answer).status).toBe(204);
    await closed;
  });
});
