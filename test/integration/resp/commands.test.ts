import { describe, expect, test } from 'vitest';
import { type FailureCode, failure, HoldfastError } from '../../../src/lib/failure.ts';
import { RespFixture } from '../../support/resp-fixture.ts';

/** What differs from Redis, or cannot be recorded from one. The rest is in conformance.test.ts. */
describe('expiry follows the wall clock of the node', () => {
  test('a key is there until its time and gone at it', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('SET', 'k', 'v', 'PX', '1500');
    expect([await client.call('PTTL', 'k'), await client.call('TTL', 'k')]).toEqual([1500, 2]);
    node.clockMs += 1001;
    expect([await client.call('PTTL', 'k'), await client.call('TTL', 'k')]).toEqual([499, 0]);
    expect(await client.call('PEXPIRETIME', 'k')).toBe(node.clockMs + 499);
    node.clockMs += 499;
    expect([await client.call('PTTL', 'k'), await client.call('GET', 'k')]).toEqual([-2, null]);
    expect(await client.call('SET', 'k', 'w', 'NX')).toBe('OK');
    expect(await client.call('TTL', 'k')).toBe(-1);
  });
});

describe('counters', () => {
  test('hold the safe integers only', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const overflow = new Error(
      'ERR increment or decrement would overflow (counters range from -9007199254740991 to 9007199254740991)',
    );
    expect(await client.call('INCRBY', 'n', '9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
    expect(await client.call('INCR', 'n')).toEqual(overflow);
    expect(await client.call('INCRBY', 'n', '9223372036854775807')).toEqual(overflow);
    expect(await client.call('DECRBY', 'm', '-9223372036854775808')).toEqual(overflow);
    expect(await client.call('GET', 'n')).toBe('9007199254740991');
    expect(await client.call('DECRBY', 'n', '9007199254740991')).toBe(0);
    expect(await client.call('GET', 'n')).toBe('0');
    expect(await client.call('EXISTS', 'm')).toBe(0);
    await client.call('SET', 'big', '9223372036854775807');
    expect(await client.call('INCR', 'big')).toEqual(new Error('ERR value is not an integer or out of range'));
  });

  test('a later plain write that is concurrent with the counter starts it anew', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('INCRBY', 'n', '5');
    node.writeConcurrently('default', 'n', '100');
    expect(await client.call('GET', 'n')).toBe('100');
    expect(await client.call('INCR', 'n')).toBe(101);
    expect(await client.call('STRLEN', 'n')).toBe(3);
    await client.call('INCRBY', 'm', '5');
    node.writeConcurrently('default', 'm', 'text');
    expect(await client.call('GET', 'm')).toBe('text');
  });
});

describe('SCAN', () => {
  test('goes through every key once, in any step, and over changes', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const keys = Array.from({ length: 100 }, (_, i) => `user:${String(i).padStart(3, '0')}`);
    await client.call('MSET', ...keys.flatMap((key) => [key, '1']), 'other', '1');
    for (const count of ['1', '7', '1000']) {
      const found: string[] = [];
      let cursor = '0';
      do {
        const [next, page] = (await client.call('SCAN', cursor, 'MATCH', 'user:*', 'COUNT', count)) as [
          string,
          string[],
        ];
        expect(next).toMatch(/^[0-9]+$/);
        found.push(...page);
        await client.call('SET', 'user:000a', '1');
        await client.call('DEL', 'user:000a');
        cursor = next;
      } while (cursor !== '0');
      expect(found.filter((key) => key !== 'user:000a')).toEqual(keys);
    }
    expect(await client.call('DBSIZE')).toBe(101);
  });

  test('reads only what the beginning of the pattern allows', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('MSET', 'a:1', '1', 'a:2', '1', 'b:1', '1', 'a:1x', '1');
    const prefixes: string[] = [];
    node.before = (request) => {
      if (request.type === 'list') prefixes.push(`${request.prefix} ${String(request.limit)}`);
    };
    expect(await client.call('KEYS', 'a:*')).toEqual(['a:1', 'a:1x', 'a:2']);
    expect(await client.call('SCAN', '0', 'MATCH', 'a:1')).toEqual(['0', ['a:1']]);
    expect(await client.call('KEYS', 'k'.repeat(2000))).toEqual([]);
    expect(prefixes).toEqual(['a: 1000', 'a:1 1']);
  });

  test('lists once for many steps of the same scan, and anew for every scan', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('MSET', ...Array.from({ length: 50 }, (_, i) => [`k${String(i)}`, '1']).flat());
    let lists = 0;
    node.before = (request) => {
      if (request.type === 'list') lists++;
    };
    for (let scan = 1; scan <= 2; scan++) {
      let cursor = '0';
      let found = 0;
      do {
        const [next, page] = (await client.call('SCAN', cursor)) as [string, string[]];
        found += page.length;
        cursor = next;
      } while (cursor !== '0');
      expect([found, lists]).toEqual([50, scan]);
    }
    const [cursor, first] = (await client.call('SCAN', '0')) as [string, string[]];
    const steps = [await client.call('SCAN', cursor), await client.call('SCAN', cursor)];
    expect(steps[0]).toEqual(steps[1]);
    expect(first).toHaveLength(10);
  });

  test('a cursor that this node does not know is an error, not an early end', async () => {
    await using fixture = await RespFixture.start();
    expect(await fixture.client.call('SCAN', '12345')).toEqual(
      new Error('ERR invalid cursor: it is not, or no longer, known to this node; scan from 0'),
    );
  });
});

describe('failures of the node', () => {
  test.each<[FailureCode, 'no' | 'maybe', string]>([
    ['quorum-unavailable', 'no', 'CLUSTERDOWN why'],
    ['quorum-unavailable', 'maybe', 'CLUSTERDOWN why (the write may have taken effect)'],
    ['shutting-down', 'no', 'CLUSTERDOWN why'],
    ['not-ready', 'no', 'LOADING why'],
    ['too-many-requests', 'no', 'TRYAGAIN why'],
    ['disk-full', 'no', 'MISCONF why'],
    ['wrong-type', 'no', 'WRONGTYPE Operation against a key holding the wrong kind of value'],
    ['clock-drift', 'no', 'ERR why'],
  ])('%s (state changed: %s) is -%s', async (code, stateChanged, text) => {
    await using fixture = await RespFixture.start();
    fixture.node.before = () => {
      throw new HoldfastError(failure(code, 'why', { stateChanged }));
    };
    expect(await fixture.client.call('SET', 'k', 'v')).toEqual(new Error(text));
    expect(fixture.node.refusals).toEqual([`resp ${code}`]);
  });

  test('a bug is an error reply and a log line, and the connection lives on', async () => {
    await using fixture = await RespFixture.start();
    const { node, client, log } = fixture;
    node.before = () => {
      throw new TypeError('oops');
    };
    expect(await client.call('GET', 'k')).toEqual(new Error('ERR internal error; the log of the node says more'));
    expect(await client.call('PING')).toBe('PONG');
    expect(log.lines).toMatchObject([{ level: 'error', fields: { command: 'get' } }]);
  });

  test('while the node is not ready only the connection works', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    node.ready = false;
    const loading = new Error('LOADING the node is starting or stopping, or waits for its cluster; its log says which');
    expect(await client.call('GET', 'k')).toEqual(loading);
    expect(await client.call('PING')).toEqual(loading);
    expect(await client.call('ECHO', 'hi')).toBe('hi');
    expect(await client.call('INFO', 'persistence')).toContain('loading:1\r\n');
    node.ready = true;
    expect(await client.call('INFO', 'persistence')).toContain('loading:0\r\n');
    expect(await client.call('PING')).toBe('PONG');
  });

  test('a failed MSET has ended before the next command on its keys starts', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    node.before = async (request) => {
      if (request.type !== 'mutate') return;
      if (request.key === 'bad') throw new HoldfastError(failure('disk-full', 'the disk is full'));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    };
    const replies = await client.pipeline([
      ['MSET', 'bad', '1', 'a', '1', 'b', '1'],
      ['MGET', 'a', 'b'],
    ]);
    expect(replies).toEqual(['-MISCONF the disk is full\r\n', '*2\r\n$1\r\n1\r\n$1\r\n1\r\n']);
  });
});

describe('what clients and tools ask for', () => {
  test('CLIENT describes connections', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const other = await fixture.connect();
    await other.call('CLIENT', 'SETNAME', 'other');
    expect(await other.call('CLIENT', 'SETINFO', 'LIB-NAME', 'test')).toBe('OK');
    expect(await other.call('CLIENT', 'SETINFO', 'lib-ver', '1.0')).toBe('OK');
    expect(await other.call('CLIENT', 'SETINFO', 'x', '1')).toEqual(new Error("ERR Unrecognized option 'x'"));
    const id = (await other.call('CLIENT', 'ID')) as number;
    const list = (await client.call('CLIENT', 'LIST')) as string;
    expect(list.trim().split('\n')).toHaveLength(2);
    const line = (await client.call('CLIENT', 'LIST', 'ID', String(id))) as string;
    expect(line).toMatch(/^id=\d+ addr=127\.0\.0\.1:\d+ laddr=127\.0\.0\.1:\d+ name=other age=0 idle=0 flags=N /);
    expect(line).toMatch(/ cmd=client\|id .* lib-name=test lib-ver=1\.0 resp=2\n$/);
    expect(await client.call('CLIENT', 'INFO')).toContain(' cmd=client|info ');
    expect(await client.call('CLIENT', 'HELP')).toContain('SETNAME');
  });

  test('INFO shows the sections asked for', async () => {
    await using fixture = await RespFixture.start();
    const { client, server } = fixture;
    const all = (await client.call('INFO')) as string;
    expect(all.match(/^# \w+\r$/gm)).toHaveLength(10);
    expect(all).toContain(`\r\ntcp_port:${String(server.port)}\r\n`);
    expect(all).toContain('\r\nholdfast_version:1.2.3\r\n');
    expect(all).toContain('\r\nmembers_alive:1\r\n');
    const two = (await client.call('INFO', 'stats', 'REPLICATION')) as string;
    expect(two).toMatch(/^# Stats\r\n[^#]*\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n$/);
  });

  test('INFO says of an island that it is one, and counts the answers that may lack newer writes', async () => {
    await using fixture = await RespFixture.start();
    const { client, node } = fixture;
    const field = async (name: string): Promise<string | undefined> =>
      new RegExp(`\r\n${name}:(.*)\r\n`).exec((await client.call('INFO', 'holdfast')) as string)?.[1];
    await client.call('SET', 'k', 'v');
    await client.call('GET', 'k');
    expect([await field('service_level'), await field('incomplete_reads')]).toEqual(['connected', '0']);
    node.complete = false;
    expect(await client.call('GET', 'k')).toBe('v');
    expect(await client.call('MGET', 'k', 'none')).toEqual(['v', null]);
    expect(await client.call('KEYS', '*')).toEqual(['k']);
    expect(await field('incomplete_reads')).toBe('4');
    node.complete = true;
    await client.call('GET', 'k');
    expect(await field('incomplete_reads')).toBe('4');
  });

  test('COMMAND lists every command once, with documentation', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const count = (await client.call('COMMAND', 'COUNT')) as number;
    const names = (await client.call('COMMAND', 'LIST')) as string[];
    expect(new Set(names).size).toBe(count);
    expect(await client.call('COMMAND')).toHaveLength(count);
    await client.call('HELLO', '3');
    const docs = (await client.call('COMMAND', 'DOCS')) as Map<string, Map<string, unknown>>;
    expect([...docs.keys()]).toEqual(names);
    expect(docs.get('get')?.get('group')).toBe('string');
    expect(docs.get('client')?.get('subcommands')).toBeInstanceOf(Map);
  });

  test('CONFIG GET says what redis-benchmark wants to know', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    expect(await client.call('CONFIG', 'GET', 'save', 'appendonly')).toEqual(['appendonly', 'yes', 'save', '']);
    expect(await client.call('CONFIG', 'GET', 'MAX*')).toContain('maxmemory');
  });
});
