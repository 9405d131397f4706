import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { FAIR_WEATHER } from '../simulation/weather.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  hasRing,
  keyWhere,
  mutate,
  onDisk,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

/** Bugs that the simulator found, each as the shortest story that shows it. */

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
    cluster.observers.push({
      message: (from, to, message) => {
        if (message.type !== 'replicate' || from !== coordinator || to !== late.id || lost > 0) return;
        lost++;
        cluster.block(coordinator, late);
        cluster.clock.after(0, () => cluster.heal());
      },
    });
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

  test('a hint is kept for the owner that is away, not for one that is about to answer', () => {
    for (const away of [0, 1, 2]) {
      const cluster = formed(4);
      const ring = ringOf(cluster.nodes[0] as SimNode);
      const shard = ring.shardOf(BUCKET, 'k');
      const [gone, writer] = [away, (away + 1) % 3].map((i) => ring.owners(shard)[i]);
      cluster.crash(cluster.nodes.find(({ id }) => id === gone) as SimNode);
      cluster.run(DISCONNECT_MS);
      mutate(cluster, cluster.nodes.find(({ id }) => id === writer) as SimNode, 'k', put('value'), 'quorum')();
      cluster.run(1000);
      const hints = cluster.nodes.flatMap(({ disk }) => [...disk.hints.values()]);
      expect(hints.map(({ hint }) => hint.targets)).toEqual([[gone]]);
    }
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

  test('a hint that an earlier run left for this node itself, or for who owns the key no more, is handed over', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'k');
    const [owner, second] = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id)) as [SimNode, SimNode];
    const fallback = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
    cluster.crash(owner);
    cluster.run(DISCONNECT_MS);
    const dot = dotText(dotOf(mutate(cluster, second, 'k', put('value'), 'quorum')()));
    cluster.run(1000);
    expect(fallback.disk.hints.size).toBe(1);
    cluster.crash(fallback);
    for (const [id, row] of fallback.disk.hints) {
      fallback.disk.hints.set(id, { ...row, hint: { ...row.hint, targets: ['gone'] } });
      owner.disk.hints.set(id, { ...row, hint: { ...row.hint, targets: [owner.id] } });
    }

    cluster.partition(
      [owner],
      cluster.nodes.filter((node) => node !== owner),
    );
    cluster.start(owner);
    cluster.start(fallback);
    cluster.run(SETTLE_MS);
    expect(dotsOn(owner, shard, 'k')).toEqual([dot]);
    expect([...fallback.disk.hints.values()].map(({ hint }) => hint.targets)).toEqual([[owner.id]]);
    cluster.heal();
    settle(cluster);
    expect(cluster.nodes.flatMap(({ disk }) => [...disk.hints.values()])).toEqual([]);
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

  test('a write that the other owners refuse has happened all the same, and says so', () => {
    const cluster = formed(3);
    const [coordinator, ...others] = cluster.nodes as [SimNode, ...SimNode[]];
    for (const node of others) cluster.setWritable(node, false);
    const reply = mutate(cluster, coordinator, 'k', put('kept'), 'quorum')();
    expect(reply).toMatchObject({ type: 'failed', failure: { code: 'disk-full', stateChanged: 'maybe' } });
    for (const node of others) cluster.setWritable(node, true);
    settle(cluster);
    const shard = ringOf(coordinator).shardOf(BUCKET, 'k');
    for (const node of cluster.nodes) expect(onDisk(node, shard, 'k')).toHaveLength(1);
  });

  test('a node with a new disk does not vote before it knows the ring', () => {
    const cluster = formed(3);
    const [coordinator, , wiped] = cluster.nodes as [SimNode, SimNode, SimNode];
    mutate(cluster, coordinator, 'k', put('value'), 'all')();
    const votes = new Set<number>();
    let early = 0;
    cluster.observers.push({
      message: (from, _to, message) => {
        if (from !== wiped || message.type !== 'read-reply') return;
        const members = ringOf(wiped).memberCount;
        if (message.standing === 'stored') votes.add(members);
        else if (members === 0) early++;
      },
    });
    // Messages on different lanes overtake each other.
    cluster.weather = { ...FAIR_WEATHER, latencyMaxMs: 20 };
    for (let round = 0; round < 15; round++) {
      // So quick that nobody takes it for gone.
      cluster.crash(wiped);
      cluster.replaceDisk(wiped);
      cluster.start(wiped);
      for (let i = 0; i < 600; i++) {
        ask(cluster, coordinator, { type: 'get', bucket: BUCKET, key: 'k', level: 'all', session: null });
        cluster.run(1);
      }
      settle(cluster);
    }
    cluster.run(1000);
    // It was asked before anybody had told it the ring, and has voted since.
    expect(early).toBeGreaterThan(0);
    expect(votes).toEqual(new Set([3]));
  });
});

test('a write at `all` that fails counts owners only, not the fallback that stands in', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const [first, , third] = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id)) as [SimNode, SimNode, SimNode];
  cluster.block(first, third);
  const reply = mutate(cluster, first, 'k', put('1'), 'all')();
  expect(reply).toMatchObject({
    type: 'failed',
    failure: { code: 'quorum-unavailable', data: { acks: 2, needed: 3 } },
  });
});

test('what a fallback has not synced yet is not told when it becomes an owner', () => {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, 'k');
  const other = keyWhere(ring, (each) => each === shard);
  const fallback = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  const owners = cluster.nodes.filter((node) => node !== fallback);
  cluster.partition([fallback], owners);
  cluster.run(DISCONNECT_MS);
  cluster.weather = { ...FAIR_WEATHER, syncMinMs: 5000, syncMaxMs: 5000 };
  mutate(cluster, fallback, 'k', put('as a hint'), 'one');
  cluster.run(10);
  expect(cluster.changeRing(fallback, owners[0] as SimNode, { place: 'out' })).toBe(true);
  mutate(cluster, fallback, 'k', put('as an owner'), 'one');
  cluster.run(10);
  const { disk } = fallback;
  const reply = ask(cluster, fallback, { type: 'get', bucket: BUCKET, key: other, level: 'one', session: null })();
  expect(disk.hints.size + disk.objects.size).toBe(0);
  // A crash would take its events back, and use their names again.
  expect(reply).toMatchObject({ type: 'get', entries: [] });
  expect(reply.type === 'get' ? reply.context.highest(disk.actor) : null).toBe(0);
});
