import { expect, test } from 'vitest';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, DISCONNECT_MS, dotsOn, formed, mutate, put, ringOf } from '../support/sim-story.ts';

test('an expired value that had lost is swept once the winner is gone', () => {
  const cluster = formed(3);
  const [a, b] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(a).shardOf(BUCKET, 'k');
  // Concurrent: both sides are cut off from each other, and the later one wins.
  cluster.partition([a], cluster.nodes.slice(1));
  cluster.run(DISCONNECT_MS);
  const loser = { ...put('loser'), expiresAtMs: a.clock.now().wallMs + 30_000 } as Mutation;
  mutate(cluster, a, 'k', loser, 'one')();
  cluster.run(2000);
  const winner = mutate(cluster, b, 'k', put('winner'), 'quorum')();
  if (winner.type !== 'mutate') throw new Error('not written');
  cluster.heal();
  cluster.run(15_000);
  expect(dotsOn(b, shard, 'k')).toHaveLength(2);
  // It expires while the winner hides it.
  cluster.run(60_000);
  expect(dotsOn(b, shard, 'k')).toHaveLength(2);
  // The client deletes what it has read.
  const request = { type: 'mutate', bucket: BUCKET, key: 'k', mutation: { type: 'delete' }, level: 'quorum' } as const;
  expect(ask(cluster, b, { ...request, context: winner })()).toMatchObject({ applied: true });
  cluster.run(10_000);
  expect(cluster.nodes.map((node) => dotsOn(node, shard, 'k').length)).toEqual([0, 0, 0]);
  expect(cluster.nodes.map((node) => node.disk.expiries.size)).toEqual([0, 0, 0]);
}, 60_000);
