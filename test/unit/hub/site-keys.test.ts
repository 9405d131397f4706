import { describe, expect, it } from 'vitest';
import {
  CausalContext,
  type Mutation,
  readCounter,
  readValue,
  type SessionContext,
} from '../../../src/ports/node-handle.ts';
import { NOTHING } from '../../../src/protocol/causal/context.ts';
import {
  connectSite,
  EDGE_ACTOR,
  type EdgeWrite,
  entryOf,
  type HubFixture,
  helloOf,
  pushOf,
  shardFor,
  startHub,
} from '../../support/hub-fixture.ts';

const SITE = 'hall-2';
const key = (bucket: string, name = 'a') => ({ site: SITE, bucket, key: name });

function put(value: string, expiresAtMs = 0): () => Mutation {
  const bytes = new TextEncoder().encode(value);
  return () => ({ type: 'put', value: bytes, contentType: 'text/plain', expiresAtMs, onlyIf: null });
}

const remove = (): Mutation => ({ type: 'delete' });

async function textAt({ hub }: HubFixture, bucket: string, name = 'a', session: SessionContext | null = null) {
  const { entries } = await hub.read(key(bucket, name), session);
  const found = readValue(entries);
  return found === undefined ? null : new TextDecoder().decode(found.value);
}

/** What a client has seen that was shown these events of the site. */
function seen(...counters: readonly number[]): SessionContext {
  const context = CausalContext.fromDots(counters.map((counter) => ({ actor: EDGE_ACTOR, counter })));
  return { context, bare: NOTHING };
}

async function fixtureWith(...writes: readonly EdgeWrite[]): Promise<HubFixture> {
  const fixture = await startHub();
  const session = await connectSite(fixture);
  for (const write of writes) await session.request(pushOf(write));
  return fixture;
}

describe('buckets', () => {
  it('are shown without the number of their placement, and those that are not exchanged not at all', async () => {
    const { hub } = await fixtureWith();
    const names = (await hub.buckets(SITE)).map(({ name, sync }) => `${name} ${sync}`);
    expect(names).toEqual(['both both', 'carts both', 'orders down', 'readings up']);
    for (const bucket of ['none', 'nothing', '.locks']) {
      await expect(hub.read(key(bucket), null)).rejects.toMatchObject({ code: 'bucket-not-found' });
      await expect(hub.mutate(key(bucket), remove, null)).rejects.toMatchObject({ code: 'bucket-not-found' });
      await expect(hub.list({ ...key(bucket), prefix: '', after: '', limit: 1 }).next()).rejects.toMatchObject({
        code: 'bucket-not-found',
      });
    }
  });

  it('of one name go by that of the lowest placement, and by their own', async () => {
    const fixture = await startHub();
    await fixture.hub.addSite(SITE);
    const buckets = ['same~9', 'same~2'].map(
      (name) => ({ name, sync: 'both', conflict: 'lww', ttlSeconds: null, origin: null }) as const,
    );
    const session = fixture.listener.connect(SITE);
    await session.request(helloOf({ buckets }));
    expect((await fixture.hub.buckets(SITE)).map(({ name }) => name)).toEqual(['same', 'same~9']);
    await session.request(pushOf({ bucket: 'same~2', key: 'a', value: 'two', counter: 1 }));
    await session.request(pushOf({ bucket: 'same~9', key: 'a', value: 'nine', counter: 1 }));
    expect([await textAt(fixture, 'same'), await textAt(fixture, 'same~2'), await textAt(fixture, 'same~9')]).toEqual([
      'two',
      'two',
      'nine',
    ]);
  });
});

describe('a read', () => {
  it('shows what the site has sent, of each bucket that is exchanged', async () => {
    const fixture = await fixtureWith(
      { bucket: 'readings', key: 'a', value: '20.5', counter: 1 },
      { bucket: 'carts~1k', key: 'a', value: 'pear', counter: 1 },
    );
    expect([
      await textAt(fixture, 'readings'),
      await textAt(fixture, 'carts'),
      await textAt(fixture, 'orders'),
    ]).toEqual(['20.5', 'pear', null]);
    await expect(fixture.hub.read({ ...key('both'), site: 'nowhere' }, null)).rejects.toMatchObject({
      code: 'site-not-found',
    });
  });

  it('hides what has expired', async () => {
    const fixture = await fixtureWith({
      bucket: 'readings',
      key: 'a',
      value: 'x',
      counter: 1,
      expiresAtMs: 1_790_000_010_000,
    });
    expect(await textAt(fixture, 'readings')).toBe('x');
    fixture.clock.advance(10_000);
    expect(await textAt(fixture, 'readings')).toBeNull();
    const pages = fixture.hub.list({ ...key('readings'), prefix: '', after: '', limit: 10 });
    expect((await pages.next()).value).toMatchObject({ items: [], next: null });
  });

  it('never shows less than the client has seen', async () => {
    const fixture = await fixtureWith({ bucket: 'readings', key: 'a', value: 'old', counter: 1 });
    expect(await textAt(fixture, 'readings', 'a', seen(1))).toBe('old');
    const refused = fixture.hub.read(key('readings'), seen(1, 2));
    await expect(refused).rejects.toMatchObject({ code: 'session-unavailable' });
    const write = { bucket: 'readings', key: 'a', value: 'new', counter: 2 };
    const session = await connectSite(fixture, SITE, 'peer-3');
    await session.request(pushOf(write));
    expect(await textAt(fixture, 'readings', 'a', seen(1, 2))).toBe('new');
    const { context } = await fixture.hub.read(key('readings'), seen(1, 2));
    expect(context.covers(seen(1, 2).context)).toBe(true);
  });

  it('is answered once there is nothing left of what a copy knew ahead of its time, be it of another key', async () => {
    const fixture = await fixtureWith();
    const session = await connectSite(fixture, SITE, 'peer-3');
    const first = { bucket: 'readings', key: 'a', value: 'x', counter: 1 };
    const name = Array.from({ length: 1000 }, (_, i) => `k${i}`).find(
      (each) => shardFor({ ...first, key: each }) === shardFor(first),
    );
    const second = { ...first, key: name ?? '', counter: 2 };
    const pushes = pushOf(first).pushes.map((push) => ({
      ...push,
      items: push.items.map((item) => ({ ...item, past: seen(2).context })),
    }));
    await session.request({ type: 'hub-push', pushes });
    await expect(fixture.hub.read(key('readings'), seen(1, 2))).rejects.toMatchObject({ code: 'session-unavailable' });
    await session.request(pushOf(second));
    expect(await textAt(fixture, 'readings', 'a', seen(1, 2))).toBe('x');
  });

  it('of a bucket that only comes down covers what was written at the hub, and nothing else', async () => {
    const fixture = await fixtureWith();
    const session = await connectSite(fixture, SITE, 'peer-2');
    const shard = shardFor({ bucket: 'orders', key: 'a' });
    const skipped = seen(1).context;
    const push = { shard, context: skipped, items: [], skipped, skippedOf: ['orders'], later: NOTHING, own: NOTHING };
    expect(await session.request({ type: 'hub-push', pushes: [push] })).toMatchObject({
      results: [{ status: 'applied' }],
    });
    // The hub counts the event, and has not had its key.
    await expect(fixture.hub.read(key('orders'), seen(1))).rejects.toMatchObject({ code: 'session-unavailable' });
    const written = await fixture.hub.mutate(key('orders'), put('x'), null);
    expect(await textAt(fixture, 'orders', 'a', written)).toBe('x');
    const read = await fixture.hub.read(key('orders'), written);
    expect(read.context.covers(skipped)).toBe(false);
  });

  it('of a bucket whose keys the hub has not all had counts for no more than it has', async () => {
    const fixture = await fixtureWith();
    const session = await connectSite(fixture, SITE, 'peer-2');
    const shard = shardFor({ bucket: 'both', key: 'a' });
    const skipped = seen(1).context;
    await session.request({
      type: 'hub-push',
      pushes: [{ shard, context: skipped, items: [], skipped, skippedOf: ['both'], later: NOTHING, own: NOTHING }],
    });
    await expect(fixture.hub.read(key('both'), seen(1))).rejects.toMatchObject({ code: 'session-unavailable' });
    expect(await textAt(fixture, 'both')).toBeNull();
  });
});

describe('a write', () => {
  it('is taken where the bucket comes down', async () => {
    const fixture = await fixtureWith();
    for (const bucket of ['both', 'orders', 'carts']) {
      await fixture.hub.mutate(key(bucket), put('x'), null);
      expect(await textAt(fixture, bucket)).toBe('x');
    }
    await expect(fixture.hub.mutate(key('readings'), put('x'), null)).rejects.toMatchObject({
      code: 'not-synced-down',
    });
    expect(await textAt(fixture, 'readings')).toBeNull();
  });

  it('comes down to the site that asks for it', async () => {
    const fixture = await fixtureWith();
    const session = await connectSite(fixture, SITE, 'peer-2');
    await fixture.hub.mutate(key('carts'), put('x'), null);
    const shard = shardFor({ bucket: 'carts~1k', key: 'a' });
    const nothing = { context: new CausalContext(), settled: new CausalContext() };
    const pulled = await session.request({ type: 'hub-pull', shard, ...nothing });
    expect(pulled).toMatchObject({ items: [{ bucket: 'carts~1k', key: 'a', entries: [{ payload: {} }] }] });
  });

  it('replaces what the client has seen, without that what the hub has', async () => {
    const first = { bucket: 'carts~1k', key: 'a', value: 'pear', counter: 1 };
    const fixture = await fixtureWith(first, { ...first, actor: 'b'.repeat(16), value: 'plum' });
    const { hub } = fixture;
    expect((await hub.read(key('carts'), null)).entries).toHaveLength(2);
    await hub.mutate(key('carts'), put('fig'), seen(1));
    const values = (await hub.read(key('carts'), null)).entries.map(({ payload }) =>
      payload.kind === 'register' ? new TextDecoder().decode(payload.value) : payload.kind,
    );
    expect(values.toSorted()).toEqual(['fig', 'plum']);
    await hub.mutate(key('carts'), put('all'), null);
    expect((await hub.read(key('carts'), null)).entries).toHaveLength(1);
  });

  it('is refused where it would not replace what the client has seen', async () => {
    const fixture = await fixtureWith();
    const refused = fixture.hub.mutate(key('both'), put('x'), seen(7));
    await expect(refused).rejects.toMatchObject({ code: 'session-unavailable' });
    expect(await textAt(fixture, 'both')).toBeNull();
    // A name that nobody has used is not lost.
    expect((await fixture.hub.mutate(key('both'), put('x'), null)).etag).toMatch(/-1$/);
  });

  it('tells what the client has seen with it', async () => {
    const fixture = await fixtureWith({ bucket: 'both', key: 'a', value: 'old', counter: 1 });
    const { hub } = fixture;
    const written = await hub.mutate(key('both'), put('new'), seen(1));
    expect(written.context.covers(seen(1).context)).toBe(true);
    expect(written.context.dotCount).toBe(2);
    expect(await textAt(fixture, 'both', 'a', written)).toBe('new');
    const blind = await hub.mutate(key('both'), put('newer'), null);
    expect(blind.context.dotCount).toBe(1);
  });

  it('deletes, and says whether there was anything', async () => {
    const fixture = await fixtureWith({ bucket: 'both', key: 'a', value: 'old', counter: 1 });
    const gone = await fixture.hub.mutate(key('both'), remove, null);
    expect(gone.etag).toMatch(/-1$/);
    expect(await textAt(fixture, 'both')).toBeNull();
    expect((await fixture.hub.mutate(key('both'), remove, null)).etag).toBeNull();
    const session = await connectSite(fixture, SITE, 'peer-2');
    expect(session.news).toEqual([]);
  });

  it('adds to a counter', async () => {
    const { hub } = await fixtureWith();
    await hub.mutate(key('both', 'n'), () => ({ type: 'increment', by: 5 }), null);
    const written = await hub.mutate(key('both', 'n'), () => ({ type: 'increment', by: 2 }), null);
    expect(readCounter(written.entries)).toBe(7);
    await hub.mutate(key('both', 'text'), put('x'), null);
    await expect(hub.mutate(key('both', 'text'), () => ({ type: 'increment', by: 2 }), null)).rejects.toMatchObject({
      code: 'not-a-number',
    });
  });

  it('makes no more concurrent values than a key may have', async () => {
    const { hub } = await fixtureWith();
    const nothing: SessionContext = { context: new CausalContext(), bare: NOTHING };
    for (let i = 0; i < 128; i++) await hub.mutate(key('carts'), put(String(i)), nothing);
    await expect(hub.mutate(key('carts'), put('one more'), nothing)).rejects.toMatchObject({ code: 'value-too-large' });
    expect((await hub.read(key('carts'), null)).entries).toHaveLength(128);
  });

  it('of a register that loses is noted as a conflict', async () => {
    const { hub } = await fixtureWith({ bucket: 'both', key: 'a', value: 'of the site', counter: 1 });
    await hub.mutate(key('both'), put('of the hub'), { context: new CausalContext(), bare: NOTHING });
    const [conflict, ...others] = await hub.conflicts(SITE, { before: null, limit: 10 });
    expect(others).toEqual([]);
    expect(conflict).toMatchObject({ bucket: 'both', key: 'a', lostBy: 'gateway-7', wonBy: 'hub' });
    expect(conflict?.loser).toEqual(entryOf({ bucket: 'both', key: 'a', value: 'of the site', counter: 1 }));
    expect(await hub.metrics()).toContain('holdfast_hub_conflicts_total 1');
  });
});

describe('a listing', () => {
  async function keysOf(fixture: HubFixture, range: { prefix?: string; after?: string; limit?: number }) {
    const keys: string[] = [];
    let next: string | null = null;
    const pages: number[] = [];
    for await (const page of fixture.hub.list({ ...key('both'), prefix: '', after: '', limit: 1000, ...range })) {
      keys.push(...page.items.map((item) => item.key));
      pages.push(page.items.length);
      next = page.next;
    }
    return { keys, next, pages };
  }

  it('goes page by page, in order, up to its limit', async () => {
    const names = Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(3, '0')}`);
    const fixture = await fixtureWith();
    for (const name of names) await fixture.hub.mutate(key('both', name), put('x'), null);
    const all = await keysOf(fixture, {});
    expect(all).toMatchObject({ keys: names, next: null });
    expect(all.pages).toEqual([16, 32, 52]);
    expect(await keysOf(fixture, { limit: 20 })).toMatchObject({ keys: names.slice(0, 20), next: 'k019' });
    expect(await keysOf(fixture, { after: 'k097' })).toMatchObject({ keys: ['k098', 'k099'], next: null });
    expect((await keysOf(fixture, { prefix: 'k01' })).keys).toHaveLength(10);
  });

  it('reads fewer keys at once where they are large', async () => {
    const fixture = await fixtureWith();
    const large = 'x'.repeat(300_000);
    for (let i = 0; i < 40; i++) await fixture.hub.mutate(key('both', `k${i}`), put(large), null);
    const { pages, keys } = await keysOf(fixture, {});
    expect(keys).toHaveLength(40);
    expect(pages.slice(0, 3)).toEqual([16, 8, 4]);
  });
});
