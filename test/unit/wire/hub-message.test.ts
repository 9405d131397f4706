import { expect, test } from 'vitest';
import { Catalog } from '../../../src/protocol/catalog/catalog.ts';
import { BUCKETS_MAX } from '../../../src/protocol/catalog/record.ts';
import { decodeHubRequest, encodeHubRequest } from '../../../src/wire/hub-message.ts';
import { eventualBucket } from '../../support/eventual-bucket.ts';

test('a site may have as many buckets as its catalog can hold', () => {
  const catalog = new Catalog();
  for (let i = 0; i < BUCKETS_MAX; i++) catalog.putBucket(`b${i}`, eventualBucket({ sync: 'up' }), 3);
  const buckets = catalog.buckets
    .filter(({ consistency }) => consistency === 'eventual')
    .map(({ name, sync, conflict, ttlSeconds }) => ({ name, sync, conflict, ttlSeconds, origin: null }));
  expect(buckets.length).toBeGreaterThan(BUCKETS_MAX);
  const hello = { type: 'hub-hello', shards: 8, clusterId: 'plant', buckets, actors: [] } as const;
  expect(decodeHubRequest(encodeHubRequest(1, hello))).toEqual({ id: 1, request: hello, problem: null });
});
