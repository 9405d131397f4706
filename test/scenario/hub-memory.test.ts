import { expect, test } from 'vitest';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { hasRing, mutate, put, SETTLE_MS, settle } from '../support/sim-story.ts';

/** Together more than a simulated node has memory for. */
const KEYS = 60;
const VALUE = 'x'.repeat(1000);

test('keys that are written while those that the hub lacks are read into a small memory are there as they are', () => {
  const cluster = new SimCluster({ seed: 1, nodes: 1, shards: 1, hub: true });
  const hub = cluster.hub as VirtualHub;
  const node = cluster.nodes[0] as SimNode;
  cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, 1), SETTLE_MS)).toBe(true);
  for (let round = 0; round < 10; round++) {
    hub.setCut(node, true);
    for (let i = 0; i < KEYS; i++) mutate(cluster, node, `k${i}`, put(`${round}${VALUE}`), 'one')();
    hub.setCut(node, false);
    expect(cluster.runUntil(() => node.running?.node.uplinkState(node.clock.now())?.isUp === true, 60_000, 1)).toBe(
      true,
    );
    for (let i = 0; i < KEYS; i++) {
      mutate(cluster, node, `k${(i * 7) % KEYS}`, put(`${round}${i}${VALUE}`), 'one');
      cluster.run(2);
    }
    cluster.run(10_000);
    settle(cluster);
    expect(checkReconciliation(cluster)).toEqual([]);
  }
  // What is told of events ahead of their time is forgotten with them.
  expect([...hub.rows.objects.values()].filter(({ object }) => object.past !== null)).toEqual([]);
});
