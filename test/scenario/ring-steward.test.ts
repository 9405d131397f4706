import { expect, test } from 'vitest';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { hasRing, keyWhere, mutate, put, settle } from '../support/sim-story.ts';

const OUT_AFTER_MS = 60_000;
/** Until a silent member is dead, and the leader has looked. */
const NOTICE_MS = 20_000;

function formed(nodes: number): SimCluster {
  const cluster = new SimCluster({ seed: 1, nodes, outAfterMs: OUT_AFTER_MS });
  for (const node of cluster.nodes) cluster.start(node);
  const isLed = (): boolean => cluster.nodes.some((node) => node.running?.node.leadership(node.clock.now())?.quorate);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes) && isLed(), 60_000)).toBe(true);
  return cluster;
}

/** As each running node knows it. */
function placesOf(cluster: SimCluster, member: SimNode): string[] {
  return cluster.nodes
    .filter(({ running }) => running !== null)
    .map(({ running }) => running?.node.ringPlaces.find(({ id }) => id === member.id)?.place ?? 'unknown');
}

test('the leader takes a member out that has been gone for long, and puts it in again when it is back', () => {
  const cluster = formed(5);
  const [victim] = cluster.nodes as [SimNode];
  cluster.crash(victim);
  cluster.run(OUT_AFTER_MS - 5000);
  expect(placesOf(cluster, victim)).toEqual(Array(4).fill('in'));
  cluster.run(NOTICE_MS);
  expect(placesOf(cluster, victim)).toEqual(Array(4).fill('missing'));
  // Others take its share over: a key that it owned has as many complete owners as before.
  expect(cluster.runUntil(() => cluster.isSettled(), 60_000)).toBe(true);
  for (const { running } of cluster.nodes) {
    if (running === null) continue;
    const { owned, complete } = running.node.replicationStats().shards;
    expect(complete).toBe(owned);
    expect(running.node.ring.memberCount).toBe(4);
  }
  cluster.start(victim);
  expect(cluster.runUntil(() => placesOf(cluster, victim).every((place) => place === 'in'), 30_000)).toBe(true);
  settle(cluster);
});

test('what it alone had acknowledged comes back with it', () => {
  const cluster = formed(5);
  const [lonely, ...others] = cluster.nodes as [SimNode, ...SimNode[]];
  cluster.partition([lonely], others);
  const ring = others[0]?.running?.node.ring;
  if (ring === undefined) throw new Error('the node runs');
  const key = keyWhere(ring, (shard) => ring.owners(shard).includes(lonely.id));
  expect(mutate(cluster, lonely, key, put('alone'), 'one')()).toMatchObject({ type: 'mutate', applied: true });
  expect(cluster.runUntil(() => placesOf(cluster, lonely).includes('missing'), OUT_AFTER_MS + 60_000)).toBe(true);
  cluster.run(10_000);
  cluster.heal();
  expect(cluster.runUntil(() => placesOf(cluster, lonely).every((place) => place === 'in'), 120_000)).toBe(true);
  settle(cluster);
  for (const node of ring.owners(ring.shardOf('default', key))) {
    const owner = cluster.nodes.find(({ id }) => id === node) as SimNode;
    const entries = owner.disk.entriesOf(ring.shardOf('default', key), { bucket: 'default', key }) ?? [];
    expect(entries.length).toBe(1);
  }
});

test('nobody is taken out where nobody is left to take over, nor by a leader without a majority', () => {
  const small = formed(3);
  const [first] = small.nodes as [SimNode];
  small.crash(first);
  small.run(2 * OUT_AFTER_MS);
  expect(placesOf(small, first)).toEqual(['in', 'in']);

  const split = formed(5);
  const [a, b, ...rest] = split.nodes as [SimNode, SimNode, ...SimNode[]];
  split.partition([a, b], rest);
  split.run(2 * OUT_AFTER_MS + NOTICE_MS);
  for (const { running } of [a, b]) {
    expect(running?.node.ringPlaces.every(({ place }) => place === 'in')).toBe(true);
  }
  split.heal();
  const isWhole = (): boolean => split.nodes.every((node) => placesOf(split, node).every((place) => place === 'in'));
  expect(split.runUntil(isWhole, 120_000)).toBe(true);
  settle(split);
});

test("an operator's word holds: who was taken out is not put in by the leader", () => {
  const cluster = formed(5);
  const [victim, other] = cluster.nodes as [SimNode, SimNode];
  cluster.crash(victim);
  cluster.run(OUT_AFTER_MS + NOTICE_MS);
  expect(cluster.changeRing(other, victim, { place: 'out' })).toBe(true);
  cluster.start(victim);
  cluster.run(60_000);
  expect(new Set(placesOf(cluster, victim))).toEqual(new Set(['out']));
  // Removed for good, it is out already.
  expect(cluster.changeRing(other, victim, { place: 'removed' })).toBe(true);
  expect(cluster.changeRing(other, victim, { place: 'out' })).toBe(false);
});
