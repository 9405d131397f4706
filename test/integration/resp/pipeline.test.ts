import { describe, expect, test } from 'vitest';
import { failure, HoldfastError } from '../../../src/lib/failure.ts';
import { encodeCommand } from '../../support/resp-client.ts';
import { RequestGate, RespFixture } from '../../support/resp-fixture.ts';
import { until } from '../../support/until.ts';

function batch(...commands: string[]): Buffer {
  return Buffer.concat(commands.map((command) => encodeCommand(command.split(' '))));
}

describe('a pipeline', () => {
  test('runs commands on different keys at once and answers in order', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('SET', 'slow', 's');
    const gate = new RequestGate(node, (label) => label === 'get slow');
    client.send(batch('GET slow', 'SET b 1', 'GET b', 'PING'));
    await until('the later commands have run', () => gate.started.includes('get b'));
    expect(gate.started).toEqual(['get slow', 'put b', 'get b']);
    expect(client.pending).toBe('');
    gate.releaseAll();
    expect(await client.replies(4)).toEqual(['$1\r\ns\r\n', '+OK\r\n', '$1\r\n1\r\n', '+PONG\r\n']);
  });

  test('keeps the order on each key: writes wait, reads share', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    const gate = new RequestGate(node);
    client.send(batch('SET k 1', 'GET k', 'STRLEN k', 'INCR k', 'GET other'));
    await until('two requests', () => gate.started.length === 2);
    expect(gate.started).toEqual(['put k', 'get other']);
    gate.releaseOne();
    await until('both reads', () => gate.started.length === 4);
    expect(gate.started.slice(2)).toEqual(['get k', 'get k']);
    gate.releaseAll();
    await until('the write behind them', () => gate.started.length === 5);
    gate.releaseAll();
    expect(await client.replies(5)).toEqual(['+OK\r\n', '$1\r\n1\r\n', ':1\r\n', ':2\r\n', '$-1\r\n']);
  });

  test('a command on several keys waits for each of them', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    const gate = new RequestGate(node);
    client.send(batch('SET a 1', 'SET b 2', 'MGET a b c', 'SET b 3', 'SET d 4'));
    await until('the independent writes', () => gate.started.length === 3);
    expect(gate.started).toEqual(['put a', 'put b', 'put d']);
    gate.releaseAll();
    await until('the reads', () => gate.started.length === 6);
    expect(gate.started.slice(3)).toEqual(['get a', 'get b', 'get c']);
    gate.releaseAll();
    await until('the last write', () => gate.started.length === 7);
    gate.releaseAll();
    const replies = await client.replies(5);
    expect(replies[2]).toBe('*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n');
  });

  test('a listing runs alone', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    const gate = new RequestGate(node);
    client.send(batch('SET a 1', 'DBSIZE', 'SET b 2', 'KEYS *'));
    await until('the write', () => gate.started.length === 1);
    gate.releaseAll();
    await until('the listing', () => gate.started.length === 2);
    expect(gate.started).toEqual(['put a', 'list']);
    gate.releaseAll();
    await until('the next write', () => gate.started.length === 3);
    gate.releaseAll();
    await until('the last listing', () => gate.started.length === 4);
    gate.releaseAll();
    expect(await client.replies(4)).toEqual(['+OK\r\n', ':1\r\n', '+OK\r\n', '*2\r\n$1\r\na\r\n$1\r\nb\r\n']);
  });

  test('a change of protocol takes effect at its place', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    client.send(batch('GET none', 'HELLO 3', 'GET none', 'RESET', 'GET none'));
    const replies = await client.replies(5);
    expect(replies[0]).toBe('$-1\r\n');
    expect(replies[1]).toMatch(/^%7\r\n/);
    expect(replies.slice(2)).toEqual(['_\r\n', '+RESET\r\n', '$-1\r\n']);
  });

  test('has at most its window in flight, and goes on as replies leave', async () => {
    await using fixture = await RespFixture.start({ inFlightMax: 16 });
    const { node, client } = fixture;
    const gate = new RequestGate(node);
    client.send(batch(...Array.from({ length: 100 }, (_, i) => `GET k${String(i)}`)));
    await until('a full window', () => gate.started.length >= 16);
    await fixture.connect();
    expect(gate.started).toHaveLength(16);
    gate.releaseOne();
    await until('one more', () => gate.started.length === 17);
    node.before = null;
    gate.releaseAll();
    expect(await client.replies(100)).toEqual(Array.from({ length: 100 }, () => '$-1\r\n'));
  });

  test('one failure is one error reply; the commands around it are unharmed', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    node.before = (request) => {
      if (request.type === 'get' && request.key === 'bad') {
        throw new HoldfastError(failure('quorum-unavailable', 'only 1 of 3 owners answered'));
      }
    };
    client.send(batch('SET a 1', 'GET bad', 'NOSUCH', 'GET a', 'GET', 'MGET a bad', 'PING'));
    expect(await client.replies(7)).toEqual([
      '+OK\r\n',
      '-CLUSTERDOWN only 1 of 3 owners answered\r\n',
      "-ERR unknown command 'NOSUCH', with args beginning with: \r\n",
      '$1\r\n1\r\n',
      "-ERR wrong number of arguments for 'get' command\r\n",
      '-CLUSTERDOWN only 1 of 3 owners answered\r\n',
      '+PONG\r\n',
    ]);
    expect(node.refusals).toEqual(
      ['resp bad-request', 'resp bad-request', 'resp quorum-unavailable', 'resp quorum-unavailable'].sort(
        (a, b) => node.refusals.indexOf(a) - node.refusals.indexOf(b),
      ),
    );
  });

  test('a thousand mixed commands from several clients give what one at a time would', async () => {
    await using fixture = await RespFixture.start();
    await Promise.all(
      Array.from({ length: 4 }, async (_, c) => {
        const client = await fixture.connect();
        const expected: string[] = [];
        const commands: string[][] = [];
        const counts = new Map<string, number>();
        for (let i = 0; i < 1000; i++) {
          const key = `c${String(c)}:${String((i * 7) % 13)}`;
          const count = counts.get(key) ?? 0;
          if (i % 3 === 0) {
            commands.push(['GET', key]);
            expected.push(count === 0 ? '$-1\r\n' : `$${String(String(count).length)}\r\n${String(count)}\r\n`);
          } else {
            counts.set(key, count + 1);
            commands.push(['INCR', key]);
            expected.push(`:${String(count + 1)}\r\n`);
          }
        }
        expect(await client.pipeline(commands)).toEqual(expected);
      }),
    );
  });
});
