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
    expect(await json('/v1/leader')).toEqual(h.node.leader());
    expect(await json('/v1/islands')).toEqual(h.node.islands());
    expect(await json('/v1/hub')).toEqual(h.node.hub());
    expect(await json('/v1/ring')).toEqual(h.node.ring());
    expect(await json('/v1/ring/locate?bucket=default&key=a%2Fb')).toEqual(h.node.locate());
  });

  it.each([
    ['/v1/status?x=1', '400 bad-request'],
    ['/v1/islands?x=1', '400 bad-request'],
    ['/v1/ring/locate', '400 bad-request'],
    ['/v1/ring/locate?bucket=default', '400 bad-request'],
    ['/v1/ring/locate?key=a', '400 bad-request'],
    ['/v1/ring/locate?bucket=nope&key=a', '404 bucket-not-found'],
    ['/v1/ring/locate?bucket=BAD&key=a', '400 bad-bucket'],
  ])('refuses %s', async (path, expected) => {
    expect(await problemOf(await h.fetch(path))).toBe(expected);
  });

  it('names the parameter that is missing', async () => {
    const detail = async (query: string) =>
      ((await (await h.fetch(`/v1/ring/locate${query}`)).json()) as { detail: string }).detail;
    expect(await detail('?bucket=default')).toBe('the parameter key is missing; ask with ?bucket=BUCKET&key=KEY');
    expect(await detail('?key=a')).toBe('the parameter bucket is missing; ask with ?bucket=BUCKET&key=KEY');
  });
});

describe("a leader's token", () => {
  const fence = (body: unknown): Promise<Response> =>
    h.fetch('/v1/leader/fence', { method: 'POST', body: JSON.stringify(body) });

  it('is good until a later one is known', async () => {
    const answer = await fence({ leader: 'fake', token: 3 });
    expect([answer.status, await answer.json()]).toEqual([200, h.node.leader()]);
    const refused = await fence({ leader: 'fake', token: 2 });
    expect(await refused.json()).toMatchObject({ status: 409, code: 'stale-token', token: 2, term: 3 });
  });

  it.each([
    [{ leader: 'fake' }, '400 bad-request'],
    [{ leader: 'fake', token: 0 }, '400 bad-request'],
    [{ leader: 'fake', token: '3' }, '400 bad-request'],
    [{ leader: '', token: 3 }, '400 bad-request'],
    [{ leader: 'fake', token: 3, more: 1 }, '400 bad-request'],
    [{ leader: 'nobody', token: 3 }, '404 member-not-found'],
  ])('is refused as %o', async (body, expected) => {
    expect(await problemOf(await fence(body))).toBe(expected);
  });
});

describe('the place of a member', () => {
  const post = (member: string, body: unknown): Promise<Response> =>
    h.fetch(`/v1/ring/members/${member}`, { method: 'POST', body: JSON.stringify(body) });

  it('is what an operator says, by name or peer id', async () => {
    const out = await post('other', { in: false });
    expect(out.status).toBe(200);
    expect(await out.json()).toMatchObject({
      name: 'other',
      peerId: 'peer-other',
      in: false,
      place: 'out',
      changed: true,
    });
    expect(await (await post('other', { in: false })).json()).toMatchObject({ changed: false });
    expect(await (await post('peer-other', { in: true, weight: 2, zone: 'b' })).json()).toMatchObject({
      in: true,
      weight: 2,
      zone: 'b',
    });
    await post('other', { weight: null, zone: null });
    const removed = await h.fetch('/v1/ring/members/other', { method: 'DELETE' });
    expect(await removed.json()).toMatchObject({ in: false, place: 'removed' });
    expect(h.node.ringChanges.map(({ peerId, change }) => [peerId, change])).toEqual([
      ['peer-other', { place: 'out' }],
      ['peer-other', { place: 'out' }],
      ['peer-other', { place: 'in', weight: 2, zone: 'b' }],
      ['peer-other', { weight: null, zone: null }],
      ['peer-other', { place: 'removed' }],
    ]);
    expect(h.node.ringChanges.every(({ by }) => by === '127.0.0.1')).toBe(true);
  });

  it('finds names with any characters', async () => {
    expect(await problemOf(await post('a%2Fb%20%C3%A4', { in: false }))).toBe('404 member-not-found');
  });

  it.each([
    [{}, '400 bad-request'],
    [{ in: 'no' }, '400 bad-request'],
    [{ out: true }, '400 bad-request'],
    [{ weight: 0 }, '400 bad-request'],
    [{ weight: '1' }, '400 bad-request'],
    [{ weight: 1e9 }, '400 bad-request'],
    [{ zone: 'z'.repeat(65) }, '400 bad-request'],
    [{ zone: 'bad zone' }, '400 bad-request'],
    [{ zone: '-z' }, '400 bad-request'],
    [[], '400 bad-request'],
  ])('refuses %j', async (body, expected) => {
    expect(await problemOf(await post('other', body))).toBe(expected);
    expect(h.node.ringChanges).toEqual([]);
  });

  it('refuses a member that nobody knows, the last one, and a bad target', async () => {
    expect(await problemOf(await post('nobody', { in: false }))).toBe('404 member-not-found');
    await post('other', { in: false });
    expect(await problemOf(await post('fake', { in: false }))).toBe('409 last-member');
    expect(await problemOf(await h.fetch('/v1/ring/members/fake', { method: 'DELETE' }))).toBe('409 last-member');
    expect(await problemOf(await post('%ff', { in: false }))).toBe('400 bad-request');
    expect(await problemOf(await post('other?x=1', { in: false }))).toBe('400 bad-request');
  });
});

describe('a majority that is lost for good', () => {
  const post = (body: unknown): Promise<Response> =>
    h.fetch('/v1/ring/refound', { method: 'POST', body: JSON.stringify(body) });

  it('is given up by an operator', async () => {
    const view = { epoch: 4, electors: ['fake', 'n4'], lost: ['n2', 'n3'], shards: 16, atRisk: 9, emptied: 2 };
    const dry = await post({ lost: ['n2', 'n3'], dryRun: true });
    expect(await dry.json()).toEqual({ ...view, dryRun: true });
    expect(h.node.refoundings).toEqual([]);
    expect(await (await post({ lost: ['n2', 'n3'] })).json()).toEqual({ ...view, dryRun: false });
    expect(h.node.refoundings).toEqual([{ lost: ['n2', 'n3'], by: '127.0.0.1' }]);
  });

  it('is refused with the reason where that is not needed', async () => {
    const response = await post({ lost: ['n4'] });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ code: 'refound-refused', reason: 'member-reachable' });
  });

  it.each([
    [{}, '400 bad-request'],
    [{ lost: [] }, '400 bad-request'],
    [{ lost: [''] }, '400 bad-request'],
    [{ lost: 'n2' }, '400 bad-request'],
    [{ lost: ['n2'], yes: true }, '400 bad-request'],
    [{ lost: ['n2', 'nobody'] }, '404 member-not-found'],
  ])('%j is refused', async (body, expected) => {
    expect(await problemOf(await post(body))).toBe(expected);
    expect(h.node.refoundings).toEqual([]);
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
