import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { EventReader, type Harness, problemOf, startHarness } from './harness.ts';

async function open(h: Harness, path: string, lastId?: string): Promise<EventReader> {
  const response = await h.fetch(path, lastId === undefined ? {} : { headers: { 'last-event-id': lastId } });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  return new EventReader(response);
}

describe('events', () => {
  it('replays what is retained and follows', async () => {
    const h = await startHarness();
    h.node.events.emit('member-alive', { name: 'a' });
    const reader = await open(h, '/v1/events');
    expect(await reader.next()).toEqual({
      id: 'run1:1',
      event: 'member-alive',
      data: { seq: 1, time: '2026-01-01T00:00:00.000Z', type: 'member-alive', data: { name: 'a' } },
    });
    h.node.events.emit('member-dead', { name: 'a' });
    expect(await reader.next()).toMatchObject({ id: 'run1:2', event: 'member-dead' });
    await reader.cancel();
    await expect.poll(() => h.node.events.subscribers).toBe(0);
  });

  it('ends after what is retained without follow', async () => {
    const h = await startHarness();
    h.node.events.emit('one');
    h.node.events.emit('two');
    const reader = await open(h, '/v1/events?follow=false');
    expect((await reader.take(3)).map(({ event }) => event)).toEqual(['one', 'two']);
    expect(h.node.events.subscribers).toBe(0);
  });

  it('resumes after an id', async () => {
    const h = await startHarness();
    for (const type of ['one', 'two', 'three']) h.node.events.emit(type);
    const reader = await open(h, '/v1/events', 'run1:1');
    expect((await reader.take(2)).map(({ event }) => event)).toEqual(['two', 'three']);
  });

  it.each([
    ['another run', 'run0:2', 'other-run'],
    ['events that are gone', 'run1:1', 'too-old'],
    ['an id of the future', 'run1:9', 'unknown-position'],
  ])('says so when it cannot resume: %s', async (_name, lastId, reason) => {
    const h = await startHarness({}, { retained: 2 });
    for (const type of ['one', 'two', 'three', 'four']) h.node.events.emit(type);
    const reader = await open(h, '/v1/events', lastId);
    expect(await reader.take(3)).toMatchObject([
      { event: 'reset', data: { reason } },
      { id: 'run1:3', event: 'three' },
      { id: 'run1:4', event: 'four' },
    ]);
  });

  it.each(['nonsense', 'run1:', 'run1:-1', 'run1:1x', ':1', `${'x'.repeat(100)}:1`])(
    'refuses the id %s',
    async (lastId) => {
      const h = await startHarness();
      const response = await h.fetch('/v1/events', { headers: { 'last-event-id': lastId } });
      expect(await problemOf(response)).toBe('400 bad-request');
    },
  );
});

describe('watch', () => {
  it('shows puts and deletes from now on', async () => {
    const h = await startHarness();
    await h.put('/v1/kv/default/before', '1');
    const reader = await open(h, '/v1/watch/default');
    await h.put('/v1/kv/default/k', 'hi', { 'content-type': 'text/plain' });
    await h.fetch('/v1/kv/default/k', { method: 'DELETE' });
    expect(await reader.take(2)).toEqual([
      {
        id: 'run1:2',
        event: 'put',
        data: {
          key: 'k',
          value: 'aGk=',
          contentType: 'text/plain',
          etag: '"00000000000000aa-2"',
          hlcMs: h.node.clockMs,
        },
      },
      { id: 'run1:3', event: 'delete', data: { key: 'k' } },
    ]);
  });

  it('keeps to its bucket and prefix, live and when resumed', async () => {
    const h = await startHarness();
    const live = await open(h, '/v1/watch/default?prefix=a%2F');
    for (const key of ['default/b', 'notes/a/x', 'default/a/1', 'default/a/2']) await h.put(`/v1/kv/${key}`, '1');
    expect((await live.take(2)).map(({ data }) => (data as { key: string }).key)).toEqual(['a/1', 'a/2']);
    const resumed = await open(h, '/v1/watch/default?prefix=a%2F', 'run1:0');
    expect((await resumed.take(2)).map(({ id }) => id)).toEqual(['run1:3', 'run1:4']);
  });

  it('shows siblings', async () => {
    const h = await startHarness();
    const reader = await open(h, '/v1/watch/notes');
    h.node.writeConcurrently('notes', 'k', 'x');
    h.node.writeConcurrently('notes', 'k', 'y');
    expect((await reader.take(2))[1]).toMatchObject({
      data: { key: 'k', siblings: [{ value: 'eA==' }, { value: 'eQ==' }] },
    });
  });

  it('gives an id at once, and a fresh one with each keep-alive, so that quiet watches can resume', async () => {
    const h = await startHarness({ streamKeepAliveIntervalMs: 5 });
    await h.put('/v1/kv/default/k', '1');
    const reader = await open(h, '/v1/watch/default?prefix=quiet');
    expect(await reader.block()).toBe('retry: 1000\nid: run1:1');
    await h.put('/v1/kv/default/other', '1');
    let block = await reader.block();
    while (block === ': keep-alive\nid: run1:1') block = await reader.block();
    expect(block).toBe(': keep-alive\nid: run1:2');
  });

  it.each([
    ['too-old', 'run1:1'],
    ['other-run', 'run0:3'],
    ['unknown-position', 'run1:9'],
    ['interrupted', 'run1:snapshot'],
  ])('sends the state where it cannot resume: %s', async (reason, lastId) => {
    const h = await startHarness({}, { retained: 2 });
    for (const key of ['a', 'b', 'c', 'd']) await h.put(`/v1/kv/default/${key}`, '1');
    const reader = await open(h, '/v1/watch/default', lastId);
    expect(await reader.next()).toEqual({ id: 'run1:snapshot', event: 'reset', data: { reason } });
    const state = await reader.take(4);
    expect(state.map(({ id, event, data }) => `${id} ${event} ${(data as { key: string }).key}`)).toEqual(
      ['a', 'b', 'c', 'd'].map((key) => `run1:snapshot put ${key}`),
    );
    const time = new Date(h.node.clockMs).toISOString();
    expect(await reader.next()).toEqual({ id: 'run1:4', event: 'synced', data: { time, complete: true } });
    await h.put('/v1/kv/default/e', '1');
    expect(await reader.next()).toMatchObject({ id: 'run1:5', event: 'put' });
  });

  it('begins with the state when asked to, within its prefix, page by page', async () => {
    const h = await startHarness();
    const names = Array.from({ length: 600 }, (_, i) => `a/${String(i).padStart(3, '0')}`);
    for (const name of [...names, 'b']) h.node.writeConcurrently('default', name, '1');
    h.node.complete = false;
    const reader = await open(h, '/v1/watch/default?prefix=a%2F&snapshot=true');
    expect(await reader.next()).toMatchObject({ event: 'reset', data: { reason: 'snapshot' } });
    expect((await reader.take(600)).map(({ data }) => (data as { key: string }).key)).toEqual(names);
    expect(await reader.next()).toMatchObject({ event: 'synced', data: { complete: false } });
  });

  it('tells changes while the state is read, and never the older state after them', async () => {
    const h = await startHarness();
    for (const key of ['a', 'b', 'c']) await h.put(`/v1/kv/default/${key}`, 'old');
    let isFirst = true;
    h.node.before = (request) => {
      if (request.type !== 'list' || !isFirst) return;
      isFirst = false;
      // The page holds what was there before.
      queueMicrotask(() => {
        h.node.writeConcurrently('default', 'b', 'new');
        h.node.changes.emit('default', 'c', []);
      });
    };
    const reader = await open(h, '/v1/watch/default?snapshot=true');
    const told = (await reader.take(5)).map(({ event, data }) => `${event} ${(data as { key?: string }).key ?? ''}`);
    expect(told).toEqual(['reset ', 'put b', 'delete c', 'put a', 'synced ']);
  });

  it('sends the state anew where a change may have been lost on the way to the node, and resumes only before', async () => {
    const h = await startHarness();
    await h.put('/v1/kv/default/a', '1');
    const reader = await open(h, '/v1/watch/default');
    h.node.changes.lose();
    expect((await reader.take(3)).map(({ event, id }) => `${event} ${id}`)).toEqual([
      'reset run1:snapshot',
      'put run1:snapshot',
      'synced run1~1:1',
    ]);
    const resumed = await open(h, '/v1/watch/default', 'run1~1:1');
    await h.put('/v1/kv/default/b', '1');
    expect(await resumed.next()).toMatchObject({ event: 'put', id: 'run1~1:2' });
    const missed = await open(h, '/v1/watch/default', 'run1:1');
    expect(await missed.next()).toMatchObject({ event: 'reset', data: { reason: 'missed' } });
  });

  it('shows nothing more of a state that counts no more, while it waits to send the next', async () => {
    const h = await startHarness();
    await h.put('/v1/kv/default/a', '1');
    let isFirst = true;
    h.node.before = (request) => {
      if (request.type === 'list' && isFirst) queueMicrotask(() => h.node.changes.lose());
      isFirst &&= request.type !== 'list';
    };
    const reader = await open(h, '/v1/watch/default?snapshot=true');
    expect((await reader.take(4)).map(({ event }) => event)).toEqual(['reset', 'reset', 'put', 'synced']);
  });

  it('reads a page again that the node could not give', async () => {
    const h = await startHarness();
    await h.put('/v1/kv/default/a', '1');
    let failures = 1;
    h.node.before = (request) => {
      if (request.type === 'list' && failures-- > 0) throw new HoldfastError(failure('not-ready', 'not yet'));
    };
    const reader = await open(h, '/v1/watch/default?snapshot=true');
    expect((await reader.take(3)).map(({ event }) => event)).toEqual(['reset', 'put', 'synced']);
  });

  it('waits until others have confirmed that they tell, before it reads', async () => {
    const h = await startHarness();
    h.node.changes.settling = true;
    let lists = 0;
    h.node.before = (request) => void (request.type === 'list' && lists++);
    const reader = await open(h, '/v1/watch/default?snapshot=true');
    expect(await reader.next()).toMatchObject({ event: 'reset' });
    expect(lists).toBe(0);
    h.node.changes.settling = false;
    h.node.changes.confirm();
    expect(await reader.next()).toMatchObject({ event: 'synced' });
    expect(lists).toBe(1);
  });

  it('refuses an unknown bucket and a bad parameter', async () => {
    const h = await startHarness();
    expect(await problemOf(await h.fetch('/v1/watch/nope'))).toBe('404 bucket-not-found');
    expect(await problemOf(await h.fetch('/v1/watch/default?key=1'))).toBe('400 bad-request');
  });
});

describe('limits of streams', () => {
  it('refuses one stream too many, and takes one when another is gone', async () => {
    const h = await startHarness({ streamsMax: 2 });
    const first = await open(h, '/v1/events');
    await open(h, '/v1/watch/default');
    const refused = await h.fetch('/v1/events');
    expect((await refused.clone().json()) as object).toMatchObject({ limit: 'streamsMax', max: 2 });
    expect(await problemOf(refused)).toBe('429 too-many-requests');
    await first.cancel();
    await expect.poll(async () => (await h.fetch('/v1/events')).status).toBe(200);
  });

  it('ends streams when the API closes', async () => {
    const h = await startHarness();
    const reader = await open(h, '/v1/events');
    await h.api.close();
    expect(await reader.next()).toBeNull();
  });

  /** A client that asks for a watch and then does not read. */
  async function sleeper(h: Harness) {
    const socket = connect(h.api.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /v1/watch/default HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(() => h.node.changes.subscribers).toBe(1);
    socket.pause();
    return socket;
  }

  const flood = (h: Harness, count: number): void => {
    for (let i = 0; i < count; i++) h.node.writeConcurrently('default', `k${i}`, 'x'.repeat(100_000));
  };

  it('disconnects a client that does not read', async () => {
    const h = await startHarness({ streamKeepAliveIntervalMs: 5, streamStallMs: 20 }, { retained: 400 });
    const socket = await sleeper(h);
    flood(h, 300);
    await expect.poll(() => h.node.changes.subscribers, { timeout: 5000 }).toBe(0);
    socket.destroy();
  });

  it('pauses a slow client and lets it catch up from what is retained, with a reset where that is gone', async () => {
    const h = await startHarness({}, { retained: 20 });
    const socket = await sleeper(h);
    flood(h, 300);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.resume();
    await expect.poll(() => text.includes('"reason":"too-old"'), { timeout: 10_000 }).toBe(true);
    h.node.writeConcurrently('default', 'last', '1');
    await expect.poll(() => text.includes('"key":"last"'), { timeout: 10_000 }).toBe(true);
    const ids = [...text.matchAll(/^id: run1:([0-9]+)$/gm)].map((match) => Number(match[1]));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    socket.destroy();
  });

  it('loses nothing for a slow client while all is retained', async () => {
    const h = await startHarness({}, { retained: 400 });
    const socket = await sleeper(h);
    flood(h, 300);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.resume();
    await expect.poll(() => text.includes('"key":"k299"'), { timeout: 10_000 }).toBe(true);
    const seen = [...text.matchAll(/"key":"k([0-9]+)"/g)].map((match) => Number(match[1]));
    expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => i));
    expect(text).not.toContain('reset');
    socket.destroy();
  });
});

it('nobody watches at a node that serves no requests', async () => {
  const h = await startHarness();
  h.node.ready = false;
  expect(await problemOf(await h.fetch('/v1/watch/default?snapshot=true'))).toBe('503 not-ready');
});
