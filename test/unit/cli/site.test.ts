import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HttpApi } from '../../../src/api/http/app.ts';
import { startHttpApi } from '../../../src/api/http/server.ts';
import { startHubApi } from '../../../src/api/hub/server.ts';
import type { HubConfig } from '../../../src/config/hub-config.ts';
import { FakeNodeHandle } from '../../support/fake-node-handle.ts';
import { connectSite, type HubFixture, pushOf, startHub } from '../../support/hub-fixture.ts';
import { type RunOptions, type RunResult, run } from './harness.ts';

let folder = '';
let fixture: HubFixture;
let api: HttpApi;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
  fixture = await startHub();
  const { hub, log } = fixture;
  api = await startHubApi({ hub, host: '127.0.0.1', port: 0, log, version: '0.0.0', limits: { closeGraceMs: 50 } });
});

afterAll(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

/** Asks the hub of this file. */
function site(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(['site', ...args, '--api', `127.0.0.1:${api.port}`], options);
}

const plain = (text: string): string => text.replace(/ {2,}/g, '  ');

describe('holdfast hub', () => {
  it('hands a configuration over and prints warnings', async () => {
    let started: HubConfig | undefined;
    await writeFile(join(folder, 'holdfast-hub.yaml'), 'name: cloud\nlogLevel: warn\n');
    const args = ['hub', '--http', '0.0.0.0:0', '--listen', '/ip4/127.0.0.1/tcp/0', '--data-dir', 'd'];
    const announce = ['--announce', '/dns4/hub.example.com/tcp/7500', '--announce', '/dns4/hub-2.example.com/tcp/7500'];
    const { status, out, err } = await run([...args, ...announce], {
      cwd: folder,
      env: { HOLDFAST_DATABASE: 'postgres://hub:pass@db/fleet' },
      startHub: async (config) => {
        started = config;
      },
    });
    expect([status, out]).toEqual([0, '']);
    expect(err).toMatch(/^holdfast: warning: --http: anyone who can reach 0\.0\.0\.0 .*\n$/);
    expect(started).toMatchObject({
      name: 'cloud',
      logLevel: 'warn',
      dataDir: join(folder, 'd'),
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: announce.filter((word) => word.startsWith('/')),
      http: { host: '0.0.0.0', port: 0 },
    });
    expect(started?.database?.reveal()).toBe('postgres://hub:pass@db/fleet');
  });

  it('refuses a bad configuration, without its secrets', async () => {
    const { status, err } = await run(['hub', '--database', 'mysql://hub:s3cret@db/fleet', '--http', '7580']);
    expect(status).toBe(2);
    expect(err.trimEnd().split('\n')).toEqual([
      'holdfast: --http: "7580" is not valid — use HOST:PORT, like 127.0.0.1:7580 or [::1]:7580',
      'holdfast: --database: this is not the URL of a PostgreSQL database — use a URL like postgres://USER:PASSWORD@HOST:5432/DATABASE',
    ]);
  });
});

describe('holdfast status', () => {
  it('of a hub', async () => {
    const { status, out } = await run(['status', '--api', `127.0.0.1:${api.port}`]);
    expect(status).toBe(0);
    expect(plain(out)).toMatch(
      /^hub {2}cloud \(12D3KooWHub\)\nversion {2}1\.2\.3, up .*\nstore {2}embedded\naddresses {2}.*\nsites {2}0, 0 sessions with this process\n$/,
    );
  });

  it('says that a hub has no members', async () => {
    const { status, err } = await run(['members', '--api', `127.0.0.1:${api.port}`]);
    expect([status, err]).toEqual([1, expect.stringContaining('names a node (port 7480) and no hub')]);
  });
});

describe('the keys of a site at a hub', () => {
  const keys = (...args: readonly string[]): Promise<RunResult> =>
    run([...args, '--site', 'hall-12', '--api', `127.0.0.1:${api.port}`]);

  it('are written, read, listed and deleted', async () => {
    await connectSite(fixture, 'hall-12', 'peer-12');
    expect(await keys('put', 'both', 'limit/max', '40')).toMatchObject({ status: 0, out: 'stored\n' });
    expect(await keys('get', 'both', 'limit/max')).toMatchObject({ status: 0, out: '40' });
    const { context } = JSON.parse((await keys('get', 'both', 'limit/max', '--json')).out) as { context: string };
    expect((await keys('put', 'both', 'limit/max', '41', '--context', context, '--ttl', '60')).status).toBe(0);
    expect((await keys('scan', 'both', '--values')).out).toBe('limit/max\t41\n');
    expect((await keys('del', 'both', 'limit/max')).out).toBe('deleted\n');
    expect((await keys('del', 'both', 'limit/max')).out).toBe('nothing deleted: there is no such key\n');
    expect(await keys('get', 'both', 'limit/max')).toMatchObject({
      status: 1,
      err: expect.stringContaining('(not-found)'),
    });
    await fixture.hub.removeSite('hall-12');
    expect((await keys('get', 'both', 'limit/max')).err).toContain('(site-not-found)');
  });

  it('have no levels and no conditions', async () => {
    for (const option of [['--level', 'one'], ['--if-match', '*'], ['--if-absent']]) {
      const { status, err } = await keys('put', 'both', 'a', '1', ...option);
      expect([status, err]).toEqual([2, expect.stringMatching(/'--site <name>' cannot be used with option/)]);
    }
  });
});

describe('holdfast site', () => {
  it('add prints the token and nothing else', async () => {
    const { status, out, err } = await site(['add', 'hall-1']);
    expect(status).toBe(0);
    expect(out).toMatch(/^hft1\.hall-1\.[0-9a-f]{64}\n$/);
    expect(err).toMatch(/^holdfast: this is the token of the site; it is shown this once/);
    const again = await site(['add', 'hall-1']);
    expect([again.status, again.out]).toEqual([1, '']);
    expect(again.err).toMatch(
      /there already; remove it first with `holdfast site remove`, or take another name \(site-exists\)/,
    );
    const machine = await site(['add', 'hall-9', '--json']);
    expect(JSON.parse(machine.out)).toEqual({ name: 'hall-9', token: expect.stringMatching(/^hft1\.hall-9\./) });
    expect((await site(['add', 'Hall 1'])).status).toBe(2);
  });

  it('add writes the token to a file, and may be repeated', async () => {
    const file = join(folder, 'token');
    const add = (name: string, ...more: readonly string[]): Promise<RunResult> =>
      site(['add', name, '--token-file', 'token', ...more], { cwd: folder });
    const first = await add('hall-5');
    expect(first).toMatchObject({
      status: 0,
      out: '',
      err: 'holdfast: the site hall-5 is added, its token is in token\n',
    });
    const token = await readFile(file, 'utf8');
    expect(token).toMatch(/^hft1\.hall-5\.[0-9a-f]{64}\n$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await add('hall-5')).toMatchObject({
      status: 0,
      err: 'holdfast: token holds the token of hall-5 already\n',
    });
    const machine = await add('hall-5', '--json');
    expect(JSON.parse(machine.out)).toEqual({ name: 'hall-5', tokenFile: 'token', added: false });
    const other = await add('hall-6');
    expect(other.status).toBe(1);
    expect(other.err).toMatch(/^holdfast: token holds the token of hall-5, not of hall-6 — name another file/);
    expect((await site(['remove', 'hall-5', '--yes'])).status).toBe(0);
    const gone = await add('hall-5');
    expect([gone.status, gone.err]).toEqual([1, expect.stringContaining('(site-not-found)')]);
    expect(await readFile(file, 'utf8')).toBe(token);
  });

  it('add leaves no file behind where the hub gives no token, and touches none that holds something else', async () => {
    const add = (name: string, file: string): Promise<RunResult> =>
      site(['add', name, '--token-file', file], { cwd: folder });
    expect(await add('hall-1', 'none')).toMatchObject({ status: 1, err: expect.stringContaining('(site-exists)') });
    await expect(stat(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await writeFile(join(folder, 'shopping'), 'bread\n');
    const kept = await add('hall-7', 'shopping');
    expect(kept).toMatchObject({ status: 1, err: expect.stringMatching(/shopping is there and holds no token/) });
    expect(await readFile(join(folder, 'shopping'), 'utf8')).toBe('bread\n');
    const nowhere = await add('hall-7', 'no/such/folder');
    expect(nowhere).toMatchObject({ status: 1, err: expect.stringMatching(/name a file that can be written/) });
    expect((await site(['show', 'hall-7'])).err).toContain('(site-not-found)');
  });

  it('list shows who is connected', async () => {
    await connectSite(fixture, 'hall-2');
    const { status, out } = await site(['list']);
    expect(status).toBe(0);
    const lines = plain(out).split('\n');
    expect(lines[0]).toBe('NAME  CONNECTED  LAST SEEN  CLUSTER  CREATED');
    expect(lines).toContainEqual(expect.stringMatching(/^hall-1 {2}no {2}never {2}- {2}\S/));
    expect(lines).toContainEqual(expect.stringMatching(/^hall-2 {2}yes {2}.* {2}c1 {2}/));
    const machine = await site(['list', '--json']);
    expect(JSON.parse(machine.out).sites).toHaveLength(3);
  });

  it('share gives a bucket of one site to another, show tells of it, unshare ends it', async () => {
    await connectSite(fixture, 'office', 'peer-5');
    await connectSite(fixture, 'hall-8', 'peer-6');
    const shared = await site(['share', 'office', 'orders', 'hall-8']);
    expect(shared).toMatchObject({ status: 0, out: 'hall-8 is given orders of office\n' });
    const shown = plain((await site(['show', 'hall-8'])).out);
    expect(shown).toContain('\nFROM  SHARED  TO  CHECKED  PROBLEM\noffice  orders  hall-8  not yet  -\n');
    expect(JSON.parse((await site(['show', 'office', '--json'])).out)).toMatchObject({ shares: [{ to: 'hall-8' }] });
    const second = await site(['share', 'hall-2', 'orders', 'hall-8']);
    expect([second.status, second.err]).toEqual([1, expect.stringContaining('holdfast site unshare')]);
    const ended = await site(['unshare', 'orders', 'hall-8', '--json']);
    expect(JSON.parse(ended.out)).toEqual({ bucket: 'orders', to: 'hall-8', shared: false });
    expect((await site(['unshare', 'orders', 'hall-8'])).err).toContain('(share-not-found)');
    expect(await site(['share', 'office', 'both', 'hall-8'])).toMatchObject({
      status: 1,
      err: expect.stringContaining(
        'the bucket both of hall-8 has sync both; what is given to a site needs one with sync down',
      ),
    });
    await fixture.hub.addSite('hall-11');
    const early = await site(['share', 'office', 'orders', 'hall-11']);
    expect(early).toMatchObject({ status: 0, out: 'hall-11 is given orders of office\n' });
    expect(early.err).toContain('hall-11 exchanges no bucket orders yet: it is filled once');
    expect((await site(['share', 'office', 'absent', 'hall-8'])).err).toContain('`holdfast site show` lists those');
    for (const name of ['office', 'hall-8', 'hall-11']) await site(['remove', name, '--yes']);
  });

  it('show tells of sessions and buckets', async () => {
    const session = await connectSite(fixture, 'hall-3', 'peer-9');
    const fresh = plain((await site(['show', 'hall-3'])).out);
    expect(fresh).toMatch(/- {2}- {2}- {2}- {2}.* {2}1000 B {2}200 B {2}peer-9/);
    await session.request({
      type: 'hub-report',
      leader: 'n1',
      quorate: false,
      members: ['n1', 'n2'],
      backlogEvents: 12,
      oldestMs: 90_000,
    });
    await session.request(pushOf({ bucket: 'both', key: 'a', value: 'x', counter: 1 }));
    const { status, out } = await site(['show', 'hall-3']);
    expect(status).toBe(0);
    const text = plain(out);
    expect(text).toMatch(/^name {2}hall-3\ncluster {2}c1\nconnected {2}yes\n/);
    expect(text).toContain('\nkeys  1\nconflicts  0\n');
    expect(text).toMatch(/n1 \(minority\) {2}n1, n2 {2}12 {2}1 min 30 s {2}/);
    expect(text).toContain('\norders  down  lww  1 min\n');
    const machine = JSON.parse((await site(['show', 'hall-3', '--json'])).out) as Record<string, unknown>;
    expect(machine).toMatchObject({
      name: 'hall-3',
      keys: 1,
      buckets: expect.any(Array),
      sessions: [{ peerId: 'peer-9' }],
    });
    expect((await site(['show', 'hall-1'])).out).toContain('it has never connected');
    expect(await site(['show', 'nowhere'])).toMatchObject({
      status: 1,
      err: 'holdfast: Site not found: there is no site "nowhere"; `holdfast site list` names all of them (site-not-found)\n',
    });
  });

  it('tells a hub from a site that has never connected, and counts its sites before it removes them', async () => {
    await fixture.hub.addSite('district-7');
    expect(plain((await site(['list'])).out)).toMatch(/^district-7 {2}no {2}never {2}- {2}/m);
    const session = await connectSite(fixture, 'district-7:berlin', 'peer-7');
    await session.request(pushOf({ bucket: 'both', key: 'a', value: 'x', counter: 1 }));
    expect(plain((await site(['list'])).out)).toMatch(/^district-7 {2}yes {2}now {2}a hub {2}/m);
    const shown = plain((await site(['show', 'district-7'])).out);
    expect(shown).toMatch(
      /^name {2}district-7\ncluster {2}none: it is a hub, whose sites are district-7:…\nconnected {2}yes\n/,
    );
    const refused = await site(['remove', 'district-7']);
    expect(refused.err).toContain('1 key of district-7 and 1 site of it (district-7:berlin) would be gone at the hub');
    session.close('the test is over');
    expect((await site(['remove', 'district-7', '--yes'])).status).toBe(0);
  });

  it('token asks first, and prints the new one and nothing else', async () => {
    await fixture.hub.addSite('leaked');
    const refused = await site(['token', 'leaked']);
    expect([refused.status, refused.out]).toEqual([2, '']);
    expect(refused.err).toContain('the token of leaked would be worth nothing, and its nodes would wait');
    expect(refused.err).toContain('nothing was changed — repeat with --yes if it is meant');
    const wrong = await site(['token', 'leaked'], { isTTY: true, stdin: 'no\n' });
    expect([wrong.status, wrong.err]).toEqual([1, 'holdfast: nothing was changed — the answer was not leaked\n']);
    const { status, out, err } = await site(['token', 'leaked', '--yes']);
    expect(status).toBe(0);
    expect(out).toMatch(/^hft1\.leaked\.[0-9a-f]{64}\n$/);
    expect(err).toMatch(/^holdfast: this is the token of the site; it is shown this once/);
    const machine = await site(['token', 'leaked', '--yes', '--json']);
    expect(JSON.parse(machine.out)).toEqual({ name: 'leaked', token: expect.stringMatching(/^hft1\.leaked\./) });
    for (const more of [[], ['--yes']]) {
      const missing = await site(['token', 'nowhere', ...more]);
      expect([missing.status, missing.err]).toEqual([1, expect.stringContaining('(site-not-found)')]);
    }
    await fixture.hub.removeSite('leaked');
  });

  it('remove asks first', async () => {
    await fixture.hub.addSite('old');
    const there = async (): Promise<boolean> => (await fixture.hub.sites()).some(({ name }) => name === 'old');
    const refused = await site(['remove', 'old']);
    expect(refused.status).toBe(2);
    expect(refused.err).toContain('0 keys of old would be gone at the hub');
    expect(refused.err).toContain('repeat with --yes if it is meant');
    const wrong = await site(['remove', 'old'], { isTTY: true, stdin: 'yes\n' });
    expect([wrong.status, wrong.err]).toEqual([1, 'holdfast: nothing was changed — the answer was not old\n']);
    expect(await there()).toBe(true);
    const right = await site(['remove', 'old'], { isTTY: true, stdin: 'old\n' });
    expect([right.status, await there()]).toEqual([0, false]);
    await fixture.hub.addSite('old');
    expect(await site(['remove', 'old', '--yes'])).toMatchObject({ status: 0, out: 'the site old is gone\n' });
    expect(await there()).toBe(false);
    expect(await site(['remove', 'old', '--yes'])).toMatchObject({ status: 1 });
  });

  it('goes to the port of hubs, and says so when nobody is there', async () => {
    const asked: string[] = [];
    const refusing: RunOptions['fetch'] = async (input) => {
      asked.push(input instanceof URL ? input.href : '');
      throw Object.assign(new TypeError('fetch failed'), {
        cause: Object.assign(new Error(), { code: 'ECONNREFUSED' }),
      });
    };
    const { status, err } = await run(['site', 'list'], { fetch: refusing });
    expect([status, asked]).toEqual([1, ['http://127.0.0.1:7580/v1/sites']]);
    expect(err).toBe(
      'holdfast: nothing answers at http://127.0.0.1:7580 — start a hub with `holdfast hub`, or name another address with --api\n',
    );
    const env = { HOLDFAST_API: `http://127.0.0.1:${api.port}` };
    expect((await run(['site', 'list'], { env })).status).toBe(0);
  });

  it('says what is wrong when a node answers', async () => {
    const node = await startHttpApi({
      node: new FakeNodeHandle(),
      host: '127.0.0.1',
      port: 0,
      log: fixture.log,
      version: '0',
      limits: { closeGraceMs: 50 },
    });
    const { status, err } = await run(['site', 'list', '--api', `127.0.0.1:${node.port}`]);
    await node.close();
    expect(status).toBe(1);
    expect(err).toContain('check that --api or HOLDFAST_API names a hub (port 7580) and no node');
  });
});
