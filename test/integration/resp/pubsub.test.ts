import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { RespFixture } from '../../support/resp-fixture.ts';
import { until } from '../../support/until.ts';

const MEBIBYTE = 1024 * 1024;

async function subscribed(fixture: RespFixture, ...channels: string[]): Promise<RespClient> {
  const client = await fixture.connect();
  client.send(encodeCommand(['SUBSCRIBE', ...channels]));
  await client.replies(channels.length);
  return client;
}

describe('pub/sub', () => {
  test('a subscriber that does not read is dropped and counted; the others get everything', async () => {
    await using fixture = await RespFixture.start({ subscriberBytesMax: 2 * MEBIBYTE });
    const slow = await subscribed(fixture, 'news');
    const quick = await subscribed(fixture, 'news');
    slow.socket.pause();
    const message = 'm'.repeat(64 * 1024);
    let sent = 0;
    while (fixture.log.warnings().length === 0 && sent < 1000) {
      expect(await fixture.client.call('PUBLISH', 'news', message)).toBe(2);
      await quick.replies(1);
      sent++;
    }
    expect(fixture.log.warnings()).toEqual(['dropped a Redis client that does not read its replies']);
    expect(fixture.node.refusals).toEqual(['resp slow-client']);
    await until('it is forgotten', async () => (await fixture.client.call('PUBLISH', 'news', 'last')) === 1);
    expect((await quick.replies(1))[0]).toContain('last');
    const info = await fixture.client.call('INFO', 'stats');
    expect(info).toContain('client_output_buffer_limit_disconnections:1\r\n');
    // What lies in the kernel's buffers comes on top.
    expect(sent * message.length).toBeLessThan(20 * MEBIBYTE);
  });

  test('one burst in a single turn is bounded as well', async () => {
    await using fixture = await RespFixture.start({ subscriberBytesMax: MEBIBYTE });
    const client = await subscribed(fixture, 'news');
    const channel = new TextEncoder().encode('news');
    for (let i = 0; i < 40; i++) void fixture.node.pubSub.publish({ channel, message: new Uint8Array(MEBIBYTE / 32) });
    expect(fixture.node.refusals).toEqual(['resp slow-client']);
    await client.closed;
  });

  test('replies that a subscriber asked for do not count against it', async () => {
    await using fixture = await RespFixture.start({ subscriberBytesMax: MEBIBYTE });
    const { client } = fixture;
    await client.call('HELLO', '3');
    await client.call('SET', 'k', 'v'.repeat(MEBIBYTE));
    await client.call('SUBSCRIBE', 'news');
    const other = await fixture.connect();
    client.socket.pause();
    client.send(encodeCommand(['MGET', ...Array.from({ length: 8 }, () => 'k')]));
    await until('the reply is made', async () => (await other.call('PUBLISH', 'news', 'hi')) === 1);
    for (let i = 0; i < 20; i++) await other.call('PUBLISH', 'news', 'hi');
    client.socket.resume();
    const replies = await client.replies(22);
    expect(replies.filter((reply) => reply.startsWith('*8'))).toHaveLength(1);
    expect(replies.filter((reply) => reply.startsWith('>3'))).toHaveLength(21);
    expect(fixture.node.refusals).toEqual([]);
  });

  test('a client that vanishes is unsubscribed', async () => {
    await using fixture = await RespFixture.start();
    const client = await subscribed(fixture, 'a', 'b');
    client.send(encodeCommand(['PSUBSCRIBE', 'x*']));
    await client.replies(1);
    expect(await fixture.client.call('PUBSUB', 'CHANNELS')).toEqual(['a', 'b']);
    client.socket.resetAndDestroy();
    await until('it is gone', async () => (await fixture.client.call('PUBSUB', 'NUMPAT')) === 0);
    expect(await fixture.client.call('PUBSUB', 'CHANNELS')).toEqual([]);
    expect(await fixture.client.call('PUBLISH', 'a', '1')).toBe(0);
  });

  test('subscriptions of a connection are bounded, and so are names and messages', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    const names = Array.from({ length: 10_001 }, (_, i) => `c${String(i)}`);
    client.send(encodeCommand(['SUBSCRIBE', ...names]));
    const replies = await client.replies(10_001);
    expect(replies[9_999]).toContain(':10000\r\n');
    expect(replies[10_000]).toBe('-ERR max number of subscriptions reached\r\n');
    expect(await client.call('SUBSCRIBE', 'c5')).toEqual(['subscribe', 'c5', 10_000]);
    const other = await fixture.connect();
    const tooLong = new Error('ERR a channel or pattern is at most 1024 bytes');
    expect(await other.call('SUBSCRIBE', 'c'.repeat(1025))).toEqual(tooLong);
    expect(await other.call('PSUBSCRIBE', 'c'.repeat(1025))).toEqual(tooLong);
    expect(await other.call('PUBLISH', 'c'.repeat(1025), 'x')).toEqual(
      new Error('ERR a channel is at most 1024 bytes, not 1025'),
    );
    expect(await other.call('PUBLISH', 'c', 'x'.repeat(MEBIBYTE + 1))).toEqual(
      new Error('ERR a value is at most 1048576 bytes, not 1048577'),
    );
  });

  test('distinct patterns are bounded over all connections', async () => {
    await using fixture = await RespFixture.start();
    const patterns = Array.from({ length: 1001 }, (_, i) => `p${String(i)}*`);
    fixture.client.send(encodeCommand(['PSUBSCRIBE', ...patterns]));
    const replies = await fixture.client.replies(1001);
    expect(replies[999]).toContain(':1000\r\n');
    expect(replies[1000]).toBe('-ERR max number of subscriptions reached\r\n');
    const other = await fixture.connect();
    expect(await other.call('PSUBSCRIBE', 'p1*')).toEqual(['psubscribe', 'p1*', 1]);
    expect(await other.call('PSUBSCRIBE', 'new*')).toEqual(new Error('ERR max number of subscriptions reached'));
  });

  test('a message does not break into the replies of a pipeline', async () => {
    await using fixture = await RespFixture.start();
    const { client } = fixture;
    await client.call('HELLO', '3');
    await client.call('SUBSCRIBE', 'news');
    const other = await fixture.connect();
    const commands = Array.from({ length: 300 }, (_, i) => (i % 2 === 0 ? ['SET', 'k', String(i)] : ['GET', 'k']));
    client.send(Buffer.concat(commands.map(encodeCommand)));
    other.send(Buffer.concat(Array.from({ length: 300 }, (_, i) => encodeCommand(['PUBLISH', 'news', String(i)]))));
    const replies = await client.replies(600);
    const pushed = replies.filter((reply) => reply.startsWith('>'));
    expect(pushed.map((reply) => reply.split('\r\n')[6])).toEqual(Array.from({ length: 300 }, (_, i) => String(i)));
    const answers = replies.filter((reply) => !reply.startsWith('>'));
    expect(answers).toEqual(
      commands.map(([name], i) =>
        name === 'SET' ? '+OK\r\n' : `$${String(String(i - 1).length)}\r\n${String(i - 1)}\r\n`,
      ),
    );
  });

  test('CLIENT LIST shows who is subscribed', async () => {
    await using fixture = await RespFixture.start();
    const client = await subscribed(fixture, 'a', 'b');
    client.send(encodeCommand(['PSUBSCRIBE', 'x*']));
    await client.replies(1);
    const list = (await fixture.client.call('CLIENT', 'LIST', 'TYPE', 'pubsub')) as string;
    expect(list.trim().split('\n')).toHaveLength(1);
    expect(list).toMatch(/ flags=P db=0 sub=2 psub=1 multi=-1 cmd=psubscribe /);
    expect(await fixture.client.call('INFO', 'clients')).toContain('pubsub_clients:1\r\n');
    expect(await fixture.client.call('INFO', 'stats')).toContain('pubsub_channels:2\r\npubsub_patterns:1\r\n');
  });

  test('close() ends subscribers too', async () => {
    await using fixture = await RespFixture.start();
    const client = await subscribed(fixture, 'a');
    await fixture.server.close();
    expect(await client.closed).toContain('subscribe');
  });

  test.each([2, 3] as const)('the npm package ioredis, in RESP%i', async (protocol) => {
    await using fixture = await RespFixture.start();
    const options = { host: '127.0.0.1', port: fixture.server.port, protocol };
    const subscriber = new Redis(options);
    const publisher = new Redis(options);
    try {
      const heard: string[] = [];
      subscriber.on('message', (channel, message) => heard.push(`${channel} ${message}`));
      subscriber.on('pmessage', (pattern, channel, message) => heard.push(`${pattern} ${channel} ${message}`));
      expect(await subscriber.subscribe('a', 'b')).toBe(2);
      expect(await subscriber.psubscribe('a*')).toBe(3);
      expect(await publisher.publish('a', 'hello')).toBe(2);
      expect(await publisher.pubsub('NUMSUB', 'a', 'b', 'c')).toEqual(['a', 1, 'b', 1, 'c', 0]);
      await until('both arrive', () => heard.length === 2);
      expect(heard).toEqual(['a hello', 'a* a hello']);
      expect(await subscriber.unsubscribe('a', 'b')).toBe(1);
      expect(await subscriber.punsubscribe('a*')).toBe(0);
      expect(await subscriber.get('none')).toBeNull();
    } finally {
      subscriber.disconnect();
      publisher.disconnect();
    }
  });
});
