import { describe, expect, test } from 'vitest';
import { failure, HoldfastError } from '../../../src/lib/failure.ts';
import type { NodeRequest } from '../../../src/ports/node-handle.ts';
import { encodeCommand } from '../../support/resp-client.ts';
import { RespFixture } from '../../support/resp-fixture.ts';
import { until } from '../../support/until.ts';

/** A node whose writes are acknowledged by two of three owners. */
async function start(): Promise<RespFixture> {
  const fixture = await RespFixture.start();
  Object.assign(fixture.node, { acks: 2, owners: 3, confirmed: 2 });
  return fixture;
}

function confirmsOf(fixture: RespFixture): string[] {
  const keys: string[] = [];
  fixture.node.before = (request: NodeRequest) => {
    if (request.type === 'confirm') keys.push(request.key);
  };
  return keys;
}

describe('WAIT', () => {
  test('answers at once with what the replies of the writes have said', async () => {
    await using fixture = await start();
    const { client } = fixture;
    const asked = confirmsOf(fixture);
    await client.call('SET', 'k', '1');
    expect(await client.call('WAIT', '0', '0')).toBe(2);
    expect(await client.call('WAIT', '2', '0')).toBe(2);
    expect(await client.call('WAIT', '-1', '0')).toBe(2);
    expect(asked).toEqual([]);
  });

  test('asks until as many nodes have every write of the connection', async () => {
    await using fixture = await start();
    const { client, node } = fixture;
    const asked = confirmsOf(fixture);
    client.send(
      Buffer.concat([['SET', 'a', '1'], ['SADD', 's', 'x'], ['WAIT', '3', '0'], ['PING']].map(encodeCommand)),
    );
    await until('it has asked more than once', () => asked.length > 4);
    expect(client.pending).toBe('+OK\r\n:1\r\n');
    expect(new Set(asked)).toEqual(new Set(['a', 's']));
    node.confirmed = 3;
    expect((await client.replies(4)).slice(2)).toEqual([':3\r\n', '+PONG\r\n']);
  });

  test('gives up at its timeout with what it knows', async () => {
    await using fixture = await start();
    const { client } = fixture;
    await client.call('SET', 'k', '1');
    const startedMs = performance.now();
    expect(await client.call('WAIT', '3', '60')).toBe(2);
    expect(performance.now() - startedMs).toBeGreaterThan(55);
  });

  test('does not wait for what cannot be: more nodes than own the key', async () => {
    await using fixture = await start();
    const { client, node } = fixture;
    node.confirmed = 3;
    await client.call('SET', 'k', '1');
    expect(await client.call('WAIT', '9', '0')).toBe(3);
  });

  test('a node that cannot tell is asked again; one that does not answer does not hold it beyond its time', async () => {
    await using fixture = await start();
    const { client, node } = fixture;
    await client.call('SET', 'k', '1');
    let refusals = 0;
    node.before = (request) => {
      if (request.type !== 'confirm' || refusals > 2) return;
      refusals++;
      throw new HoldfastError(failure('quorum-unavailable', 'nobody answered'));
    };
    node.confirmed = 3;
    expect(await client.call('WAIT', '3', '0')).toBe(3);
    expect(refusals).toBe(3);
    await client.call('SET', 'k', '2');
    node.before = () => new Promise(() => undefined);
    expect(await client.call('WAIT', '3', '40')).toBe(2);
  });

  test('counts reads and writes that did nothing for nothing', async () => {
    await using fixture = await start();
    const { client } = fixture;
    await client.call('GET', 'k');
    await client.call('DEL', 'none');
    await client.call('SET', 'none', '1', 'XX');
    expect(await client.call('WAIT', '1', '0')).toBe(fixture.node.ring().replicas);
  });
});
