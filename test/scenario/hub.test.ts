import { describe, expect, test } from 'vitest';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter, readValue } from '../../src/protocol/causal/value.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { eventualBucket } from '../support/eventual-bucket.ts';
import { ask, BUCKET, hasRing, mutate, put, SETTLE_MS, settle } from '../support/sim-story.ts';

const REMOVE: Mutation = { type: 'delete' };
const COUNT: Mutation = { type: 'increment', by: 1 };

/** A site of so many nodes and its hub, with a bucket of each policy beside `default`, which goes up. */
function site(nodes = 3, seed = 1): { cluster: SimCluster; hub: VirtualHub } {
  const cluster = new SimCluster({ seed, nodes, hub: true });
  const hub = cluster.hub as VirtualHub;
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes), SETTLE_MS)).toBe(true);
  for (const sync of ['both', 'down', 'none'] as const) {
    expect(cluster.putBucket(first(cluster), sync, eventualBucket({ sync }))).toBe(true);
  }
  cluster.run(5000);
  return { cluster, hub };
}

function first({ nodes }: SimCluster): SimNode {
  return nodes[0] as SimNode;
}

function write(cluster: SimCluster, bucket: string, key: string, mutation: Mutation, node = first(cluster)): void {
  const reply = ask(cluster, node, { type: 'mutate', bucket, key, mutation, level: 'quorum', context: null })();
  expect(reply.type).toBe('mutate');
}

function shardOf(cluster: SimCluster, bucket: string, key: string): number {
  return first(cluster).running?.node.placements.shardOf(bucket, key) ?? 0;
}

function writeAtHub(cluster: SimCluster, hub: VirtualHub, bucket: string, key: string, mutation: Mutation): void {
  expect(hub.write({ shard: shardOf(cluster, bucket, key), bucket, key }, mutation).applied).toBe(true);
}

function atHub(cluster: SimCluster, hub: VirtualHub, bucket: string, key: string): string | undefined {
  const { object } = hub.read({ shard: shardOf(cluster, bucket, key), bucket, key });
  const value = readValue(object.entries)?.value;
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

function atSite(cluster: SimCluster, bucket: string, key: string, node = first(cluster)): string | undefined {
  const reply = ask(cluster, node, { type: 'get', bucket, key, level: 'quorum', session: null })();
  if (reply.type !== 'get') throw new Error(`not read: ${JSON.stringify(reply)}`);
  const value = readValue(reply.entries)?.value;
  return value === undefined ? undefined : new TextDecoder().decode(value);
}

function reconciled(cluster: SimCluster): void {
  settle(cluster);
  cluster.runUntil(() => checkReconciliation(cluster).length === 0, SETTLE_MS);
  expect(checkReconciliation(cluster)).toEqual([]);
}

function cutOff(cluster: SimCluster, hub: VirtualHub, isCut: boolean): void {
  for (const node of cluster.nodes) hub.setCut(node, isCut);
}

describe('the hub', () => {
  test('has what the site writes and deletes within two seconds', () => {
    const { cluster, hub } = site();
    write(cluster, BUCKET, 'a', put('1'));
    write(cluster, BUCKET, 'b', put('2'));
    write(cluster, BUCKET, 'b', REMOVE);
    write(cluster, 'none', 'c', put('3'));
    cluster.run(2000);
    expect(atHub(cluster, hub, BUCKET, 'a')).toBe('1');
    expect(atHub(cluster, hub, BUCKET, 'b')).toBeUndefined();
    expect(atHub(cluster, hub, 'none', 'c')).toBeUndefined();
    reconciled(cluster);
  });

  test('is caught up with after it was away, with each event counted once', () => {
    const { cluster, hub } = site();
    cutOff(cluster, hub, true);
    for (let i = 0; i < 100; i++) {
      write(cluster, BUCKET, `k${i % 40}`, put(`v${i}`));
      write(cluster, BUCKET, 'count', COUNT, cluster.nodes[i % 3]);
    }
    for (let i = 0; i < 10; i++) write(cluster, BUCKET, `k${i}`, REMOVE);
    cluster.run(60_000);
    expect(first(cluster).running?.node.level.level).toBe('degraded');
    const state = cluster.nodes.map((node) => node.running?.node.uplinkState(node.clock.now()));
    expect(Math.max(...state.map((each) => each?.all.events ?? 0))).toBe(210);
    cutOff(cluster, hub, false);
    expect(cluster.runUntil(() => first(cluster).running?.node.level.level === 'connected', 120_000)).toBe(true);
    reconciled(cluster);
    const { object } = hub.read({ shard: shardOf(cluster, BUCKET, 'count'), bucket: BUCKET, key: 'count' });
    expect(readCounter(object.entries)).toBe(100);
  });

  test('tells the site what was written there, where the bucket comes down', () => {
    const { cluster, hub } = site();
    write(cluster, 'both', 'x', put('site'));
    write(cluster, 'both', 'y', put('site'));
    write(cluster, 'down', 'own', put('site'));
    cluster.run(3000);
    writeAtHub(cluster, hub, 'both', 'x', put('hub'));
    writeAtHub(cluster, hub, 'both', 'y', REMOVE);
    writeAtHub(cluster, hub, 'down', 'z', put('hub'));
    cluster.run(3000);
    for (const node of cluster.nodes) {
      expect(atSite(cluster, 'both', 'x', node)).toBe('hub');
      expect(atSite(cluster, 'both', 'y', node)).toBeUndefined();
      expect(atSite(cluster, 'down', 'z', node)).toBe('hub');
      expect(atSite(cluster, 'down', 'own', node)).toBe('site');
    }
    writeAtHub(cluster, hub, 'down', 'z', put('hub again'));
    cluster.run(3000);
    expect(atSite(cluster, 'down', 'z')).toBe('hub again');
    reconciled(cluster);
  });

  test('restored from an older copy, is given again what it has forgotten', () => {
    const { cluster, hub } = site();
    for (let i = 0; i < 20; i++) write(cluster, BUCKET, `k${i}`, put('old'));
    reconciled(cluster);
    hub.save();
    for (let i = 0; i < 20; i++) write(cluster, BUCKET, `k${i}`, i % 4 === 0 ? REMOVE : put('new'));
    write(cluster, 'both', 'late', put('late'));
    writeAtHub(cluster, hub, 'both', 'lost at the hub', put('kept at the site'));
    reconciled(cluster);
    // By then no node has index rows of it any more: every owner, and the hub, have covered it.
    cluster.run(60_000);
    hub.restore();
    cluster.run(200_000);
    reconciled(cluster);
    expect(atHub(cluster, hub, BUCKET, 'k0')).toBeUndefined();
    expect(atHub(cluster, hub, BUCKET, 'k1')).toBe('new');
    expect(atHub(cluster, hub, 'both', 'lost at the hub')).toBe('kept at the site');
  });

  test('keeps both sides of a conflict, and says what has lost', () => {
    const { cluster, hub } = site();
    write(cluster, 'both', 'k', put('before'));
    reconciled(cluster);
    cutOff(cluster, hub, true);
    cluster.run(1000);
    writeAtHub(cluster, hub, 'both', 'k', put('hub'));
    cluster.run(1000);
    write(cluster, 'both', 'k', put('site'));
    cutOff(cluster, hub, false);
    cluster.run(120_000);
    reconciled(cluster);
    expect(atSite(cluster, 'both', 'k')).toBe('site');
    expect(atHub(cluster, hub, 'both', 'k')).toBe('site');
    expect([...hub.rows.conflicts.values()].map(({ name }) => name.key)).toEqual(['k']);
  });

  test('is reached through another member where the leader cannot', () => {
    const { cluster, hub } = site(3);
    const leader = first(cluster).running?.node.leadership(first(cluster).clock.now())?.leader;
    hub.setCut(cluster.nodes.find(({ id }) => id === leader) as SimNode, true);
    cluster.run(60_000);
    write(cluster, BUCKET, 'a', put('1'));
    cluster.run(5000);
    expect(atHub(cluster, hub, BUCKET, 'a')).toBe('1');
    expect(first(cluster).running?.node.level.level).toBe('connected');
    reconciled(cluster);
  });

  test('hears of both islands of a site at once', () => {
    const { cluster, hub } = site(5);
    const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    cluster.partition([a, b], [c, d, e]);
    cluster.run(30_000);
    for (let i = 0; i < 20; i++) {
      mutate(cluster, a, `k${i}`, put('two'), 'one')();
      mutate(cluster, c, `k${i}`, put('three'), 'one')();
      mutate(cluster, a, 'count', COUNT, 'one')();
      mutate(cluster, c, 'count', COUNT, 'one')();
    }
    cluster.run(30_000);
    cluster.heal();
    cluster.run(30_000);
    reconciled(cluster);
    const { object } = hub.read({ shard: shardOf(cluster, BUCKET, 'count'), bucket: BUCKET, key: 'count' });
    expect(readCounter(object.entries)).toBe(40);
  });
});
