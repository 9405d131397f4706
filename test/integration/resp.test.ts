import { spawn, spawnSync } from 'node:child_process';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LocalCluster, type LocalNodeProcess } from '../support/local-cluster.ts';
import { recordedExpectations, runSessions, runStrongSessions } from '../support/redis-conformance.ts';
import { SseClient } from '../support/sse-client.ts';
import { until } from '../support/until.ts';

const TIMEOUT_MS = 240_000;
const hasRedisTools = spawnSync('redis-cli', ['--version']).status === 0;
if (!hasRedisTools)
  console.log('redis-cli is not installed: its tests are skipped (Debian: apt-get install redis-tools)');

// One node more than a key has owners, so that every node also serves keys that it does not hold.
describe('Redis clients on a cluster', () => {
  let cluster: LocalCluster;
  const open: { disconnect(): void }[] = [];

  beforeAll(async () => {
    cluster = await LocalCluster.start({ nodes: 4 });
  }, TIMEOUT_MS);

  afterEach(({ task }) => {
    for (const client of open.splice(0)) client.disconnect();
    if (task.result?.state === 'fail') console.error(cluster.logs());
  });

  afterAll(() => cluster?.close(), TIMEOUT_MS);

  const connect = (node: LocalNodeProcess): Redis => {
    const client = new Redis({ host: '127.0.0.1', port: node.respPort, maxRetriesPerRequest: 0 });
    client.on('error', () => {});
    open.push(client);
    return client;
  };

  describe.skipIf(!hasRedisTools)('redis-cli', () => {
    const cli = async (node: LocalNodeProcess, args: readonly string[], input = ''): Promise<string> => {
      const child = spawn('redis-cli', ['-p', String(node.respPort), ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
      // Given a command it ends without having read its input, maybe before that is closed here.
      child.stdin.on('error', () => {});
      child.stdin.end(input);
      const status = await new Promise<number | null>((done) => {
        child.on('close', done);
      });
      const text = Buffer.concat(chunks).toString('utf8').trimEnd();
      if (status !== 0) throw new Error(`redis-cli ${args.join(' ')}: ${status} ${text}`);
      return text;
    };

    test('writes on one node, reads on the others', async () => {
      const [a, b, c, d] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess, LocalNodeProcess, LocalNodeProcess];
      expect(await cli(a, ['SET', 'cli:one', 'hello world'])).toBe('OK');
      expect(await cli(b, ['GET', 'cli:one'])).toBe('hello world');
      expect(await cli(c, ['SET', 'cli:two', 'two', 'EX', '500'])).toBe('OK');
      expect(Number(await cli(d, ['TTL', 'cli:two']))).toBeGreaterThan(490);
      expect(await cli(a, ['MGET', 'cli:one', 'cli:none', 'cli:two'])).toBe('hello world\n\ntwo');
      expect(await cli(b, ['EXPIRE', 'cli:one', '300'])).toBe('1');
      expect(Number(await cli(d, ['TTL', 'cli:one']))).toBeGreaterThan(290);
      expect((await cli(d, ['--scan', '--pattern', 'cli:*'])).split('\n').sort()).toEqual(['cli:one', 'cli:two']);
      expect(await cli(c, ['DEL', 'cli:one', 'cli:none'])).toBe('1');
      expect(await cli(a, ['GET', 'cli:one'])).toBe('');
    });

    test('sets and hashes in both versions of the protocol', async () => {
      const [a, b] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
      expect(await cli(a, ['HSET', 'cli:h', 'f', 'v', 'n', '1'])).toBe('2');
      expect(await cli(b, ['HINCRBY', 'cli:h', 'n', '41'])).toBe('42');
      expect(await cli(b, ['--no-raw', 'HGETALL', 'cli:h'])).toBe('1) "f"\n2) "v"\n3) "n"\n4) "42"');
      expect(await cli(b, ['-3', '--no-raw', 'HGETALL', 'cli:h'])).toBe('1# "f" => "v"\n2# "n" => "42"');
      expect(await cli(b, ['-3', '--json', 'HGETALL', 'cli:h'])).toBe('{"f":"v","n":"42"}');
      expect(await cli(a, ['SADD', 'cli:s', 'a', 'b', 'a'])).toBe('2');
      expect(await cli(b, ['-3', '--no-raw', 'SMEMBERS', 'cli:s'])).toBe('1~ "a"\n2~ "b"');
      expect(await cli(b, ['GET', 'cli:s'])).toContain('WRONGTYPE');
      expect(await cli(b, ['--scan', '--pattern', 'cli:*'])).toContain('cli:h');
      expect(await cli(a, ['DEL', 'cli:h', 'cli:s'])).toBe('2');
    });

    test('an expired key is gone on every node', async () => {
      const [a] = cluster.nodes as [LocalNodeProcess];
      expect(await cli(a, ['SET', 'cli:brief', 'x', 'PX', '300'])).toBe('OK');
      for (const node of cluster.nodes) {
        await until(`${node.name} lets it expire`, async () => (await cli(node, ['EXISTS', 'cli:brief'])) === '0');
      }
    });

    test('a pipe of 500 commands', async () => {
      const [a, b] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
      const commands = Array.from({ length: 500 }, (_, i) => `SET pipe:${i} value-${i}\r\n`).join('');
      expect(await cli(a, ['--pipe'], commands)).toContain('errors: 0, replies: 500');
      expect(await cli(b, ['MGET', 'pipe:0', 'pipe:250', 'pipe:499'])).toBe('value-0\nvalue-250\nvalue-499');
    });

    test('redis-benchmark with pipelines runs to its end', async () => {
      const [a] = cluster.nodes as [LocalNodeProcess];
      const args = ['-p', String(a.respPort), '-t', 'set,get', '-P', '16', '-n', '4000', '-r', '1000', '--csv'];
      const child = spawn('redis-benchmark', args, { stdio: ['ignore', 'pipe', 'pipe'] });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      const status = await new Promise<number | null>((done) => {
        child.on('close', done);
      });
      const lines = Buffer.concat(chunks).toString('utf8').trim().split('\n');
      expect(status).toBe(0);
      for (const command of ['SET', 'GET']) {
        const line = lines.find((text) => text.startsWith(`"${command}"`));
        expect(Number(line?.split(',')[1]?.replaceAll('"', ''))).toBeGreaterThan(0);
      }
    });
  });

  test('ioredis: strings, expiry, counters, MGET and SCAN over all nodes', async () => {
    const [a, b, c, d] = cluster.nodes.map(connect) as [Redis, Redis, Redis, Redis];
    expect(await a.set('io:a', '1', 'EX', 100)).toBe('OK');
    expect(await b.get('io:a')).toBe('1');
    expect(await c.ttl('io:a')).toBeGreaterThan(95);
    expect(await d.expire('io:a', 1000)).toBe(1);
    expect(await a.ttl('io:a')).toBeGreaterThan(990);
    expect(await a.mset({ 'io:b': '2', 'io:c': '3' })).toBe('OK');
    expect(await d.mget('io:a', 'io:b', 'io:c', 'io:none')).toEqual(['1', '2', '3', null]);
    for (const client of [a, b, c, d]) await client.incrby('io:n', 10);
    expect(await b.get('io:n')).toBe('40');
    for (const client of [a, b, c, d]) {
      const found: string[] = [];
      for await (const keys of client.scanStream({ match: 'io:*', count: 3 })) found.push(...(keys as string[]));
      expect(found.sort()).toEqual(['io:a', 'io:b', 'io:c', 'io:n']);
    }
    expect(await c.del('io:a', 'io:b', 'io:none')).toBe(2);
    expect(await d.exists('io:a', 'io:b', 'io:c')).toBe(1);
    expect(await a.getBuffer('io:c')).toEqual(Buffer.from('3'));
  });

  test('ioredis: sets and hashes that all nodes write at once', async () => {
    const clients = cluster.nodes.map(connect);
    const [a, b, c, d] = clients as [Redis, Redis, Redis, Redis];
    const names = Array.from({ length: 40 }, (_, i) => `m${i}`);
    await Promise.all(clients.flatMap((client, i) => names.map((name) => client.sadd('col:s', `${i}:${name}`, name))));
    for (const client of clients) expect(await client.scard('col:s')).toBe(200);
    expect((await b.smembers('col:s')).filter((member) => !member.includes(':')).toSorted()).toEqual(names.toSorted());
    expect(await c.srem('col:s', 'm0', '0:m0', 'none')).toBe(2);
    expect(await d.smismember('col:s', 'm0', 'm1')).toEqual([0, 1]);

    await Promise.all(clients.flatMap((client, i) => names.map((name) => client.hset('col:h', `${i}:${name}`, i))));
    await Promise.all(clients.flatMap((client) => names.map(() => client.hincrby('col:h', 'n', 1))));
    for (const client of clients) {
      expect(await client.hlen('col:h')).toBe(161);
      expect(await client.hget('col:h', 'n')).toBe('160');
    }
    expect(await b.hmget('col:h', '0:m1', '3:m39', 'none')).toEqual(['0', '3', null]);
    expect(await c.hdel('col:h', '0:m1', 'none')).toBe(1);
    expect(Object.keys(await d.hgetall('col:h'))).toHaveLength(160);

    expect(await Promise.all(['col:s', 'col:h', 'col:none'].map((key) => a.type(key)))).toEqual([
      'set',
      'hash',
      'none',
    ]);
    await expect(b.get('col:s')).rejects.toThrow('WRONGTYPE Operation against a key holding the wrong kind of value');
    await expect(b.sadd('col:h', 'x')).rejects.toThrow('WRONGTYPE');
    await expect(c.hset('col:s', 'x', '1')).rejects.toThrow('WRONGTYPE');
    await expect(d.incr('col:s')).rejects.toThrow('WRONGTYPE');
    expect(await a.expire('col:s', 500)).toBe(1);
    expect(await b.ttl('col:s')).toBeGreaterThan(490);
    expect(await c.set('col:s', 'text')).toBe('OK');
    expect(await d.get('col:s')).toBe('text');
    expect(await a.del('col:s', 'col:h')).toBe(2);
    expect(await b.exists('col:s', 'col:h')).toBe(0);
  });

  test('WAIT tells on how many nodes the writes of the connection are', async () => {
    const [a, , c] = cluster.nodes.map(connect) as [Redis, Redis, Redis];
    for (const client of [a, c]) {
      const many = client.pipeline();
      for (let i = 0; i < 50; i++) many.set(`wait:${i}`, 'x');
      await many.sadd('wait:s', 'x').del('wait:0').exec();
      expect(await client.wait(1, 0)).toBeGreaterThanOrEqual(2);
      expect(await client.wait(3, 5000)).toBe(3);
      expect(await client.wait(9, 5000)).toBe(3);
    }
  });

  test('a real node answers as Redis does', async () => {
    const [, node] = cluster.nodes as [LocalNodeProcess, LocalNodeProcess];
    const client = connect(node);
    const sessions = await runSessions(node.respPort, async () => {
      const keys = await client.keys('*');
      if (keys.length > 0) await client.del(keys);
    });
    expect(sessions).toEqual(recordedExpectations().sessions);
    expect(await runStrongSessions(node.respPort)).toEqual(recordedExpectations().strongSessions);
  });

  test('ioredis: a pipeline keeps its order and reports errors in their place', async () => {
    const [a, b] = cluster.nodes.map(connect) as [Redis, Redis];
    const bytes = Buffer.from([0, 255, 13, 10, 128]);
    const results = await a
      .pipeline()
      .set('line:a', bytes)
      .getBuffer('line:a')
      .incr('line:a')
      .set('line:n', '41')
      .incr('line:n')
      .call('nosuch', 'x')
      .del('line:none')
      .exec();
    expect(results?.map(([error, value]) => error?.message ?? value)).toEqual([
      'OK',
      bytes,
      'ERR value is not an integer or out of range',
      'OK',
      42,
      "ERR unknown command 'nosuch', with args beginning with: 'x' ",
      0,
    ]);
    expect(await b.getBuffer('line:a')).toEqual(bytes);
    const many = a.pipeline();
    for (let i = 0; i < 1000; i++) many.set(`line:${i}`, String(i));
    expect((await many.exec())?.every(([error, value]) => error === null && value === 'OK')).toBe(true);
    const values = await b.mget(Array.from({ length: 1000 }, (_, i) => `line:${i}`));
    expect(values).toEqual(Array.from({ length: 1000 }, (_, i) => String(i)));
  });

  test('pub/sub: a subscriber on any node hears every publisher once and in order', async () => {
    const subscribers = cluster.nodes.map(connect);
    const publishers = cluster.nodes.map(connect);
    const heard: string[][] = subscribers.map(() => []);
    for (const [i, client] of subscribers.entries()) {
      const keep = (channel: string, message: string) => heard[i]?.push(`${channel} ${message}`);
      client.on('message', keep);
      client.on('pmessage', (_pattern, channel, message) => keep(channel, message));
      // By name on half of the nodes, by pattern on the others.
      if (i % 2 === 0) await client.subscribe('news', 'other');
      else await client.psubscribe('new*');
    }
    // Word of a subscription takes a moment to reach the other nodes.
    let attempt = 0;
    await until('all subscriptions are known everywhere', async () => {
      attempt++;
      await Promise.all(publishers.map((client, i) => client.publish('news', `try-${attempt}-${i}`)));
      return heard.every((own) => publishers.every((_, i) => own.includes(`news try-${attempt}-${i}`)));
    });
    await Promise.all(
      publishers.map(async (client, i) => {
        for (let n = 0; n < 50; n++) expect(await client.publish('news', `${i}-${n}`)).toBe(1);
      }),
    );
    await Promise.all(
      publishers.map((client, i) => {
        const many = client.pipeline();
        for (let n = 50; n < 250; n++) many.publish('news', `${i}-${n}`);
        return many.exec();
      }),
    );
    expect(await (publishers[1] as Redis).publish('other', 'x')).toBe(0);
    for (const own of heard) {
      for (let i = 0; i < publishers.length; i++) {
        const expected = Array.from({ length: 250 }, (_, n) => `news ${i}-${n}`);
        await until('all are heard', () => own.filter((line) => line.startsWith(`news ${i}-`)).length >= 250);
        expect(own.filter((line) => line.startsWith(`news ${i}-`))).toEqual(expected);
      }
    }
    for (const i of [0, 2]) await until('the other channel is heard', () => heard[i]?.includes('other x') === true);
    expect(heard[1]).not.toContain('other x');
  });

  test('a watch on any node sees every change once, wherever it was made', async () => {
    const watches = await Promise.all(
      cluster.nodes.map(({ httpPort }) =>
        SseClient.open(`http://127.0.0.1:${httpPort}/v1/watch/default?prefix=watch/`),
      ),
    );
    for (const watch of watches) open.push({ disconnect: () => watch.close() });
    const clients = cluster.nodes.map(connect);
    // Word of a watch takes a moment to reach the other nodes.
    let attempt = 0;
    await until('all watches are known everywhere', async () => {
      attempt++;
      await Promise.all(clients.map((client, i) => client.set(`watch/try-${attempt}-${i}`, 'x')));
      return watches.every((watch) =>
        clients.every((_, i) => keysOf(watch, 'put').includes(`watch/try-${attempt}-${i}`)),
      );
    });
    const keys = Array.from({ length: 80 }, (_, i) => `watch/key-${i}`);
    await Promise.all(keys.map((key, i) => (clients[i % clients.length] as Redis).set(key, `value of ${key}`)));
    await (clients[0] as Redis).set('elsewhere', 'not watched');
    await Promise.all(keys.map((key, i) => (clients[(i + 1) % clients.length] as Redis).del(key)));
    for (const watch of watches) {
      await until('every delete is seen', () => keys.every((key) => keysOf(watch, 'delete').includes(key)));
      for (const kind of ['put', 'delete']) {
        const seen = keysOf(watch, kind).filter((key) => key.startsWith('watch/key-'));
        expect(seen.toSorted()).toEqual(keys.toSorted());
      }
      expect(keysOf(watch, 'put')).not.toContain('elsewhere');
    }
  });

  // The last: it ends the other nodes.
  test('pub/sub goes on at a node that is alone', async () => {
    const [a, ...others] = cluster.nodes as [LocalNodeProcess, ...LocalNodeProcess[]];
    const [subscriber, publisher] = [connect(a), connect(a)];
    const heard: string[] = [];
    subscriber.on('message', (_channel, message) => heard.push(message));
    await subscriber.subscribe('local');
    await Promise.all(others.map((node) => node.kill()));
    for (let n = 0; n < 20; n++) expect(await publisher.publish('local', String(n))).toBe(1);
    await until('all are heard', () => heard.length === 20);
    expect(heard).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
  });
});

function keysOf(watch: SseClient, kind: string): string[] {
  return watch.events
    .filter(({ event }) => event === kind)
    .map(({ data }) => (JSON.parse(data) as { key: string }).key);
}
