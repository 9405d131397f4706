import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { readLines } from '../../../src/cli/line-reader.ts';
import { readServerSentEvents } from '../../../src/cli/server-sent-events.ts';
import { type FakeNode, fakeNode, problem, run } from './harness.ts';

let node: FakeNode | undefined;

afterEach(async () => {
  await node?.close();
  node = undefined;
});

async function* chunksOf(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe('lines', () => {
  it('come out the same however the bytes are cut', async () => {
    const line = fc.string({ unit: 'grapheme' }).filter((text) => !/[\r\n]/.test(text));
    const end = fc.constantFrom('\n', '\r\n');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(line, end)),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
        async (lines, sizes) => {
          const bytes = new TextEncoder().encode(lines.map(([text, ending]) => text + ending).join(''));
          const plain = lines.map(([text]) => new TextDecoder().decode(new TextEncoder().encode(text)));
          // The decoder takes a byte order mark off the beginning.
          if (plain[0]?.startsWith('\ufeff')) plain[0] = plain[0].slice(1);
          expect(await collect(readLines(chunksOf(bytes, sizes)))).toEqual(plain);
        },
      ),
    );
  });

  it('without an end come out too, and endless ones are refused', async () => {
    expect(await collect(readLines(chunksOf(Buffer.from('a\nb'), [1])))).toEqual(['a', 'b']);
    expect(await collect(readLines(chunksOf(Buffer.from('a\rb\r'), [1])))).toEqual(['a', 'b']);
    const endless = chunksOf(Buffer.alloc(5 * 1024 * 1024, 'x'), [65_536]);
    await expect(collect(readLines(endless))).rejects.toThrow('longer than');
  });
});

describe('server-sent events', () => {
  it('are read as the standard says', async () => {
    const text = [
      ': comment\nretry: 250\nid: r:0\n\n',
      'id: r:1\nevent: put\ndata: {"a":1}\n\n',
      'data:no space\ndata: two\nunknown: x\nbare\n\n',
      'event: empty\n\n',
      'id: r:9\n\ndata: cut off',
    ].join('');
    const position = { id: '', retryMs: null };
    const events = await collect(readServerSentEvents(chunksOf(Buffer.from(text), [3, 1]), position));
    expect(events).toEqual([
      { type: 'put', data: '{"a":1}' },
      { type: 'message', data: 'no space\ntwo' },
    ]);
    expect(position).toEqual({ id: 'r:9', retryMs: 250 });
  });

  it('do not name a position before the event is whole', async () => {
    const position = { id: 'r:1', retryMs: null };
    await collect(readServerSentEvents(chunksOf(Buffer.from('id: r:2\ndata: x\n'), [100]), position));
    expect(position.id).toBe('r:1');
  });
});

const event = (seq: number): string =>
  `id: run:${seq}\nevent: member-alive\ndata: ${JSON.stringify({
    seq,
    time: '2026-03-01T11:59:48.000Z',
    type: 'member-alive',
    data: { member: `edge-${seq}`, incarnation: 1 },
  })}\n\n`;

describe('events', () => {
  it('prints what is retained and ends', async () => {
    node = await fakeNode((_request, response) => response.end(event(1) + event(2)));
    const { status, out } = await run(['events', '--api', node.api]);
    expect(status).toBe(0);
    expect(out).toMatchInlineSnapshot(`
      "2026-03-01T11:59:48.000Z  member-alive        member=edge-1  incarnation=1
      2026-03-01T11:59:48.000Z  member-alive        member=edge-2  incarnation=1
      "
    `);
    expect(node.requests[0]?.url).toBe('/v1/events?follow=false');
    expect((await run(['events', '--api', node.api], { isTTY: true, env: { NO_COLOR: '1' } })).out).toContain(
      '12 s ago',
    );
    const machine = await run(['events', '--json', '--api', node.api]);
    expect(JSON.parse(machine.out.split('\n')[1] ?? '')).toMatchObject({ seq: 2, type: 'member-alive' });
  });

  it('--follow resumes after a break and stops cleanly when interrupted', async () => {
    node = await fakeNode((request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (request.headers['last-event-id'] === undefined) {
        response.write(`retry: 2000\n\n${event(1)}`);
        setImmediate(() => response.destroy());
      } else if (request.headers['last-event-id'] === 'run:1') response.end(event(2));
      else response.write(event(3));
    });
    const { status, out, err, sleeps } = await run(['events', '--follow', '--api', node.api], {
      onOutput: (text, interrupt) => {
        if (text.includes('edge-3')) interrupt();
      },
    });
    expect(status).toBe(0);
    expect(out.match(/edge-\d/g)).toEqual(['edge-1', 'edge-2', 'edge-3']);
    expect(node.requests.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, 'run:1', 'run:2']);
    expect(err.match(/reconnecting/g)).toHaveLength(2);
    expect(sleeps).toEqual([2000, 2000]);
  });

  it('--follow waits longer while the node stays away, and goes on when it is back', async () => {
    const server = await fakeNode((_request, response) => response.end(event(1)));
    node = server;
    let calls = 0;
    const flaky: typeof fetch = (input, init) => {
      calls++;
      if (calls > 1 && calls < 8)
        return Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } }));
      return fetch(input, init);
    };
    const { status, sleeps, out } = await run(['events', '-f', '--api', server.api], {
      fetch: flaky,
      onOutput: (text, interrupt) => {
        if (text.split('\n').length > 2) interrupt();
      },
    });
    expect([status, out.trimEnd().split('\n').length]).toEqual([0, 2]);
    expect(sleeps).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it('--follow waits for a node that waits for its cluster', async () => {
    let asked = 0;
    node = await fakeNode((_request, response) => {
      if (++asked !== 2) return response.end(event(asked));
      response.writeHead(503, { 'content-type': 'application/problem+json' });
      return response.end(JSON.stringify({ title: 'Not ready', status: 503, detail: 'it waits', code: 'not-ready' }));
    });
    const { status, err } = await run(['events', '-f', '--api', node.api], {
      onOutput: (text, interrupt) => {
        if (text.split('\n').length > 2) interrupt();
      },
    });
    expect([status, asked]).toEqual([0, 3]);
    expect(err).toContain('it waits');
  });

  it('--follow gives up when the node refuses', async () => {
    let first = true;
    node = await fakeNode((request, response) => {
      if (first) response.end(event(1));
      else problem(503, { title: 'Shutting down', detail: 'bye', code: 'shutting-down' })(request, response);
      first = false;
    });
    expect(await run(['events', '--follow', '--api', node.api])).toMatchObject({ status: 1 });
  });

  it('say when some were missed', async () => {
    node = await fakeNode((_request, response) =>
      response.end('id: r:1\nevent: reset\ndata: {"reason":"too-old"}\n\n'),
    );
    expect((await run(['events', '--api', node.api])).err).toContain('some events were missed');
    expect((await run(['events', '--json', '--api', node.api])).out).toBe(
      '{"type":"reset","data":{"reason":"too-old"}}\n',
    );
  });
});

describe('watch', () => {
  const stream = [
    'id: r:1\nevent: put\ndata: {"key":"a","value":"aGk=","contentType":"text/plain"}\n\n',
    'id: r:2\nevent: delete\ndata: {"key":"a"}\n\n',
    'id: r:3\nevent: reset\ndata: {"reason":"too-old"}\n\n',
    'id: r:3\nevent: synced\ndata: {"time":"2026-01-01T00:00:00.000Z","complete":false}\n\n',
    'id: r:4\nevent: put\ndata: {"key":"s","type":"set","members":["m"]}\n\n',
    'id: r:5\nevent: put\ndata: {"key":"end","value":""}\n\n',
  ].join('');

  async function watch(...extra: string[]) {
    node = await fakeNode((_request, response) => void response.write(stream));
    return run(['watch', 'default', '--prefix', 'n/', ...extra, '--api', node.api], {
      onOutput: (text, interrupt) => {
        if (text.includes('end')) interrupt();
      },
    });
  }

  it('prints changes', async () => {
    expect(await watch()).toMatchObject({
      status: 0,
      out: 'put  a\thi\ndel  a\nput  s\t{m}\nput  end\t\n',
      err:
        'holdfast: changes may have been missed — what is there now\n' +
        'holdfast: that was all there is, as far as the cluster can be reached; changes follow\n',
    });
    expect(node?.requests[0]?.url).toBe('/v1/watch/default?prefix=n%2F');
  });

  it('prints JSON lines', async () => {
    const { out } = await watch('--json');
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([
      { type: 'put', key: 'a', value: 'aGk=', contentType: 'text/plain' },
      { type: 'delete', key: 'a' },
      { type: 'reset', reason: 'too-old' },
      { type: 'synced', time: '2026-01-01T00:00:00.000Z', complete: false },
      { type: 'put', valueType: 'set', key: 's', members: ['m'] },
      { type: 'put', key: 'end', value: '' },
    ]);
  });
});

describe('a reader that goes away', () => {
  it('ends the command quietly', async () => {
    node = await fakeNode((_request, response) => response.end(event(1)));
    for (const args of [['events'], ['secret']]) {
      expect(await run([...args, '--api', node.api], { stdoutError: 'EPIPE' })).toMatchObject({ status: 0, err: '' });
    }
    expect(await run(['secret'], { stdoutError: 'EIO' })).toMatchObject({ status: 1, err: 'holdfast: write EIO\n' });
  });
});
