import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { RespFixture } from '../../support/resp-fixture.ts';

describe('the npm package ioredis', () => {
  test('connects, reads and writes, pipelines and scans', async () => {
    await using fixture = await RespFixture.start();
    const redis = new Redis({ host: '127.0.0.1', port: fixture.server.port, lazyConnect: true, connectionName: 'app' });
    const errors: Error[] = [];
    redis.on('error', (error: Error) => errors.push(error));
    await redis.connect();
    try {
      expect(await redis.set('a', '1', 'EX', 100)).toBe('OK');
      expect(await redis.get('a')).toBe('1');
      expect(await redis.ttl('a')).toBe(100);
      expect(await redis.expire('a', 200)).toBe(1);
      expect(await redis.incr('n')).toBe(1);
      expect(await redis.mset({ b: '2', c: '3' })).toBe('OK');
      expect(await redis.mget('a', 'b', 'none')).toEqual(['1', '2', null]);
      expect(await redis.getBuffer('b')).toEqual(Buffer.from('2'));
      const results = await redis.pipeline().set('p', '1').incr('p').get('p').call('nosuch').del('p', 'none').exec();
      expect(results?.map(([error, value]) => error?.message ?? value)).toEqual([
        'OK',
        2,
        '2',
        "ERR unknown command 'nosuch', with args beginning with: ",
        1,
      ]);
      const found: string[] = [];
      for await (const keys of redis.scanStream({ count: 2 })) found.push(...(keys as string[]));
      expect(found).toEqual(['a', 'b', 'c', 'n']);
      expect(await redis.dbsize()).toBe(4);
      expect(await redis.client('GETNAME')).toBe('app');
      expect(await redis.quit()).toBe('OK');
      expect(errors).toEqual([]);
    } finally {
      redis.disconnect();
    }
  });

  test('waits until the node is ready', async () => {
    await using fixture = await RespFixture.start();
    fixture.node.ready = false;
    const redis = new Redis({ host: '127.0.0.1', port: fixture.server.port });
    try {
      const reply = redis.set('k', 'v');
      await new Promise<void>((resolve) => {
        redis.once('connect', () => resolve());
      });
      fixture.node.ready = true;
      expect(await reply).toBe('OK');
    } finally {
      redis.disconnect();
    }
  });
});
