import { describe, expect, it } from 'vitest';
import { SiteToken } from '../../../src/lib/site-token.ts';
import type { HubReply, HubRequest } from '../../../src/ports/hub-link.ts';
import { type HubStore, HubStoreError, type HubTransaction } from '../../../src/ports/hub-store.ts';
import { CausalContext } from '../../../src/protocol/causal/context.ts';
import { type FakeHubSession, FIRST_KEY } from '../../support/fake-hub-listener.ts';
import { FakeHubStore } from '../../support/fake-hub-store.ts';
import {
  BUCKETS,
  connectSite,
  EDGE_ACTOR,
  type HubFixture,
  helloOf,
  outcomeOf,
  pushOf,
  SHARDS,
  shardFor,
  startHub,
} from '../../support/hub-fixture.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { until } from '../../support/until.ts';

const SECOND_KEY = new Uint8Array(32).fill(8);
const PULL = { type: 'hub-pull', shard: 3, context: new CausalContext(), settled: new CausalContext() } as const;
const REPORT: HubRequest = {
  type: 'hub-report',
  leader: 'n1',
  quorate: true,
  members: ['n1', 'n2'],
  backlogEvents: 5,
  oldestMs: 1500,
};

async function ask(session: FakeHubSession, ...requests: HubRequest[]): Promise<string[]> {
  const replies = await Promise.all(requests.map((request) => session.request(request)));
  return replies.map(outcomeOf);
}

function register(value: string) {
  const bytes = new TextEncoder().encode(value);
  return () => ({ type: 'put', value: bytes, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null }) as const;
}

/** A store of which tests hold up or fail transactions. */
class GatedStore extends FakeHubStore {
  gate: Promise<void> = Promise.resolve();
  fault: Error | null = null;

  override async transact<T>(site: string, transaction: () => HubTransaction<T>): Promise<T> {
    await this.gate;
    if (this.fault !== null) throw this.fault;
    return super.transact(site, transaction);
  }
}

describe('a session', () => {
  it('begins with hello, and the hub keeps what that says', async () => {
    const fixture = await startHub();
    await fixture.hub.addSite('hall-2');
    const session = fixture.listener.connect('hall-2');
    expect(await ask(session, PULL, REPORT)).toEqual(['refused bad-request', 'refused bad-request']);
    expect(await session.request(helloOf())).toEqual({
      type: 'hub-welcome',
      site: 'hall-2',
      hub: 'cloud',
      buckets: [],
    });
    expect(await ask(session, PULL)).toEqual(['hub-pulled']);
    expect(await fixture.store.site('hall-2')).toMatchObject({ clusterId: 'c1', shards: SHARDS });
    expect(await fixture.store.buckets('hall-2')).toEqual(BUCKETS);
    expect(await fixture.store.actors('hall-2')).toEqual(new Map([[EDGE_ACTOR, 'gateway-7']]));
  });

  it('is told which buckets it has lost, but of none that it keeps to itself', async () => {
    const fixture = await startHub();
    const session = await connectSite(fixture);
    const some = BUCKETS.slice(0, 1);
    const exchanged = BUCKETS.slice(1).filter(({ sync }) => sync !== 'none');
    expect(await session.request(helloOf({ buckets: some }))).toMatchObject({ buckets: exchanged });
    expect(await session.request(helloOf({ buckets: BUCKETS }))).toMatchObject({ buckets: [] });
  });

  it('may send its first requests before it is welcome', async () => {
    const fixture = await startHub();
    await fixture.hub.addSite('hall-2');
    expect(await ask(fixture.listener.connect('hall-2'), helloOf(), PULL)).toEqual(['hub-welcome', 'hub-pulled']);
  });

  it('of another cluster is refused, and so is what it sends', async () => {
    const fixture = await startHub();
    await connectSite(fixture);
    for (const other of [{ clusterId: 'c2' }, { shards: SHARDS * 2 }]) {
      const session = fixture.listener.connect('hall-2', 'peer-2');
      expect(await ask(session, helloOf(other), PULL)).toEqual(['refused other-cluster', 'refused bad-request']);
    }
    expect((await fixture.store.site('hall-2'))?.clusterId).toBe('c1');
    expect(fixture.log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ site: 'hall-2', peer: 'peer-2', clusterId: 'c2' }),
      expect.objectContaining({ site: 'hall-2', peer: 'peer-2', shards: SHARDS * 2 }),
    ]);
  });

  it('is let in for one of two clusters that come at the same time', async () => {
    const fixture = await startHub();
    await fixture.hub.addSite('hall-2');
    const outcomes = await Promise.all(
      ['c1', 'c2', 'c3'].map((clusterId) => ask(fixture.listener.connect('hall-2', clusterId), helloOf({ clusterId }))),
    );
    expect(outcomes.flat().toSorted()).toEqual(['hub-welcome', 'refused other-cluster', 'refused other-cluster']);
  });

  it('of one island keeps the buckets that another has told of', async () => {
    const fixture = await startHub();
    await connectSite(fixture);
    const own = { name: 'made-here', sync: 'both', conflict: 'lww', ttlSeconds: null, origin: null } as const;
    const session = fixture.listener.connect('hall-2', 'peer-2');
    await session.request(helloOf({ buckets: [own] }));
    expect((await fixture.hub.buckets('hall-2')).map(({ name }) => name)).toEqual([
      'both',
      'carts',
      'made-here',
      'orders',
      'readings',
    ]);
  });

  it('names no shard that the site cannot have', async () => {
    const session = await connectSite(await startHub());
    const pulls = [SHARDS, -1, 65_536 + SHARDS, 65_536 + SHARDS - 1, 0.5].map(
      (shard): HubRequest => ({ ...PULL, shard }),
    );
    expect(await ask(session, ...pulls)).toEqual([
      'refused bad-request',
      'refused bad-request',
      'refused bad-request',
      'hub-pulled',
      'refused bad-request',
    ]);
  });

  it('shows how its island is', async () => {
    const fixture = await startHub();
    const session = await connectSite(fixture);
    const before = await fixture.hub.site('hall-2');
    expect(before.sessions).toMatchObject([
      { peerId: 'peer-1', island: null, backlogEvents: null, oldestSeconds: null },
    ]);
    expect(await ask(session, REPORT)).toEqual(['hub-noted']);
    expect((await fixture.hub.site('hall-2')).sessions).toEqual([
      {
        peerId: 'peer-1',
        since: '2026-09-21T14:13:20.000Z',
        island: { leader: 'n1', quorate: true, members: ['n1', 'n2'] },
        backlogEvents: 5,
        oldestSeconds: 1.5,
        sentBytes: 1000,
        receivedBytes: 200,
      },
    ]);
  });

  it('is answered in the order of its requests about a shard', async () => {
    const store = new GatedStore();
    const fixture = await startHub({ store });
    const session = await connectSite(fixture);
    const write = { bucket: 'both', key: 'a' };
    const first = session.request(pushOf({ ...write, value: 'one', counter: 1 }));
    const second = session.request({ type: 'hub-ask', shards: [shardFor(write)], combined: null });
    expect(outcomeOf(await first)).toBe('hub-pushed');
    expect(await second).toMatchObject({ type: 'hub-covers', covers: [{ shard: shardFor(write) }] });
  });
});

describe('a store in trouble', () => {
  it('makes requests wait, and is logged once', async () => {
    const store = new FakeHubStore();
    const { hub, listener, log } = await startHub({ store });
    const session = await connectSite({ hub, listener });
    store.failure = new HubStoreError('unavailable', 'the database does not answer; retry');
    expect(await ask(session, PULL, PULL, helloOf())).toEqual(['refused busy', 'refused busy', 'refused busy']);
    expect(log.warnings()).toEqual(['requests of sites wait for the store']);
    expect(await hub.isReady()).toBe(false);
    store.failure = null;
    expect(await ask(session, PULL)).toEqual(['hub-pulled']);
    expect(log.lines.at(-1)?.message).toBe('the store answers again');
    expect(await hub.isReady()).toBe(true);
  });

  it('is told to clients with what is known of the outcome', async () => {
    const store = new FakeHubStore();
    const { hub, listener } = await startHub({ store });
    await connectSite({ hub, listener });
    const key = { site: 'hall-2', bucket: 'both', key: 'a' };
    store.failure = new HubStoreError('unavailable', 'the database does not answer');
    await expect(hub.sites()).rejects.toMatchObject({ code: 'store-unavailable', failure: { stateChanged: 'no' } });
    await expect(hub.mutate(key, register('x'), null)).rejects.toMatchObject({
      code: 'store-unavailable',
      failure: { stateChanged: 'maybe' },
    });
    store.failure = new HubStoreError('disk-full', 'no space');
    await expect(hub.mutate(key, register('x'), null)).rejects.toMatchObject({ code: 'disk-full' });
    expect(await hub.metrics()).toContain('holdfast_hub_store_up 0');
  });

  it('differs from a fault of the hub, which is logged with its stack', async () => {
    const store = new GatedStore();
    const { hub, listener, log } = await startHub({ store });
    const session = await connectSite({ hub, listener });
    store.fault = new TypeError('x is undefined');
    expect(await ask(session, PULL)).toEqual(['refused bad-request']);
    expect(log.lines.at(-1)).toMatchObject({ level: 'error', fields: { site: 'hall-2', request: 'hub-pull' } });
    expect(String(log.lines.at(-1)?.fields['error'])).toContain('TypeError: x is undefined\n');
  });
});

describe('too much work', () => {
  async function held(limits: Parameters<typeof startHub>[0]): Promise<{ fixture: HubFixture; release: () => void }> {
    const store = new GatedStore();
    const fixture = await startHub({ store, ...limits });
    await connectSite(fixture);
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    return { fixture, release: resolve };
  }

  it('of one session ends it', async () => {
    const { fixture, release } = await held({ limits: { sessionRequestsMax: 3 } });
    const session = await connectSite(fixture, 'hall-2', 'peer-2');
    for (let i = 0; i < 3; i++) void session.request(PULL);
    expect(session.closedFor).toBeNull();
    void session.request(PULL);
    expect(session.closedFor).toContain('more requests wait');
    release();
    await until('the session is gone', async () => (await fixture.hub.site('hall-2')).sessions.length === 1);
    expect(session.answered).toEqual([1]);
    expect(await fixture.hub.metrics()).toContain('{type="pull",outcome="dropped"} 1');
  });

  it('counts by its bytes', async () => {
    const { fixture, release } = await held({ limits: { sessionBytesMax: 1500 } });
    const session = await connectSite(fixture, 'hall-2', 'peer-2');
    void session.request(pushOf({ bucket: 'both', key: 'a', value: 'x'.repeat(1200), counter: 1 }));
    expect(session.closedFor).toContain('more requests wait');
    release();
  });

  it('of all sessions together is refused as busy', async () => {
    const { fixture, release } = await held({ limits: { bytesMax: 3000 } });
    const session = await connectSite(fixture, 'hall-2', 'peer-2');
    const push = pushOf({ bucket: 'both', key: 'a', value: 'x'.repeat(2000), counter: 1 });
    const first = session.request(push);
    expect(outcomeOf(await session.request(push))).toBe('refused busy');
    release();
    expect(outcomeOf(await first)).toBe('hub-pushed');
    expect(outcomeOf(await session.request(push))).toBe('hub-pushed');
  });
});

describe('news', () => {
  const key = { site: 'hall-2', bucket: 'both', key: 'a' };

  it('of what this hub writes go to all sessions of the site at once', async () => {
    const fixture = await startHub();
    const sessions = [await connectSite(fixture), await connectSite(fixture, 'hall-2', 'peer-2')];
    const other = await connectSite(fixture, 'hall-3');
    const strange = fixture.listener.connect('hall-2', 'peer-3');
    await fixture.hub.mutate(key, register('x'), null);
    const news = [{ type: 'hub-news', shards: [shardFor(key)] }];
    for (const session of sessions) expect(session.news).toEqual(news);
    expect([other.news, strange.news]).toEqual([[], []]);
  });

  it('of what other processes write come within a second', async () => {
    const store = new FakeHubStore({ isShared: true });
    const clock = new ManualClock();
    const [one, two] = [await startHub({ store, clock }), await startHub({ store, clock })];
    const session = await connectSite(one);
    await two.hub.mutate(key, register('x'), null);
    expect(session.news).toEqual([]);
    clock.advance(1000);
    await until('the news has come', () => session.news.length > 0);
    expect(session.news).toEqual([{ type: 'hub-news', shards: [shardFor(key)] }]);
    clock.advance(5000);
    await connectSite(two, 'hall-2', 'peer-2');
    expect(session.news).toHaveLength(1);
  });

  it('are not missed by a session that begins just before the write', async () => {
    const store = new FakeHubStore({ isShared: true });
    const clock = new ManualClock();
    const [one, two] = [await startHub({ store, clock }), await startHub({ store, clock })];
    await one.hub.addSite('hall-2');
    const session = one.listener.connect('hall-2');
    await session.request(helloOf());
    await two.hub.mutate(key, register('x'), null);
    clock.advance(1000);
    await until('the news has come', () => session.news.length > 0);
    expect(session.news).toHaveLength(1);
  });

  it('go on after the store was away', async () => {
    const store = new FakeHubStore({ isShared: true });
    const { hub, listener, clock, log } = await startHub({ store });
    const session = await connectSite({ hub, listener });
    const other = await startHub({ store, clock });
    store.failure = new HubStoreError('unavailable', 'the database does not answer');
    clock.advance(1000);
    await until('the hub has noticed', () => log.warnings().length > 0);
    store.failure = null;
    await other.hub.mutate(key, register('x'), null);
    await until('the news has come', () => {
      clock.advance(1000);
      return session.news.length > 0;
    });
    expect(log.lines.map(({ message }) => message)).toContain('the store answers again');
  });
});

describe('names of events', () => {
  /** Passes everything on to another store, which tests exchange for one from before. */
  function restorable(): { store: HubStore; use: (store: HubStore) => void } {
    let current: HubStore = new FakeHubStore();
    const store = new Proxy({} as HubStore, {
      get: (_target, name) => {
        const value: unknown = Reflect.get(current, name);
        return typeof value === 'function' ? value.bind(current) : value;
      },
    });
    return {
      store,
      use: (other) => {
        current = other;
      },
    };
  }

  const key = { site: 'hall-2', bucket: 'both', key: 'a' };

  it('are not used again after the database was restored from a copy', async () => {
    const { store, use } = restorable();
    const clock = new ManualClock();
    const { hub, listener } = await startHub({ store, clock });
    await connectSite({ hub, listener });
    const first = await hub.mutate(key, register('x'), null);
    const copy = new FakeHubStore();
    const {
      name,
      key: proof,
      createdMs,
    } = (await store.site('hall-2')) as NonNullable<Awaited<ReturnType<HubStore['site']>>>;
    await copy.addSite({ name, key: proof, createdMs });
    await copy.noteSite(name, { clusterId: 'c1', shards: SHARDS, buckets: BUCKETS, actors: [], atMs: 0 });
    use(copy);
    const second = await hub.mutate(key, register('y'), null);
    const [actor, counter] = (first.etag ?? '').split('-');
    expect(counter).toBe('1');
    expect(second.etag).toBe(`${String(actor)}-2`);
  });

  it('have another actor once the site was removed and added anew, and in each process', async () => {
    const store = new FakeHubStore({ isShared: true });
    const clock = new ManualClock();
    const fixture = await startHub({ store, clock });
    const etags: (string | null)[] = [];
    await connectSite(fixture);
    etags.push((await fixture.hub.mutate(key, register('x'), null)).etag);
    await fixture.hub.removeSite('hall-2');
    clock.advance(1);
    await connectSite(fixture);
    etags.push((await fixture.hub.mutate(key, register('x'), null)).etag);
    const other = await startHub({ store, clock });
    etags.push((await other.hub.mutate(key, register('x'), null)).etag);
    const actors = etags.map((etag) => etag?.split('-')[0]);
    expect(new Set(actors).size).toBe(3);
  });

  it('follow upon each other, also where the store runs transactions twice', async () => {
    let runs = 0;
    const store = new FakeHubStore({ conflicts: () => ++runs % 2 === 0 });
    const fixture = await startHub({ store });
    await connectSite(fixture);
    const writes = await Promise.all(
      ['a', 'b', 'c', 'd'].map((value) => fixture.hub.mutate(key, register(value), null)),
    );
    expect(writes.map(({ etag }) => etag?.split('-')[1])).toEqual(['1', '2', '3', '4']);
  });
});

describe('sites', () => {
  it('are added, shown and removed with their sessions', async () => {
    const { hub, listener, store } = await startHub();
    const { token } = await hub.addSite('hall-2');
    expect(token).toMatch(/^hft1\.hall-2\.[0-9a-f]{64}$/);
    await expect(hub.addSite('hall-2')).rejects.toMatchObject({ code: 'site-exists' });
    await expect(hub.addSite('Hall 2')).rejects.toMatchObject({ code: 'bad-request' });
    expect(await listener.handler.siteKey('hall-2')).toHaveLength(32);
    expect(await listener.handler.siteKey('hall-3')).toBeNull();
    const session = await connectSite({ hub, listener });
    await hub.removeSite('hall-2');
    expect(session.closedFor).toBe('the site was removed');
    expect(await store.sites()).toEqual([]);
    expect(await listener.handler.siteKey('hall-2')).toBeNull();
    for (const asked of [hub.site('hall-2'), hub.removeSite('hall-2'), hub.buckets('hall-2')]) {
      await expect(asked).rejects.toMatchObject({ code: 'site-not-found' });
    }
  });

  it('are not removed under the hands of a session', async () => {
    const store = new GatedStore();
    const { hub, listener } = await startHub({ store });
    const session = await connectSite({ hub, listener });
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    void session.request(PULL);
    let isRemoved = false;
    const removed = hub.removeSite('hall-2').then(() => {
      isRemoved = true;
    });
    await until('the session was ended', () => session.closedFor !== null);
    // Nobody is let in meanwhile.
    expect(await listener.handler.siteKey('hall-2')).toBeNull();
    expect(isRemoved).toBe(false);
    resolve();
    await removed;
    expect(await store.sites()).toEqual([]);
  });

  it('are given new tokens, which the sessions with the old one do not outlive', async () => {
    const keys = [FIRST_KEY, SECOND_KEY];
    const issueToken = (site: string) => ({
      token: SiteToken.of(site, 'a'.repeat(64)),
      key: keys.shift() ?? FIRST_KEY,
    });
    const { hub, listener, store } = await startHub({ issueToken });
    const session = await connectSite({ hub, listener });
    const below = await connectSite({ hub, listener }, 'hall-2:shed');
    const begins = listener.connect('hall-2', 'peer-2');
    const { createdMs } = (await store.site('hall-2')) ?? {};
    expect(await hub.replaceToken('hall-2')).toMatchObject({ name: 'hall-2', token: expect.stringMatching(/^hft1/) });
    for (const { closedFor } of [session, below, begins]) expect(closedFor).toBe('the token of the site was replaced');
    expect(await store.site('hall-2')).toMatchObject({ key: SECOND_KEY, createdMs, clusterId: 'c1' });
    // It has proved the old token in time, and is heard too late.
    for (const site of ['hall-2', 'hall-2:shed']) {
      const late = listener.connect(site, 'peer-3');
      void late.request(helloOf());
      await until('it has ended', () => late.closedFor !== null);
      expect(late.closedFor).toBe('the token of the site was replaced');
      const renewed = listener.connect(site, 'peer-3', SECOND_KEY);
      expect(await renewed.request(helloOf())).toMatchObject({ type: 'hub-welcome' });
    }
    await expect(hub.replaceToken('hall-3')).rejects.toMatchObject({ code: 'site-not-found' });
    await expect(hub.replaceToken('hall-2:shed')).rejects.toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('comes with that of hall-2'),
    });
  });

  it('whose token another process replaces lose their sessions', async () => {
    const store = new FakeHubStore({ isShared: true });
    const clock = new ManualClock();
    const [one, two] = [await startHub({ store, clock }), await startHub({ store, clock })];
    const sessions = [await connectSite(one), await connectSite(one, 'hall-2:shed')];
    await store.replaceKey('hall-2', SECOND_KEY);
    const renewed = one.listener.connect('hall-2', 'peer-2', SECOND_KEY);
    await renewed.request(helloOf());
    clock.advance(1000);
    for (const session of sessions) await until('it has ended', () => session.closedFor !== null);
    expect(sessions.map(({ closedFor }) => closedFor)).toEqual(Array(2).fill('the token of the site was replaced'));
    expect(renewed.closedFor).toBeNull();
    await two.hub.stop();
  });

  it('that another process removes lose their sessions', async () => {
    const store = new FakeHubStore({ isShared: true });
    const clock = new ManualClock();
    const [one, two] = [await startHub({ store, clock }), await startHub({ store, clock })];
    const waits = await connectSite(one);
    const asks = await connectSite(one, 'hall-2', 'peer-2');
    await two.hub.removeSite('hall-2');
    void asks.request(PULL);
    await until('it has ended', () => asks.closedFor !== null);
    expect(asks.closedFor).toBe('the site was removed');
    clock.advance(1000);
    await until('the other has ended as well', () => waits.closedFor !== null);
  });

  it('are known to be there', async () => {
    const { hub, listener, clock, store } = await startHub();
    const session = await connectSite({ hub, listener });
    clock.advance(3_600_000);
    const now = new Date(clock.now().wallMs).toISOString();
    expect(await hub.sites()).toMatchObject([{ name: 'hall-2', connected: true, lastSeenAt: now, clusterId: 'c1' }]);
    session.close('gone');
    await until('the session has ended', async () => (await hub.sites())[0]?.connected === false);
    await until('that is written down', async () => (await store.site('hall-2'))?.seenMs === clock.now().wallMs);
    clock.advance(60_000);
    expect(await hub.sites()).toMatchObject([{ connected: false, lastSeenAt: now }]);
    expect(await hub.metrics()).toContain('holdfast_hub_site_seen_seconds{site="hall-2"} 60');
  });
});

describe('metrics', () => {
  it('tell what the hub does', async () => {
    const { hub, listener } = await startHub();
    const session = await connectSite({ hub, listener });
    const write = { bucket: 'both', key: 'a', value: 'x', counter: 1 };
    const concurrent = { ...write, actor: 'b'.repeat(16), value: 'y', wallMs: 1_790_000_000_005 };
    await ask(session, pushOf(write), pushOf(concurrent), PULL, { ...PULL, shard: 99 });
    hub.countRefusal('not-synced-down');
    const text = await hub.metrics();
    for (const line of [
      'holdfast_hub_info{version="1.2.3",name="cloud"} 1',
      'holdfast_hub_store_up 1',
      'holdfast_hub_sites{connected="true"} 1',
      'holdfast_hub_sessions 1',
      'holdfast_hub_requests_total{type="push",outcome="done"} 2',
      'holdfast_hub_requests_total{type="pull",outcome="refused"} 1',
      'holdfast_hub_items_received_total 2',
      'holdfast_hub_conflicts_total 1',
      'holdfast_hub_bytes_total{direction="sent"} 1000',
      'holdfast_hub_site_seen_seconds{site="hall-2"} 0',
      'holdfast_hub_requests_refused_total{reason="not-synced-down"} 1',
    ]) {
      expect(text).toContain(line);
    }
    session.close('gone');
    await until('it has ended', async () => (await hub.metrics()).includes('holdfast_hub_sessions 0'));
    expect(await hub.metrics()).toContain('holdfast_hub_bytes_total{direction="sent"} 1000');
  });
});

describe('the end', () => {
  it('waits for what is under way, and lets nobody in', async () => {
    const store = new GatedStore();
    const { hub, listener } = await startHub({ store });
    const session = await connectSite({ hub, listener });
    const { promise, resolve } = Promise.withResolvers<void>();
    store.gate = promise;
    const write = { bucket: 'both', key: 'a', value: 'x', counter: 1 };
    let reply: HubReply | null = null;
    void session.request(pushOf(write)).then((came) => {
      reply = came;
    });
    const stopped = hub.stop();
    await until('the session has ended', () => session.closedFor !== null);
    await expect(listener.handler.siteKey('hall-2')).rejects.toMatchObject({ code: 'unavailable' });
    resolve();
    await stopped;
    expect(await store.totals('hall-2')).toMatchObject({ keys: 1 });
    expect([reply, await hub.isReady(), listener.isStopped]).toEqual([null, false, true]);
  });
});
