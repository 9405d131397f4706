import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type FakeNode, fakeNode, json, problem, run } from './harness.ts';

let node: FakeNode | undefined;

afterEach(async () => {
  await node?.close();
  node = undefined;
});

const WRITTEN = { etag: '"a.1"', 'holdfast-context': 'ctx', 'holdfast-acks': '3/3', 'holdfast-quorum': 'strict' };

async function serve(...[handler]: Parameters<typeof fakeNode>): Promise<string> {
  node = await fakeNode(handler);
  return node.api;
}

describe('get', () => {
  const bytes = Buffer.from([0, 1, 0xff, 0x0a, 0xfe]);

  it('prints the bytes as they are in a pipe', async () => {
    const api = await serve((_request, response) => response.setHeader('etag', '"a.1"').end(bytes));
    const result = await run(['get', 'default', 'a/b c', '--level', 'all', '--api', api]);
    expect(result).toMatchObject({ status: 0, err: '' });
    expect(result.bytes).toEqual(bytes);
    expect(node?.requests[0]?.url).toBe('/v1/kv/default/a%2Fb%20c?r=all');
  });

  it('ends the line on a terminal unless the value does', async () => {
    const api = await serve((request, response) => response.end(request.url.endsWith('with') ? 'hi\n' : 'hi'));
    expect((await run(['get', 'default', 'with', '--api', api], { isTTY: true })).out).toBe('hi\n');
    expect((await run(['get', 'default', 'none', '--api', api], { isTTY: true })).out).toBe('hi\n');
    expect((await run(['get', 'default', 'none', '--api', api])).out).toBe('hi');
  });

  it('fails for a missing key', async () => {
    const api = await serve(
      problem(404, { title: 'Not found', detail: 'bucket default has no key "x"', code: 'not-found' }),
    );
    expect(await run(['get', 'default', 'x', '--api', api])).toMatchObject({
      status: 1,
      out: '',
      err: 'holdfast: Not found: bucket default has no key "x" (not-found)\n',
    });
  });

  it('tells with --json the context of an answer that there is none', async () => {
    const api = await serve((request, response) => {
      response.setHeader('holdfast-context', 'ctx');
      return problem(404, { title: 'Not found', detail: 'no key "x"', code: 'not-found' })(request, response);
    });
    const { status, out, err } = await run(['get', 'default', 'x', '--json', '--api', api]);
    expect([status, out]).toEqual([1, '']);
    expect(JSON.parse(err)).toMatchObject({ code: 'not-found', context: 'ctx' });
  });

  it('prints everything with --json', async () => {
    const headers = {
      'content-type': 'image/png',
      etag: '"a.1"',
      'holdfast-context': 'ctx',
      'holdfast-complete': 'false',
    };
    const api = await serve((_request, response) => response.writeHead(200, headers).end(bytes));
    const { out, err } = await run(['get', 'default', 'x', '--json', '--api', api]);
    expect(JSON.parse(out)).toEqual({
      key: 'x',
      value: bytes.toString('base64'),
      contentType: 'image/png',
      etag: '"a.1"',
      context: 'ctx',
      complete: false,
    });
    expect(err).toContain('newer writes may be missing');
  });

  it('prints a set as the JSON that it comes as', async () => {
    const headers = { 'content-type': 'application/json', 'holdfast-type': 'set', etag: '"a.1"' };
    const api = await serve((_request, response) => response.writeHead(200, headers).end('{"members":["a"]}'));
    expect((await run(['get', 'default', 'x', '--api', api])).out).toBe('{"members":["a"]}');
    expect(JSON.parse((await run(['get', 'default', 'x', '--json', '--api', api])).out)).toEqual({
      key: 'x',
      type: 'set',
      members: ['a'],
      etag: '"a.1"',
      context: null,
      complete: true,
    });
  });

  it('passes a context on', async () => {
    const api = await serve((_request, response) => response.writeHead(200).end('x'));
    expect((await run(['get', 'default', 'k', '--context', 'c1', '--api', api])).status).toBe(0);
    expect(node?.requests[0]?.headers).toMatchObject({ 'holdfast-context': 'c1' });
  });

  it('prints concurrent values as lines', async () => {
    const siblings = [
      { value: 'YQ==', etag: '"a.1"' },
      { value: 'Yg==', etag: '"b.1"' },
    ];
    const headers = { 'content-type': 'application/json', 'holdfast-context': 'ctx' };
    const api = await serve((_request, response) => response.writeHead(300, headers).end(JSON.stringify(siblings)));
    const plain = await run(['get', 'carts', 'x', '--api', api]);
    expect(plain.out).toBe(siblings.map((sibling) => `${JSON.stringify(sibling)}\n`).join(''));
    expect(plain.err).toContain('2 concurrent values');
    const machine = await run(['get', 'carts', 'x', '--json', '--api', api]);
    expect(JSON.parse(machine.out)).toEqual({ key: 'x', etag: null, context: 'ctx', complete: true, siblings });
  });
});

describe('put', () => {
  it('sends an argument as text', async () => {
    const api = await serve((_request, response) => response.writeHead(204, WRITTEN).end());
    const args = ['put', 'default', 'k', 'grüße', '--ttl', '60', '--level', 'one', '--context', 'c1', '--api', api];
    expect(await run(args)).toMatchObject({ status: 0, out: 'stored (3/3 replicas)\n', err: '' });
    expect(node?.requests[0]).toMatchObject({ method: 'PUT', url: '/v1/kv/default/k?w=one&ttl=60', body: 'grüße' });
    expect(node?.requests[0]?.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '7',
      'holdfast-context': 'c1',
    });
  });

  it('sends standard input and files as bytes', async () => {
    const api = await serve((_request, response) => response.writeHead(204, WRITTEN).end());
    expect((await run(['put', 'default', 'k', '-', '--api', api], { stdin: 'piped\n' })).status).toBe(0);
    expect(node?.requests[0]).toMatchObject({
      body: 'piped\n',
      headers: { 'content-type': 'application/octet-stream' },
    });
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
    try {
      await writeFile(join(folder, 'f'), 'from file');
      const args = ['put', 'default', 'k', '--file', 'f', '--type', 'text/x', '--api', api];
      expect((await run(args, { cwd: folder })).status).toBe(0);
      expect(node?.requests[1]).toMatchObject({ body: 'from file', headers: { 'content-type': 'text/x' } });
      const missing = await run(['put', 'default', 'k', '--file', 'g', '--api', api], { cwd: folder });
      expect(missing.status).toBe(1);
      expect(missing.err).toMatch(/^holdfast: cannot read .*\/g: .* — name a file that you can read\n$/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('sends an empty value and one that looks like an option', async () => {
    const api = await serve((_request, response) => response.writeHead(204, WRITTEN).end());
    expect((await run(['put', 'default', 'k', '', '--api', api])).status).toBe(0);
    expect((await run(['--api', api, 'put', 'default', 'k', '--', '--json'])).status).toBe(0);
    expect(node?.requests.map(({ body }) => body)).toEqual(['', '--json']);
  });

  it('says when stand-ins took the write, and all of it with --json', async () => {
    const headers = { ...WRITTEN, 'holdfast-acks': '2/3', 'holdfast-quorum': 'sloppy' };
    const api = await serve((_request, response) => response.writeHead(204, headers).end());
    expect((await run(['put', 'default', 'k', 'v', '--api', api])).out).toBe(
      'stored (2/3 replicas), with stand-ins for owners that are away\n',
    );
    expect(JSON.parse((await run(['put', 'default', 'k', 'v', '--json', '--api', api])).out)).toEqual({
      key: 'k',
      etag: '"a.1"',
      context: 'ctx',
      acks: '2/3',
      quorum: 'sloppy',
    });
  });

  it('fails in the words of a command line, and with all that the node said for programs', async () => {
    const api = await serve(
      problem(503, {
        type: '/docs#quorum-unavailable',
        title: 'Quorum unavailable',
        detail: '1 of 2 needed nodes have the write; restore the links between the owners, or ask for less with w=one',
        code: 'quorum-unavailable',
        instance: '/v1/kv/default/k',
        stateChanged: 'maybe',
        acks: 1,
        needed: 2,
      }),
    );
    const plain = await run(['put', 'default', 'k', 'v', '--api', api]);
    expect([plain.status, plain.err]).toEqual([
      1,
      'holdfast: Quorum unavailable: 1 of 2 needed nodes have the write; restore the links between the owners, or ask for less with --level one (quorum-unavailable) — the write may have taken effect all the same\n',
    ]);
    expect(JSON.parse((await run(['put', 'default', 'k', 'v', '--json', '--api', api])).err)).toEqual({
      code: 'quorum-unavailable',
      message: plain.err.slice('holdfast: '.length, -1),
      stateChanged: 'maybe',
      acks: 1,
      needed: 2,
    });
  });

  it('refuses what cannot be sent, before it asks the node', async () => {
    const api = await serve(json({}));
    const cases: [string[], number, RegExp][] = [
      [['k'], 2, /no value is given/],
      [['k', 'v', '--file', 'f'], 2, /both given/],
      [['..', 'v'], 2, /cannot be part of a URL/],
      [['', 'v'], 2, /the key is empty/],
      [['\ud800', 'v'], 2, /not valid Unicode/],
      [['k\ufffd', 'v'], 2, /the key is not UTF-8/],
      [['k', 'v\ufffd'], 2, /the value is not UTF-8.*--file/],
      [['k', '--file', '/none/f'], 1, /cannot read \/none\/f: no such file or directory — name a file/],
      [['k', '-'], 1, /standard input has more than 1048576 bytes/],
    ];
    for (const [args, status, message] of cases) {
      const result = await run(['put', 'default', ...args, '--api', api], { stdin: 'x'.repeat(1024 * 1024 + 1) });
      expect(result.err).toMatch(message);
      expect(result.status).toBe(status);
    }
    expect(node?.requests).toEqual([]);
  });
});

describe('del', () => {
  it('deletes', async () => {
    const api = await serve((_request, response) => response.writeHead(204, WRITTEN).end());
    expect(await run(['del', 'default', 'k', '--level', 'all', '--api', api])).toMatchObject({
      status: 0,
      out: 'deleted (3/3 replicas)\n',
    });
    expect(node?.requests[0]).toMatchObject({ method: 'DELETE', url: '/v1/kv/default/k?w=all' });
  });

  it('says that there was nothing', async () => {
    const headers = { ...WRITTEN, 'holdfast-acks': '0/3' };
    const api = await serve((request, response) =>
      response
        .writeHead(204, request.url.endsWith('/far') ? { ...headers, 'holdfast-quorum': 'sloppy' } : headers)
        .end(),
    );
    const del = async (...args: string[]) => (await run(['del', 'default', ...args, '--api', api])).out;
    expect(await del('k')).toBe('nothing deleted: there is no such key\n');
    expect(await del('far')).toBe('nothing deleted: there is no such key, as far as the asked node knows\n');
    expect(await del('k', '--context', 'AgKY')).toBe('nothing deleted: there is nothing that the context has seen\n');
    expect(JSON.parse(await del('k', '--json'))).toMatchObject({ key: 'k', acks: '0/3', quorum: 'strict' });
  });
});

describe('scan', () => {
  const value = (text: string): string => Buffer.from(text).toString('base64');

  /** A listing of keys k0001…, in pages as long as was asked for. */
  async function serveKeys(count: number): Promise<string> {
    const keys = Array.from({ length: count }, (_, i) => `k${String(i + 1).padStart(5, '0')}`);
    return serve((request, response) => {
      const query = new URL(request.url, 'http://x').searchParams;
      const from = keys.filter((key) => key > (query.get('after') ?? ''));
      const page = from.slice(0, Number(query.get('limit')));
      const lines: object[] = page.map((key) => ({
        key,
        ...(query.get('values') === 'true' ? { value: value(key) } : {}),
      }));
      if (page.length < from.length) lines.push({ next: page.at(-1) });
      response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    });
  }

  it('goes on page by page until the end', async () => {
    const api = await serveKeys(10_003);
    const { status, out, err } = await run(['scan', 'default', '--api', api]);
    expect([status, err]).toEqual([0, '']);
    expect(out.trimEnd().split('\n')).toHaveLength(10_003);
    expect(out.endsWith('k10003\n')).toBe(true);
    expect(node?.requests.map(({ url }) => url)).toEqual([
      '/v1/kv/default?limit=10000&values=false',
      '/v1/kv/default?after=k10000&limit=10000&values=false',
    ]);
  });

  it('stops at the limit and says where to go on', async () => {
    const api = await serveKeys(5);
    const plain = await run(['scan', 'default', '--limit', '2', '--after', 'k00001', '--prefix', 'k', '--api', api]);
    expect(plain.out).toBe('k00002\nk00003\n');
    expect(plain.err).toBe('holdfast: there is more — go on with --after "k00003"\n');
    expect(node?.requests[0]?.url).toBe('/v1/kv/default?prefix=k&after=k00001&limit=2&values=false');
    const machine = await run(['scan', 'default', '--limit', '1', '--json', '--api', api]);
    expect(machine.out).toBe('{"key":"k00001"}\n{"next":"k00001"}\n');
  });

  it('prints values, binary ones and concurrent ones too', async () => {
    const lines = [
      { key: 'a', value: value('text\twith\u001b') },
      { key: 'b', value: Buffer.from([0xff, 0xfe]).toString('base64') },
      { key: 'c', siblings: [{ value: value('1') }, { value: value('2') }] },
      { key: 'd', type: 'set', members: ['x', 'y\u001b', { base64: '//4=' }] },
      { key: 'e', type: 'map', fields: { f: 'v' }, binaryFields: [{ field: { base64: '/w==' }, value: '5' }] },
      { key: 'f', siblings: [{ value: value('1') }, { type: 'set', members: ['x'] }] },
      { key: 'g', type: 'set' },
      { complete: false },
    ];
    const api = await serve((_request, response) =>
      response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    );
    const { out, err } = await run(['scan', 'default', '--values', '--api', api]);
    expect(out).toBe(
      'a\ttext\\u0009with\\u001b\nb\t<2 B of binary data>\nc\t1 | 2\n' +
        'd\t{x, y\\u001b, <2 B of binary data>}\ne\t{f: v, <1 B of binary data>: 5}\nf\t1 | {x}\ng\n',
    );
    expect(err).toBe('holdfast: parts of the cluster could not be asked; keys may be missing\n');
    expect(
      (await run(['scan', 'default', '--json', '--api', api])).out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(lines);
  });

  it('fails when the listing breaks off or does not advance', async () => {
    let lines: object[] = [
      { key: 'a' },
      { next: 'a', problem: { title: 'Not ready', detail: 'wait', code: 'not-ready' } },
    ];
    const api = await serve((_request, response) =>
      response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join('')),
    );
    expect(await run(['scan', 'default', '--api', api])).toMatchObject({
      status: 1,
      out: 'a\n',
      err: 'holdfast: the listing broke off: Not ready: wait (not-ready)\n',
    });
    lines = [{ next: 'a' }];
    expect((await run(['scan', 'default', '--api', api])).err).toContain('the listing does not advance');
  });
});
