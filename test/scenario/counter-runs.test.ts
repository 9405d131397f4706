import { expect, test } from 'vitest';
import { readCounter } from '../../src/protocol/causal/value.ts';
import type { HintRow } from '../../src/protocol/replication/record.ts';
import type { Level } from '../../src/protocol/replication/request.ts';
import type { SimNode } from '../simulation/cluster.ts';
import {
  BUCKET,
  DISCONNECT_MS,
  formed,
  mutate,
  nodesOf,
  onDisk,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

/** More keys than a node keeps in memory. */
const MANY = 80;

/**
 * While any member of the ring is away, a node cannot know whether its disk has forgotten events of its own: its first
 * increment after each start begins a running total of its own.
 */
test('a counter can be incremented after any number of restarts, and its totals become one when all are back', () => {
  const cluster = formed(3);
  const [first, , third] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(first).shardOf(BUCKET, 'counter');
  cluster.crash(third);
  cluster.run(DISCONNECT_MS);
  const runs = 135;
  for (let i = 1; i <= runs; i++) {
    cluster.crash(first);
    cluster.start(first);
    cluster.run(5000);
    const reply = mutate(cluster, first, 'counter', { type: 'increment', by: 1 }, 'quorum')();
    expect(reply, `increment ${i}`).toMatchObject({ type: 'mutate', applied: true });
  }
  const totals = onDisk(first, shard, 'counter');
  expect(totals.length).toBeGreaterThan(128);
  cluster.start(third);
  settle(cluster);
  mutate(cluster, first, 'counter', { type: 'increment', by: 1 }, 'all')();
  for (const node of cluster.nodes) {
    const entries = onDisk(node, shard, 'counter');
    expect(readCounter(entries)).toBe(runs + 1);
    expect(entries).toHaveLength(1);
  }
}, 120_000);

test('totals that were made one count once, where only a disk that lost its index knows of it', () => {
  const cluster = formed(3);
  const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(first).shardOf(BUCKET, 'counter');
  const increment = (level: Level): unknown => mutate(cluster, first, 'counter', { type: 'increment', by: 1 }, level)();
  increment('all');
  cluster.run(1000);
  cluster.crash(third);
  cluster.run(DISCONNECT_MS);
  cluster.crash(first);
  cluster.start(first);
  cluster.run(5000);
  increment('quorum');
  cluster.start(third);
  settle(cluster);
  expect(onDisk(first, shard, 'counter')).toHaveLength(2);
  // All have confirmed its totals; then it is alone.
  cluster.partition([first], [second, third]);
  cluster.run(DISCONNECT_MS);
  increment('one');
  cluster.run(1000);
  expect(onDisk(first, shard, 'counter')).toHaveLength(1);
  cluster.crash(first);
  first.disk.dots.clear();
  cluster.replaceDisk(first, first.disk.salvaged('00000000000000bb'));
  cluster.heal();
  cluster.start(first);
  settle(cluster);
  for (const node of cluster.nodes) expect(readCounter(onDisk(node, shard, 'counter'))).toBe(3);
});

/** A node that has counted as a fallback, keeps the hint for an owner that is away, and has counted as an owner since. */
function fallbackThatOwns() {
  const cluster = formed(5);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'counter');
  const preference = nodesOf(cluster, ring.preference(shard));
  const [first, second, away, counting] = preference as [SimNode, SimNode, SimNode, SimNode];
  const others = cluster.nodes.filter((node) => node !== counting);
  const isOwner = (): boolean => ringOf(counting).isOwner(shard, counting.id);
  const increment = (): void => {
    const reply = mutate(cluster, counting, 'counter', { type: 'increment', by: 1 }, 'one')();
    expect(reply).toMatchObject({ applied: true });
    cluster.run(1000);
  };
  cluster.crash(away);
  cluster.partition([counting], others);
  cluster.run(DISCONNECT_MS);
  increment();
  cluster.heal();
  cluster.run(DISCONNECT_MS);
  expect(cluster.changeRing(first, second, { place: 'out' })).toBe(true);
  cluster.run(DISCONNECT_MS);
  expect(isOwner()).toBe(true);
  increment();
  increment();
  return { cluster, shard, first, second, away, counting, others, isOwner, increment };
}

test('a hint from before a node was an owner for a while is not continued: it lacks what was counted then', () => {
  const { cluster, shard, first, second, away, counting, others, isOwner, increment } = fallbackThatOwns();
  expect(cluster.changeRing(first, second, { place: 'in' })).toBe(true);
  cluster.run(DISCONNECT_MS);
  expect(isOwner()).toBe(false);
  cluster.start(away);
  // The last of its owners has what is in the replica, and is not asked yet what it has of the hint.
  expect(cluster.runUntil(() => counting.disk.shards.get(shard) === undefined, SETTLE_MS, 1)).toBe(true);
  expect(counting.disk.hints.size).toBe(1);
  cluster.partition([counting], others);
  cluster.run(DISCONNECT_MS);
  increment();
  cluster.heal();
  settle(cluster);
  for (const node of [first, second, away]) expect(readCounter(onDisk(node, shard, 'counter'))).toBe(4);
});

test('a total counts what its node wrote as a fallback and handed over since it is an owner', () => {
  const cluster = formed(2);
  const [owner, node] = cluster.nodes as [SimNode, SimNode];
  const shard = ringOf(owner).shardOf(BUCKET, 'counter');
  const increment = (): unknown => mutate(cluster, node, 'counter', { type: 'increment', by: 1 }, 'one')();
  increment();
  expect(cluster.changeRing(owner, node, { place: 'out' })).toBe(true);
  cluster.run(SETTLE_MS);
  cluster.partition([owner], [node]);
  cluster.run(DISCONNECT_MS);
  increment();
  increment();
  expect(node.disk.hints.size).toBe(1);
  cluster.heal();
  const isConnected = (): boolean => node.running?.peers.has(owner.id) === true;
  expect(cluster.runUntil(isConnected, 60_000, 1)).toBe(true);
  expect(cluster.changeRing(owner, node, { place: 'in' })).toBe(true);
  const isHandedOver = (): boolean => node.disk.hints.size === 0;
  expect(cluster.runUntil(isHandedOver, 60_000, 0.5)).toBe(true);
  expect(node.disk.shards.get(shard)?.complete).toBe(true);
  increment();
  settle(cluster);
  for (const each of cluster.nodes) expect(readCounter(onDisk(each, shard, 'counter'))).toBe(4);
});

test('a hint from before a node was an owner is not continued once the record of the key went bad', () => {
  const { cluster, shard, first, away, counting, others, increment } = fallbackThatOwns();
  expect(counting.disk.hints.size).toBe(1);
  cluster.partition([counting], others);
  cluster.run(DISCONNECT_MS);
  // So that it is in nobody's memory.
  for (let i = 0; i < MANY; i++) mutate(cluster, counting, `other/${i}`, put('other'), 'one')();
  const name = { bucket: BUCKET, key: 'counter' };
  counting.disk.damage(shard, name);
  cluster.reportLost(counting, shard, name);
  cluster.run(1000);
  expect(onDisk(counting, shard, 'counter')).toEqual([]);
  increment();
  cluster.heal();
  cluster.start(away);
  settle(cluster);
  for (const owner of nodesOf(cluster, ringOf(first).owners(shard))) {
    expect(readCounter(onDisk(owner, shard, 'counter'))).toBe(4);
  }
});

test('a total does not go on over increments of this run that went with a bad hint, and that another still has', () => {
  const cluster = formed(5);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'counter');
  const preference = nodesOf(cluster, ring.preference(shard));
  const [first, second, third, counting, fallback] = preference as [SimNode, SimNode, SimNode, SimNode, SimNode];
  const owners = [first, second, third];
  const increment = (level: Level): void => {
    const reply = mutate(cluster, counting, 'counter', { type: 'increment', by: 1 }, level)();
    expect(reply).toMatchObject({ applied: true });
    cluster.run(1000);
  };
  cluster.partition([counting], [...owners, fallback]);
  cluster.run(DISCONNECT_MS);
  increment('one');
  cluster.heal();
  settle(cluster);
  cluster.partition([counting, fallback], owners);
  cluster.run(DISCONNECT_MS);
  increment('quorum');
  cluster.crash(fallback);
  expect([counting, fallback].map(({ disk }) => disk.hints.size)).toEqual([1, 1]);
  // So that it is in nobody's memory.
  for (let i = 0; i < MANY; i++) mutate(cluster, counting, `other/${i}`, put('other'), 'one')();
  const [[id, { name }]] = [...counting.disk.hints].filter(([, row]) => row.name.key === 'counter') as [
    [string, HintRow],
  ];
  counting.disk.hints.delete(id);
  cluster.reportBad(counting, { table: 'hint', shard, name, counted: true });
  cluster.heal();
  cluster.run(DISCONNECT_MS);
  expect(cluster.changeRing(first, second, { place: 'out' })).toBe(true);
  expect(cluster.runUntil(() => counting.disk.shards.get(shard)?.complete === true, SETTLE_MS)).toBe(true);
  increment('quorum');
  cluster.start(fallback);
  settle(cluster);
  for (const node of [first, third, counting]) expect(readCounter(onDisk(node, shard, 'counter'))).toBe(3);
});

/** Alone it may be a disk of a time before it met others, who may know a later total of any of its runs. */
test('totals that a cluster of one has made over its restarts become one when it has met another member', () => {
  const cluster = formed(2, 1);
  const [first, second] = cluster.nodes as [SimNode, SimNode];
  const shard = ringOf(first).shardOf(BUCKET, 'counter');
  const increment = (): unknown => mutate(cluster, first, 'counter', { type: 'increment', by: 1 }, 'one')();
  increment();
  const restarts = 5;
  for (let run = 0; run < restarts; run++) {
    cluster.crash(first);
    cluster.start(first);
    cluster.run(2000);
    increment();
    increment();
    cluster.run(100);
  }
  expect(onDisk(first, shard, 'counter')).toHaveLength(1 + restarts);
  cluster.start(second);
  settle(cluster);
  increment();
  settle(cluster);
  for (const node of cluster.nodes) {
    expect(onDisk(node, shard, 'counter')).toHaveLength(1);
    expect(readCounter(onDisk(node, shard, 'counter'))).toBe(2 + 2 * restarts);
  }
});

test.each(['owner', 'fallback'])(
  'events of several dots leave no gaps between them after the one of the run (%s)',
  (role) => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'set');
    const preference = nodesOf(cluster, ring.preference(shard));
    const [writing, away] = (role === 'owner' ? preference : preference.toReversed()) as [SimNode, SimNode];
    cluster.crash(away);
    cluster.run(DISCONNECT_MS);
    cluster.crash(writing);
    cluster.start(writing);
    cluster.run(5000);
    // So that it does not hand its writes to an owner.
    cluster.partition(
      [writing],
      cluster.nodes.filter((node) => node !== writing),
    );
    cluster.run(DISCONNECT_MS);
    const writes = 5;
    for (let i = 0; i < writes; i++) {
      const members = [`a${i}`, `b${i}`].map((text) => new TextEncoder().encode(text));
      expect(mutate(cluster, writing, 'set', { type: 'add', members }, 'one')()).toMatchObject({ applied: true });
    }
    cluster.run(1000);
    const { shards, hints } = writing.disk;
    const events = role === 'owner' ? shards.get(shard)?.context : [...hints.values()][0]?.hint.events;
    const [range, ...others] = events?.ranges() ?? [];
    expect([range?.to, others]).toEqual([(range?.from ?? 0) + 2 * writes - 1, []]);
  },
);
