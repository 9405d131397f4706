import { beforeEach, describe, expect, it } from 'vitest';
import { type Harness, problemOf, startHarness } from './harness.ts';

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

const json = async (path: string): Promise<unknown> => (await h.fetch(path)).json();

describe('cluster', () => {
  it('shows status, members, ring and the place of a key', async () => {
    expect(await json('/v1/status')).toEqual(await h.node.status());
    expect(await json('/v1/members')).toEqual({ members: h.node.members() });
    expect(await json('/v1/ring')).toEqual(h.node.ring());
    expect(await json('/v1/ring/locate?bucket=default&key=a%2Fb')).toEqual(h.node.locate());
  });

  it.each([
    ['/v1/status?x=1', '400 bad-request'],
    ['/v1/ring/locate', '400 bad-request'],
    ['/v1/ring/locate?bucket=default', '400 bad-key'],
    ['/v1/ring/locate?key=a', '400 bad-request'],
    ['/v1/ring/locate?bucket=nope&key=a', '404 bucket-not-found'],
  ])('refuses %s', async (path, expected) => {
    expect(await problemOf(await h.fetch(path))).toBe(expected);
  });
});

describe('operation', () => {
  it('is alive before it is ready', async () => {
    expect((await h.fetch('/readyz')).status).toBe(200);
    h.node.ready = false;
    expect((await h.fetch('/healthz')).status).toBe(200);
    const response = await h.fetch('/readyz');
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await problemOf(response)).toBe('503 not-ready');
  });

  it('gives metrics as Prometheus text', async () => {
    const response = await h.fetch('/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toContain('holdfast_up 1');
  });
});
