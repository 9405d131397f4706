import { expect, test } from 'vitest';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, dotsOn, hasRing, mutate, put, ringOf, settle } from '../support/sim-story.ts';

/** A link that is to be spared. */

const KEYS = 40;
const VALUE_BYTES = 20_000;
const BYTES_PER_SECOND = 50_000;

test('a new disk is filled no faster than that, each object is sent once, and writes do not wait', () => {
  const cluster = new SimCluster({ seed: 1, nodes: 2, firstSyncBytesPerSecond: BYTES_PER_SECOND });
  const [first, second] = cluster.nodes as [SimNode, SimNode];
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => hasRing(cluster, 2), 60_000)).toBe(true);
  for (let i = 0; i < KEYS; i++) mutate(cluster, first, `k${i}`, put('x'.repeat(VALUE_BYTES)), 'all')();
  cluster.run(30_000);
  cluster.crash(second);
  cluster.replaceDisk(second);
  let sent = 0;
  cluster.observers.push({
    message: (from, _to, { type }, bytes) => {
      if (from === first && (type === 'sync-objects' || type === 'sync-copies')) sent += bytes;
    },
  });
  cluster.start(second);
  cluster.run(2000);
  const startedMs = cluster.clock.nowMs;
  const isComplete = (): boolean => second.running?.node.replicationStats().shards.complete === cluster.shards;
  expect(isComplete()).toBe(false);
  expect(mutate(cluster, first, 'meanwhile', put('written'), 'one')()).toMatchObject({ applied: true });
  expect(cluster.clock.nowMs - startedMs).toBeLessThan(100);
  expect(cluster.runUntil(isComplete, 120_000)).toBe(true);
  const seconds = (KEYS * VALUE_BYTES) / BYTES_PER_SECOND;
  expect((cluster.clock.nowMs - startedMs) / 1000).toBeGreaterThan(seconds - 4);
  expect((cluster.clock.nowMs - startedMs) / 1000).toBeLessThan(seconds * 2);
  settle(cluster);
  expect(sent).toBeLessThan(1.1 * KEYS * VALUE_BYTES);
  const reply = ask(cluster, second, { type: 'get', bucket: BUCKET, key: 'k0', level: 'all', session: null })();
  expect(reply).toMatchObject({ type: 'get', complete: true });
});

test('shards that cannot be sent now do not hold up the others', () => {
  const cluster = new SimCluster({ seed: 1, nodes: 3, firstSyncBytesPerSecond: BYTES_PER_SECOND });
  const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => hasRing(cluster, 3), 60_000)).toBe(true);
  const keys = Array.from({ length: KEYS }, (_, i) => `k${i}`);
  for (const key of keys) mutate(cluster, first, key, put('small'), 'all')();
  const ring = ringOf(first);
  const shardOf = (key: string): number => ring.shardOf(BUCKET, key);
  cluster.crash(third);
  cluster.run(5000);
  cluster.crash(first);
  cluster.crash(second);
  cluster.replaceDisk(second);
  const bad = keys.slice(0, 3);
  for (const key of bad) first.disk.damage(shardOf(key), { bucket: BUCKET, key });
  cluster.start(first);
  cluster.run(2000);
  // The third one may have what the first one lost.
  first.disk.scrub((shard, name) => cluster.reportLost(first, shard, name));
  cluster.run(1000);
  cluster.start(second);
  const badShards = new Set(bad.map(shardOf));
  const others = keys.filter((key) => !badShards.has(shardOf(key)));
  const areSent = (): boolean => others.every((key) => dotsOn(second, shardOf(key), key).length === 1);
  expect(cluster.runUntil(areSent, 2000)).toBe(true);
  cluster.start(third);
  settle(cluster);
  for (const key of bad) expect(dotsOn(second, shardOf(key), key)).toHaveLength(1);
});
