import { expect, test } from 'vitest';
import type { SimNode } from '../simulation/cluster.ts';
import { DISCONNECT_MS, formed, keyWhere, mutate, put, ringOf, settle } from '../support/sim-story.ts';

test('a node that was away counts the shards that it has yet to catch up with, though all are complete', () => {
  const cluster = formed(3);
  const [first, , third] = cluster.nodes as [SimNode, SimNode, SimNode];
  const counts = (node: SimNode): unknown => node.running?.node.replicationStats().shards;
  const caughtUp = { owned: cluster.shards, complete: cluster.shards, transferring: 0, behind: 0 };
  cluster.run(20_000);
  for (const node of cluster.nodes) expect(counts(node)).toEqual(caughtUp);
  cluster.crash(third);
  cluster.run(DISCONNECT_MS);
  for (let shard = 0; shard < cluster.shards; shard++) {
    const key = keyWhere(ringOf(first), (id) => id === shard);
    mutate(cluster, first, key, put('value'), 'quorum')();
  }
  for (const node of [first, cluster.nodes[1] as SimNode]) expect(counts(node)).toEqual(caughtUp);
  cluster.start(third);
  const isConnected = (): boolean => (third.running?.peers.size ?? 0) > 0;
  expect(cluster.runUntil(isConnected, 60_000, 0.5)).toBe(true);
  expect(counts(third)).toEqual({ ...caughtUp, behind: cluster.shards });
  settle(cluster);
  cluster.run(20_000);
  for (const node of cluster.nodes) expect(counts(node)).toEqual(caughtUp);
});
