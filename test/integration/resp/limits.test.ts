import { describe, expect, test } from 'vitest';
import { startRespServer } from '../../../src/api/resp/server.ts';
import { Prng } from '../../../src/lib/prng.ts';
import { encodeCommand, RespClient } from '../../support/resp-client.ts';
import { RequestGate, RespFixture } from '../../support/resp-fixture.ts';
import { until } from '../../support/until.ts';

const MEBIBYTE = 1024 * 1024;

describe('limits', () => {
  test('values up to 1 MiB; a larger one is refused and the connection lives on', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    expect(await client.call('SET', 'k', 'v'.repeat(MEBIBYTE))).toBe('OK');
    expect(await client.call('STRLEN', 'k')).toBe(MEBIBYTE);
    expect(await client.call('GET', 'k')).toBe('v'.repeat(MEBIBYTE));
    expect(await client.call('SET', 'k', 'v'.repeat(MEBIBYTE + 1))).toEqual(
      new Error('ERR a value is at most 1048576 bytes, not 1048577'),
    );
    expect(await client.call('SET', 'k', 'v'.repeat(20 * MEBIBYTE))).toEqual(
      new Error('ERR a command is at most 2162688 bytes in 131072 arguments, a value at most 1048576 bytes'),
    );
    expect(await client.call('APPEND', 'k', 'x')).toEqual(new Error('ERR a value is at most 1048576 bytes'));
    expect(await client.call('PING')).toBe('PONG');
  });

  test('keys are 1 to 1024 bytes of UTF-8', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    expect(await client.call('SET', 'é'.repeat(512), '1')).toBe('OK');
    expect(await client.call('GET', 'é'.repeat(512))).toBe('1');
    expect(await client.call('GET', '')).toEqual(new Error('ERR a key is 1 to 1024 bytes long, not 0'));
    expect(await client.call('SET', 'k'.repeat(1025), '1')).toEqual(
      new Error('ERR a key is 1 to 1024 bytes long, not 1025'),
    );
    expect(await client.call('DEL', 'a', Buffer.from([0xff]))).toEqual(
      new Error('ERR a key is UTF-8 text; this one is not'),
    );
    expect(fixture.node.refusals).toEqual(['resp bad-key', 'resp bad-key', 'resp bad-key']);
  });

  test('members, fields and their values are as large as values; sets and hashes have a size', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const tooLarge = new Error('ERR a value is at most 1048576 bytes, not 1048577');
    expect(await client.call('SADD', 's', 'v'.repeat(MEBIBYTE + 1))).toEqual(tooLarge);
    expect(await client.call('HSET', 'h', 'v'.repeat(MEBIBYTE + 1), 'v')).toEqual(tooLarge);
    expect(await client.call('HSET', 'h', 'f', 'v'.repeat(MEBIBYTE + 1))).toEqual(tooLarge);
    expect(await client.call('HSET', 'h', 'f', 'v'.repeat(MEBIBYTE))).toBe(1);
    expect(await client.call('HSET', 'h', 'g', 'v'.repeat(MEBIBYTE))).toEqual(
      new Error('ERR the set or map is too large'),
    );
    const members = Array.from({ length: 16_384 }, (_, i) => String(i));
    expect(await client.call('SADD', 's', ...members)).toBe(16_384);
    expect(await client.call('SADD', 's', ...members)).toBe(0);
    expect(await client.call('SADD', 's', 'one more')).toEqual(new Error('ERR the set or map is too large'));
    expect(await client.call('SSCAN', 's', '0')).toEqual(['0', [...members].sort()]);
    expect(await client.call('SREM', 's', ...members)).toBe(16_384);
    expect(await client.call('EXISTS', 's', 'h')).toBe(1);
  });

  test('a reply of many values is bounded', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    await client.call('SET', 'k', 'v'.repeat(MEBIBYTE));
    expect(await client.call('MGET', ...Array.from({ length: 33 }, () => 'k'))).toEqual(
      new Error('ERR a reply is at most 33554432 bytes; ask for fewer keys at a time'),
    );
    await client.call('HSET', 'h', 'f', 'v'.repeat(MEBIBYTE));
    expect(await client.call('HMGET', 'h', ...Array.from({ length: 33 }, () => 'f'))).toEqual(
      new Error('ERR a reply is at most 33554432 bytes; ask for fewer fields at a time'),
    );
  });

  test('large sets and hashes in a pipeline are read a few at a time', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    await client.call('HSET', 'h', 'f', 'v'.repeat(MEBIBYTE));
    await client.call('SADD', 's', 'v'.repeat(MEBIBYTE));
    for (const command of [
      ['HGETALL', 'h'],
      ['SMEMBERS', 's'],
    ]) {
      await client.call(...command);
      const gate = new RequestGate(node);
      client.send(Buffer.concat(Array.from({ length: 100 }, () => encodeCommand(command))));
      await until('some have started', () => gate.started.length > 0);
      await (await fixture.connect()).call('PING');
      expect(gate.started.length).toBeLessThanOrEqual(8);
      node.before = null;
      gate.releaseAll();
      expect(await client.replies(100)).toHaveLength(100);
    }
  });

  test('one client too many is told so', async () => {
    await using fixture = await RespFixture.start({ clientsMax: 2 });
    const second = await fixture.connect();
    const third = await fixture.connect();
    expect(await third.closed).toBe('-ERR max number of clients reached\r\n');
    expect(await second.call('PING')).toBe('PONG');
    second.close();
    await until('the place is free', async () => {
      const next = await fixture.connect();
      next.send(encodeCommand(['PING']));
      return next.replies(1).then(
        ([reply]) => reply === '+PONG\r\n',
        () => false,
      );
    });
    expect(fixture.node.refusals).toContain('resp too-many-requests');
  });

  test('a client that does not read stops being read from, and is dropped in the end', async () => {
    await using fixture = await RespFixture.start({ slowClientMs: 50 });
    const { node, client } = fixture;
    await client.call('SET', 'k', 'v'.repeat(MEBIBYTE));
    let reads = 0;
    node.before = () => {
      reads++;
    };
    client.socket.pause();
    const commands = Buffer.concat(Array.from({ length: 500 }, () => encodeCommand(['GET', 'k'])));
    client.send(commands);
    await until('it is dropped', () => fixture.log.warnings().length > 0);
    expect(fixture.log.warnings()).toEqual(['dropped a Redis client that does not read its replies']);
    expect(reads).toBeLessThan(50);
    const other = await fixture.connect();
    expect(await other.call('INFO', 'stats')).toContain('client_output_buffer_limit_disconnections:1\r\n');
  });

  test('a client that reads slowly but steadily gets everything', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    await client.call('SET', 'k', 'v'.repeat(MEBIBYTE));
    client.socket.pause();
    client.send(Buffer.concat(Array.from({ length: 40 }, () => encodeCommand(['GET', 'k']))));
    const other = await fixture.connect();
    await other.call('PING');
    client.socket.resume();
    const replies = await client.replies(40);
    expect(replies.every((reply) => reply.length === MEBIBYTE + 12)).toBe(true);
  });
});

describe('the end of a connection', () => {
  test('random bytes end at most their own connection', async () => {
    await using fixture = await RespFixture.start();
    const random = new Prng(20_260_101);
    for (let round = 0; round < 100; round++) {
      const client = await fixture.connect();
      const bytes = Buffer.from(Array.from({ length: 200 }, () => random.below(256)));
      client.send(
        Buffer.concat([Buffer.from(random.pick(['', '*', '*3\r\n$', '*1\r\n$4\r\n', 'SET "']) ?? ''), bytes]),
      );
      client.socket.end();
      await client.closed;
    }
    expect(await fixture.client.call('PING')).toBe('PONG');
    expect(fixture.log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('what was asked before a protocol error is answered first', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    client.send(
      Buffer.concat([encodeCommand(['SET', 'k', '1']), encodeCommand(['GET', 'k']), Buffer.from('*x\r\nPING\r\n')]),
    );
    expect(await client.closed).toBe('+OK\r\n$1\r\n1\r\n-ERR Protocol error: invalid multibulk length\r\n');
    expect(node.refusals).toEqual(['resp protocol']);
  });

  test('QUIT ends it after everything before, and nothing behind is run', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    client.send(Buffer.concat([['SET', 'k', '1'], ['QUIT'], ['SET', 'k', '2']].map(encodeCommand)));
    expect(await client.closed).toBe('+OK\r\n+OK\r\n');
    const other = await fixture.connect();
    expect(await other.call('GET', 'k')).toBe('1');
    expect(node.refusals).toEqual([]);
  });

  test('a client that closes its sending side still gets its replies', async () => {
    await using fixture = await RespFixture.start();
    const { node, client } = fixture;
    const gate = new RequestGate(node);
    client.socket.end(encodeCommand(['GET', 'k']));
    await until('it runs', () => gate.started.length === 1);
    gate.releaseAll();
    expect(await client.closed).toBe('$-1\r\n');
  });

  test('close() answers what is in flight, takes nothing new, and ends every connection', async () => {
    await using fixture = await RespFixture.start();
    const { node, client, server } = fixture;
    const idle = await fixture.connect();
    const gate = new RequestGate(node);
    client.send(encodeCommand(['GET', 'k']));
    await until('it runs', () => gate.started.length === 1);
    const closed = server.close();
    client.send(encodeCommand(['PING']));
    expect(await idle.closed).toBe('');
    gate.releaseAll();
    expect(await client.closed).toBe('$-1\r\n');
    await closed;
    await expect(RespClient.open(server.port)).rejects.toThrow('ECONNREFUSED');
    await server.close();
  });

  test('close() does not wait for ever', async () => {
    await using fixture = await RespFixture.start({ drainMs: 50 });
    const { node, client, server } = fixture;
    const gate = new RequestGate(node);
    client.send(encodeCommand(['GET', 'k']));
    await until('it runs', () => gate.started.length === 1);
    await server.close();
    expect(await client.closed).toBe('');
    gate.releaseAll();
  });

  test('a client that vanishes mid-command leaves nothing behind', async () => {
    await using fixture = await RespFixture.start();
    const { node } = fixture;
    const gate = new RequestGate(node);
    const client = await fixture.connect();
    client.send(Buffer.concat([encodeCommand(['SET', 'k', '1']), Buffer.from('*3\r\n$3\r\nSET\r\n$1')]));
    await until('it runs', () => gate.started.length === 1);
    client.socket.resetAndDestroy();
    await client.closed;
    node.before = null;
    gate.releaseAll();
    await until('it is forgotten', async () => {
      const info = (await fixture.client.call('INFO', 'clients')) as string;
      return info.includes('connected_clients:1\r\n');
    });
    expect(await fixture.client.call('GET', 'k')).toBe('1');
  });

  test('a port in use is a one-line error that names the option', async () => {
    await using fixture = await RespFixture.start();
    const { node, log, server } = fixture;
    await expect(
      startRespServer({ node, host: '127.0.0.1', port: server.port, log, version: '1' }),
    ).rejects.toMatchObject({ code: 'address-in-use', message: expect.stringContaining('--resp') as string });
  });
});
