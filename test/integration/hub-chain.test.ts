import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubProcess } from '../support/hub-process.ts';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { until } from '../support/until.ts';

const WAIT_MS = 30_000;
let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-chain-'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a node or a hub is told of its hub. */
async function argumentsFor(hub: HubProcess, site: string): Promise<string[]> {
  const tokenFile = join(directory, `${site}.token`);
  writeFileSync(tokenFile, `${await hub.addSite(site)}\n`, { mode: 0o600 });
  return ['--hub', await hub.address(), '--hub-token-file', tokenFile];
}

async function untilText(process: HubProcess | LocalNodeProcess, path: string, text: string): Promise<void> {
  const read = (): Promise<boolean> =>
    process.http.send('GET', path).then((answer) => answer.status === 200 && answer.text === text);
  await until(`${process.name} answers ${path} with ${text}`, read, WAIT_MS, 50);
}

async function put(process: HubProcess | LocalNodeProcess, path: string, body: string): Promise<void> {
  const { status, text } = await process.http.send('PUT', path, { body });
  expect([path, status, text]).toEqual([path, 204, '']);
}

describe('a site, the hub of its district, and the hub of that', () => {
  it('have the same, whoever of the hubs was away', async () => {
    const cloud = await HubProcess.create({ name: 'cloud', directory });
    await cloud.start();
    const above = await argumentsFor(cloud, 'district-7');
    const district = await HubProcess.create({ name: 'district', directory, extraArgs: above });
    await district.start();
    const cluster = await LocalCluster.start({ nodes: 1, extraArgs: await argumentsFor(district, 'berlin') });
    const node = cluster.node(1);
    const below = '/v1/sites/berlin/kv';
    const far = '/v1/sites/district-7:berlin/kv';
    try {
      for (const sync of ['down', 'both']) {
        const made = await node.http.send('PUT', `/v1/buckets/${sync}`, { body: JSON.stringify({ sync }) });
        expect(made.status).toBe(201);
      }
      await put(node, '/v1/kv/default/a', 'from the site');
      await untilText(cloud, `${far}/default/a`, 'from the site');
      const { sites } = await cloud.http.json<{ sites: { name: string; connected: boolean }[] }>('/v1/sites');
      expect(sites.map(({ name, connected }) => [name, connected])).toEqual([
        ['district-7', true],
        ['district-7:berlin', true],
      ]);
      await until(
        'the hub above knows the buckets',
        () => cloud.http.send('GET', '/v1/sites/district-7:berlin/buckets').then(({ text }) => text.includes('"both"')),
        WAIT_MS,
        50,
      );

      await put(cloud, `${far}/both/a`, 'from the cloud');
      await put(cloud, `${far}/down/a`, 'from the cloud');
      await put(district, `${below}/both/b`, 'from the district');
      for (const bucket of ['both', 'down']) await untilText(node, `/v1/kv/${bucket}/a`, 'from the cloud');
      await untilText(node, '/v1/kv/both/b', 'from the district');
      await untilText(cloud, `${far}/both/b`, 'from the district');

      await district.kill();
      await put(node, '/v1/kv/both/a', 'from the site, meanwhile');
      await put(cloud, `${far}/both/c`, 'from the cloud, meanwhile');
      await district.start();
      await untilText(cloud, `${far}/both/a`, 'from the site, meanwhile');
      await untilText(node, '/v1/kv/both/c', 'from the cloud, meanwhile');

      await cloud.stop();
      await put(node, '/v1/kv/both/d', 'while the cloud was away');
      await untilText(district, `${below}/both/d`, 'while the cloud was away');
      await until(
        'the district knows what waits',
        () => district.http.json<{ backlog: { events: number } }>('/v1/hub').then(({ backlog }) => backlog.events > 0),
        WAIT_MS,
        50,
      );
      await cloud.start();
      await untilText(cloud, `${far}/both/d`, 'while the cloud was away');
      const shown = await runHoldfast(['hub-status', '--api', district.api]);
      expect(shown.stdout).toMatch(/^hub above .*\nsite +district-7\n/);
      expect(readFileSync(district.logFile, 'utf8')).not.toMatch(/[0-9a-f]{64}|"level":"error"/);

      // With the hub between go its sites.
      const removed = await runHoldfast(['site', 'remove', 'district-7', '--yes', '--api', cloud.api]);
      expect(removed).toMatchObject({ exit: 0 });
      expect(await cloud.http.json('/v1/sites')).toEqual({ sites: [] });
      await until(
        'the district is told why it is refused',
        () =>
          district.http
            .json<{ problem: string | null }>('/v1/hub')
            .then(({ problem }) => problem?.startsWith('bad-token') === true),
        WAIT_MS,
        50,
      );
    } finally {
      await cluster.close();
      for (const hub of [district, cloud]) {
        await hub.kill();
        hub.close();
      }
    }
  });
});
