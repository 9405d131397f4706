import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/lib/failure.ts';
import { sitePathOf } from '../../../src/lib/site-name.ts';
import type { HubListenerHandler } from '../../../src/ports/hub-link.ts';
import { HubStoreError, type HubTransaction, type SiteBucket } from '../../../src/ports/hub-store.ts';
import { FakeHubStore } from '../../support/fake-hub-store.ts';
import { connectSite, type HubFixture, pushOf, startHub } from '../../support/hub-fixture.ts';
import { LoopLink } from '../../support/loop-link.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const SITE = 'hall-2';
const ABOVE = 'district-7:hall-2';

interface Chain {
  readonly clock: ManualClock;
  readonly cloud: HubFixture;
  readonly district: HubFixture;
  /** The hub above cannot be reached. */
  cut(isCut: boolean): void;
}

async function startChain(districtStore = new FakeHubStore()): Promise<Chain> {
  const clock = new ManualClock();
  const cloud = await startHub({ clock });
  await cloud.hub.addSite('district-7');
  let isCut = false;
  const links: LoopLink[] = [];
  const above = {
    address: '/ip4/192.0.2.1/tcp/7500',
    site: 'district-7',
    bytesPerSecond: 0,
    linkOf: (site: string) => {
      const hub = (): HubListenerHandler | null => (isCut ? null : cloud.listener.handler);
      const link = new LoopLink(sitePathOf('district-7', site), hub);
      links.push(link);
      return link;
    },
  };
  const district = await startHub({ clock, store: districtStore, above });
  const cut = (to: boolean): void => {
    if (to) for (const link of links) link.close('the line is cut');
    isCut = to;
  };
  return { clock, cloud, district, cut };
}

/** What a hub is told of a hub in the same process. */
function aboveOf({ listener }: HubFixture, site: string) {
  const linkOf = (name: string) => new LoopLink(sitePathOf(site, name), () => listener.handler);
  return { address: '/ip4/192.0.2.1/tcp/7500', site, bytesPerSecond: 0, linkOf };
}

/** Time goes by, with all that happens in it. */
async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 50) {
    clock.advance(50);
    for (let turn = 0; turn < 30; turn++) await Promise.resolve();
  }
}

async function valueAt({ hub }: HubFixture, site: string, bucket: string, key: string): Promise<string | undefined> {
  const { entries } = await hub.read({ site, bucket, key }, null).catch((error: unknown) => {
    if (error instanceof HoldfastError) return { entries: [] };
    throw error;
  });
  const payload = entries[0]?.payload;
  return payload?.kind === 'register' ? new TextDecoder().decode(payload.value) : undefined;
}

function put(value: string) {
  const bytes = new TextEncoder().encode(value);
  return () => ({ type: 'put', value: bytes, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null }) as const;
}

describe('a hub with a hub above', () => {
  it('exchanges each of its sites with it, as a site of its own', async () => {
    const { clock, cloud, district } = await startChain();
    expect(district.hub.uplink()).toMatchObject({ connected: false, problem: expect.stringContaining('no site') });
    const session = await connectSite(district, SITE);
    await pass(clock, 3000);
    const key = { bucket: 'both', key: 'a' };
    await session.request(pushOf({ ...key, value: 'from the site', counter: 1 }));
    await pass(clock, 3000);
    expect(await valueAt(cloud, ABOVE, 'both', 'a')).toBe('from the site');
    await cloud.hub.mutate({ site: ABOVE, bucket: 'both', key: 'b' }, put('from above'), null);
    await district.hub.mutate({ site: SITE, bucket: 'both', key: 'c' }, put('from between'), null);
    await pass(clock, 6000);
    expect(await valueAt(district, SITE, 'both', 'b')).toBe('from above');
    expect(await valueAt(cloud, ABOVE, 'both', 'c')).toBe('from between');
    const seen = { name: 'district-7', connected: true, clusterId: null, lastSeenAt: expect.any(String) };
    expect(await cloud.hub.sites()).toContainEqual(expect.objectContaining(seen));
    // Both are told to the site, which fetches them.
    expect(session.news.length).toBeGreaterThanOrEqual(2);
    expect((await cloud.hub.buckets(ABOVE)).map(({ name }) => name)).toEqual(
      (await district.hub.buckets(SITE)).map(({ name }) => name),
    );
    expect(district.hub.uplink()).toEqual({
      address: '/ip4/192.0.2.1/tcp/7500',
      site: 'district-7',
      connected: true,
      carrying: true,
      problem: null,
      backlog: { events: 0, oldestSeconds: 0 },
      islandBacklog: { events: 0, oldestSeconds: 0 },
      lastSyncAt: expect.any(String),
    });
    await district.hub.stop();
    await pass(clock, 100);
    expect(await cloud.hub.sites()).toContainEqual(expect.objectContaining({ ...seen, connected: false }));
    await cloud.hub.stop();
  });

  it('gives what comes from above to the sites that it shares the bucket with', async () => {
    const { clock, cloud, district } = await startChain();
    await connectSite(district, SITE);
    await connectSite(district, 'barn', 'peer-2');
    await pass(clock, 6000);
    await district.hub.addShare({ to: 'barn', bucket: 'orders', from: SITE });
    await pass(clock, 1000);
    await cloud.hub.mutate({ site: ABOVE, bucket: 'orders', key: 'a' }, put('from above'), null);
    await pass(clock, 6000);
    expect(await valueAt(district, SITE, 'orders', 'a')).toBe('from above');
    expect(await valueAt(district, 'barn', 'orders', 'a')).toBe('from above');
    await district.hub.stop();
    await cloud.hub.stop();
  });

  it('says what waits while that one is away, and why, and sends it later', async () => {
    const { clock, cloud, district, cut } = await startChain();
    const session = await connectSite(district, SITE);
    await pass(clock, 8000);
    cut(true);
    await session.request(pushOf({ bucket: 'both', key: 'a', value: '1', counter: 1 }));
    await pass(clock, 20_000);
    const view = district.hub.uplink();
    expect(view).toMatchObject({ connected: false, carrying: false, backlog: { events: 1 } });
    expect(view?.problem).toBe('refused: nothing listens there');
    expect(view?.backlog.oldestSeconds).toBeGreaterThan(10);
    expect(await district.hub.metrics()).toContain('holdfast_uplink_backlog_events 1');
    const texts = district.log.lines.map(({ message }) => message);
    expect(texts.filter((text) => text.includes('hub above is'))).toEqual([
      'the hub above is reached',
      'the hub above is not reached; what it lacks waits here',
    ]);
    cut(false);
    await pass(clock, 60_000);
    expect(await valueAt(cloud, ABOVE, 'both', 'a')).toBe('1');
    expect(district.hub.uplink()).toMatchObject({ connected: true, backlog: { events: 0 } });
    await district.hub.stop();
  });

  it('gives a site that was removed above alone to that hub once more', async () => {
    const { clock, cloud, district } = await startChain();
    const session = await connectSite(district, SITE);
    await session.request(pushOf({ bucket: 'both', key: 'a', value: 'from the site', counter: 1 }));
    await pass(clock, 8000);
    await cloud.hub.mutate({ site: ABOVE, bucket: 'both', key: 'b' }, put('from above'), null);
    await pass(clock, 8000);
    await cloud.hub.removeSite(ABOVE);
    expect(await valueAt(cloud, ABOVE, 'both', 'a')).toBeUndefined();
    await pass(clock, 20_000);
    expect(await valueAt(cloud, ABOVE, 'both', 'a')).toBe('from the site');
    expect(await valueAt(cloud, ABOVE, 'both', 'b')).toBe('from above');
    await district.hub.stop();
  });

  it('ends with its sites: with one that is removed here, and with all where its token is gone', async () => {
    const { clock, cloud, district } = await startChain();
    await connectSite(district, SITE);
    await connectSite(district, 'hall-3', 'peer-2');
    await pass(clock, 8000);
    const names = async (): Promise<string[]> => (await cloud.hub.sites()).map(({ name }) => name);
    expect(await names()).toEqual(['district-7', ABOVE, 'district-7:hall-3']);
    await district.hub.removeSite('hall-3');
    await pass(clock, 8000);
    // What it has is there until it is removed there.
    expect((await cloud.hub.site('district-7:hall-3')).connected).toBe(false);
    await cloud.hub.addSite('district-70');
    await cloud.hub.removeSite('district-7');
    expect(await names()).toEqual(['district-70']);
    await pass(clock, 20_000);
    expect(district.hub.uplink()?.problem).toBe('bad-token: the hub knows no such site');
    expect(await names()).toEqual(['district-70']);
    await district.hub.stop();
  });

  it('may be above another hub too: three levels follow the rule of two', async () => {
    const clock = new ManualClock();
    const cloud = await startHub({ clock });
    await cloud.hub.addSite('region-3');
    const region = await startHub({ clock, above: aboveOf(cloud, 'region-3') });
    await region.hub.addSite('district-7');
    const district = await startHub({ clock, above: aboveOf(region, 'district-7') });
    const session = await connectSite(district, SITE);
    await pass(clock, 12_000);
    await session.request(pushOf({ bucket: 'both', key: 'a', value: 'from the site', counter: 1 }));
    await cloud.hub.mutate({ site: `region-3:${ABOVE}`, bucket: 'both', key: 'b' }, put('from the top'), null);
    await pass(clock, 12_000);
    expect(await valueAt(cloud, `region-3:${ABOVE}`, 'both', 'a')).toBe('from the site');
    expect(await valueAt(district, SITE, 'both', 'b')).toBe('from the top');
    expect((await cloud.hub.sites()).map(({ name }) => name)).toEqual(['region-3', `region-3:${ABOVE}`]);
    for (const { hub } of [district, region, cloud]) await hub.stop();
  });

  it('leaves a site to the process that has its session', async () => {
    const store = new FakeHubStore({ isShared: true });
    const { clock, cloud, district } = await startChain(store);
    const other = await startHub({ clock, store });
    await connectSite(other, SITE);
    await pass(clock, 8000);
    expect((await cloud.hub.sites()).map(({ name }) => name)).toEqual(['district-7']);
    await other.hub.stop();
    await pass(clock, 200_000);
    expect((await cloud.hub.sites()).map(({ name }) => name)).toEqual(['district-7', ABOVE]);
    await district.hub.stop();
  });

  it('is told of once where there are too many hubs above each other, and stays where it is', async () => {
    const { clock, cloud, district } = await startChain();
    await district.hub.addSite('a');
    await connectSite(district, 'a:b:c:d');
    await connectSite(district, SITE, 'peer-2');
    await pass(clock, 60_000);
    expect((await cloud.hub.sites()).map(({ name }) => name)).toEqual(['district-7', ABOVE]);
    const told = district.log.lines.filter(({ fields }) => /too many hubs/.test(String(fields?.['problem'])));
    expect(told).toHaveLength(1);
    await district.hub.stop();
  });

  it('comes to an end where two hubs are above each other', async () => {
    const clock = new ManualClock();
    const fixtures: HubFixture[] = [];
    const aboveAt = (index: number, site: string) => ({
      ...aboveOf({ listener: { handler: null } } as unknown as HubFixture, site),
      linkOf: (name: string) => new LoopLink(sitePathOf(site, name), () => fixtures[index]?.listener.handler ?? null),
    });
    fixtures.push(
      await startHub({ clock, above: aboveAt(1, 'one') }),
      await startHub({ clock, above: aboveAt(0, 'two') }),
    );
    const [one, two] = fixtures as [HubFixture, HubFixture];
    await one.hub.addSite('two');
    await two.hub.addSite('one');
    const session = await connectSite(one, SITE);
    await session.request(pushOf({ bucket: 'both', key: 'a', value: '1', counter: 1 }));
    await pass(clock, 60_000);
    const names = async ({ hub }: HubFixture): Promise<string[]> => (await hub.sites()).map(({ name }) => name);
    expect(await names(one)).toEqual([SITE, 'two', `two:one:${SITE}`]);
    expect(await names(two)).toEqual(['one', `one:${SITE}`, `one:two:one:${SITE}`]);
    expect(await valueAt(two, `one:two:one:${SITE}`, 'both', 'a')).toBe('1');
    for (const { hub } of fixtures) await hub.stop();
  });

  it('goes on with the other sites where one cannot be looked up', async () => {
    class DamagedStore extends FakeHubStore {
      override async buckets(site: string): Promise<readonly SiteBucket[]> {
        if (site === 'a-damaged') throw new HubStoreError('unreadable', 'damaged');
        return await super.buckets(site);
      }
    }
    const store = new DamagedStore();
    const { clock, cloud, district } = await startChain(store);
    await store.addSite({ name: 'a-damaged', key: new Uint8Array(32), createdMs: 1 });
    await store.noteSite('a-damaged', { clusterId: 'c', shards: 16, buckets: [], actors: [], atMs: 1 });
    await connectSite(district, SITE);
    await pass(clock, 12_000);
    expect((await cloud.hub.sites()).map(({ name }) => name)).toEqual(['district-7', ABOVE]);
    await district.hub.stop();
  });

  it('leaves the store to others, however many sites it exchanges', async () => {
    let running = 0;
    let highest = 0;
    class SlowStore extends FakeHubStore {
      override async transact<T>(site: string, transaction: () => HubTransaction<T>): Promise<T> {
        highest = Math.max(highest, ++running);
        for (let i = 0; i < 4; i++) await Promise.resolve();
        running--;
        return await super.transact(site, transaction);
      }
    }
    const { clock, cloud, district } = await startChain(new SlowStore());
    for (let i = 0; i < 60; i++) await connectSite(district, `hall-${i}`, `peer-${i}`);
    await pass(clock, 12_000);
    expect(await cloud.hub.sites()).toHaveLength(61);
    expect(highest).toBeGreaterThan(1);
    expect(highest).toBeLessThanOrEqual(8);
    await district.hub.stop();
  });

  it('has no more sites than one may have', async () => {
    const clock = new ManualClock();
    const cloud = await startHub({ clock, limits: { sitesBelowMax: 2 } });
    await cloud.hub.addSite('district-7');
    const district = await startHub({ clock, above: aboveOf(cloud, 'district-7') });
    for (const site of ['hall-1', 'hall-2', 'hall-3']) await connectSite(district, site, `peer of ${site}`);
    await pass(clock, 12_000);
    expect(await cloud.hub.sites()).toHaveLength(3);
    expect(district.hub.uplink()?.problem).toMatch(
      /district-7 has 2 sites of its own, and may have no more; remove some at this hub/,
    );
    await cloud.hub.removeSite('district-7:hall-1');
    await district.hub.removeSite('hall-1');
    await pass(clock, 120_000);
    expect(district.hub.uplink()).toMatchObject({ connected: true, problem: null });
    await district.hub.stop();
  });

  it('takes with it what another process lets in while it is removed', async () => {
    class RacingStore extends FakeHubStore {
      override async removeSite(name: string): Promise<boolean> {
        if (name === 'district-7') await this.addSite({ name: `${name}:late`, key: new Uint8Array(32), createdMs: 1 });
        return await super.removeSite(name);
      }
    }
    const { hub } = await startHub({ store: new RacingStore() });
    await hub.addSite('district-7');
    await hub.removeSite('district-7');
    expect(await hub.sites()).toEqual([]);
  });
});
