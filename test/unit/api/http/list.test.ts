import { beforeEach, describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

async function list(query = '', bucket = 'default'): Promise<Record<string, unknown>[]> {
  const response = await h.fetch(`/v1/kv/${bucket}${query}`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  const text = await response.text();
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

const keys = (lines: Record<string, unknown>[]): unknown[] => lines.map((line) => line['key'] ?? line);

async function fill(...names: readonly string[]): Promise<void> {
  for (const name of names)
    await h.put(`/v1/kv/default/${encodeURIComponent(name)}`, name, { 'content-type': 'text/plain' });
}

describe('list', () => {
  it('gives keys in byte order with their values', async () => {
    await fill('b', 'a/2', 'a/1', '\u{10000}', '\uffff');
    const lines = await list();
    expect(keys(lines)).toEqual(['a/1', 'a/2', 'b', '\uffff', '\u{10000}']);
    expect(lines[2]).toEqual({
      key: 'b',
      value: 'Yg==',
      contentType: 'text/plain',
      etag: '"00000000000000aa-1"',
      hlcMs: h.node.clockMs,
    });
  });

  it('is empty for an empty bucket', async () => {
    expect(await list()).toEqual([]);
  });

  it('filters by prefix, begins after a key, and leaves values out', async () => {
    await fill('a', 'b1', 'b2', 'b3', 'c');
    expect(keys(await list('?prefix=b&after=b1'))).toEqual(['b2', 'b3']);
    expect((await list('?prefix=b1&values=false'))[0]).toEqual({
      key: 'b1',
      contentType: 'text/plain',
      etag: '"00000000000000aa-2"',
      hlcMs: h.node.clockMs,
    });
  });

  it('ends at the limit with the key to go on after', async () => {
    await fill('a', 'b', 'c');
    expect(keys(await list('?limit=2'))).toEqual(['a', 'b', { next: 'b' }]);
    expect(keys(await list('?limit=2&after=b'))).toEqual(['c']);
    expect(keys(await list('?limit=3'))).toEqual(['a', 'b', 'c']);
  });

  it('reads page after page up to the limit', async () => {
    const names = Array.from({ length: 1203 }, (_, i) => `k${String(i).padStart(4, '0')}`);
    for (const name of names) h.node.writeConcurrently('default', name, '1');
    const pages: number[] = [];
    h.node.before = (request) => void (request.type === 'list' && pages.push(request.limit));
    const all = await list('?limit=1100&values=false');
    expect(keys(all)).toEqual([...names.slice(0, 1100), { next: 'k1099' }]);
    expect(pages).toEqual([1000, 100]);
    expect(await list()).toHaveLength(1001);
    expect(await list('?limit=5000')).toHaveLength(1203);
  });

  it('shows siblings', async () => {
    h.node.writeConcurrently('notes', 'k', 'x');
    h.node.writeConcurrently('notes', 'k', 'y');
    const [line] = await list('', 'notes');
    expect(line).toMatchObject({ key: 'k', siblings: [{ value: 'eA==' }, { value: 'eQ==' }] });
  });

  it('says when parts of the cluster could not be asked', async () => {
    await fill('a');
    h.node.complete = false;
    expect(keys(await list())).toEqual(['a', { complete: false }]);
  });

  it('fails with a status while nothing has been sent', async () => {
    h.node.before = () => {
      throw new HoldfastError(failure('not-ready', 'not yet'));
    };
    expect(await problemOf(await h.fetch('/v1/kv/default'))).toBe('503 not-ready');
  });

  it('fails with a last line afterwards, which says where to go on', async () => {
    for (let i = 0; i < 1001; i++) h.node.writeConcurrently('default', `k${String(i).padStart(4, '0')}`, '1');
    h.node.before = (request) => {
      if (request.type === 'list' && request.after !== '')
        throw new HoldfastError(failure('quorum-unavailable', 'gone'));
    };
    const lines = await list('?limit=2000');
    expect(lines).toHaveLength(1001);
    expect(lines.at(-1)).toMatchObject({ next: 'k0999', problem: { code: 'quorum-unavailable', status: 503 } });
  });

  it.each([
    ['?limit=0', '400 bad-request'],
    ['?limit=1000001', '400 bad-request'],
    ['?limit=-1', '400 bad-request'],
    ['?limit=', '400 bad-request'],
    ['?values=yes', '400 bad-request'],
    [`?prefix=${'x'.repeat(1025)}`, '400 bad-request'],
    ['?after=%ed%a0%80', '400 bad-request'],
    ['?page=1', '400 bad-request'],
  ])('refuses %s', async (query, expected) => {
    expect(await problemOf(await h.fetch(`/v1/kv/default${query}`))).toBe(expected);
  });

  it('refuses an unknown bucket', async () => {
    expect(await problemOf(await h.fetch('/v1/kv/nope'))).toBe('404 bucket-not-found');
  });
});
