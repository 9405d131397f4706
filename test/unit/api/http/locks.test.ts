import { beforeEach, describe, expect, it } from 'vitest';
import { failure, HoldfastError } from '../../../../src/lib/failure.ts';
import { type Harness, problemOf, startHarness } from './harness.ts';

interface LockAnswer {
  readonly owner: string;
  readonly token: number;
  readonly expiresAt: string;
}

let h: Harness;

beforeEach(async () => {
  h = await startHarness();
});

const post = (path: string, body: unknown = {}, signal: AbortSignal | null = null): Promise<Response> =>
  h.fetch(`/v1/locks/${path}`, { method: 'POST', body: JSON.stringify(body), signal });

async function take(name: string, body: object = {}): Promise<LockAnswer> {
  const response = await post(name, body);
  expect(response.status).toBe(200);
  return (await response.json()) as LockAnswer;
}

const show = async (name: string): Promise<unknown> => (await h.fetch(`/v1/locks/${name}`)).json();
const isoIn = (ms: number): string => new Date(h.node.clockMs + ms).toISOString();

describe('a lock', () => {
  it('is acquired, renewed, shown and released', async () => {
    expect(await show('x')).toEqual({ name: 'x', held: false, owner: null, token: null, expiresAt: null });
    const { token, ...rest } = await take('x', { owner: 'ann' });
    expect(rest).toEqual({ name: 'x', owner: 'ann', ttlMs: 30_000, expiresAt: isoIn(30_000) });
    expect(token).toBe(h.node.clockMs);
    expect(await show('x')).toEqual({ name: 'x', held: true, owner: 'ann', token, expiresAt: isoIn(30_000) });
    h.node.clockMs += 10_000;
    const renewed = await post('x/renew', { token });
    expect(await renewed.json()).toEqual({ name: 'x', owner: 'ann', token, ttlMs: 30_000, expiresAt: isoIn(30_000) });
    const longer = await post('x/renew', { token, ttlMs: 60_000 });
    expect(await longer.json()).toMatchObject({ ttlMs: 60_000, expiresAt: isoIn(60_000) });
    for (let i = 0; i < 2; i++) expect((await post('x/release', { token })).status).toBe(204);
    expect(await show('x')).toEqual({ name: 'x', held: false, owner: null, token, expiresAt: null });
    expect((await take('x')).token).toBeGreaterThan(token);
  });

  it('belongs to the address of the client where no owner is named', async () => {
    expect(await take('x', {})).toMatchObject({ owner: '127.0.0.1' });
    expect((await h.fetch('/v1/locks/y', { method: 'POST' })).status).toBe(200);
  });

  it('is refused to others until a second after its end', async () => {
    const { token } = await take('x', { owner: 'ann', ttlMs: 1000 });
    const expiresAt = isoIn(1000);
    h.node.clockMs += 2000;
    const refused = await post('x', { owner: 'ben' });
    expect(await refused.json()).toMatchObject({ status: 409, code: 'lock-held', owner: 'ann', token, expiresAt });
    h.node.clockMs += 1;
    expect(await show('x')).toMatchObject({ held: false, owner: null, token });
    const next = await take('x', { owner: 'ben' });
    expect(next.token).toBeGreaterThan(token);
    for (const path of ['x/renew', 'x/release']) {
      const stale = await post(path, { token });
      expect(await stale.json()).toMatchObject({
        status: 409,
        code: 'stale-token',
        held: true,
        owner: 'ben',
        token: next.token,
        expiresAt: next.expiresAt,
      });
    }
  });

  it('is given again to the attempt that has it', async () => {
    const first = await take('x', { attempt: 'a-1' });
    h.node.clockMs += 1000;
    expect(await take('x', { attempt: 'a-1' })).toEqual({ ...first, expiresAt: isoIn(30_000) });
    expect(await problemOf(await post('x', { attempt: 'a-2' }))).toBe('409 lock-held');
  });

  it('has any name of 1 to 256 characters, and others are others', async () => {
    const names = ['a/b', 'renew', 'a b?#%', 'ünï😀', 'x'.repeat(256)];
    for (const name of names) {
      const answer = (await (await post(encodeURIComponent(name))).json()) as object;
      expect(answer).toMatchObject({ name });
      expect(await show(encodeURIComponent(name))).toMatchObject({ name, held: true });
    }
    for (const name of ['', 'x'.repeat(257)]) {
      expect(await problemOf(await post(name))).toBe('400 bad-key');
      expect(await problemOf(await h.fetch(`/v1/locks/${name}`))).toBe('400 bad-key');
    }
  });
});

describe('requests', () => {
  it.each([
    ['x', { ttlMs: 99 }],
    ['x', { ttlMs: 3_600_001 }],
    ['x', { ttlMs: '1000' }],
    ['x', { ttlMs: 1000.5 }],
    ['x', { owner: '' }],
    ['x', { owner: 'o'.repeat(257) }],
    ['x', { waitMs: -1 }],
    ['x', { waitMs: 30_001 }],
    ['x', { attempt: '' }],
    ['x', { attempt: 'with space' }],
    ['x', { ttl: 1 }],
    ['x?wait=1', {}],
    ['x/renew', {}],
    ['x/renew', { token: 0 }],
    ['x/renew', { token: 1, ttlMs: 1 }],
    ['x/release', {}],
    ['x/release', { token: '1' }],
    ['x/release', { token: 1, ttlMs: 1000 }],
  ])('of %s with %j are refused', async (path, body) => {
    expect(await problemOf(await post(path, body))).toBe('400 bad-request');
  });

  it('fail as the register does', async () => {
    h.node.before = () => {
      const message = 'too few nodes answered; restore links';
      throw new HoldfastError(failure('quorum-unavailable', message, { stateChanged: 'maybe' }));
    };
    for (const response of [await post('x', { waitMs: 1000 }), await post('x/renew', { token: 1 })]) {
      expect(response.headers.get('retry-after')).toBe('1');
      expect(await response.json()).toMatchObject({ code: 'quorum-unavailable', stateChanged: 'maybe' });
    }
    expect(await problemOf(await h.fetch('/v1/locks/x'))).toBe('503 quorum-unavailable');
  });
});

describe('waiting', () => {
  it('gets the lock once it is released', async () => {
    const { token } = await take('x', { owner: 'ann' });
    let polls = 0;
    h.node.before = ({ type }) => {
      if (type === 'strong-get') polls += 1;
    };
    const waiting = take('x', { owner: 'ben', waitMs: 20_000 });
    await expect.poll(() => polls).toBeGreaterThan(1);
    expect(await show('x')).toMatchObject({ owner: 'ann' });
    await post('x/release', { token });
    expect(await waiting).toMatchObject({ owner: 'ben' });
  });

  it('ends with its time', async () => {
    await take('x', { owner: 'ann' });
    const begun = performance.now();
    const refused = await post('x', { waitMs: 300 });
    expect(await refused.json()).toMatchObject({ code: 'lock-held', owner: 'ann' });
    expect(performance.now() - begun).toBeGreaterThanOrEqual(295);
  });

  it('goes on where too many ask at once', async () => {
    let tries = 0;
    h.node.before = () => {
      if (++tries < 3) throw new HoldfastError(failure('too-many-requests', 'one after the other'));
    };
    expect(await take('x', { owner: 'ann', waitMs: 20_000 })).toMatchObject({ owner: 'ann' });
  });

  it('ends when the API closes', async () => {
    await take('x');
    const waiting = post('x', { waitMs: 30_000 });
    await asked(2);
    await Promise.all([h.api.close(), waiting.then(async (answer) => expect(await problemOf(answer)).toBe(CLOSING))]);
  });

  it('ends with the client, who leaves no lock behind', async () => {
    h = await startHarness({ lockWaitersMax: 1 });
    const { token } = await take('x', { owner: 'ann' });
    const client = new AbortController();
    const waiting = post('x', { owner: 'ben', waitMs: 30_000 }, client.signal);
    await asked(1);
    // The only place is taken.
    await expect.poll(async () => problemOf(await post('x', { waitMs: 1 }))).toBe('429 too-many-requests');
    client.abort();
    await expect(waiting).rejects.toThrow();
    await expect.poll(async () => problemOf(await post('x', { waitMs: 1 }))).toBe('409 lock-held');
    await post('x/release', { token });
    expect(await take('x', { owner: 'cleo' })).toMatchObject({ owner: 'cleo' });
  });

  it.each([
    [{}, false],
    [{ attempt: 'again' }, true],
  ])('a lock got for a client that has gone is released, with %j not: %s', async (body, held) => {
    const client = new AbortController();
    const gate = Promise.withResolvers<void>();
    h.node.before = async ({ type }) => {
      if (type !== 'strong-put') return;
      h.node.before = null;
      client.abort();
      await gate.promise;
    };
    await expect(post('x', { owner: 'ann', ...body }, client.signal)).rejects.toThrow();
    // The node hears of it a moment later.
    await new Promise((resolve) => setTimeout(resolve, 100));
    gate.resolve();
    await expect.poll(() => show('x')).toMatchObject({ token: expect.any(Number), held });
  });
});

const CLOSING = '503 shutting-down';

/** Resolves once the node has been asked about a lock so often from now on. */
function asked(times: number): Promise<void> {
  return new Promise((resolve) => {
    let count = 0;
    h.node.before = ({ type }) => {
      if (type === 'strong-get' && ++count === times) resolve();
    };
  });
}
