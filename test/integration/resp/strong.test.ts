import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { failure, HoldfastError } from '../../../src/lib/failure.ts';
import type { NodeRequest } from '../../../src/ports/node-handle.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { RequestGate, RespFixture } from '../../support/resp-fixture.ts';
import { until } from '../../support/until.ts';

/** What Redis answers as well is in redis-transactions.ts. */

async function onDatabase1(fixture: RespFixture): Promise<RespClient> {
  const client = await fixture.connect();
  await client.call('SELECT', '1');
  return client;
}

function batch(...commands: string[]): Buffer {
  return Buffer.concat(commands.map((command) => encodeCommand(command.split(' '))));
}

/** The requests that reach the node, by type and condition. */
function recordRequests({ node }: RespFixture): string[] {
  const seen: string[] = [];
  node.before = (request) => {
    seen.push('condition' in request ? `${request.type} ${request.condition.type}` : request.type);
  };
  return seen;
}

/** Somebody else writes the key after each of the next `times` reads of it, so that what was read is old. */
function interfere({ node }: RespFixture, key: string, times: number): { left: number } {
  const interference = { left: times };
  node.before = async (request: NodeRequest) => {
    const isUpon = request.type === 'strong-put' && request.key === key && request.condition.type !== 'none';
    if (!isUpon || interference.left === 0) return;
    interference.left--;
    const bytes = new TextEncoder().encode('100');
    const content = { bytes, contentType: 'text/plain', expiresAtMs: null };
    await node.request({ type: 'strong-put', bucket: 'strong', key, content, condition: { type: 'none' } });
  };
  return interference;
}

describe('databases', () => {
  test('0 and 1 have keys of their own, a connection is on one of them', async () => {
    await using fixture = await RespFixture.start();
    const { client, node } = fixture;
    await client.call('SET', 'k', 'eventual');
    expect(await client.call('SELECT', '1')).toBe('OK');
    expect(await client.call('GET', 'k')).toBeNull();
    await client.call('SET', 'k', 'strong');
    const other = await fixture.connect();
    expect(await other.call('GET', 'k')).toBe('eventual');
    const { content } = await node.request({ type: 'strong-get', bucket: 'strong', key: 'k' });
    expect(Buffer.from(content?.bytes ?? []).toString()).toBe('strong');
    await client.call('SELECT', '0');
    expect(await client.call('GET', 'k')).toBe('eventual');
  });

  test.each(['2', '15', '16', '-1', '9223372036854775807'])('there is no database %s', async (index) => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    expect(await client.call('SELECT', index)).toEqual(new Error('ERR DB index is out of range'));
    expect(await client.call('CLIENT', 'INFO')).toContain(' db=1 ');
  });

  test('HELLO and AUTH keep the database, RESET goes back to 0', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.call('SET', 'k', 'strong');
    await client.call('HELLO', '3');
    await client.call('AUTH', 'default', 'x');
    expect(await client.call('GET', 'k')).toBe('strong');
    expect(await client.call('CONFIG', 'GET', 'databases')).toEqual(new Map([['databases', '2']]));
    await client.call('MULTI');
    await client.call('SET', 'k', 'never');
    expect(await fixture.client.call('CLIENT', 'LIST')).toMatch(/ flags=x db=1 sub=0 psub=0 multi=1 /);
    await client.call('RESET');
    expect(await client.call('GET', 'k')).toBeNull();
    expect(await client.call('CLIENT', 'INFO')).toMatch(/ flags=N db=0 .* multi=-1 /);
  });

  test('a pipeline goes from one to the other at the place of SELECT', async () => {
    await using fixture = await RespFixture.start();
    const { client, node } = fixture;
    const gate = new RequestGate(node, (label) => label === 'put a');
    client.send(batch('SET a 0', 'GET b', 'SELECT 1', 'SET a 1', 'GET a', 'SELECT 0', 'GET a'));
    await until('what comes before', () => gate.started.length === 2);
    await fixture.connect();
    expect(gate.started).toEqual(['put a', 'get b']);
    gate.releaseAll();
    expect(await client.replies(7)).toEqual([
      '+OK\r\n',
      '$-1\r\n',
      '+OK\r\n',
      '+OK\r\n',
      '$1\r\n1\r\n',
      '+OK\r\n',
      '$1\r\n0\r\n',
    ]);
    expect(gate.started.slice(2)).toEqual(['strong-put a', 'strong-get a', 'get a']);
  });

  test('commands on one strong key keep their order, those on others run at once', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    const gate = new RequestGate(fixture.node);
    client.send(batch('SET k 1', 'INCR k', 'GET k', 'GET other'));
    await until('two requests', () => gate.started.length === 2);
    expect(gate.started).toEqual(['strong-put k', 'strong-get other']);
    fixture.node.before = null;
    gate.releaseAll();
    expect(await client.replies(4)).toEqual(['+OK\r\n', ':2\r\n', '$1\r\n2\r\n', '$-1\r\n']);
  });
});

describe('writes of database 1', () => {
  test('conditions are part of the one request that writes', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    const requests = recordRequests(fixture);
    await client.call('SET', 'k', '1', 'NX', 'EX', '10');
    await client.call('SETNX', 'k', '2');
    await client.call('SET', 'k', '3', 'XX');
    await client.call('SET', 'k', '4');
    await client.call('DEL', 'k');
    expect(requests).toEqual([
      'strong-put absent',
      'strong-put absent',
      'strong-put present',
      'strong-put none',
      'strong-delete none',
    ]);
  });

  test('what depends on the value before is written upon the version that was read', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    const requests = recordRequests(fixture);
    await client.call('INCR', 'n');
    await client.call('SET', 'n', '7', 'KEEPTTL', 'GET');
    await client.call('GETDEL', 'n');
    await client.call('PERSIST', 'n');
    expect(requests).toEqual([
      'strong-get',
      'strong-put absent',
      'strong-get',
      'strong-put version',
      'strong-get',
      'strong-delete version',
      'strong-get',
    ]);
  });

  test('a change is taken again upon what somebody else has written meanwhile', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.call('SET', 'n', '1');
    const once = interfere(fixture, 'n', 6);
    expect(await client.call('INCR', 'n')).toBe(101);
    expect(once.left).toBe(0);
    expect(await client.call('GET', 'n')).toBe('101');
  });

  test('a change that others are always faster than ends with TRYAGAIN and writes nothing', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    interfere(fixture, 'n', Number.POSITIVE_INFINITY);
    const message = 'others have changed the key each time in 24 attempts; nothing was changed, retry';
    expect(await client.call('APPEND', 'n', 'x')).toEqual(new Error(`TRYAGAIN ${message}`));
    expect(await client.call('GET', 'n')).toBe('100');
  });

  test('clients that count at once are all counted', async () => {
    await using fixture = await RespFixture.start();
    fixture.node.before = () => new Promise((resolve) => setImmediate(resolve));
    const clients = await Promise.all(Array.from({ length: 20 }, () => onDatabase1(fixture)));
    const replies = await Promise.all(
      clients.map((client) => client.pipeline(Array.from({ length: 10 }, () => ['INCR', 'n']))),
    );
    const numbers = replies.flat().map((reply) => Number(reply.slice(1)));
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  });

  test('nobody waits for a key that takes all the time of those before him', async () => {
    await using fixture = await RespFixture.start();
    const [first, second] = [await onDatabase1(fixture), await onDatabase1(fixture)];
    const gate = new RequestGate(fixture.node);
    first.send(batch('INCR n'));
    await until('the first is under way', () => gate.started.length === 1);
    second.send(batch('INCR n', 'GET other'));
    await until('the second has arrived', () => gate.started.length === 2);
    expect(gate.started).toEqual(['strong-get n', 'strong-get other']);
    await new Promise((resolve) => setTimeout(resolve, 2100));
    fixture.node.before = null;
    gate.releaseAll();
    expect(await first.replies(1)).toEqual([':1\r\n']);
    const message = 'earlier changes of this key took all the time; nothing was changed, retry with backoff';
    expect(await second.replies(2)).toEqual([`-TRYAGAIN ${message}\r\n`, '$-1\r\n']);
    expect(await second.call('INCR', 'n')).toBe(2);
  });

  test('a counter is its decimal digits, whatever wrote them', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    expect(await client.call('INCRBY', 'n', '9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
    expect(await client.call('GET', 'n')).toBe('9007199254740991');
    expect(await client.call('INCR', 'n')).toEqual(
      new Error(
        'ERR increment or decrement would overflow (counters range from -9007199254740991 to 9007199254740991)',
      ),
    );
    const { content } = await fixture.node.request({ type: 'strong-get', bucket: 'strong', key: 'n' });
    expect(content?.contentType).toBe('text/plain');
  });

  test('expiry is by the clock of the cluster', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.call('SET', 'k', 'v', 'PX', '1500');
    await client.call('APPEND', 'k', 'w');
    fixture.node.clockMs += 1001;
    expect([await client.call('PTTL', 'k'), await client.call('TTL', 'k')]).toEqual([499, 0]);
    fixture.node.clockMs += 499;
    expect([await client.call('PTTL', 'k'), await client.call('GET', 'k')]).toEqual([-2, null]);
    expect(await client.call('SET', 'k', 'x', 'NX')).toBe('OK');
  });

  test('a value does not grow beyond its limit', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.call('SET', 'k', 'x'.repeat(1024 * 1024));
    const error = new Error('ERR a value is at most 1048576 bytes, not 1048577');
    expect(await client.call('APPEND', 'k', 'y')).toEqual(error);
    await client.call('MULTI');
    await client.call('APPEND', 'k', 'y');
    await client.call('STRLEN', 'k');
    expect(await client.call('EXEC')).toEqual([error, 1024 * 1024]);
  });

  test('failures are those of database 0, with the doubt about writes', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    fixture.node.before = (request) => {
      const stateChanged = request.type === 'strong-get' ? 'no' : 'maybe';
      throw new HoldfastError(failure('quorum-unavailable', 'no majority answered', { stateChanged }));
    };
    const sure = new Error('CLUSTERDOWN no majority answered');
    const doubtful = new Error('CLUSTERDOWN no majority answered (the write may have taken effect)');
    expect(await client.call('GET', 'k')).toEqual(sure);
    expect(await client.call('INCR', 'k')).toEqual(sure);
    expect(await client.call('SET', 'k', 'v')).toEqual(doubtful);
    expect(await client.call('MSET', 'k', 'v')).toEqual(doubtful);
    expect(await client.call('WATCH', 'k')).toEqual(sure);
    expect(fixture.node.refusals).toEqual(Array(5).fill('resp quorum-unavailable'));
    fixture.node.before = null;
    expect(await client.call('INCR', 'k')).toBe(1);
  });

  test('a write in doubt is not made again', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    let puts = 0;
    fixture.node.before = (request) => {
      if (request.type !== 'strong-put') return;
      puts++;
      throw new HoldfastError(failure('quorum-unavailable', 'lost', { stateChanged: 'maybe' }));
    };
    const doubtful = new Error('CLUSTERDOWN lost (the write may have taken effect)');
    expect(await client.call('INCR', 'k')).toEqual(doubtful);
    await client.call('MULTI');
    await client.call('INCR', 'k');
    expect(await client.call('EXEC')).toEqual(doubtful);
    expect(puts).toBe(2);
    expect(await client.call('EXEC')).toEqual(new Error('ERR EXEC without MULTI'));
  });
});

describe('what database 1 has not', () => {
  test.each([
    ['SADD s a', "database 1 has no 'sadd': its keys hold strings; sets and hashes are on database 0 (SELECT 0)"],
    ['HGETALL h', "database 1 has no 'hgetall': its keys hold strings; sets and hashes are on database 0 (SELECT 0)"],
    ['SCAN 0', "database 1 has no 'scan': its keys are not listed; database 0 lists its own"],
    ['DBSIZE', "database 1 has no 'dbsize': its keys are not listed; database 0 lists its own"],
    [
      'WAIT 1 0',
      "database 1 has no 'wait': its writes are on a majority once they are answered; WAIT is about those of database 0",
    ],
  ])('%s says why', async (command, reason) => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    expect(await client.call(...command.split(' '))).toEqual(new Error(`ERR ${reason}`));
    expect(fixture.node.refusals).toEqual(['resp not-supported']);
  });

  test('pub/sub is the same on both', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await fixture.client.call('SUBSCRIBE', 'news');
    expect(await client.call('PUBLISH', 'news', 'hi')).toBe(1);
    expect((await fixture.client.replies(1))[0]).toContain('hi');
  });

  test('database 0 has no transactions', async () => {
    await using fixture = await RespFixture.start();
    for (const name of ['MULTI', 'EXEC', 'DISCARD', 'WATCH', 'UNWATCH']) {
      expect(await fixture.client.call(name)).toEqual(
        new Error(`ERR unknown command '${name}', with args beginning with: `),
      );
    }
    expect(await fixture.client.call('COMMAND', 'INFO', 'multi')).toEqual([null]);
  });
});

describe('transactions of database 1', () => {
  const ONE_KEY = 'a transaction on database 1 is about one key, watched or written, and this names another';

  test('are one write upon one version', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.call('WATCH', 'k');
    await client.pipeline([['MULTI'], ['SET', 'k', '1'], ['INCR', 'k'], ['EXPIRE', 'k', '10'], ['TTL', 'k']]);
    const requests = recordRequests(fixture);
    expect(await client.call('EXEC')).toEqual(['OK', 2, 1, 10]);
    expect(requests).toEqual(['strong-get', 'strong-put absent']);
    requests.length = 0;
    await client.pipeline([['MULTI'], ['GET', 'k'], ['SET', 'k', 'x', 'NX']]);
    expect(await client.call('EXEC')).toEqual(['2', null]);
    expect(requests).toEqual(['strong-get']);
  });

  test('a watched key that changes between the read and the write of EXEC is left alone', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.pipeline([['SET', 'k', '1'], ['WATCH', 'k'], ['MULTI'], ['INCR', 'k']]);
    interfere(fixture, 'k', 1);
    expect(await client.pipeline([['EXEC']])).toEqual(['*-1\r\n']);
    expect(await client.call('GET', 'k')).toBe('100');
    await client.call('HELLO', '3');
    await client.pipeline([['WATCH', 'k'], ['SET', 'k', '2'], ['MULTI'], ['INCR', 'k']]);
    expect(await client.pipeline([['EXEC']])).toEqual(['_\r\n']);
  });

  test('without WATCH they are taken again upon what others have written', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.pipeline([['MULTI'], ['INCR', 'k'], ['GET', 'k']]);
    interfere(fixture, 'k', 2);
    expect(await client.call('EXEC')).toEqual([101, '101']);
  });

  test('are about one key', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    const refused = new Error(`ERR ${ONE_KEY}`);
    const aborted = new Error(`EXECABORT Transaction discarded because of: ${ONE_KEY}`);
    await client.pipeline([['MULTI'], ['SET', 'a', '1']]);
    expect(await client.call('SET', 'b', '1')).toEqual(refused);
    expect(await client.call('EXEC')).toEqual(aborted);
    await client.call('MULTI');
    expect(await client.call('MSET', 'a', '1', 'b', '1')).toEqual(refused);
    expect(await client.call('EXEC')).toEqual(aborted);
    await client.pipeline([['WATCH', 'a'], ['MULTI']]);
    expect(await client.call('GET', 'b')).toEqual(refused);
    expect(await client.call('EXEC')).toEqual(aborted);
    expect(await client.call('WATCH', 'a', 'b')).toEqual(refused);
    expect(await client.call('WATCH', 'a')).toBe('OK');
    expect(await client.call('WATCH', 'b')).toEqual(refused);
    expect(await client.call('EXISTS', 'a', 'b')).toBe(0);
  });

  test.each(['PING', 'SELECT 0', 'SADD k a', 'PUBLISH c m', 'HELLO 3'])('%s is no part of one', async (command) => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    await client.pipeline([['MULTI'], ['SET', 'k', '1']]);
    const name = command.split(' ')[0]?.toLowerCase() ?? '';
    const reason = `'${name}' cannot be part of a transaction, which is about one key of database 1`;
    expect(await client.call(...command.split(' '))).toEqual(new Error(`ERR ${reason}`));
    expect(await client.call('EXEC')).toEqual(new Error('EXECABORT Transaction discarded because of previous errors.'));
    expect(await client.call('GET', 'k')).toBeNull();
  });

  test('are bounded', async () => {
    await using fixture = await RespFixture.start();
    const client = await onDatabase1(fixture);
    const tooLarge = /^ERR a transaction has at most 256 commands of 8388608 bytes$/;
    await client.call('MULTI');
    const replies = await client.pipeline(Array.from({ length: 257 }, () => ['INCR', 'k']));
    expect(new Set(replies.slice(0, 256))).toEqual(new Set(['+QUEUED\r\n']));
    expect(replies[256]?.slice(1, -2)).toMatch(tooLarge);
    expect(await client.call('EXEC')).toBeInstanceOf(Error);
    await client.call('MULTI');
    const large = await client.pipeline(Array.from({ length: 8 }, () => ['SET', 'k', 'x'.repeat(1024 * 1024)]));
    expect(large[7]?.slice(1, -2)).toMatch(tooLarge);
    await client.call('DISCARD');
    await client.call('SET', 'k', 'x'.repeat(1024 * 1024));
    await client.pipeline([['MULTI'], ['DEL', 'none'], ['DISCARD'], ['MULTI']]);
    await client.pipeline(Array.from({ length: 33 }, () => ['GET', 'k']));
    await client.call('APPEND', 'k', '');
    expect(await client.call('EXEC')).toEqual(
      new Error('ERR a reply is at most 33554432 bytes; read less in one transaction'),
    );
  });

  test('ioredis has them on database 1', async () => {
    await using fixture = await RespFixture.start();
    const options = { host: '127.0.0.1', port: fixture.server.port, db: 1 };
    const [redis, other] = [new Redis(options), new Redis(options)];
    try {
      expect(await redis.multi().set('k', '1').incr('k').get('k').exec()).toEqual([
        [null, 'OK'],
        [null, 2],
        [null, '2'],
      ]);
      await redis.watch('k');
      await other.set('k', 'theirs');
      expect(await redis.multi().set('k', 'mine').exec()).toBeNull();
      expect(await redis.get('k')).toBe('theirs');
      await expect(redis.multi().set('k', '1').set('l', '1').exec()).rejects.toThrow(ONE_KEY);
    } finally {
      redis.disconnect();
      other.disconnect();
    }
  });
});
