import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  type HubStore,
  HubStoreError,
  type HubWrite,
  type ShardObjectName,
  type SiteBucket,
} from '../../../src/ports/hub-store.ts';
import type { Mutation } from '../../../src/protocol/causal/mutation.ts';
import type { FakeHubSession } from '../../support/fake-hub-listener.ts';
import { FakeHubStore } from '../../support/fake-hub-store.ts';
import { type EdgeWrite, type HubFixture, helloOf, pushOf, shardFor, startHub } from '../../support/hub-fixture.ts';

const OFFICE = 'office';
const HALL = 'hall-2';
const BARN = 'barn';

const bucket = (name: string, sync: SiteBucket['sync']): SiteBucket => ({
  name,
  sync,
  conflict: 'lww',
  ttlSeconds: null,
  origin: null,
});
const UP = [bucket('prices', 'up'), bucket('menus~1k', 'both')];
const DOWN = [bucket('prices', 'down'), bucket('menus', 'down')];
const ALL = { prefix: '', after: '', limit: 10_000 };

async function connect(
  { hub, listener }: HubFixture,
  site: string,
  buckets: readonly SiteBucket[],
): Promise<FakeHubSession> {
  await hub.addSite(site).catch(() => undefined);
  const session = listener.connect(site, `peer of ${site}`);
  await session.request(helloOf({ buckets, clusterId: site }));
  return session;
}

/** The office has `prices` and `menus`, the hall may be given them. */
async function twoSites(store = new FakeHubStore()): Promise<{ fixture: HubFixture; office: FakeHubSession }> {
  const fixture = await startHub({ store });
  const office = await connect(fixture, OFFICE, UP);
  await connect(fixture, HALL, DOWN);
  return { fixture, office };
}

let counter = 0;

async function write(
  session: FakeHubSession,
  key: string,
  value: string,
  more: Partial<EdgeWrite> = {},
): Promise<void> {
  counter++;
  const wallMs = 1_790_000_000_000 + counter;
  const reply = await session.request(pushOf({ bucket: 'prices', key, value, counter, wallMs, ...more }));
  expect(reply).toMatchObject({ type: 'hub-pushed', results: [{ status: 'applied' }] });
}

/** Keys and values that the hub has for the site. */
async function valuesOf({ hub }: HubFixture, site: string, name = 'prices'): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { items } of hub.list({ site, bucket: name, ...ALL })) {
    for (const { key, entries } of items) {
      const payload = entries.at(-1)?.payload;
      found[key] = payload?.kind === 'register' ? new TextDecoder().decode(payload.value) : '?';
    }
  }
  return found;
}

/** Lets everything happen that is due within `ms`. */
async function settle({ clock }: HubFixture, ms = 10): Promise<void> {
  clock.advance(ms);
  for (let i = 0; i < 500; i++) {
    await turn();
    clock.advance(0);
  }
}

/** What becomes of a damaged record of the hub: the key is not there, and the shard says that it may lack some. */
async function loseKey(store: HubStore, name: ShardObjectName): Promise<void> {
  await store.transact(OFFICE, function* () {
    const rows = yield { type: 'shards', shards: [name.shard], lock: true };
    const value = rows.type === 'shards' ? rows.shards.get(name.shard) : undefined;
    if (value === undefined) throw new Error('the shard is not there');
    const writes: HubWrite[] = [
      { type: 'object', name, value: null },
      { type: 'shard', shard: name.shard, value: { ...value, partial: [name.bucket] } },
    ];
    return { result: null, writes };
  });
}

const share = { to: HALL, bucket: 'prices', from: OFFICE };

describe('a shared bucket', () => {
  it('is copied with what is there, and with what is written afterwards', async () => {
    const { fixture, office } = await twoSites();
    for (let i = 0; i < 40; i++) await write(office, `k${i}`, `v${i}`);
    await fixture.hub.addShare(share);
    await settle(fixture);
    expect(await valuesOf(fixture, HALL)).toEqual(await valuesOf(fixture, OFFICE));
    expect(Object.keys(await valuesOf(fixture, HALL))).toHaveLength(40);

    await write(office, 'bread', '2.80');
    await settle(fixture);
    expect(await valuesOf(fixture, HALL)).toMatchObject({ bread: '2.80' });
    expect(await fixture.hub.sharesOf(HALL)).toEqual([
      { ...share, createdMs: expect.any(Number), checkedMs: expect.any(Number), problem: null },
    ]);
    expect(await fixture.hub.sharesOf(OFFICE)).toHaveLength(1);
  });

  it('tells the site that it is given something, and gives its own nothing', async () => {
    const { fixture, office } = await twoSites();
    const hall = fixture.listener.connect(HALL, 'another peer');
    await hall.request(helloOf({ buckets: DOWN, clusterId: HALL }));
    await fixture.hub.addShare(share);
    const before = await valuesOf(fixture, OFFICE);
    await write(office, 'bread', '2.80');
    await settle(fixture);
    expect(hall.news.length).toBeGreaterThan(0);
    expect(before).toEqual({});
    expect(await valuesOf(fixture, OFFICE)).toEqual({ bread: '2.80' });
    expect(office.news).toEqual([]);
  });

  it('is replaced where it says something else, or has something more', async () => {
    const { fixture, office } = await twoSites();
    const put = (value: string): (() => Mutation) => {
      const bytes = new TextEncoder().encode(value);
      return () => ({ type: 'put', value: bytes, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null });
    };
    for (const key of ['bread', 'stale'])
      await fixture.hub.mutate({ site: HALL, bucket: 'prices', key }, put('9'), null);
    await write(office, 'bread', '2.80');
    await fixture.hub.addShare(share);
    await settle(fixture);
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
  });

  it('goes with the expiry of its values, and with deletes', async () => {
    const { fixture, office } = await twoSites();
    await fixture.hub.addShare({ ...share, bucket: 'menus' });
    const expiresAtMs = fixture.clock.now().wallMs + 60_000;
    await write(office, 'today', 'soup', { bucket: 'menus~1k', expiresAtMs });
    await settle(fixture);
    const { entries } = await fixture.hub.read({ site: HALL, bucket: 'menus', key: 'today' }, null);
    expect(entries.map((entry) => entry.expiresAtMs)).toEqual([expiresAtMs]);
    await fixture.hub.mutate({ site: OFFICE, bucket: 'menus', key: 'today' }, () => ({ type: 'delete' }), null);
    await settle(fixture);
    expect(await valuesOf(fixture, HALL, 'menus')).toEqual({});
  });

  it('waits for a bucket that takes writes of the hub, and says so', async () => {
    const { fixture, office } = await twoSites();
    await connect(fixture, BARN, []);
    await write(office, 'bread', '2.80');
    await fixture.hub.addShare({ ...share, to: BARN });
    await settle(fixture);
    const problem = async (): Promise<string | null | undefined> => (await fixture.hub.sharesOf(BARN))[0]?.problem;
    expect(await problem()).toMatch(/barn exchanges no bucket "prices"/);
    await connect(fixture, BARN, [bucket('prices', 'both')]);
    await settle(fixture, 5000);
    expect(await problem()).toMatch(/has sync both; what is given to a site needs one with sync down/);
    await connect(fixture, BARN, [bucket('prices', 'down')]);
    await settle(fixture, 5000);
    expect(await problem()).toBeNull();
    expect(await valuesOf(fixture, BARN)).toEqual({ bread: '2.80' });
  });

  it('goes on where the store was away meanwhile', async () => {
    const store = new FakeHubStore();
    const { fixture, office } = await twoSites(store);
    await fixture.hub.addShare(share);
    await settle(fixture);
    await write(office, 'bread', '2.80');
    store.failure = new HubStoreError('unavailable', 'gone');
    await settle(fixture);
    store.failure = null;
    expect(await valuesOf(fixture, HALL)).toEqual({});
    await settle(fixture, 5000);
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
  });

  it('is compared now and then: another process may have ended before it had copied what it took in', async () => {
    const store = new FakeHubStore({ isShared: true });
    const { fixture } = await twoSites(store);
    await fixture.hub.addShare(share);
    await settle(fixture);
    const other = await startHub({ store });
    const office = await connect(other, OFFICE, UP);
    await write(office, 'bread', '2.80');
    await other.hub.stop();
    expect(await valuesOf(fixture, HALL)).toEqual({});
    await settle(fixture, 10 * 60_000);
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
  });

  it('is copied by every process of the store, also one that did not hear of it', async () => {
    const store = new FakeHubStore({ isShared: true });
    const { fixture } = await twoSites(store);
    const other = await startHub({ store });
    await other.hub.addShare(share);
    await settle(fixture, 5000);
    const office = await connect(fixture, OFFICE, UP);
    await write(office, 'bread', '2.80');
    await settle(fixture);
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
  });

  it('goes on to further sites', async () => {
    const { fixture, office } = await twoSites();
    await connect(fixture, BARN, DOWN);
    await fixture.hub.addShare(share);
    await fixture.hub.addShare({ to: BARN, bucket: 'prices', from: HALL });
    await write(office, 'bread', '2.80');
    await settle(fixture);
    expect(await valuesOf(fixture, BARN)).toEqual({ bread: '2.80' });
  });

  it('stays as it is once it is not shared any more', async () => {
    const { fixture, office } = await twoSites();
    await fixture.hub.addShare(share);
    await write(office, 'bread', '2.80');
    await settle(fixture);
    await fixture.hub.removeShare(share);
    await write(office, 'bread', '3.10');
    await settle(fixture, 20 * 60_000);
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
    expect(await fixture.hub.sharesOf(HALL)).toEqual([]);
    await expect(fixture.hub.removeShare(share)).rejects.toMatchObject({ code: 'share-not-found' });
  });

  it.each([
    ['the giver', OFFICE],
    ['who is given it', HALL],
  ])('ends with the removal of %s, and a site of the same name has no part in it', async (_who, removed) => {
    const { fixture } = await twoSites();
    await fixture.hub.addShare(share);
    await settle(fixture);
    await fixture.hub.removeSite(removed);
    await settle(fixture);
    const office = await connect(fixture, OFFICE, UP);
    await connect(fixture, HALL, DOWN);
    await write(office, 'bread', '2.80');
    await settle(fixture, 20 * 60_000);
    expect(await valuesOf(fixture, OFFICE)).toEqual({ bread: '2.80' });
    expect(await valuesOf(fixture, HALL)).toEqual({});
    expect(await fixture.hub.sharesOf(HALL)).toEqual([]);
  });

  it('leaves room for clients, however many sites it is given to', async () => {
    const { fixture, office } = await twoSites();
    const halls = Array.from({ length: 40 }, (_, index) => `hall-${index + 10}`);
    for (const hall of halls) {
      await connect(fixture, hall, DOWN);
      await fixture.hub.addShare({ ...share, to: hall });
    }
    await settle(fixture);
    for (let i = 0; i < 20; i++) await write(office, `k${i}`, `v${i}`);
    fixture.clock.advance(1);
    const put: Mutation = { type: 'put', value: new Uint8Array(1), contentType: 'a/b', expiresAtMs: 0, onlyIf: null };
    const key = { site: HALL, bucket: 'prices', key: 'own' };
    for (let i = 0; i < 40; i++) {
      await fixture.hub.mutate(key, () => put, null);
      await turn();
    }
    await settle(fixture);
    const values = await valuesOf(fixture, OFFICE);
    expect(Object.keys(values)).toHaveLength(20);
    for (const hall of halls) expect(await valuesOf(fixture, hall)).toEqual(values);
    expect(fixture.log.lines.filter(({ message }) => message === 'a shared bucket is not copied')).toEqual([]);
  });

  it('deletes nothing of which the hub does not know whether the giver still has it', async () => {
    const { fixture, office } = await twoSites();
    await fixture.hub.addShare(share);
    await write(office, 'bread', '2.80');
    await settle(fixture);
    const shard = shardFor({ bucket: 'prices', key: 'bread' });
    await loseKey(fixture.store, { shard, bucket: 'prices', key: 'bread' });
    await settle(fixture, 20 * 60_000);
    expect(await valuesOf(fixture, OFFICE)).toEqual({});
    expect(await valuesOf(fixture, HALL)).toEqual({ bread: '2.80' });
  });
});

describe('what cannot be shared', () => {
  it.each([
    ['a bucket that the giver has not', { bucket: 'nothing' }, 'bucket-not-found'],
    ['of a site that there is not', { from: 'nowhere' }, 'site-not-found'],
    ['with a site that there is not', { to: 'nowhere' }, 'site-not-found'],
    ['a bucket with its own site', { to: OFFICE }, 'bad-request'],
  ])('%s is refused', async (_what, wrong, code) => {
    const { fixture } = await twoSites();
    await expect(fixture.hub.addShare({ ...share, ...wrong })).rejects.toMatchObject({ code });
    expect(await fixture.store.shares()).toEqual([]);
  });

  it('goes in a circle, or has two givers', async () => {
    const { fixture } = await twoSites();
    await connect(fixture, BARN, DOWN);
    await fixture.hub.addShare(share);
    await fixture.hub.addShare(share);
    await fixture.hub.addShare({ to: BARN, bucket: 'prices', from: HALL });
    const circle = fixture.hub.addShare({ to: OFFICE, bucket: 'prices', from: BARN });
    await expect(circle).rejects.toMatchObject({ code: 'bad-request' });
    const second = fixture.hub.addShare({ to: BARN, bucket: 'prices', from: OFFICE });
    await expect(second).rejects.toMatchObject({ code: 'share-exists' });
    expect(await fixture.store.shares()).toHaveLength(2);
  });

  it('goes in a circle that is closed at two ends at once', async () => {
    const { fixture } = await twoSites();
    await connect(fixture, BARN, DOWN);
    const back = { to: HALL, bucket: 'prices', from: BARN };
    const results = await Promise.allSettled([
      fixture.hub.addShare({ to: BARN, bucket: 'prices', from: HALL }),
      fixture.hub.addShare(back),
    ]);
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'bad-request' } });
    expect(await fixture.store.shares()).toEqual([]);
  });

  it('is called by the name that only nodes use, which would be a second share of the same bucket', async () => {
    const { fixture } = await twoSites();
    const menus = { ...share, bucket: 'menus~1k' };
    await expect(fixture.hub.addShare(menus)).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('is called menus'),
    });
    expect(await fixture.store.shares()).toEqual([]);
  });
});
