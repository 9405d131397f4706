import { describe, expect, test } from 'vitest';
import type { BucketConfig } from '../../src/protocol/catalog/record.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { eventualBucket } from '../support/eventual-bucket.ts';
import { BUCKET, hasRing, put, SETTLE_MS, settle } from '../support/sim-story.ts';

const REMOVE: Mutation = { type: 'delete' };
const COUNT: Mutation = { type: 'increment', by: 1 };

interface Site {
  readonly cluster: SimCluster;
  readonly hub: VirtualHub;
}

function site(nodes: number, shards: number, seed = 1, hubBytesPerSecond = 0): Site {
  const cluster = new SimCluster({ seed, nodes, shards, hub: true, hubBytesPerSecond });
  const hub = cluster.hub as VirtualHub;
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes), SETTLE_MS)).toBe(true);
  bucket({ cluster, hub }, 'both', { sync: 'both' });
  return { cluster, hub };
}

function bucket({ cluster }: Site, name: string, settings: Partial<BucketConfig>): void {
  const whole = eventualBucket({ sync: 'up', ...settings });
  expect(cluster.putBucket(cluster.nodes[0] as SimNode, name, whole)).toBe(true);
  cluster.run(5000);
}

/** Writes without waiting for the answer. */
function write({ cluster }: Site, name: string, key: string, mutation: Mutation, at = 0): void {
  const request = { type: 'mutate', bucket: name, key, mutation, level: 'one', context: null } as const;
  cluster.request(cluster.nodes[at] as SimNode, request, () => undefined);
  cluster.run(2);
}

function writeAtHub({ cluster, hub }: Site, name: string, key: string, mutation: Mutation): void {
  hub.write({ shard: shardOf(cluster, name, key), bucket: name, key }, mutation);
}

function shardOf({ nodes }: SimCluster, name: string, key: string): number {
  const running = nodes.find((node) => node.running !== null)?.running;
  return running?.node.placements.shardOf(name, key) ?? 0;
}

function countAtHub({ cluster, hub }: Site, name: string, key: string): unknown {
  return readCounter(hub.read({ shard: shardOf(cluster, name, key), bucket: name, key }).object.entries);
}

function cutOff({ cluster, hub }: Site, isCut: boolean): void {
  for (const node of cluster.nodes) hub.setCut(node, isCut);
}

function reconciled({ cluster }: Site, withinMs = 200_000): void {
  cluster.runUntil(() => cluster.isSettled() && checkReconciliation(cluster).length === 0, withinMs, 1000);
  settle(cluster);
  expect(checkReconciliation(cluster)).toEqual([]);
}

describe('while the hub is away', () => {
  test('more is written than the index keeps for it, and much of that is deleted again', () => {
    const here = site(3, 2);
    for (let i = 0; i < 300; i++) write(here, BUCKET, `k${i}`, put('before'));
    reconciled(here);
    cutOff(here, true);
    for (let i = 0; i < 12_000; i++) write(here, BUCKET, `k${i % 600}`, i % 3 === 0 ? REMOVE : put(`${i}`), i % 3);
    for (let i = 0; i < 300; i++) write(here, BUCKET, 'count', COUNT, i % 3);
    here.cluster.run(30_000);
    cutOff(here, false);
    reconciled(here);
    expect(countAtHub(here, BUCKET, 'count')).toBe(300);
  });

  test('buckets are created, nodes crash and one loses its disk', () => {
    const here = site(4, 8);
    const { cluster } = here;
    cutOff(here, true);
    bucket(here, 'late', { sync: 'up' });
    bucket(here, 'sites', { sync: 'both', conflict: 'siblings' });
    for (let i = 0; i < 200; i++) write(here, i % 2 === 0 ? 'late' : 'sites', `k${i % 50}`, put(`${i}`), i % 4);
    const [, lost, crashed] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.crash(lost);
    cluster.replaceDisk(lost);
    cluster.crash(crashed);
    cluster.run(5000);
    cutOff(here, false);
    cluster.run(500);
    cluster.start(lost);
    cluster.start(crashed);
    reconciled(here);
    const there = [...here.hub.rows.objects.values()].filter(({ object }) => object.entries.length > 0);
    expect(new Set(there.map(({ name }) => name.bucket))).toEqual(new Set(['late', 'sites']));
  });

  test('a set of thousands of members grows, and shrinks again', () => {
    const here = site(3, 4);
    const member = (i: number): Uint8Array => new TextEncoder().encode(`member ${i} ${'x'.repeat(300)}`);
    const members = (from: number, to: number): Uint8Array[] =>
      Array.from({ length: to - from }, (_, i) => member(from + i));
    cutOff(here, true);
    for (let i = 0; i < 4000; i += 100) write(here, 'both', 'set', { type: 'add', members: members(i, i + 100) });
    cutOff(here, false);
    reconciled(here);
    const shard = shardOf(here.cluster, 'both', 'set');
    expect(here.hub.read({ shard, bucket: 'both', key: 'set' }).object.entries).toHaveLength(4000);
    writeAtHub(here, 'both', 'set', { type: 'remove', members: members(0, 500) });
    writeAtHub(here, 'both', 'set', { type: 'add', members: members(9000, 9050) });
    reconciled(here);
    write(here, 'both', 'set', REMOVE);
    reconciled(here);
  });

  test('a node leaves, and another one takes its place', () => {
    const here = site(4, 8);
    const { cluster } = here;
    for (let i = 0; i < 100; i++) write(here, 'both', `k${i}`, put('before'));
    reconciled(here);
    cutOff(here, true);
    for (let i = 0; i < 100; i++) write(here, 'both', `k${i}`, i % 5 === 0 ? REMOVE : put('meanwhile'), i % 4);
    for (let i = 0; i < 60; i++) write(here, 'both', 'count', COUNT, i % 4);
    const [operator, , , leaver] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
    expect(cluster.changeRing(operator, leaver, { place: 'out' })).toBe(true);
    cluster.run(60_000);
    cluster.crash(leaver);
    for (let i = 0; i < 30; i++) writeAtHub(here, 'both', `h${i}`, put('hub'));
    cutOff(here, false);
    reconciled(here);
    expect(countAtHub(here, 'both', 'count')).toBe(60);
  });
});

describe('two islands', () => {
  test('write and delete the same keys, while the hub does too and is restored again and again', () => {
    for (let seed = 1; seed <= 4; seed++) {
      const here = site(5, 4, seed);
      const { cluster, hub } = here;
      for (let i = 0; i < 60; i++) write(here, 'both', `k${i}`, put('before'));
      reconciled(here);
      const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
      cluster.partition([a, b], [c, d, e]);
      cluster.run(20_000);
      let requests = 0;
      hub.interfere = () => {
        if (++requests % 20 === 0) hub.save();
        if (requests % 37 === 0) hub.restore();
      };
      for (let i = 0; i < 300; i++) {
        write(here, 'both', `k${i % 60}`, i % 3 === 0 ? REMOVE : put(`two ${i}`), 0);
        write(here, 'both', `k${(i * 7) % 60}`, i % 4 === 0 ? REMOVE : put(`three ${i}`), 2);
        if (i % 10 === 0) writeAtHub(here, 'both', `k${(i * 3) % 60}`, i % 20 === 0 ? REMOVE : put(`hub ${i}`));
        if (i % 50 === 0) cluster.run(5000);
      }
      cluster.heal();
      cluster.run(2000);
      hub.interfere = () => undefined;
      reconciled(here);
      expect(requests).toBeGreaterThan(74);
    }
  });
});

test('what all members have to say takes a narrow line longer than anybody waits for an answer', () => {
  const here = site(8, 32, 1, 8192);
  cutOff(here, true);
  for (let i = 0; i < 100; i++) write(here, BUCKET, `k${i}`, put('x'.repeat(100_000)), i % 8);
  here.cluster.run(20_000);
  cutOff(here, false);
  const fromMs = here.cluster.clock.nowMs;
  reconciled(here, 2_000_000);
  // Little more than the line takes for all of it once.
  expect(here.cluster.clock.nowMs - fromMs).toBeLessThan(1_800_000);
});

test('who leads changes all the time', () => {
  const here = site(5, 8);
  const { cluster, hub } = here;
  const asks = new Set<number>();
  hub.interfere = ({ type }) => {
    if (type === 'hub-push') asks.add(Math.floor(cluster.clock.nowMs / 60_000));
  };
  for (let round = 0; round < 30; round++) {
    const free = cluster.nodes.find(({ running }) => running?.held === null) as SimNode;
    const leader = free.running?.node.leadership(free.clock.now())?.leader;
    const paused = cluster.nodes.find(({ id }) => id === leader) ?? free;
    cluster.pause(paused);
    for (let i = 0; i < 10; i++) {
      const at = cluster.nodes.findIndex((node) => node !== paused);
      write(here, 'both', `k${(round * 10 + i) % 60}`, i % 4 === 0 ? REMOVE : put(`${round} ${i}`), at);
      writeAtHub(here, 'both', `h${i}`, i % 3 === 0 ? REMOVE : put(`hub ${round}`));
    }
    cluster.run(4000);
    cluster.resume(paused, round % 2 === 0);
    cluster.run(2000);
  }
  // Now and then something goes up also while that lasts.
  expect(asks.size).toBeGreaterThan(1);
  reconciled(here);
});
