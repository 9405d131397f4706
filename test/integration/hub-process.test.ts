import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HubProcess } from '../support/hub-process.ts';
import { LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { POSTGRES_MISSING, PostgresServer } from '../support/postgres-server.ts';
import { until } from '../support/until.ts';

let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'hf-hub-'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A cluster of one that is the site of a hub, with buckets that go up, down and both ways. */
async function startSite(hub: HubProcess, site: string): Promise<LocalCluster> {
  const tokenFile = join(directory, `${site}.token`);
  writeFileSync(tokenFile, `${await hub.addSite(site)}\n`, { mode: 0o600 });
  const cluster = await LocalCluster.start({
    nodes: 1,
    extraArgs: ['--hub', await hub.address(), '--hub-token-file', tokenFile],
  });
  for (const sync of ['up', 'down', 'both']) {
    const body = JSON.stringify({ sync });
    const made = await cluster.node(1).http.send('PUT', `/v1/buckets/${sync}`, { body });
    expect(made.status).toBe(201);
  }
  await untilTold(hub, site);
  return cluster;
}

/** The hub knows the buckets of the site. */
async function untilTold(hub: HubProcess, site: string): Promise<void> {
  await until(
    'the hub knows the buckets',
    async () => {
      const { status, text } = await hub.http.send('GET', `/v1/sites/${site}/buckets`);
      return status === 200 && ['"up"', '"down"', '"both"'].every((name) => text.includes(`"name":${name}`));
    },
    30_000,
    50,
  );
}

async function untilText(process: HubProcess | LocalNodeProcess, path: string, text: string): Promise<void> {
  const read = (): Promise<boolean> =>
    process.http.send('GET', path).then((answer) => answer.status === 200 && answer.text === text);
  await until(`${process.name} answers ${path} with ${text}`, read, 30_000, 50);
}

async function put(process: HubProcess | LocalNodeProcess, path: string, body: string): Promise<void> {
  const { status, text } = await process.http.send('PUT', path, { body });
  expect([path, status, text]).toEqual([path, 204, '']);
}

describe('a hub with a store of its own', () => {
  it('exchanges buckets with a site, also over restarts of either', async () => {
    const hub = await HubProcess.create({ name: 'hub', directory });
    await hub.start();
    const cluster = await startSite(hub, 'hall-2');
    const node = cluster.node(1);
    const kv = '/v1/sites/hall-2/kv';
    try {
      await put(node, '/v1/kv/up/a', 'from the site');
      await untilText(hub, `${kv}/up/a`, 'from the site');
      await put(hub, `${kv}/down/a`, 'from the hub');
      await untilText(node, '/v1/kv/down/a', 'from the hub');
      await put(hub, `${kv}/both/a`, 'one');
      await untilText(node, '/v1/kv/both/a', 'one');
      await put(node, '/v1/kv/both/a', 'two');
      await untilText(hub, `${kv}/both/a`, 'two');

      const again = { exit: await hub.stop(), log: readFileSync(hub.logFile, 'utf8') };
      expect(again.exit).toBe(0);
      expect(again.log).not.toMatch(/[0-9a-f]{64}|"level":"error"/);
      await put(node, '/v1/kv/up/b', 'while it was away');
      await hub.start();
      await untilText(hub, `${kv}/up/b`, 'while it was away');
      await untilText(hub, `${kv}/both/a`, 'two');

      await node.stop();
      await put(hub, `${kv}/both/b`, 'while the site was away');
      expect((await hub.http.json<{ connected: boolean }>('/v1/sites/hall-2')).connected).toBe(false);
      await node.start();
      await untilText(node, '/v1/kv/both/b', 'while the site was away');
    } finally {
      await cluster.close();
      await hub.kill();
      hub.close();
    }
  });

  it('gives a site a new token, and keeps all that it has of it', async () => {
    const hub = await HubProcess.create({ name: 'changing', directory });
    await hub.start();
    const cluster = await startSite(hub, 'hall-3');
    const node = cluster.node(1);
    const kv = '/v1/sites/hall-3/kv';
    try {
      await put(node, '/v1/kv/up/a', 'before');
      await untilText(hub, `${kv}/up/a`, 'before');
      const replaced = await runHoldfast(['site', 'token', 'hall-3', '--yes', '--api', hub.api]);
      expect(replaced.exit).toBe(0);
      const refused = async (): Promise<boolean> =>
        (await node.http.json<{ problem: string | null }>('/v1/hub')).problem?.startsWith('bad-token') === true;
      await until('the node is refused', refused, 30_000, 50);
      await put(node, '/v1/kv/up/b', 'meanwhile');
      await put(hub, `${kv}/down/a`, 'meanwhile');
      await node.stop();
      writeFileSync(join(directory, 'hall-3.token'), replaced.stdout, { mode: 0o600 });
      await node.start();
      await untilText(hub, `${kv}/up/b`, 'meanwhile');
      await untilText(node, '/v1/kv/down/a', 'meanwhile');
      await untilText(hub, `${kv}/up/a`, 'before');
    } finally {
      await cluster.close();
      await hub.kill();
      hub.close();
    }
  });

  it('is for one process at a time, and leaves nothing behind where it cannot listen', async () => {
    const hub = await HubProcess.create({ name: 'lone', directory });
    await hub.start();
    try {
      const busy = new URL(hub.api).host;
      const args = ['hub', '--listen', '/ip4/127.0.0.1/tcp/0'];
      const same = await runHoldfast([...args, '--http', '127.0.0.1:0', '--data-dir', join(directory, 'lone')]);
      expect(same.exit).toBe(1);
      expect(same.stderr.trimEnd().split('\n').at(-1)).toMatch(/^holdfast: .*(in use|another process)/i);
      const taken = await runHoldfast([...args, '--http', busy, '--data-dir', join(directory, 'never')]);
      expect(taken.exit).toBe(1);
      expect(taken.stderr).toContain('another process uses this port');
      expect(() => readFileSync(join(directory, 'never'))).toThrow('ENOENT');
    } finally {
      await hub.kill();
      hub.close();
    }
  });
});

describe('a database that is away', () => {
  it('is named without its password', async () => {
    const { exit, stderr } = await runHoldfast(
      ['hub', '--http', '127.0.0.1:0', '--data-dir', join(directory, 'none')],
      {
        HOLDFAST_DATABASE: 'postgres://hub:s3cret-word@127.0.0.1:1/fleet',
        HOLDFAST_LISTEN: '/ip4/127.0.0.1/tcp/0',
      },
    );
    expect(exit).toBe(1);
    expect(stderr).toContain('127.0.0.1:1');
    expect(stderr).not.toContain('s3cret');
  });
});

describe.skipIf(POSTGRES_MISSING !== null)('two hubs upon one database', () => {
  it('are one to a site, and to clients', async () => {
    const server = await PostgresServer.start();
    const database = await server.createDatabase();
    const hubs = await Promise.all(['hub-1', 'hub-2'].map((name) => HubProcess.create({ name, directory, database })));
    const [one, two] = hubs as [HubProcess, HubProcess];
    let cluster: LocalCluster | null = null;
    try {
      await one.start();
      await two.start();
      cluster = await startSite(one, 'hall-3');
      const node = cluster.node(1);
      const kv = '/v1/sites/hall-3/kv';
      await put(node, '/v1/kv/up/a', 'from the site');
      await untilText(two, `${kv}/up/a`, 'from the site');
      // The session is with the other one, which sees it in the database.
      await put(two, `${kv}/both/a`, 'from the second hub');
      await untilText(node, '/v1/kv/both/a', 'from the second hub');
      expect(await two.http.json('/v1/sites/hall-3')).toMatchObject({
        connected: false,
        clusterId: expect.any(String),
      });
      const removed = await runHoldfast(['site', 'remove', 'hall-3', '--yes', '--api', two.api]);
      expect(removed).toMatchObject({ exit: 0 });
      await until('the session with the first has ended', async () => {
        const { sessions } = await one.http.json<{ sessions: number }>('/v1/status');
        return sessions === 0;
      });
      expect((await one.http.send('GET', `${kv}/up/a`)).status).toBe(404);
      for (const hub of hubs) expect(await hub.stop()).toBe(0);
    } finally {
      await cluster?.close();
      for (const hub of hubs) {
        await hub.kill();
        hub.close();
      }
      await server.dispose();
    }
  });
});
