import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  ask,
  BUCKET,
  dotOf,
  dotsOn,
  formed,
  hasRing,
  mutate,
  nodesOf,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

/** The record of the catalog went bad: a node starts that does not know who is in the ring, not even itself. */

const KEY = 'k';

/** Starts anew, without its catalog. */
function forget(cluster: SimCluster, node: SimNode): void {
  cluster.crash(node);
  node.disk.catalog = { members: [], buckets: [] };
  cluster.start(node);
}

test('a node without its catalog does not answer for the whole key space, and takes no part in quorums', () => {
  const cluster = formed(5);
  const [first] = cluster.nodes as [SimNode];
  const ring = ringOf(first);
  const shard = ring.shardOf(BUCKET, KEY);
  const holder = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  const others = cluster.nodes.filter((node) => node !== holder);
  const dot = dotText(dotOf(mutate(cluster, holder, KEY, put('acknowledged'), 'all')()));
  cluster.run(1000);
  cluster.crash(holder);
  cluster.partition([holder], others);
  forget(cluster, holder);
  cluster.run(10_000);
  const refused = { type: 'failed', failure: { code: 'not-ready', stateChanged: 'no' } };
  expect(ask(cluster, holder, { type: 'get', bucket: BUCKET, key: KEY, level: 'one', session: null })()).toMatchObject(
    refused,
  );
  expect(mutate(cluster, holder, 'other', put('x'), 'quorum')()).toMatchObject(refused);
  expect(ringOf(holder).memberCount).toBe(0);
  cluster.heal();
  expect(cluster.runUntil(() => hasRing(cluster, 5), SETTLE_MS)).toBe(true);
  settle(cluster);
  for (const { id } of others) {
    const owner = cluster.nodes.find((node) => node.id === id) as SimNode;
    if (ring.isOwner(shard, id)) expect(dotsOn(owner, shard, KEY)).toEqual([dot]);
  }
  expect(mutate(cluster, holder, 'other', put('x'), 'quorum')()).toMatchObject({ quorum: 'strict' });
});

test('it has its replicas once a member has told it, and what only it has is not lost', () => {
  const cluster = formed(3);
  const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(first).shardOf(BUCKET, KEY);
  cluster.partition([first, second], [third]);
  cluster.run(20_000);
  const dot = dotText(dotOf(mutate(cluster, third, KEY, put('only here'), 'one')()));
  cluster.run(1000);
  forget(cluster, third);
  cluster.run(30_000);
  expect(dotsOn(third, shard, KEY)).toEqual([dot]);
  cluster.heal();
  expect(cluster.runUntil(() => hasRing(cluster, 3), SETTLE_MS)).toBe(true);
  settle(cluster);
  for (const node of cluster.nodes) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
});

test('a new node that has never heard of it is not taken for the cluster', () => {
  const cluster = formed(4, 3);
  const [first, second, third, fresh] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode];
  cluster.partition([first, second], [third, fresh]);
  cluster.run(20_000);
  forget(cluster, third);
  cluster.start(fresh);
  cluster.run(20_000);
  expect(ringOf(third).memberCount).toBe(0);
  expect(ringOf(fresh).memberCount).toBe(1);
  cluster.heal();
  expect(cluster.runUntil(() => hasRing(cluster, 4), SETTLE_MS)).toBe(true);
  settle(cluster);
});

test('hints wait until it is known again for whom', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, KEY);
  const holder = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  const owners = cluster.nodes.filter((node) => node !== holder);
  cluster.partition([holder], owners);
  cluster.run(20_000);
  const dot = dotText(dotOf(mutate(cluster, holder, KEY, put('kept'), 'one')()));
  cluster.run(1000);
  expect(holder.disk.hints.size).toBe(1);
  forget(cluster, holder);
  cluster.run(30_000);
  expect(holder.disk.hints.size).toBe(1);
  cluster.heal();
  settle(cluster);
  for (const owner of owners) expect(dotsOn(owner, shard, KEY)).toEqual([dot]);
  expect(holder.disk.hints.size).toBe(0);
});

test('hints for a member that has been taken out meanwhile go to those who own their keys now', () => {
  const cluster = formed(5);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, KEY);
  const holder = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  const [first, , gone] = nodesOf(cluster, ring.owners(shard));
  const others = cluster.nodes.filter((node) => node !== holder);
  cluster.partition([holder], others);
  cluster.run(20_000);
  mutate(cluster, holder, KEY, put('kept'), 'one')();
  cluster.run(1000);
  cluster.crash(gone as SimNode);
  expect(cluster.changeRing(first as SimNode, gone as SimNode, { place: 'out' })).toBe(true);
  cluster.run(20_000);
  forget(cluster, holder);
  cluster.run(10_000);
  cluster.heal();
  expect(cluster.runUntil(() => holder.disk.hints.size === 0, SETTLE_MS)).toBe(true);
});

test('a node that has always been alone goes on alone', () => {
  const cluster = formed(1);
  const [only] = cluster.nodes as [SimNode];
  mutate(cluster, only, KEY, put('value'), 'all')();
  cluster.run(1000);
  forget(cluster, only);
  cluster.run(1000);
  const read = ask(cluster, only, { type: 'get', bucket: BUCKET, key: KEY, level: 'quorum', session: null })();
  expect(read).toMatchObject({ type: 'get', complete: true, entries: [{}] });
});

test('a damaged disk that knows nobody, but what several have written, is not all of a cluster', () => {
  const cluster = formed(3);
  const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  for (const node of [first, second, third]) mutate(cluster, node, node.name, put('written'), 'all')();
  cluster.run(1000);
  cluster.partition([first, second], [third]);
  cluster.crash(third);
  third.disk.members.clear();
  forget(cluster, third);
  cluster.run(20_000);
  expect(ringOf(third).memberCount).toBe(0);
  cluster.heal();
  expect(cluster.runUntil(() => hasRing(cluster, 3), SETTLE_MS)).toBe(true);
  settle(cluster);
});

test('its operator may say that nobody else is left: it begins anew with what it has', () => {
  const cluster = formed(3);
  const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  mutate(cluster, first, KEY, put('kept'), 'all')();
  cluster.run(1000);
  cluster.crash(first);
  cluster.crash(second);
  forget(cluster, third);
  cluster.run(20_000);
  expect(cluster.changeRing(third, first, { place: 'in' })).toBe(false);
  expect(cluster.changeRing(third, third, { place: 'out' })).toBe(false);
  expect(cluster.changeRing(third, third, { place: 'in' })).toBe(true);
  cluster.run(1000);
  expect(ringOf(third).memberCount).toBe(1);
  const read = ask(cluster, third, { type: 'get', bucket: BUCKET, key: KEY, level: 'quorum', session: null })();
  expect(read).toMatchObject({ type: 'get', complete: true, entries: [{}] });
});

test('nodes that have lost their disks found no cluster while nobody who knows it is there, also after a restart', () => {
  const cluster = formed(5);
  const [first, second, third, ...wiped] = cluster.nodes as [SimNode, SimNode, SimNode, ...SimNode[]];
  mutate(cluster, first, KEY, put('acknowledged'), 'all')();
  cluster.run(1000);
  for (const node of cluster.nodes) cluster.crash(node);
  const read = { type: 'get', bucket: BUCKET, key: KEY, level: 'one', session: null } as const;
  for (const node of wiped) cluster.replaceDisk(node);
  for (let run = 0; run < 2; run++) {
    for (const node of wiped) cluster.start(node);
    cluster.run(20_000);
    for (const node of wiped) {
      expect(ask(cluster, node, read)()).toMatchObject({ type: 'failed', failure: { code: 'not-ready' } });
      expect(mutate(cluster, node, 'other', put('x'), 'one')()).toMatchObject({ type: 'failed' });
      expect(ringOf(node).memberCount).toBe(0);
    }
    for (const node of wiped) cluster.crash(node);
  }
  for (const node of [first, second, third, ...wiped]) cluster.start(node);
  expect(cluster.runUntil(() => hasRing(cluster, 5), SETTLE_MS)).toBe(true);
  settle(cluster);
  for (const node of wiped) expect(ask(cluster, node, read)()).toMatchObject({ entries: [{}] });
});

describe('a node that has lost its identity, but not its disk', () => {
  /** The first node's disk in a machine of another identity; the first itself is gone for good. */
  function moved(size: number): { cluster: SimCluster; first: SimNode; others: SimNode[]; heir: SimNode } {
    const cluster = formed(size + 1, size);
    const [first, ...rest] = cluster.nodes as [SimNode, ...SimNode[]];
    const heir = rest.pop() as SimNode;
    mutate(cluster, first, KEY, put('kept'), 'all')();
    cluster.run(1000);
    cluster.crash(first);
    cluster.replaceDisk(heir, first.disk.clone());
    cluster.replaceDisk(first);
    cluster.start(heir);
    return { cluster, first, others: rest, heir };
  }

  test('joins with what it has once a member that it knows is there, and votes when it is complete', () => {
    const { cluster, first, others, heir } = moved(3);
    cluster.partition([heir], others);
    cluster.run(20_000);
    expect(ringOf(heir).memberCount).toBe(3);
    expect(mutate(cluster, heir, KEY, put('x'), 'one')()).toMatchObject({ failure: { code: 'not-ready' } });
    cluster.heal();
    expect(cluster.runUntil(() => hasRing(cluster, 4), SETTLE_MS)).toBe(true);
    expect(cluster.changeRing(heir, first, { place: 'removed' })).toBe(true);
    settle(cluster);
    const read = ask(cluster, heir, { type: 'get', bucket: BUCKET, key: KEY, level: 'all', session: null })();
    expect(read).toMatchObject({ type: 'get', complete: true, entries: [{}] });
  });

  test('where nobody else was in the cluster, its operator puts it into the ring', () => {
    const { cluster, first, heir } = moved(1);
    cluster.run(20_000);
    expect(mutate(cluster, heir, KEY, put('x'), 'one')()).toMatchObject({ failure: { code: 'not-ready' } });
    expect(cluster.changeRing(heir, heir, { place: 'in' })).toBe(true);
    expect(cluster.changeRing(heir, first, { place: 'removed' })).toBe(true);
    cluster.run(20_000);
    const read = ask(cluster, heir, { type: 'get', bucket: BUCKET, key: KEY, level: 'all', session: null })();
    expect(read).toMatchObject({ type: 'get', complete: true, entries: [{}] });
  });
});
