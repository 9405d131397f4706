import { describe, expect, it } from 'vitest';
import { problemOf, startHarness } from './harness.ts';

async function detailOf(method: string, path: string, body: unknown): Promise<string> {
  const h = await startHarness();
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await h.fetch(path, { method, body: text });
  expect(await problemOf(response.clone())).toBe('400 bad-request');
  return ((await response.json()) as { detail: string }).detail;
}

const BYTES = 'use text or an object with base64';

describe('a body that does not fit is refused with the field, what is wrong, and what to send', () => {
  const bucket = 'consistency, conflict, replicas, preferredZones, sync, ttlSeconds, island';
  it.each([
    [{ ttlSeconds: '5' }, 'ttlSeconds: "5" does not fit; use a whole number from 1 to 3162240000 or null'],
    [{ ttlSeconds: 0 }, 'ttlSeconds: 0 does not fit; use a whole number from 1 to 3162240000 or null'],
    [{ replicas: 2.5 }, 'replicas: 2.5 does not fit; use a whole number from 1 to 7 or null'],
    [{ conflict: 'last' }, 'conflict: "last" does not fit; use "lww" or "siblings"'],
    [{ preferredZones: 'a' }, 'preferredZones: "a" does not fit; use a list of at most 8 items'],
    [
      { preferredZones: ['bad zone'] },
      'preferredZones.0: "bad zone" does not fit; use 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit',
    ],
    [{ ttl: 5 }, `ttl: there is no such field; use name, ${bucket}`],
    [[], `the JSON as a whole: a list does not fit; use an object with fields of name, ${bucket}`],
    ['null', `the JSON as a whole: null does not fit; use an object with fields of name, ${bucket}`],
  ])('of a bucket: %j', async (body, detail) => {
    expect(await detailOf('PUT', '/v1/buckets/b', body)).toBe(detail);
  });

  it('of a bucket: no JSON', async () => {
    expect(await detailOf('PUT', '/v1/buckets/b', '{"replicas":')).toMatch(
      /^not valid JSON: .*; use an object with fields of name, /,
    );
  });

  it.each([
    [{ in: 'no' }, 'in: "no" does not fit; use true or false'],
    [{ weight: 0 }, 'weight: 0 does not fit; use a number from 0.001 to 1000 or null'],
    [
      { zone: 5 },
      "zone: 5 does not fit; use 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit, '' for none, or null",
    ],
  ])('of a member of the ring: %j', async (body, detail) => {
    expect(await detailOf('POST', '/v1/ring/members/a', body)).toBe(detail);
  });

  it.each([
    ['increment', { by: '1' }, 'by: "1" does not fit; use a whole number'],
    [
      'increment',
      { by: 2 ** 53 },
      'by: 9007199254740992 does not fit; use a whole number from -9007199254740991 to 9007199254740991',
    ],
    ['add', {}, 'members: is missing; use a list of 1 to 16384 items'],
    ['add', { members: [] }, 'members: a list does not fit; use a list of 1 to 16384 items'],
    ['add', { members: ['a', 5] }, `members.1: 5 does not fit; ${BYTES}`],
    ['add', { members: [{ base64: '!' }] }, 'members.0.base64: "!" does not fit; use text in base64'],
    ['add', { members: [{ base: 'YQ==' }] }, `members.0: an object does not fit; ${BYTES}`],
    ['add', { members: ['\ud800'] }, 'members.0: is not valid UTF-8; use text without lone surrogates'],
    ['fields', {}, 'the JSON as a whole: none of put, remove, increment is there; use one of put, remove, increment'],
    ['fields', { put: {} }, 'put: there must be 1 to 16384 fields; use an object of them with their values'],
    ['fields', { put: { size: 5 } }, `put.size: 5 does not fit; ${BYTES}`],
    ['fields', { put: { size: { base64: 5 } } }, 'put.size.base64: 5 does not fit; use text in base64'],
    ['fields', { put: { '\ud800': 'a' } }, 'put.\ud800: is not valid UTF-8; use text without lone surrogates'],
    ['fields', { put: { ['x'.repeat(90)]: 5 } }, `put.${'x'.repeat(60)}…: 5 does not fit; ${BYTES}`],
    [
      'fields',
      { remove: ['c'], put: { a: 'b' } },
      'the JSON as a whole: put and remove cannot go together; use one of put, remove, increment',
    ],
    [
      'fields',
      { puts: {} },
      'the JSON as a whole: none of put, remove, increment is there; use one of put, remove, increment',
    ],
    ['fields', { put: { a: 'b' }, gets: [] }, 'gets: there is no such field; use put, remove, increment'],
    [
      'fields',
      [],
      'the JSON as a whole: a list does not fit; use an object with put, an object with remove or an object with increment',
    ],
    ['fields', { increment: { by: 1 } }, `increment.field: is missing; ${BYTES}`],
  ])('of a key, to %s: %j', async (operation, body, detail) => {
    expect(await detailOf('POST', `/v1/kv/default/k/${operation}`, body)).toBe(detail);
  });

  it.each([
    [{ op: 'add', key: 'k' }, 'op: "add" does not fit; use "put" or "del"'],
    [{ key: 'k' }, 'op: is missing; use "put" or "del"'],
    [{ op: 'put', key: 'k' }, 'value: is missing; use text in base64'],
    [{ op: 'put', key: 'k', value: 'hello' }, 'value: "hello" does not fit; use text in base64'],
    [{ op: 'put', key: 5, value: '' }, 'key: 5 does not fit; use text'],
    [{ op: 'put', key: 'k', value: '', w: 'most' }, 'w: "most" does not fit; use "one", "quorum" or "all"'],
    [{ op: 'del', key: 'k', ttl: 5 }, 'ttl: there is no such field; use op, key, context, ifMatch, ifNoneMatch, w'],
    [
      5,
      'the JSON as a whole: 5 does not fit; use an object with fields of op, key, value, contentType, ttl, context, ifMatch, ifNoneMatch, w or an object with fields of op, key, context, ifMatch, ifNoneMatch, w',
    ],
  ])('of a line of a batch: %j', async (line, detail) => {
    const h = await startHarness();
    const response = await h.fetch('/v1/kv/default', { method: 'POST', body: JSON.stringify(line) });
    expect(await response.json()).toMatchObject({ line: 1, ok: false, problem: { code: 'bad-request', detail } });
  });
});
