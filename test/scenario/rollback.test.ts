import { expect, test } from 'vitest';
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
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** A disk that is restored from an older copy of itself: its events since then are known to others only. */

const KEY = 'k';

interface Story {
  readonly cluster: SimCluster;
  readonly shard: number;
  /** The three owners, and one who is none. */
  readonly restored: SimNode;
  readonly witness: SimNode;
  readonly owner: SimNode;
  readonly other: SimNode;
  /** What the restored disk has acknowledged, on the witness's disk too, since the copy was made. */
  readonly forgotten: string;
}

function story(): Story {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const byId = (id: string): SimNode => cluster.nodes.find((node) => node.id === id) as SimNode;
  const shard = ring.shardOf(BUCKET, KEY);
  const [restored, owner, witness] = ring.owners(shard).map(byId) as [SimNode, SimNode, SimNode];
  const other = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  mutate(cluster, restored, KEY, put('before'), 'all')();
  cluster.run(5000);
  const copy = restored.disk.clone();
  cluster.partition([restored, witness], [owner, other]);
  cluster.run(DISCONNECT_MS);
  const reply = mutate(cluster, restored, KEY, put('acknowledged'), 'quorum')();
  expect(reply).toMatchObject({ quorum: 'strict' });
  cluster.run(1000);
  cluster.crash(restored);
  cluster.replaceDisk(restored, copy);
  cluster.heal();
  cluster.partition([witness], [restored, owner, other]);
  return { cluster, shard, restored, witness, owner, other, forgotten: dotText(dotOf(reply)) };
}

test('a dot is not used again of which only a member knows that is out of the ring', () => {
  const { cluster, shard, restored, witness, owner, forgotten } = story();
  expect(cluster.changeRing(owner, witness, { place: 'out' })).toBe(true);
  cluster.run(DISCONNECT_MS);
  cluster.start(restored);
  cluster.run(30_000);
  const ring = ringOf(restored);
  const key = keyWhere(ring, (each) => each === shard);
  expect(key).not.toBe(KEY);
  expect(dotText(dotOf(mutate(cluster, restored, key, put('another'), 'quorum')()))).not.toBe(forgotten);
  cluster.run(5000);
  cluster.heal();
  settle(cluster);
  for (const id of ringOf(owner).owners(shard)) {
    const node = cluster.nodes.find((each) => each.id === id) as SimNode;
    expect(dotsOn(node, shard, KEY)).toEqual([forgotten]);
  }
});
