import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  keyWhere,
  mutate,
  nodesOf,
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** A damaged disk still has an entry, and does not know any more what that had replaced. */

const KEY = 'k';
const NEW_ACTOR = '00000000000000bb';

interface Story {
  readonly cluster: SimCluster;
  readonly owners: readonly [SimNode, SimNode, SimNode];
  readonly keeper: SimNode;
  readonly shard: number;
  /** Written by the damaged node and kept as a hint by the keeper. */
  readonly dot: string;
}

/** The first owner replaced a value while it saw the keeper only; then its disk was damaged. */
function story(): Story {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, KEY);
  const nodes = nodesOf(cluster, ring.preference(shard));
  const [damaged, hinted, third, keeper] = nodes as [SimNode, SimNode, SimNode, SimNode];
  mutate(cluster, damaged, KEY, put('old'), 'all')();
  cluster.run(5000);
  cluster.partition([damaged, keeper], [hinted, third]);
  cluster.run(DISCONNECT_MS);
  const dot = dotText(dotOf(mutate(cluster, damaged, KEY, put('new'), 'quorum')()));
  cluster.run(1000);
  cluster.crash(damaged);
  cluster.replaceDisk(damaged, damaged.disk.salvaged(NEW_ACTOR));
  return { cluster, owners: [damaged, hinted, third], keeper, shard, dot };
}

function isComplete({ disk }: SimNode, shard: number): boolean {
  return disk.shards.get(shard)?.complete === true;
}

describe('an entry of a damaged disk', () => {
  test('is not passed on while a hint may know more of it', () => {
    const { cluster, owners, keeper, shard, dot } = story();
    const [damaged, hinted, third] = owners;
    cluster.heal();
    cluster.partition([keeper], owners);
    cluster.start(damaged);
    cluster.run(60_000);
    expect(isComplete(damaged, shard)).toBe(false);
    cluster.heal();
    cluster.partition([damaged, third], [hinted, keeper]);
    cluster.run(60_000);
    cluster.heal();
    settle(cluster);
    for (const node of owners) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
    expect(isComplete(damaged, shard)).toBe(true);
  });

  test('is not passed on while a hint of its own knows more of it', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, KEY);
    const nodes = nodesOf(cluster, ring.preference(shard));
    const [writer, second, third, damaged] = nodes as [SimNode, SimNode, SimNode, SimNode];
    mutate(cluster, writer, KEY, put('old'), 'all')();
    cluster.run(5000);
    cluster.partition([writer, damaged], [second, third]);
    cluster.run(DISCONNECT_MS);
    const dot = dotText(dotOf(mutate(cluster, writer, KEY, put('new'), 'quorum')()));
    // It takes the shard over, and keeps what it has for the other owners.
    expect(cluster.changeRing(writer, writer, { place: 'out' })).toBe(true);
    cluster.run(20_000);
    expect(dotsOn(damaged, shard, KEY)).toEqual([dot]);
    cluster.crash(writer);
    cluster.replaceDisk(writer);
    cluster.start(writer);
    cluster.crash(damaged);
    cluster.replaceDisk(damaged, damaged.disk.salvaged(NEW_ACTOR));
    cluster.start(damaged);
    cluster.heal();
    settle(cluster);
    for (const node of [second, third, damaged]) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  });

  test('is not passed on while another damaged disk alone was told more of it', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, KEY);
    const nodes = nodesOf(cluster, ring.preference(shard));
    const [first, second, third, keeper] = nodes as [SimNode, SimNode, SimNode, SimNode];
    mutate(cluster, first, KEY, put('old'), 'all')();
    cluster.run(5000);
    cluster.partition([first, third, keeper], [second]);
    cluster.run(DISCONNECT_MS);
    const other = keyWhere(ring, (id) => id === shard);
    mutate(cluster, second, other, put('only here'), 'one')();
    // It counts as up and gets nothing: there is a hint for the second one only.
    cluster.block(first, third);
    const dot = dotText(dotOf(mutate(cluster, first, KEY, put('new'), 'one')()));
    cluster.run(200);
    for (const [i, node] of [first, second].entries()) {
      cluster.crash(node);
      cluster.replaceDisk(node, node.disk.salvaged(`00000000000000b${i}`));
    }
    cluster.heal();
    cluster.block(second, third);
    cluster.start(first);
    cluster.start(second);
    cluster.run(40_000);
    cluster.heal();
    settle(cluster);
    for (const node of [first, second, third]) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  });

  test('is not asked for any more once it was sent', () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, KEY);
    const nodes = nodesOf(cluster, ring.preference(shard));
    const [damaged, second, third, ...keepers] = nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    cluster.partition([damaged, ...keepers], [second, third]);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, damaged, KEY, put('new'), 'quorum')();
    cluster.run(1000);
    for (const node of [damaged, ...keepers]) cluster.crash(node);
    cluster.replaceDisk(damaged, damaged.disk.salvaged(NEW_ACTOR));
    cluster.heal();
    for (const node of [damaged, ...keepers]) cluster.start(node);
    // All have been asked for hints by then. One is handed over; the other stays, as its owner goes away.
    cluster.run(500);
    cluster.crash(second);
    cluster.run(60_000);
    expect(keepers.reduce((sum, { disk }) => sum + disk.hints.size, 0)).toBe(1);
    expect(isComplete(damaged, shard)).toBe(true);
    cluster.start(second);
    settle(cluster);
  });

  test('is passed on once nobody can know more of it', () => {
    const { cluster, owners, keeper, shard, dot } = story();
    const [damaged] = owners;
    cluster.crash(keeper);
    cluster.replaceDisk(keeper);
    cluster.start(keeper);
    cluster.heal();
    cluster.start(damaged);
    settle(cluster);
    for (const node of owners) {
      expect(dotsOn(node, shard, KEY)).toContain(dot);
      expect(isComplete(node, shard)).toBe(true);
    }
  });

  test('is passed on although all owners have such entries', () => {
    const cluster = formed(3);
    const { nodes } = cluster;
    cluster.partition(...nodes.map((node) => [node]));
    cluster.run(DISCONNECT_MS);
    const written = nodes.map((node, i) => dotText(dotOf(mutate(cluster, node, `k${i}`, put('only here'), 'one')())));
    cluster.run(1000);
    for (const [i, node] of nodes.entries()) {
      cluster.crash(node);
      cluster.replaceDisk(node, node.disk.salvaged(`00000000000000b${i}`));
    }
    cluster.heal();
    for (const node of nodes) cluster.start(node);
    settle(cluster);
    for (const [i, dot] of written.entries()) {
      const shard = ringOf(nodes[0] as SimNode).shardOf(BUCKET, `k${i}`);
      for (const node of nodes) expect(dotsOn(node, shard, `k${i}`)).toEqual([dot]);
    }
  });
});
