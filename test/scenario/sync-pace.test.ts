import { expect, test } from 'vitest';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, hasRing, mutate, put, settle } from '../support/sim-story.ts';

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
