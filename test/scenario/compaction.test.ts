import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  mutate,
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** What is left of a delete once every owner has it: nothing. And whoever comes late gets it all the same. */

const KEY = 'k';
const YEAR_MS = 365 * 86_400_000;

type Three = readonly [SimNode, SimNode, SimNode];

function three(nodes = 3): { cluster: SimCluster; three: Three; shard: number } {
  const cluster = formed(nodes);
  const first = cluster.nodes[0] as SimNode;
  const shard = ringOf(first).shardOf(BUCKET, KEY);
  return { cluster, three: cluster.nodes as unknown as Three, shard };
}

/** Rows of any kind that a node keeps of a shard, but for its context and its floor. */
function rowsOf({ disk }: SimNode, shard: number): number {
  const objects = disk.objects.get(shard)?.size ?? 0;
  return objects + (disk.dots.get(shard)?.size ?? 0) + disk.hints.size + disk.lost.size + disk.expiries.size;
}

function write(cluster: SimCluster, node: SimNode, text: string): void {
  expect(mutate(cluster, node, KEY, put(text), 'quorum')().type).toBe('mutate');
}

function remove(cluster: SimCluster, node: SimNode): void {
  expect(mutate(cluster, node, KEY, { type: 'delete' }, 'quorum')().type).toBe('mutate');
}

/** Long enough for several rounds of anti-entropy with everyone, and for what follows from them. */
function compact(cluster: SimCluster): void {
  settle(cluster);
  cluster.run(120_000);
  settle(cluster);
}

describe('a delete', () => {
  test('leaves nothing on any disk once every owner has it', () => {
    const { cluster, three: nodes, shard } = three();
    write(cluster, nodes[0], 'value');
    remove(cluster, nodes[1]);
    expect(Math.max(...nodes.map((node) => rowsOf(node, shard)))).toBeGreaterThan(0);
    compact(cluster);
    expect(nodes.map((node) => rowsOf(node, shard))).toEqual([0, 0, 0]);
  });

  test('is known to an owner that was away for a year, and the key can be created anew', () => {
    const { cluster, three: nodes, shard } = three();
    const [first, second, third] = nodes;
    write(cluster, first, 'value');
    compact(cluster);
    cluster.crash(third);
    remove(cluster, second);
    cluster.run(600_000);
    // The others sleep as well meanwhile: a year of their probes takes too long to compute.
    cluster.crash(first);
    cluster.crash(second);
    cluster.run(YEAR_MS);
    for (const node of nodes) cluster.start(node);
    compact(cluster);
    for (const node of nodes) expect(dotsOn(node, shard, KEY)).toEqual([]);
    expect(nodes.map((node) => rowsOf(node, shard))).toEqual([0, 0, 0]);

    write(cluster, third, 'again');
    compact(cluster);
    for (const node of nodes) {
      expect(dotsOn(node, shard, KEY)).toHaveLength(1);
      const reply = ask(cluster, node, { type: 'get', bucket: BUCKET, key: KEY, level: 'one', session: null })();
      expect(reply).toMatchObject({
        type: 'get',
        entries: [{ payload: { value: new TextEncoder().encode('again') } }],
      });
    }
  });
});

describe('a replica that misses what has no index row any more', () => {
  test('is brought up by a comparison of keys: a wiped disk', () => {
    const { cluster, three: nodes, shard } = three();
    const [first, , third] = nodes;
    for (let i = 0; i < 40; i++) mutate(cluster, first, `k${i}`, put(`value ${i}`), 'all')();
    compact(cluster);
    const before = dotsOn(first, shard, KEY);
    for (const { disk } of nodes) expect([...disk.dots.values()].every((rows) => rows.size === 0)).toBe(true);
    cluster.crash(third);
    cluster.replaceDisk(third);
    cluster.start(third);
    compact(cluster);
    expect(dotsOn(third, shard, KEY)).toEqual(before);
    for (let i = 0; i < 40; i++) expect(dotsOn(third, ringOf(third).shardOf(BUCKET, `k${i}`), `k${i}`)).toHaveLength(1);
  });

  test('keeps and passes on what it got of it where its source is lost before the last key', () => {
    const { cluster, three: nodes } = three();
    const [first, second, third] = nodes;
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
    for (const key of keys) mutate(cluster, first, key, put('value'), 'all')();
    compact(cluster);
    // One disk after the other: the last one that has the keys goes while it sends them.
    for (const node of [second, third]) {
      cluster.crash(node);
      cluster.replaceDisk(node);
    }
    cluster.start(third);
    const got = (): string[] => keys.filter((key) => dotsOn(third, ringOf(third).shardOf(BUCKET, key), key).length > 0);
    expect(cluster.runUntil(() => got().length > 0, 60_000, 1)).toBe(true);
    cluster.crash(first);
    cluster.replaceDisk(first);
    const saved = got();
    expect(saved.length).toBeLessThan(keys.length);
    for (const node of [first, second]) cluster.start(node);
    compact(cluster);
    for (const node of nodes) {
      const ring = ringOf(node);
      for (const key of saved)
        if (ring.isOwner(ring.shardOf(BUCKET, key), node.id)) {
          expect(dotsOn(node, ring.shardOf(BUCKET, key), key)).toHaveLength(1);
        }
    }
  });

  test('drops what was deleted meanwhile: a disk restored from an older copy', () => {
    const { cluster, three: nodes, shard } = three();
    const [first, second, third] = nodes;
    write(cluster, third, 'value');
    settle(cluster);
    const copy = third.disk.clone();
    remove(cluster, third);
    mutate(cluster, second, 'other', put('new'), 'all')();
    compact(cluster);
    const floor = first.disk.floors.get(shard) ?? new CausalContext();
    expect(first.disk.shards.get(shard)?.context.equals(floor)).toBe(true);
    cluster.crash(third);
    cluster.replaceDisk(third, copy);
    cluster.start(third);
    expect(dotsOn(third, shard, KEY)).toHaveLength(1);
    compact(cluster);
    for (const node of nodes) expect(dotsOn(node, shard, KEY)).toEqual([]);
    expect(dotsOn(third, ringOf(third).shardOf(BUCKET, 'other'), 'other')).toHaveLength(1);
  });

  test('hears of what is deleted although not everybody has had it: a wiped disk', () => {
    const { cluster, three: nodes, shard } = three();
    const [first, second, third] = nodes;
    // The second deletes what it has not taken; the third leaves, and keeps what the second has not taken.
    cluster.setWritable(second, false);
    write(cluster, first, 'value');
    expect(cluster.changeRing(first, third, { place: 'out' })).toBe(true);
    cluster.run(1000);
    cluster.partition([first, second], [third]);
    cluster.run(DISCONNECT_MS);
    const deleted = dotOf(mutate(cluster, second, KEY, { type: 'delete' }, 'all')());
    const isStripped = ({ disk }: SimNode): boolean => disk.floors.get(shard)?.has(deleted) === true;
    expect(cluster.runUntil(() => isStripped(first) && isStripped(second), 60_000)).toBe(true);
    cluster.crash(first);
    cluster.replaceDisk(first);
    cluster.start(first);
    cluster.run(5000);
    expect(first.disk.shards.get(shard)?.context.has(deleted)).toBe(true);
    cluster.heal();
    cluster.run(60_000);
    cluster.setWritable(second, true);
    settle(cluster);
    for (const node of nodes) expect(dotsOn(node, shard, KEY)).toEqual([]);
  });
});
