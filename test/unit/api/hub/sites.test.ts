import { describe, expect, it } from 'vitest';
import { HubStoreError } from '../../../../src/ports/hub-store.ts';
import { FakeHubStore } from '../../../support/fake-hub-store.ts';
import { connectSite, pushOf } from '../../../support/hub-fixture.ts';
import { problemOf } from '../http/harness.ts';
import { startHubHarness } from './harness.ts';

const JSON_TYPE = { 'content-type': 'application/json' };

function post(body: unknown): RequestInit {
  return { method: 'POST', headers: JSON_TYPE, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

const NO_TRAFFIC = { sentBytes: 0, receivedBytes: 0 };

describe('/v1/status', () => {
  it('shows the hub at a glance', async () => {
    const harness = await startHubHarness();
    await connectSite(harness);
    await harness.hub.addSite('hall-3');
    expect(await (await harness.fetch('/v1/status')).json()).toEqual({
      name: 'cloud',
      peerId: '12D3KooWHub',
      version: '1.2.3',
      uptimeSeconds: 0,
      store: 'embedded',
      addresses: ['/ip4/127.0.0.1/tcp/7500/p2p/12D3KooWHub'],
      sites: 2,
      sessions: 1,
      hub: null,
    });
  });
});

describe('/v1/hub', () => {
  it('tells of the hub above, where there is one', async () => {
    const alone = await startHubHarness();
    const answer = await alone.fetch('/v1/hub');
    expect([answer.status, await answer.json()]).toEqual([200, null]);
    expect((await alone.fetch('/v1/hub?x=1')).status).toBe(400);
    const link = { open: () => undefined, close: () => undefined, send: () => 0, traffic: () => NO_TRAFFIC };
    const address = '/dns4/cloud.example/tcp/7500';
    const above = { address, site: 'district-7', bytesPerSecond: 0, linkOf: () => link };
    const harness = await startHubHarness({ above });
    const shown = { address, site: 'district-7', connected: false, carrying: false, lastSyncAt: null };
    expect(await (await harness.fetch('/v1/hub')).json()).toMatchObject(shown);
    expect(await (await harness.fetch('/v1/status')).json()).toMatchObject({ hub: shown });
    await harness.hub.stop();
  });
});

describe('/v1/sites', () => {
  it('adds sites and shows their tokens once', async () => {
    const { fetch } = await startHubHarness();
    const added = await fetch('/v1/sites', post({ name: 'hall-2' }));
    expect([added.status, added.headers.get('cache-control')]).toEqual([201, 'no-store']);
    const { name, token } = (await added.json()) as { name: string; token: string };
    expect([name, token]).toEqual(['hall-2', expect.stringMatching(/^hft1\.hall-2\.[0-9a-f]{64}$/)]);
    expect(await problemOf(await fetch('/v1/sites', post({ name: 'hall-2' })))).toBe('409 site-exists');
    const { sites } = (await (await fetch('/v1/sites')).json()) as { sites: unknown[] };
    expect(sites).toEqual([
      {
        name: 'hall-2',
        createdAt: '2026-09-21T14:13:20.000Z',
        clusterId: null,
        connected: false,
        lastSeenAt: null,
      },
    ]);
    expect(JSON.stringify(sites)).not.toContain(token.slice(-16));
  });

  it.each([['{'], [{}], [{ name: 'Hall 2' }], [{ name: '' }], [{ name: 'x'.repeat(64) }], [{ name: 'a', more: 1 }]])(
    'refuses %j',
    async (body) => {
      const { fetch, store } = await startHubHarness();
      expect(await problemOf(await fetch('/v1/sites', post(body)))).toBe('400 bad-request');
      expect(await store.sites()).toEqual([]);
    },
  );

  it('refuses pages of other origins', async () => {
    const { fetch } = await startHubHarness();
    const request = { ...post({ name: 'a' }), headers: { ...JSON_TYPE, origin: 'http://elsewhere.example' } };
    expect(await problemOf(await fetch('/v1/sites', request))).toBe('401 unauthorized');
  });

  it('says when the store does not answer', async () => {
    const store = new FakeHubStore();
    const { fetch } = await startHubHarness({ store });
    store.failure = new HubStoreError('unavailable', 'the database does not answer; check that it runs');
    const answer = await fetch('/v1/sites');
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await problemOf(answer)).toBe('503 store-unavailable');
    expect(await problemOf(await fetch('/readyz'))).toBe('503 not-ready');
    expect((await fetch('/healthz')).status).toBe(200);
    store.failure = null;
    expect(await (await fetch('/readyz')).json()).toEqual({ status: 'ready' });
  });
});

describe('/v1/sites/{site}', () => {
  it('shows sessions, keys and conflicts', async () => {
    const harness = await startHubHarness();
    const session = await connectSite(harness);
    const write = { bucket: 'both', key: 'a', value: 'x', counter: 1 };
    await session.request(pushOf(write));
    expect(await (await harness.fetch('/v1/sites/hall-2')).json()).toMatchObject({
      name: 'hall-2',
      clusterId: 'c1',
      connected: true,
      sessions: [{ peerId: 'peer-1', island: null, backlogEvents: null }],
      keys: 1,
      conflicts: 0,
    });
    expect(await problemOf(await harness.fetch('/v1/sites/hall-9'))).toBe('404 site-not-found');
    expect(await problemOf(await harness.fetch('/v1/sites/%FF'))).toBe('400 bad-request');
    expect(await problemOf(await harness.fetch('/v1/sites/hall-2?x=1'))).toBe('400 bad-request');
  });

  it('is removed where its name is given once more', async () => {
    const harness = await startHubHarness();
    const session = await connectSite(harness);
    const remove = (query: string): Promise<Response> =>
      harness.fetch(`/v1/sites/hall-2${query}`, { method: 'DELETE' });
    expect(await problemOf(await remove(''))).toBe('400 bad-request');
    expect(await problemOf(await remove('?confirm=hall-3'))).toBe('400 bad-request');
    expect((await harness.store.sites()).length).toBe(1);
    expect((await remove('?confirm=hall-2')).status).toBe(204);
    expect(session.closedFor).toBe('the site was removed');
    expect(await problemOf(await remove('?confirm=hall-2'))).toBe('404 site-not-found');
  });

  it('is given a new token, which is shown once', async () => {
    const harness = await startHubHarness();
    const session = await connectSite(harness);
    const replaced = await harness.fetch('/v1/sites/hall-2/token', { method: 'POST' });
    expect([replaced.status, replaced.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const token = expect.stringMatching(/^hft1\.hall-2\.[0-9a-f]{64}$/) as string;
    expect(await replaced.json()).toEqual({ name: 'hall-2', token });
    expect(session.closedFor).toBe('the token of the site was replaced');
    expect(await problemOf(await harness.fetch('/v1/sites/hall-9/token', { method: 'POST' }))).toBe(
      '404 site-not-found',
    );
    expect(await problemOf(await harness.fetch('/v1/sites/hall-2/token?x=1', { method: 'POST' }))).toBe(
      '400 bad-request',
    );
  });

  it('lists the buckets that are exchanged', async () => {
    const harness = await startHubHarness();
    await connectSite(harness);
    const { buckets } = (await (await harness.fetch('/v1/sites/hall-2/buckets')).json()) as { buckets: unknown[] };
    expect(buckets).toHaveLength(4);
    expect(buckets[1]).toEqual({ name: 'carts', sync: 'both', conflict: 'siblings', ttlSeconds: null });
    expect(await problemOf(await harness.fetch('/v1/sites/hall-9/buckets'))).toBe('404 site-not-found');
  });

  it('lists conflicts, the latest first', async () => {
    const harness = await startHubHarness();
    const session = await connectSite(harness);
    for (const key of ['a', 'b', 'c']) {
      await session.request(pushOf({ bucket: 'both', key, value: `${key} of one`, counter: 1 }));
      const later = { bucket: 'both', key, value: `${key} of two`, counter: 1, wallMs: 1_790_000_000_005 };
      await session.request(pushOf({ ...later, actor: 'b'.repeat(16) }));
    }
    const read = async (query: string) =>
      (await (await harness.fetch(`/v1/sites/hall-2/conflicts${query}`)).json()) as {
        conflicts: { key: string }[];
        next: number | null;
      };
    const first = await read('?limit=2');
    expect(first.conflicts.map(({ key }) => key)).toEqual(['c', 'b']);
    const rest = await read(`?limit=2&before=${String(first.next)}`);
    expect(rest).toEqual({
      conflicts: [
        {
          bucket: 'both',
          key: 'a',
          at: expect.stringMatching(/^\d{4}-/),
          winner: {
            by: 'b'.repeat(16),
            at: '2026-09-21T14:13:20.005Z',
            value: Buffer.from('a of two').toString('base64'),
            contentType: 'text/plain',
          },
          loser: {
            by: 'gateway-7',
            at: '2026-09-21T14:13:20.000Z',
            value: Buffer.from('a of one').toString('base64'),
            contentType: 'text/plain',
          },
        },
      ],
      next: null,
    });
    expect(await problemOf(await harness.fetch('/v1/sites/hall-2/conflicts?limit=0'))).toBe('400 bad-request');
    expect(await problemOf(await harness.fetch('/v1/sites/hall-9/conflicts'))).toBe('404 site-not-found');
  });
});

describe('operation', () => {
  it('has metrics, and counts what it refuses', async () => {
    const { fetch } = await startHubHarness();
    await fetch('/v1/sites/hall-9');
    expect(await problemOf(await fetch('/v1/members'))).toBe('404 route-not-found');
    const wrong = await fetch('/v1/sites', { method: 'PATCH' });
    expect(wrong.headers.get('allow')).toBe('GET, HEAD, POST');
    expect(await problemOf(wrong)).toBe('405 method-not-allowed');
    const metrics = await fetch('/metrics');
    expect(metrics.headers.get('content-type')).toContain('version=0.0.4');
    expect(await metrics.text()).toContain('holdfast_hub_requests_refused_total{reason="site-not-found"} 1');
  });

  it('describes every route, for programs and people', async () => {
    const { fetch } = await startHubHarness();
    const document = (await (await fetch('/openapi.json')).json()) as {
      info: { title: string };
      tags: { name: string }[];
      paths: Record<string, Record<string, { operationId: string; tags: string[]; summary: string }>>;
    };
    expect(document.info.title).toBe('Holdfast hub');
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const tags = document.tags.map(({ name }) => name);
    for (const operation of operations) expect(tags).toEqual(expect.arrayContaining(operation.tags));
    const page = await (await fetch('/docs')).text();
    for (const { operationId } of operations.filter(({ summary }) => summary !== undefined)) {
      expect(page).toContain(`id="${operationId}"`);
    }
    expect(Object.keys(document.paths)).toContain('/v1/sites/{site}/kv/{bucket}/{key}/increment');
    expect(page).not.toContain('<script');
  });
});

describe('/v1/sites/{site}/shares', () => {
  const put = (body: unknown): RequestInit => ({ ...post(body), method: 'PUT' });

  it('gives a bucket to a site, shows it, and takes it back', async () => {
    const harness = await startHubHarness();
    const { fetch } = harness;
    await connectSite(harness, 'hall-2');
    await connectSite(harness, 'office', 'peer-2');
    expect((await fetch('/v1/sites/hall-2/shares/orders', put({ from: 'office' }))).status).toBe(204);
    for (const site of ['hall-2', 'office']) {
      expect(await (await fetch(`/v1/sites/${site}/shares`)).json()).toEqual({
        shares: [
          {
            from: 'office',
            bucket: 'orders',
            to: 'hall-2',
            createdAt: '2026-09-21T14:13:20.000Z',
            checkedAt: null,
            problem: null,
          },
        ],
      });
    }
    expect((await fetch('/v1/sites/hall-2/shares/orders', { method: 'DELETE' })).status).toBe(204);
    expect(await (await fetch('/v1/sites/hall-2/shares')).json()).toEqual({ shares: [] });
  });

  it('refuses what cannot be shared', async () => {
    const harness = await startHubHarness();
    const { fetch } = harness;
    for (const site of ['hall-2', 'office', 'barn']) await connectSite(harness, site, `peer of ${site}`);
    const at = '/v1/sites/hall-2/shares/orders';
    expect((await fetch(at, put({ from: 'office' }))).status).toBe(204);
    expect(await problemOf(await fetch(at, put({ from: 'barn' })))).toBe('409 share-exists');
    expect(await problemOf(await fetch(at, put({ from: '' })))).toBe('400 bad-request');
    expect(await problemOf(await fetch(at, put({ from: 'No Site' })))).toBe('404 site-not-found');
    expect(await problemOf(await fetch(at, put({ from: 'hall-2' })))).toBe('400 bad-request');
    expect(await problemOf(await fetch(at, put({ from: 'nowhere' })))).toBe('404 site-not-found');
    expect(await problemOf(await fetch('/v1/sites/nowhere/shares'))).toBe('404 site-not-found');
    expect(await problemOf(await fetch('/v1/sites/hall-2/shares/nothing', put({ from: 'office' })))).toBe(
      '404 bucket-not-found',
    );
    expect(await problemOf(await fetch('/v1/sites/barn/shares/orders', { method: 'DELETE' }))).toBe(
      '404 share-not-found',
    );
  });
});
