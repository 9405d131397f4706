import { describe, expect, test } from 'vitest';
import { decodeReply, type RespClient, type RespValue } from '../../support/resp-client.ts';
import { RespFixture } from '../../support/resp-fixture.ts';

/** What client libraries send first, in one write; `refused`: they go on where Redis 7.0 answers with an error. */
const HANDSHAKES: Readonly<Record<string, { sends: readonly (readonly string[])[]; refused: readonly number[] }>> = {
  'redis-py with RESP2': {
    sends: [
      ['CLIENT', 'SETINFO', 'LIB-NAME', 'redis-py'],
      ['CLIENT', 'SETINFO', 'LIB-VER', '5.0.0'],
      ['SELECT', '0'],
    ],
    refused: [],
  },
  'redis-py with RESP3, a user and a name': {
    sends: [
      ['HELLO', '3', 'AUTH', 'default', 'secret'],
      ['CLIENT', 'SETNAME', 'app'],
      ['CLIENT', 'SETINFO', 'LIB-NAME', 'redis-py(hiredis_v3.0.0)'],
      ['CLIENT', 'SETINFO', 'LIB-VER', '5.0.0'],
    ],
    refused: [],
  },
  'node-redis': {
    sends: [
      ['HELLO', '3', 'SETNAME', 'app'],
      ['CLIENT', 'SETINFO', 'LIB-NAME', 'node-redis'],
      ['CLIENT', 'SETINFO', 'LIB-VER', '5.0.0'],
    ],
    refused: [],
  },
  'go-redis': {
    sends: [
      ['hello', '3', 'setname', 'app'],
      ['client', 'setinfo', 'LIB-NAME', 'go-redis(,go1.22)'],
      ['client', 'setinfo', 'LIB-VER', '9.5.1'],
      ['client', 'maint_notifications', 'on'],
    ],
    refused: [3],
  },
  lettuce: {
    sends: [
      ['HELLO', '3'],
      ['CLIENT', 'SETINFO', 'lib-name', 'Lettuce'],
      ['CLIENT', 'SETINFO', 'lib-ver', '6.3.2'],
      ['PING'],
    ],
    refused: [],
  },
  'StackExchange.Redis': {
    sends: [
      ['CLIENT', 'SETNAME', 'host'],
      ['CLIENT', 'ID'],
      ['CONFIG', 'GET', 'timeout'],
      ['CONFIG', 'GET', 'slave-read-only'],
      ['CONFIG', 'GET', 'databases'],
      ['SENTINEL', 'MASTERS'],
      ['INFO', 'replication'],
      ['INFO', 'server'],
      ['CLUSTER', 'NODES'],
      ['GET', '__Booksleeve_TieBreak'],
      ['ECHO', 'x'],
    ],
    refused: [5, 8],
  },
};

async function decoded(client: RespClient, commands: readonly (readonly string[])[]): Promise<RespValue[]> {
  return (await client.pipeline(commands)).map((reply) => decodeReply(Buffer.from(reply, 'latin1')));
}

describe('the first words of client libraries', () => {
  test.each(Object.entries(HANDSHAKES))('%s', async (_name, { sends, refused }) => {
    await using fixture = await RespFixture.start();
    const replies = await decoded(fixture.client, sends);
    const errors = replies.flatMap((reply, i) => (reply instanceof Error ? [i] : []));
    expect(errors).toEqual(refused);
    expect(await fixture.client.call('HSET', 'h', 'f', 'v')).toBe(1);
    const isThree = sends[0]?.[0]?.toUpperCase() === 'HELLO';
    const [hash] = await fixture.client.pipeline([['HGETALL', 'h']]);
    expect(hash).toBe(`${isThree ? '%1' : '*2'}\r\n$1\r\nf\r\n$1\r\nv\r\n`);
  });

  test('what they said of themselves is in CLIENT INFO', async () => {
    await using fixture = await RespFixture.start();
    const handshake = HANDSHAKES['redis-py with RESP3, a user and a name'];
    await decoded(fixture.client, handshake?.sends ?? []);
    expect(await fixture.client.call('CLIENT', 'INFO')).toMatch(
      / name=app .* lib-name=redis-py\(hiredis_v3\.0\.0\) lib-ver=5\.0\.0 resp=3\n$/,
    );
  });
});
