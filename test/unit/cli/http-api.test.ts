import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HttpApi } from '../../../src/api/http/app.ts';
import { startHttpApi } from '../../../src/api/http/server.ts';
import { HoldfastError } from '../../../src/lib/failure.ts';
import { SESSION_UNAVAILABLE } from '../../../src/protocol/replication/session-cover.ts';
import { FakeNodeHandle } from '../../support/fake-node-handle.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { type RunOptions, run } from './harness.ts';

/** The commands against the real HTTP API, so that the two stay in step. */
describe('with the HTTP API', () => {
  let node: FakeNodeHandle;
  let api: HttpApi;

  beforeEach(async () => {
    node = new FakeNodeHandle();
    api = await startHttpApi({ node, host: '127.0.0.1', port: 0, log: new RecordingLog(), version: '0.0.0' });
  });

  afterEach(() => api.close());

  const cli = (args: string[], options: RunOptions = {}) =>
    run(args, { ...options, env: { HOLDFAST_API: `http://127.0.0.1:${api.port}` } });

  it.each([[['status']], [['members']], [['ring']], [['bucket', 'list']], [['bucket', 'show', 'default']]])(
    '%j is understood',
    async (args) => {
      expect(await cli(args)).toMatchObject({ status: 0, err: '' });
      const { out } = await cli([...args, '--json']);
      expect(Object.keys(JSON.parse(out))).not.toEqual([]);
    },
  );

  it('the place of a member is changed', async () => {
    const out = await cli(['ring', 'out', 'other']);
    expect(out).toMatchObject({
      status: 0,
      out: 'other is out of the ring: weight 1, zone zone-2, owner of 1 shard\n',
    });
    expect(out.err).not.toContain('was so already');
    expect((await cli(['ring', 'out', 'other'])).err).toContain('nothing changed: it was so already');
    expect(await cli(['ring', 'out', 'fake'])).toMatchObject({ status: 1, out: '' });
    expect((await cli(['ring', 'out', 'fake'])).err).toMatch(/\(last-member\)\n$/);
    expect((await cli(['ring', 'in', 'nobody'])).err).toMatch(/\(member-not-found\)\n$/);
    expect(JSON.parse((await cli(['ring', 'in', 'peer-other', '--json'])).out)).toMatchObject({ in: true });
    expect((await cli(['ring', 'weight', 'other', '2.5'])).out).toContain('weight 2.5');
    expect((await cli(['ring', 'weight', 'other', '--own'])).status).toBe(0);
    expect((await cli(['ring', 'zone', 'other', 'hall-2'])).out).toContain('zone hall-2');
    expect((await cli(['ring', 'zone', 'other', '--own'])).status).toBe(0);
    expect(await cli(['ring', 'remove', 'other'])).toMatchObject({ status: 2, out: '' });
    expect((await cli(['ring', 'remove', 'other', '--yes'])).out).toMatch(/^other is removed from the ring/);
    expect((await cli(['ring'])).out).toContain('1 member removed for good');
    expect(node.ringChanges.map(({ change }) => change)).toEqual([
      { place: 'out' },
      { place: 'out' },
      { place: 'in' },
      { weight: 2.5 },
      { weight: null },
      { zone: 'hall-2' },
      { zone: null },
      { place: 'removed' },
    ]);
  });

  it('a majority is given up only where that is meant', async () => {
    const args = ['ring', 'refound', '--lost', 'n2', '--lost', 'n3'];
    const piped = await cli(args);
    expect(piped).toMatchObject({ status: 2, out: '' });
    expect(piped.err).toContain('n2, n3 would be given up for good; fake, n4 would decide');
    expect(piped.err).toContain('of 16 shards of strong buckets, 9 have lost a majority');
    expect(piped.err).toContain('nobody is left of 2');
    expect(piped.err).toContain('repeat with --yes');
    expect(await cli([...args, '--json'])).toMatchObject({ status: 2, out: '' });
    for (const stdin of ['', 'y\n', 'no\n']) {
      expect(await cli(args, { isTTY: true, stdin })).toMatchObject({ status: 1 });
    }
    expect(node.refoundings).toEqual([]);
    const done = 'strong buckets are decided by fake, n4 from now on: epoch 4\n';
    const asked = await cli(args, { isTTY: true, stdin: 'yes\n' });
    expect(asked).toMatchObject({ status: 0, err: '' });
    expect(asked.out).toContain('run it once, on one side');
    expect(asked.out.endsWith(done)).toBe(true);
    expect(await cli([...args, '--yes'])).toMatchObject({ status: 0, out: done, err: '' });
    expect(JSON.parse((await cli([...args, '--yes', '--json'])).out)).toMatchObject({ epoch: 4, dryRun: false });
    expect(node.refoundings.map(({ lost }) => lost)).toEqual([
      ['n2', 'n3'],
      ['n2', 'n3'],
      ['n2', 'n3'],
    ]);
    expect((await cli(['ring', 'refound', '--lost', 'n4', '--yes'])).err).toMatch(/not lost.*\(refound-refused\)\n$/);
    expect((await cli(['ring', 'refound', '--lost', 'nobody'])).err).toMatch(/\(member-not-found\)\n$/);
    expect(await cli(['ring', 'refound'])).toMatchObject({ status: 2 });
  });

  it.each([
    [['ring', 'weight', 'other', '0']],
    [['ring', 'weight', 'other', 'heavy']],
    [['ring', 'weight', 'other']],
    [['ring', 'weight', 'other', '2', '--own']],
    [['ring', 'zone', 'other']],
    [['ring', 'zone', 'other', 'bad zone']],
    [['ring', 'out']],
    [['ring', 'aside', 'other']],
    [['ring', 'out', '']],
    [['ring', 'out', '..']],
  ])('%j is bad usage', async (args) => {
    const { status, out, err } = await cli(args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toMatch(/^holdfast: .* — .*\n$/);
    expect(node.ringChanges).toEqual([]);
  });

  it('values of any key and content make the round trip', async () => {
    for (const key of ['a', 'node/edge-1/cpu', 'with space', '?&#%2F+', 'ünïcode/😀', '...', 'x/increment']) {
      expect(await cli(['put', 'default', key, '-'], { stdin: new Uint8Array([0, 255, 10]) })).toMatchObject({
        status: 0,
        out: 'stored (1/1 replicas)\n',
      });
      expect((await cli(['get', 'default', key])).bytes).toEqual(Buffer.from([0, 255, 10]));
      expect((await cli(['scan', 'default', '--prefix', key])).out).toBe(`${key}\n`);
      expect((await cli(['del', 'default', key])).out).toBe('deleted (1/1 replicas)\n');
      expect(await cli(['get', 'default', key])).toMatchObject({ status: 1, out: '' });
    }
  });

  it('values of a strong bucket are written under conditions', async () => {
    const tag = async (): Promise<string> => JSON.parse((await cli(['get', 'strong', 'k', '--json'])).out).etag;
    const put = (...args: string[]) => cli(['put', 'strong', 'k', ...args]);
    expect(await put('1', '--if-absent')).toMatchObject({ status: 0, out: 'stored\n', err: '' });
    const first = await tag();
    const late = await put('2', '--if-absent');
    expect([late.status, late.err]).toEqual([
      1,
      'holdfast: Precondition failed: the key "k" has a value already; see what is there and its etag with `holdfast get --json`, and decide anew (precondition-failed)\n',
    ]);
    expect(JSON.parse((await put('2', '--if-match', first, '--json')).out)).toMatchObject({
      quorum: 'strict',
      acks: null,
    });
    const second = await tag();
    expect(second).not.toBe(first);
    const other = await put('3', '--if-match', first, '--json');
    expect(JSON.parse(other.err)).toMatchObject({ code: 'precondition-failed', etag: second });
    // As it is left by a shell that took the quotes away.
    expect((await put('3', '--if-match', second.slice(1, -1))).status).toBe(0);
    expect((await put('4', '--if-match', '*')).status).toBe(0);
    expect((await cli(['get', 'strong', 'k'])).out).toBe('4');
    expect((await cli(['del', 'strong', 'k', '--if-match', first])).status).toBe(1);
    expect((await cli(['del', 'strong', 'k', '--if-match', await tag()])).out).toBe('deleted\n');
    expect((await cli(['del', 'strong', 'k'])).out).toBe('nothing deleted: there is no such key\n');
    expect((await cli(['del', 'strong', 'k', '--if-match', '*'])).err).toMatch(/there is no key "k"; see what/);
  });

  it('a strong bucket is created', async () => {
    expect((await cli(['bucket', 'create', 'settings', '--consistency', 'strong', '--ttl', '60'])).status).toBe(0);
    expect(node.bucket('settings')).toMatchObject({ consistency: 'strong', ttlSeconds: 60 });
    const refused = await cli(['bucket', 'create', 'other', '--consistency', 'strong', '--replicas', '2']);
    expect([refused.status, refused.err]).toEqual([2, expect.stringMatching(/replicas: .*leave it out/)]);
  });

  it.each([
    [['put', 'strong', 'k', 'v', '--level', 'one'], 2, /leave out --level \(bad-request\)/],
    [['get', 'strong', 'k', '--level', 'all'], 2, /leave out --level \(bad-request\)/],
    [['del', 'strong', 'k', '--context', 'AgKY'], 2, /leave out --context \(bad-request\)/],
    [['put', 'default', 'k', 'v', '--if-absent'], 1, /leave out --if-match and --if-absent \(not-supported\)/],
    [['del', 'default', 'k', '--if-match', '*'], 1, /leave out --if-match and --if-absent \(not-supported\)/],
    [
      ['put', 'strong', 'k', 'v', '--if-match', '*', '--if-absent'],
      2,
      /--if-match.* cannot be used with .*--if-absent/,
    ],
    [['put', 'strong', 'k', 'v', '--if-match', ''], 2, /Use the etag that get --json printed/],
    [['put', 'strong', 'k', 'v', '--if-match', '"1'], 2, /Use the etag that get --json printed/],
    [['scan', 'strong'], 1, /cannot be listed.*\(not-supported\)/],
    [['watch', 'strong'], 1, /cannot be watched.*\(not-supported\)/],
  ])('%j is refused', async (args, status, message) => {
    const result = await cli(args);
    expect([result.status, result.out]).toEqual([status, '']);
    expect(result.err).toMatch(message);
  });

  it('errors carry title, detail and code', async () => {
    expect((await cli(['get', 'default', 'none'])).err).toMatch(/^holdfast: Not found: .*none.* \(not-found\)\n$/);
    expect((await cli(['scan', 'nowhere'])).err).toMatch(/^holdfast: Bucket not found: .* \(bucket-not-found\)\n$/);
    expect((await cli(['watch', 'nowhere'])).err).toMatch(/\(bucket-not-found\)\n$/);
    expect((await cli(['put', 'default', 'k', 'v', '--context', '!'])).err).toMatch(/\(bad-context\)\n$/);
    node.ready = false;
    expect(await cli(['put', 'default', 'k', 'v'])).toMatchObject({ status: 1 });
  });

  it.each([
    [
      ['scan', 'nowhere'],
      1,
      'bucket-not-found',
      /there is no bucket "nowhere"; create it with `holdfast bucket create`/,
    ],
    [['get', 'nowhere', 'k'], 1, 'bucket-not-found', /`holdfast bucket list`$/],
    [['watch', 'nowhere'], 1, 'bucket-not-found', /`holdfast bucket create`/],
    [
      ['ring', 'in', 'nobody'],
      1,
      'member-not-found',
      /no member nobody; `holdfast ring --json` lists names and peer ids$/,
    ],
    [['get', 'default', 'none'], 1, 'not-found', /none/],
    [['get', 'default', 'k', '--context', '!'], 2, 'bad-context', /leave --context out$/],
    [['put', 'default', 'x'.repeat(1025), 'v'], 2, 'bad-key', /1024 bytes/],
    [['bucket', 'create', '-x'], 2, 'bad-usage', /unknown option/],
    [['bucket', 'create', '.x'], 2, 'bad-bucket', /a bucket name has/],
    [['put', 'default', 'k', '--file', '/none'], 1, 'failed', /name a file that you can read$/],
    [['put', 'default', 'k', 'v', '--type', 'ü'], 2, 'bad-usage', /printable ASCII/],
    [['ring', 'remove', 'other'], 2, 'bad-usage', /--yes/],
    [['bucket'], 2, 'bad-usage', /no command is given — see holdfast bucket --help/],
    [['get', 'default'], 2, 'bad-usage', /missing required argument 'key' — see holdfast get --help/],
  ])('%j ends with its status and says what to do on a command line', async (args, status, code, message) => {
    const plain = await cli(args);
    expect(plain).toMatchObject({ status, out: '' });
    expect(plain.err).not.toMatch(/Holdfast-Context|header|Content-Type|\b(GET|PUT|POST) \//);
    const machine = await cli([...args, '--json']);
    expect(machine).toMatchObject({ status, out: '' });
    expect(machine.err.trimEnd()).not.toContain('\n');
    const error = JSON.parse(machine.err) as { code: string; message: string };
    expect(Object.keys(error).slice(0, 2)).toEqual(['code', 'message']);
    expect(error.code).toBe(code);
    expect(error.message.replace(/ \([a-z-]+\)$/, '')).toMatch(message);
  });

  it('a session that cannot be had names the option', async () => {
    const { context } = JSON.parse((await cli(['put', 'default', 'k', 'v', '--json'])).out) as { context: string };
    node.before = () => {
      throw new HoldfastError(SESSION_UNAVAILABLE);
    };
    const { status, err } = await cli(['get', 'default', 'k', '--context', context]);
    expect(status).toBe(1);
    expect(err).toBe(
      'holdfast: Session unavailable: no node that can be reached has all that --context has seen; restore the links ' +
        'between the nodes and try again, or leave --context out (session-unavailable)\n',
    );
  });

  it('remarks are JSON too where it is asked for', async () => {
    await cli(['put', 'default', 'k', 'v']);
    node.complete = false;
    const { err } = await cli(['get', 'default', 'k', '--json']);
    expect(JSON.parse(err)).toEqual({ note: expect.stringContaining('newer writes may be missing') });
  });

  it('scan lists values in order, page by page', async () => {
    for (const key of ['b', 'a', 'c']) await cli(['put', 'default', key, `value of ${key}`]);
    expect((await cli(['scan', 'default', '--values'])).out).toBe('a\tvalue of a\nb\tvalue of b\nc\tvalue of c\n');
    const { out } = await cli(['scan', 'default', '--limit', '2', '--json']);
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ key: 'a' }, { key: 'b' }, { next: 'b' }]);
    node.complete = false;
    expect((await cli(['scan', 'default'])).err).toContain('keys may be missing');
    expect((await cli(['get', 'default', 'a'])).err).toContain('newer writes may be missing');
  });

  it('concurrent values are shown and resolved with their context', async () => {
    node.writeConcurrently('notes', 'n', 'one');
    node.writeConcurrently('notes', 'n', 'two');
    const { context, siblings } = JSON.parse((await cli(['get', 'notes', 'n', '--json'])).out);
    expect(siblings).toHaveLength(2);
    expect((await cli(['scan', 'notes', '--values'])).out).toMatch(/^n\t(one \| two|two \| one)\n$/);
    expect((await cli(['put', 'notes', 'n', 'both', '--context', context])).status).toBe(0);
    expect((await cli(['get', 'notes', 'n'])).out).toBe('both');
  });

  it('islands are shown', async () => {
    const { out } = await cli(['islands']);
    expect(out).toContain('1 of 2 members');
    expect(out).toMatch(/^lost .* other \(dead\)$/m);
    expect(JSON.parse((await cli(['islands', '--json'])).out)).toEqual(node.islands());
  });

  it('buckets are created once', async () => {
    const create = ['bucket', 'create', 'carts', '--conflict', 'siblings', '--ttl', '60', '--island', 'refuse'];
    expect(await cli(create)).toMatchObject({ status: 0, out: 'bucket carts is there\n' });
    expect((await cli(create)).status).toBe(0);
    expect((await cli(['bucket', 'create', 'carts'])).err).toMatch(/\(bucket-exists\)\n$/);
    expect(JSON.parse((await cli(['bucket', 'show', 'carts', '--json'])).out)).toMatchObject({
      name: 'carts',
      conflict: 'siblings',
      ttlSeconds: 60,
      island: 'refuse',
    });
  });

  it('events and watch follow', async () => {
    node.events.emit('member-alive', { member: 'edge-2' });
    expect((await cli(['events'])).out).toBe('2026-01-01T00:00:00.000Z  member-alive        member=edge-2\n');
    const followed = await cli(['events', '--follow'], {
      onOutput: (output, interrupt) => {
        if (output.includes('edge-3')) interrupt();
        else node.events.emit('member-dead', { member: 'edge-3' });
      },
    });
    expect(followed).toMatchObject({ status: 0, err: '' });
    expect(followed.out.match(/edge-\d/g)).toEqual(['edge-2', 'edge-3']);
  });

  it('watch prints changes until it is interrupted', async () => {
    const watching = cli(['watch', 'default', '--prefix', 'k'], {
      onOutput: (output, interrupt) => {
        if (output.includes('del')) interrupt();
      },
    });
    await expect.poll(() => node.changes.subscribers).toBe(1);
    await cli(['put', 'default', 'other', 'x']);
    await cli(['put', 'default', 'k1', 'hello']);
    await cli(['del', 'default', 'k1']);
    expect(await watching).toMatchObject({ status: 0, out: 'put  k1\thello\ndel  k1\n', err: '' });
    await expect.poll(() => node.changes.subscribers).toBe(0);
  });
});
