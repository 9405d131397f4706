import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { encodeFrame } from '../../src/adapters/libp2p/frame-reader.ts';
import { laneProtocol } from '../../src/adapters/libp2p/peer-link.ts';
import { FRAME_BYTES_MAX } from '../../src/ports/transport.ts';
import { WIRE_VERSION } from '../../src/wire/message.ts';
import { readDisks, replicaDifferences, ringOf, valueOn } from '../support/disk-check.ts';
import { freePorts, LocalCluster, type LocalNodeProcess, runHoldfast } from '../support/local-cluster.ts';
import { createRawPeer, type RawPeer } from '../support/raw-libp2p-peer.ts';
import { exchange } from '../support/raw-socket.ts';
import { corruptObjects } from '../support/record-corruption.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 240_000;
const OTHER_SECRET = 'ab'.repeat(32);
const MIB = 1024 * 1024;

describe('a node among bad input', () => {
  let cluster: LocalCluster;
  let node: LocalNodeProcess;
  let raw: RawPeer | undefined;
  let keyCount = 0;

  const transportCount = (what: string): Promise<number> =>
    node.http.metric('holdfast_transport_total', `what="${what}"`);
  const refusals = (listener: string, reason: string): Promise<number> =>
    node.http.metric('holdfast_requests_refused_total', `listener="${listener}",reason="${reason}"`);
  /** What one process counts another one may say a moment later. */
  const untilLogged = (other: LocalNodeProcess, text: RegExp): Promise<void> =>
    until(`the log says ${text}`, () => text.test(other.logTail()), 30_000);
  const untilMore = (what: string, count: () => Promise<number>, before: number): Promise<void> =>
    until(`${what} is counted`, async () => (await count()) > before, 30_000);

  /** The node still takes a write and gives it back. */
  const expectAlive = async (): Promise<void> => {
    expect(node.running).toBe(true);
    const path = `/v1/kv/default/alive-${++keyCount}`;
    expect((await node.http.send('PUT', path, { body: 'yes' })).status).toBe(204);
    expect((await node.http.send('GET', path)).text).toBe('yes');
  };

  beforeAll(async () => {
    cluster = await LocalCluster.start({ nodes: 1 });
    node = cluster.node(1);
  }, TIMEOUT_MS);

  afterEach(async ({ task }) => {
    await raw?.libp2p.stop();
    raw = undefined;
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  afterAll(() => cluster?.close(), TIMEOUT_MS);

  const hello = async (): Promise<{ clusterId: string; versionMin: number; versionMax: number; shards: number }> => {
    const { clusterId } = await node.http.json<{ clusterId: string }>('/v1/status');
    return { clusterId, versionMin: WIRE_VERSION, versionMax: WIRE_VERSION, shards: 256 };
  };

  describe('on the peer port', () => {
    test('a peer that claims the cluster and cannot prove the secret is refused and counted', async () => {
      const before = await transportCount('admissions_refused_total_secret_mismatch');
      raw = await createRawPeer({ eager: false });
      const connection = await raw.dial(node.listen);
      expect(await raw.admit(connection, OTHER_SECRET, await hello())).toBe('secret-mismatch');
      expect(await transportCount('admissions_refused_total_secret_mismatch')).toBe(before + 1);
      expect((await node.status()).members.alive).toBe(1);
      await expectAlive();
    });

    test('a node with another secret and this one as seed stays outside and lives on', async () => {
      const before = await transportCount('admissions_refused_total_cluster_mismatch');
      const stranger = await LocalCluster.create({
        nodes: 1,
        env: { HOLDFAST_SECRET: OTHER_SECRET },
        extraArgs: ['--seed', node.listen],
      });
      try {
        await stranger.node(1).start();
        await untilMore('the refusal', () => transportCount('admissions_refused_total_cluster_mismatch'), before);
        expect((await stranger.node(1).status()).members.alive).toBe(1);
        await untilLogged(stranger.node(1), /belongs to cluster .* same --secret/);
      } finally {
        await stranger.close();
      }
      expect((await node.status()).members.alive).toBe(1);
      await expectAlive();
    });

    test('a node with another number of shards is refused by name', async () => {
      const before = await transportCount('admissions_refused_total_shards_mismatch');
      const stranger = await LocalCluster.create({
        nodes: 1,
        env: { HOLDFAST_SECRET: cluster.secret, HOLDFAST_SHARDS: '64' },
        extraArgs: ['--seed', node.listen],
      });
      try {
        await stranger.node(1).start();
        await untilMore('the refusal', () => transportCount('admissions_refused_total_shards_mismatch'), before);
        await untilLogged(stranger.node(1), /set up with .* shards, this node with 64/);
      } finally {
        await stranger.close();
      }
      expect((await node.status()).members.alive).toBe(1);
      await expectAlive();
    });

    test('garbage instead of a handshake is hung up on and counted', async () => {
      const before = await transportCount('inbound_handshakes_failed_total');
      const garbage = new Uint8Array(8192).map((_, i) => (i * 197 + 31) % 256);
      await exchange(node.p2pPort, garbage, undefined, 60_000);
      await exchange(node.p2pPort, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', undefined, 60_000);
      await untilMore('the failed handshake', () => transportCount('inbound_handshakes_failed_total'), before + 1);
      await expectAlive();
    });

    test('a frame of impossible length and frames that cannot be decoded are counted, repeaters are banned', async () => {
      const [resets, frames, bans] = [
        await transportCount('lane_resets_total'),
        await node.http.metric('holdfast_frames_refused_total'),
        await transportCount('bans_total'),
      ];
      raw = await createRawPeer({ eager: false });
      // The node opens its own lanes towards every admitted peer.
      for (const lane of ['control', 'data', 'bulk'] as const) await raw.libp2p.handle(laneProtocol(lane), () => {});
      const connection = await raw.dial(node.listen);
      expect(await raw.admit(connection, cluster.secret, await hello())).toBe('admitted');
      const stream = await connection.newStream(laneProtocol('data'));
      stream.send(encodeFrame(new Uint8Array(200).map((_, i) => (i * 89 + 7) % 256)));
      await untilMore('the frame', () => node.http.metric('holdfast_frames_refused_total'), frames);
      await expectAlive();
      const tooLong = new Uint8Array(4);
      new DataView(tooLong.buffer).setUint32(0, FRAME_BYTES_MAX + 1);
      for (let i = 0; i < 3 && connection.status === 'open'; i++) {
        const lane = await connection.newStream(laneProtocol('bulk')).catch(() => null);
        if (lane === null) break;
        lane.send(tooLong);
        await until('the stream is reset', () => lane.status !== 'open');
      }
      await untilMore('the reset', () => transportCount('lane_resets_total'), resets);
      await untilMore('the ban', () => transportCount('bans_total'), bans);
      await expectAlive();
    });
  });

  describe('over HTTP', () => {
    test('what is no HTTP is answered 400 and counted', async () => {
      const before = await refusals('http', 'protocol');
      expect(await exchange(node.httpPort, '\x00\x01\x02 rubbish\r\n\r\n')).toMatch(
        /^HTTP\/1\.1 400 [\s\S]*bad-request/,
      );
      const longHeader = `GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ${'y'.repeat(100_000)}\r\n\r\n`;
      expect(await exchange(node.httpPort, longHeader)).toMatch(/^HTTP\/1\.1 431 /);
      expect(await refusals('http', 'protocol')).toBe(before + 2);
      await expectAlive();
    });

    test('a value over 1 MiB is 413 with the limit named, one of exactly 1 MiB is taken', async () => {
      const before = await refusals('http', 'value-too-large');
      const refused = await node.http.send('PUT', '/v1/kv/default/big', { body: new Uint8Array(MIB + 1) });
      expect(refused.status).toBe(413);
      expect(JSON.parse(refused.text)).toMatchObject({ code: 'value-too-large', max: MIB });
      expect(await refusals('http', 'value-too-large')).toBe(before + 1);
      expect((await node.http.send('GET', '/v1/kv/default/big')).status).toBe(404);
      expect((await node.http.send('PUT', '/v1/kv/default/big', { body: new Uint8Array(MIB) })).status).toBe(204);
      expect((await node.http.send('GET', '/v1/kv/default/big')).body.length).toBe(MIB);
      await expectAlive();
    });

    test.each([
      ['an unknown level', 'PUT', '/v1/kv/default/k?w=most', {}, 'bad-request'],
      ['a context that is none', 'PUT', '/v1/kv/default/k', { 'holdfast-context': 'rubbish' }, 'bad-context'],
      ['a key that is no UTF-8', 'PUT', '/v1/kv/default/%ff%fe', {}, 'bad-request'],
      ['a key that is too long', 'PUT', `/v1/kv/default/${'k'.repeat(1025)}`, {}, 'bad-key'],
      ['an unknown bucket', 'GET', '/v1/kv/nowhere/k', {}, 'bucket-not-found'],
      ['an unknown route', 'GET', '/v1/nowhere', {}, 'route-not-found'],
    ])('%s is refused by its code, and counted', async (_name, method, path, headers, code) => {
      const before = await refusals('http', code);
      const answer = await node.http.send(method, path, { headers, ...(method === 'PUT' ? { body: 'v' } : {}) });
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(JSON.parse(answer.text)).toMatchObject({ code });
      expect(await refusals('http', code)).toBe(before + 1);
      await expectAlive();
    });
  });

  describe('over RESP', () => {
    test.each([
      ['a bulk count that is no number', '*1\r\n$x\r\nPING\r\n', /^-ERR Protocol error: invalid bulk length/],
      ['an argument count beyond all limits', '*99999999\r\n', /^-ERR Protocol error: invalid multibulk length/],
      [
        'a bulk length beyond all limits',
        '*2\r\n$3\r\nGET\r\n$9999999999\r\n',
        /^-ERR Protocol error: invalid bulk length/,
      ],
      ['an argument that is no bulk', '*1\r\n:5\r\n', /^-ERR Protocol error: expected '\$', got ':'/],
    ])('%s is answered and counted, and the connection ends', async (_name, bytes, expected) => {
      const before = await refusals('resp', 'protocol');
      expect(await exchange(node.respPort, bytes)).toMatch(expected);
      expect(await refusals('resp', 'protocol')).toBe(before + 1);
      await expectAlive();
    });

    test('a value over 1 MiB is refused, and the connection goes on', async () => {
      const value = 'v'.repeat(MIB + 1);
      const set = `*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$${value.length}\r\n${value}\r\n`;
      const received = await exchange(node.respPort, `${set}*1\r\n$4\r\nPING\r\n`, (text) => text.includes('+PONG'));
      expect(received).toMatch(/^-ERR a value is at most 1048576 bytes.*\r\n\+PONG/);
      await expectAlive();
    });

    test('HTTP on the Redis port is hung up on', async () => {
      expect(await exchange(node.respPort, 'POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a b\r\n')).not.toContain('OK');
      await expectAlive();
    });
  });

  describe('at start', () => {
    test('a data directory in use ends with one line and status 1', async () => {
      const [p2p, http, resp] = await freePorts(3);
      const args = ['start', '--data-dir', node.dataDir, '--name', 'twin', '--listen', `/ip4/127.0.0.1/tcp/${p2p}`];
      const listeners = ['--mdns', 'off', '--http', `127.0.0.1:${http}`, '--resp', `127.0.0.1:${resp}`];
      const { exit, stderr } = await runHoldfast([...args, ...listeners], node.environment);
      expect(stderr).toMatch(/^holdfast: The data directory .* is in use by another process\. .*--data-dir\.\n$/);
      expect(exit).toBe(1);
      await expectAlive();
    });

    test.each(['http', 'resp', 'listen'] as const)('a used %s port ends with one line and status 1', async (option) => {
      const stranger = await LocalCluster.create({ nodes: 1, env: { HOLDFAST_SECRET: OTHER_SECRET } });
      const used = { http: `127.0.0.1:${node.httpPort}`, resp: `127.0.0.1:${node.respPort}`, listen: node.listen };
      const args = [...stranger.node(1).arguments];
      args[args.indexOf(`--${option}`) + 1] = used[option];
      try {
        const { exit, stdout, stderr } = await runHoldfast(args, stranger.node(1).environment);
        const lines = stderr.split('\n').filter((line) => line.startsWith('holdfast: '));
        expect({ lines, rest: stdout + stderr }).toMatchObject({ lines: [expect.stringMatching(`--${option}`)] });
        expect(stderr).not.toContain('    at ');
        expect(exit).toBe(1);
        expect(existsSync(stranger.node(1).dataDir)).toBe(false);
      } finally {
        await stranger.close();
      }
      await expectAlive();
    });

    test('bad settings are named with their source and a fix, status 2, and nothing is created', async () => {
      const directory = join(cluster.directory, 'bad-config');
      mkdirSync(directory);
      const file = join(directory, 'holdfast.yaml');
      writeFileSync(file, 'dataDir: ./never\nprot: 7400\ntuning:\n  replicas: many\n');
      const { exit, stderr } = await runHoldfast(['start', '--config', file, '--http', 'nowhere'], {}, directory);
      expect(stderr).toMatch(/prot.*unknown/);
      expect(stderr).toMatch(/tuning\.replicas/);
      expect(stderr).toMatch(/--http/);
      expect(stderr.trimEnd().split('\n')).toHaveLength(3);
      expect(exit).toBe(2);
      const unknown = await runHoldfast(['start', '--colour', 'red']);
      expect(unknown).toMatchObject({ exit: 2, stderr: expect.stringMatching(/^holdfast: unknown option '--colour'/) });
      const secret = await runHoldfast(['start', '--secret', 'hunter2'], {}, directory);
      expect(secret.exit).toBe(2);
      expect(secret.stderr).not.toContain('hunter2');
    });

    test(
      'another secret, none, or another number of shards than the directory was made with is refused with the fix',
      async () => {
        const other = await LocalCluster.start({ nodes: 1 });
        try {
          const own = other.node(1);
          await own.stop();
          const shards = await runHoldfast(own.arguments, { ...own.environment, HOLDFAST_SHARDS: '128' });
          expect(shards.stderr).toMatch(
            /holdfast: the cluster was created with 256 shards.*set tuning\.shards to 256\n$/,
          );
          expect(shards.exit).toBe(2);
          const secret = await runHoldfast(own.arguments, { HOLDFAST_SECRET: OTHER_SECRET });
          expect(secret.stderr).toMatch(/holdfast: the data directory belongs to cluster .*another directory\n$/);
          expect(secret.exit).toBe(2);
          const none = await runHoldfast(own.arguments);
          expect(none.stderr).toMatch(/holdfast: the data directory belongs to cluster .*--secret-file.*\n$/);
          expect(none.exit).toBe(2);
          expect(existsSync(join(own.dataDir, 'cluster.secret'))).toBe(false);
          await own.start();
        } finally {
          await other.close();
        }
      },
      TIMEOUT_MS,
    );
  });
});

describe('a record that went bad on disk', () => {
  let cluster: LocalCluster;

  beforeAll(async () => {
    cluster = await LocalCluster.start({ nodes: 3 });
  }, TIMEOUT_MS);

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  afterAll(() => cluster?.close(), TIMEOUT_MS);

  test(
    'is counted, served from the others, and repaired',
    async () => {
      const keys = Array.from({ length: 40 }, (_, i) => `corrupt-${i}`);
      for (const key of keys) {
        const { status } = await cluster
          .node(1)
          .http.send('PUT', `/v1/kv/default/${key}?w=all`, { body: `value of ${key}` });
        expect(status).toBe(204);
      }
      const damaged = cluster.node(2);
      await damaged.kill('SIGKILL');
      const hit = keys.filter((_, i) => i % 2 === 0);
      expect(await corruptObjects(damaged.dataDir, new Set(hit))).toHaveLength(hit.length);
      await damaged.start();
      await cluster.untilComplete();
      for (const key of keys) {
        const answer = await damaged.http.send('GET', `/v1/kv/default/${key}`);
        expect(`${key}: ${answer.status} ${answer.status === 200 ? answer.text : ''}`).toBe(
          `${key}: 200 value of ${key}`,
        );
      }
      expect(await damaged.http.metric('holdfast_corrupt_records_total')).toBe(hit.length);
      const events = await damaged.http.send('GET', '/metrics');
      expect(events.status).toBe(200);
      const peerIds = await Promise.all(cluster.nodes.map(async (node) => (await node.status()).peerId));
      await cluster.killAll('SIGTERM');
      const images = await readDisks(
        cluster.nodes.map(({ name, dataDir }, i) => ({ name, dataDir, peerId: peerIds[i] ?? '' })),
      );
      for (const image of images) {
        const values = keys.map((key) => valueOn(image, ringOf(image), 'default', key));
        expect({ disk: image.name, values }).toEqual({
          disk: image.name,
          values: keys.map((key) => `value of ${key}`),
        });
      }
      expect(replicaDifferences(images)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
