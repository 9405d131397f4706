import { expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { dotOf, dotsOn, formed, keyWhere, mutate, put, ringOf, settle } from '../support/sim-story.ts';

/** Several rounds of anti-entropy. */
const ROUNDS_MS = 60_000;

function story(nodes: number): { cluster: SimCluster; full: SimNode; others: readonly SimNode[] } {
  const cluster = formed(nodes);
  const [full, ...others] = cluster.nodes as readonly SimNode[];
  if (full === undefined) throw new Error('there is no node');
  cluster.setWritable(full, false);
  return { cluster, full, others };
}

test('a full disk is not filled further by anti-entropy, and catches up once it has space', () => {
  const { cluster, full, others } = story(3);
  const writer = others[0] as SimNode;
  const dot = dotText(dotOf(mutate(cluster, writer, 'k', put('value'), 'quorum')()));
  const shard = ringOf(writer).shardOf('default', 'k');
  cluster.run(ROUNDS_MS);
  expect(dotsOn(writer, shard, 'k')).toEqual([dot]);
  expect(dotsOn(full, shard, 'k')).toEqual([]);
  cluster.setWritable(full, true);
  cluster.run(1000);
  expect(dotsOn(full, shard, 'k')).toEqual([dot]);
  settle(cluster);
});

test('a write whose first owner is full is coordinated by another', () => {
  const { cluster, full, others } = story(5);
  const ring = ringOf(full);
  const key = keyWhere(ring, (shard) => ring.owners(shard)[0] === full.id);
  const stranger = others.find(({ id }) => !ring.isOwner(ring.shardOf('default', key), id));
  if (stranger === undefined) throw new Error('every node is an owner');
  const reply = mutate(cluster, stranger, key, put('value'), 'quorum')();
  expect(reply).toMatchObject({ type: 'mutate', applied: true });
  expect(dotsOn(full, ring.shardOf('default', key), key)).toEqual([]);
  cluster.setWritable(full, true);
  settle(cluster);
  expect(dotsOn(full, ring.shardOf('default', key), key)).toEqual([dotText(dotOf(reply))]);
});
