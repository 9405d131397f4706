import { describe, expect, test } from 'vitest';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  ask,
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

interface Story {
  readonly cluster: SimCluster;
  readonly key: string;
  readonly shard: number;
  readonly owners: readonly [SimNode, SimNode, SimNode];
  readonly other: SimNode;
}

/** A key of which all nodes but the last are owners. */
function story(): Story {
  const cluster = formed(4);
  const other = cluster.nodes[3] as SimNode;
  const ring = ringOf(other);
  const key = keyWhere(ring, (each) => !ring.isOwner(each, other.id));
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
  return { cluster, key, shard: ring.shardOf(BUCKET, key), owners: [a, b, c], other };
}

function confirm({ cluster, key }: Story, node: SimNode, dot: { actor: string; counter: number }) {
  return ask(cluster, node, { type: 'confirm', bucket: BUCKET, key, dot })();
}

describe('on how many nodes a write is', () => {
  test('on all owners, asked through any node', () => {
    const tale = story();
    const { cluster, key, owners, other } = tale;
    const dot = dotOf(mutate(cluster, other, key, put('value'), 'all')());
    for (const node of [...owners, other]) {
      expect(confirm(tale, node, dot)).toEqual({ type: 'confirm', nodes: 3, owners: 3 });
    }
    const unknown = { actor: dot.actor, counter: dot.counter + 1 };
    expect(confirm(tale, other, unknown)).toEqual({ type: 'confirm', nodes: 0, owners: 3 });
  });

  test('deletes count as writes do, and what has been overwritten still counts', () => {
    const tale = story();
    const { cluster, key, owners } = tale;
    const first = dotOf(mutate(cluster, owners[0], key, put('value'), 'all')());
    const last = dotOf(mutate(cluster, owners[1], key, { type: 'delete' }, 'all')());
    for (const dot of [first, last]) expect(confirm(tale, owners[2], dot)).toMatchObject({ nodes: 3 });
  });

  test('an owner that is away does not count; a fallback that keeps it does, and the owner once it is back', () => {
    const tale = story();
    const { cluster, key, shard, owners, other } = tale;
    const [a, , away] = owners;
    cluster.crash(away);
    cluster.run(DISCONNECT_MS);
    const dot = dotOf(mutate(cluster, a, key, put('value'), 'quorum')());
    cluster.run(1000);
    expect(confirm(tale, a, dot)).toMatchObject({ nodes: 3 });
    cluster.crash(other);
    cluster.run(DISCONNECT_MS);
    expect(confirm(tale, a, dot)).toMatchObject({ nodes: 2, owners: 3 });
    cluster.start(away);
    cluster.start(other);
    settle(cluster);
    expect(dotsOn(away, shard, key)).toHaveLength(1);
    expect(confirm(tale, a, dot)).toMatchObject({ nodes: 3 });
  });

  test('an owner that lacks it is sent it for being asked', () => {
    const tale = story();
    const { cluster, key, shard, owners } = tale;
    const [a, , late] = owners;
    cluster.observers.push({
      message: (from, to, message) => {
        if (message.type !== 'replicate' || from !== a || to !== late.id) return;
        cluster.block(a, late);
        cluster.clock.after(0, () => cluster.heal());
      },
    });
    const dot = dotOf(mutate(cluster, a, key, put('value'), 'quorum')());
    expect(dotsOn(late, shard, key)).toEqual([]);
    expect(confirm(tale, a, dot)).toMatchObject({ nodes: 2 });
    expect(cluster.runUntil(() => dotsOn(late, shard, key).length === 1, 1000, 1)).toBe(true);
    expect(confirm(tale, a, dot)).toMatchObject({ nodes: 3 });
  });
});
