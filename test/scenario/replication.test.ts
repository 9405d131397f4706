import { describe, expect, test } from 'vitest';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import type { ClientReply, Level } from '../../src/protocol/replication/request.ts';
import type { Ring } from '../../src/protocol/ring/ring.ts';
import { checkConvergence } from '../simulation/checkers/convergence.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';

/** Bugs that the simulator found, each as the shortest story that shows it. */

const BUCKET = 'default';
const SETTLE_MS = 60_000;
/** By then a silent connection is down at both ends. */
const DISCONNECT_MS = 20_000;

function formed(nodes: number, running = nodes): SimCluster {
  const cluster = new SimCluster({ seed: 1, nodes });
  for (const node of cluster.nodes.slice(0, running)) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, running), SETTLE_MS)).toBe(true);
  return cluster;
}

function hasRing(cluster: SimCluster, members: number): boolean {
  return cluster.nodes.every(({ running }) => running === null || running.node.ring.memberCount === members);
}

function ringOf({ running }: SimNode): Ring {
  if (running === null) throw new Error('the node is down');
  return running.node.ring;
}

/** The first key of which the ring satisfies the condition. */
function keyWhere(ring: Ring, condition: (shard: number) => boolean): string {
  for (let i = 0; i < 10_000; i++) if (condition(ring.shardOf(BUCKET, `k${i}`))) return `k${i}`;
  throw new Error('no shard satisfies the condition');
}

function mutate(cluster: SimCluster, node: SimNode, key: string, mutation: Mutation, level: Level): () => ClientReply {
  let reply: ClientReply | undefined;
  cluster.request(node, { type: 'mutate', bucket: BUCKET, key, mutation, level, context: null }, (answer) => {
    reply = answer;
  });
  return () => {
    cluster.runUntil(() => reply !== undefined, SETTLE_MS, 1);
    if (reply === undefined) throw new Error('no reply');
    return reply;
  };
}

function put(text: string): Mutation {
  const value = new TextEncoder().encode(text);
  return { type: 'put', value, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null };
}

function dotOf(reply: ClientReply): Dot {
  if (reply.type !== 'mutate' || reply.dot === null) throw new Error(`not written: ${JSON.stringify(reply)}`);
  return reply.dot;
}

function onDisk(node: SimNode, shard: number, key: string): Entries {
  return node.disk.entriesOf(shard, { bucket: BUCKET, key }) ?? [];
}

function dotsOn(node: SimNode, shard: number, key: string): string[] {
  return onDisk(node, shard, key).map(({ dot }) => dotText(dot));
}

function settle(cluster: SimCluster): void {
  cluster.runUntil(() => cluster.isSettled() && checkConvergence(cluster).length === 0, SETTLE_MS);
  expect(checkConvergence(cluster)).toEqual([]);
  expect(cluster.isSettled()).toBe(true);
}

describe('replication', () => {
  test('an entry does not come back when it arrives after the delta that replaced it', () => {
    const cluster = formed(4);
    const [coordinator] = cluster.nodes as [SimNode, ...SimNode[]];
    const ring = ringOf(coordinator);
    const key = keyWhere(ring, (each) => ring.isOwner(each, coordinator.id));
    const shard = ring.shardOf(BUCKET, key);
    const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
    const late = owners.find((node) => node !== coordinator) as SimNode;

    // The first delta is lost on the way to one owner; a fallback will keep a hint and hand it over.
    let lost = 0;
    cluster.onMessage = (from, to, message) => {
      if (message.type !== 'replicate' || from !== coordinator.id || to !== late.id || lost > 0) return;
      lost++;
      cluster.block(coordinator, late);
      cluster.clock.after(0, () => cluster.heal());
    };
    const first = dotOf(mutate(cluster, coordinator, key, put('first'), 'one')());
    const second = dotOf(mutate(cluster, coordinator, key, put('second'), 'one')());
    expect(cluster.runUntil(() => dotsOn(late, shard, key).includes(dotText(second)), 500, 1)).toBe(true);
    expect(lost).toBe(1);
    expect(late.disk.shards.get(shard)?.context.has(first)).toBe(false);

    expect(cluster.runUntil(() => late.disk.shards.get(shard)?.context.has(first) === true, SETTLE_MS, 1)).toBe(true);
    expect(dotsOn(late, shard, key)).toEqual([dotText(second)]);
    settle(cluster);
    for (const owner of owners) expect(dotsOn(owner, shard, key)).toEqual([dotText(second)]);
  });

  test('a hint whose targets have all lost the key goes to those who own it now', () => {
    const size = 12;
    const cluster = formed(size, 4);
    // What the ring will be once all have joined decides which key tells the story.
    const before = ringOf(cluster.nodes[0] as SimNode);
    const later = new SimCluster({ seed: 1, nodes: size });
    for (const node of later.nodes) later.start(node);
    expect(later.runUntil(() => hasRing(later, size), SETTLE_MS)).toBe(true);
    const after = ringOf(later.nodes[0] as SimNode);
    const key = keyWhere(before, (each) => {
      const fallback = before.preference(each).find((id) => !before.isOwner(each, id));
      return !after.owners(each).some((id) => before.isOwner(each, id) || id === fallback);
    });
    const shard = before.shardOf(BUCKET, key);
    const targets = cluster.nodes.slice(0, 4).filter(({ id }) => before.isOwner(shard, id));
    const fallback = cluster.nodes.slice(0, 4).find(({ id }) => !before.isOwner(shard, id)) as SimNode;
    for (const node of targets) cluster.crash(node);
    cluster.run(DISCONNECT_MS);
    const reply = mutate(cluster, fallback, key, put('only in the hint'), 'one')();
    expect(reply).toMatchObject({ type: 'mutate', quorum: 'sloppy', acks: 1 });

    for (const node of cluster.nodes) if (!targets.includes(node)) cluster.start(node);
    expect(cluster.runUntil(() => hasRing(cluster, size), SETTLE_MS)).toBe(true);
    for (const node of targets) cluster.start(node);
    settle(cluster);
    expect(cluster.nodes.flatMap(({ disk }) => [...disk.hints.values()])).toEqual([]);
    const ring = ringOf(fallback);
    const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
    expect(owners).toHaveLength(3);
    for (const owner of owners) {
      expect(targets).not.toContain(owner);
      expect(dotsOn(owner, shard, key)).toEqual([dotText(dotOf(reply))]);
    }
  });

  test('increments through a fallback all count, also those from before it handed its hint over', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const key = 'counter';
    const shard = ring.shardOf(BUCKET, key);
    const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
    const fallback = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
    for (const by of [5, 3, 2]) {
      cluster.partition(owners, [fallback]);
      cluster.run(DISCONNECT_MS);
      const reply = mutate(cluster, fallback, key, { type: 'increment', by }, 'one')();
      expect(reply).toMatchObject({ type: 'mutate', quorum: 'sloppy' });
      expect(fallback.disk.hints.size).toBe(1);
      cluster.heal();
      settle(cluster);
      expect(fallback.disk.hints.size).toBe(0);
    }
    for (const owner of owners) expect(readCounter(onDisk(owner, shard, key))).toBe(10);
  });

  test('increments in both halves of a partition add up', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'counter');
    const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
    const fallback = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
    const [first] = owners as [SimNode, ...SimNode[]];
    mutate(cluster, first, 'counter', { type: 'increment', by: 100 }, 'all')();
    cluster.partition(owners, [fallback]);
    cluster.run(DISCONNECT_MS);
    for (const by of [1, 2]) {
      expect(mutate(cluster, fallback, 'counter', { type: 'increment', by }, 'one')().type).toBe('mutate');
      expect(mutate(cluster, first, 'counter', { type: 'increment', by: 10 * by }, 'quorum')().type).toBe('mutate');
    }
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(readCounter(onDisk(owner, shard, 'counter'))).toBe(133);
  });
});
