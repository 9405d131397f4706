import { describe, expect, test } from 'vitest';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { electoratesOf, leadsMajority, led, strongGet, strongPut } from '../support/strong-story.ts';

const CHANGE_MS = 30_000;

function epochOf({ running }: SimNode): number {
  return running?.node.deciders.electorate?.epoch ?? 0;
}

describe('electorate', () => {
  test('a new disk is noticed where the ring stays as it is', () => {
    const cluster = led(3);
    const [a, b] = cluster.nodes as [SimNode, SimNode];
    expect(strongPut(cluster, a, 'first', 'x')).toMatchObject({ applied: true });
    cluster.run(6000);
    cluster.crash(b);
    cluster.run(5000);
    cluster.replaceDisk(b);
    cluster.start(b);
    const diskOf = (node: SimNode): string | undefined =>
      node.running?.node.deciders.electorate?.electors.find(({ id }) => id === b.id)?.disk;
    const isNamed = (): boolean => cluster.nodes.every((node) => diskOf(node) === b.disk.actor);
    expect(cluster.runUntil(isNamed, CHANGE_MS)).toBe(true);
  });

  test('a member that is back without its disk is not made one of two electors under the name of the lost one', () => {
    const cluster = led(3);
    const leader = cluster.nodes.find(leadsMajority) as SimNode;
    const [wiped, removed] = cluster.nodes.filter((node) => node !== leader) as [SimNode, SimNode];
    expect(strongPut(cluster, leader, 'x', 'one')).toMatchObject({ applied: true });
    cluster.run(6000);
    cluster.crash(wiped);
    cluster.run(5000);
    cluster.replaceDisk(wiped);
    expect(cluster.changeRing(leader, removed, { place: 'out' })).toBe(true);
    cluster.run(1000);
    // The leader hears of it before it hears of its disk.
    cluster.start(wiped);
    const two = [leader.name, wiped.name].sort().join();
    const isAll = (): boolean => electoratesOf(cluster).every((text) => text === two);
    expect(cluster.runUntil(isAll, CHANGE_MS)).toBe(true);
    cluster.run(3000);
    for (const node of cluster.nodes) expect(strongGet(cluster, node, 'x')).toBe('one');
    expect(strongPut(cluster, wiped, 'x', 'two')).toMatchObject({ applied: true });
  });

  test('what only a wiped disk and one other had, the wiped one copies before its word counts', () => {
    const cluster = led(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    expect(strongPut(cluster, a, 'first', 'x')).toMatchObject({ applied: true });
    cluster.run(6000);
    cluster.partition([a, b], [c]);
    cluster.run(3000);
    const keys = Array.from({ length: 10 }, (_, i) => `k${i}`);
    for (const key of keys) expect(strongPut(cluster, a, key, key)).toMatchObject({ applied: true });
    cluster.crash(b);
    cluster.heal();
    cluster.run(5000);
    const before = epochOf(a);
    cluster.replaceDisk(b);
    cluster.start(b);
    const isNew = (): boolean => cluster.nodes.every((node) => epochOf(node) > before);
    expect(cluster.runUntil(isNew, CHANGE_MS)).toBe(true);
    expect(cluster.runUntil(() => b.running?.node.deciders.strong.stats().takeovers === 0, CHANGE_MS)).toBe(true);
    cluster.run(3000);
    expect(electoratesOf(cluster)).toEqual(['n1,n2,n3', 'n1,n2,n3', 'n1,n2,n3']);
    cluster.crash(a);
    cluster.run(5000);
    for (const key of keys) expect(strongGet(cluster, c, key)).toBe(key);
  });

  test('newcomers that are gone before they could decide hold nothing up', () => {
    const cluster = led(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    for (const key of keys) expect(strongPut(cluster, a, key, key)).toMatchObject({ applied: true });
    cluster.run(6000);
    cluster.crash(b);
    cluster.crash(c);
    const newcomers = Array.from({ length: 4 }, () => cluster.addNode());
    for (const node of newcomers) cluster.start(node);
    expect(cluster.runUntil(() => a.running?.node.ring.memberCount === 7, CHANGE_MS)).toBe(true);
    for (const node of newcomers) cluster.crash(node);
    cluster.start(b);
    cluster.start(c);
    cluster.run(CHANGE_MS);
    for (const key of keys) expect(strongPut(cluster, a, key, `${key} again`)).toMatchObject({ applied: true });
    for (const node of newcomers) cluster.start(node);
    const isGrown = (): boolean => electoratesOf(cluster).every((text) => text === 'n1,n2,n3,n4,n5,n6,n7');
    expect(cluster.runUntil(isGrown, CHANGE_MS)).toBe(true);
    for (const key of keys) expect(strongGet(cluster, c, key)).toBe(`${key} again`);
  });

  test('who has no link with the leader founds strong buckets all the same', () => {
    const cluster = led(3);
    const leader = cluster.nodes.find(leadsMajority) as SimNode;
    const other = cluster.nodes.find((node) => node !== leader) as SimNode;
    cluster.block(leader, other);
    cluster.run(40_000);
    expect(leadsMajority(leader)).toBe(true);
    const isFounded = (): boolean => {
      strongPut(cluster, other, 'x', 'one');
      return electoratesOf(cluster).every((text) => text === 'n1,n2,n3');
    };
    expect(cluster.runUntil(isFounded, 10_000)).toBe(true);
    expect(strongGet(cluster, other, 'x')).toBe('one');
  });

  test('a member that has not heard of the new electors gets no majority of the old ones', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const cluster = led(3, seed);
      const leader = cluster.nodes.find(leadsMajority) as SimNode;
      const [voter, behind] = cluster.nodes.filter((node) => node !== leader) as [SimNode, SimNode];
      expect(strongPut(cluster, leader, 'x', 'one')).toMatchObject({ applied: true });
      cluster.run(6000);
      const newcomers = [cluster.addNode(), cluster.addNode()];
      cluster.partition([behind], [leader, voter, ...newcomers]);
      for (const node of newcomers) cluster.start(node);
      const isSettled = (): boolean =>
        [leader, voter].every(({ running }) => {
          const electorate = running?.node.deciders.electorate;
          return electorate?.electors.length === 5 && electorate.previous === null;
        });
      expect(cluster.runUntil(isSettled, 12_000)).toBe(true);
      // The link between the two has stood all the while, and neither has said anything of electors on it.
      cluster.heal();
      cluster.partition([behind, voter], [leader, ...newcomers]);
      const leaders = (): number => cluster.nodes.filter(leadsMajority).length;
      expect(cluster.runUntil(() => leaders() > 1, 30_000)).toBe(false);
      expect(leadsMajority(leader)).toBe(true);
    }
  });

  test('a newcomer that is asked before it has found its cluster waits for it', () => {
    const cluster = led(3);
    const [a] = cluster.nodes as [SimNode];
    expect(strongPut(cluster, a, 'x', 'one')).toMatchObject({ applied: true });
    for (const waitMs of [50, 300]) {
      const newcomer = cluster.addNode();
      cluster.start(newcomer);
      cluster.run(waitMs);
      expect(newcomer.running?.node.ring.memberCount).toBe(1);
      // Whether it finds the others in time or not: it does not answer for itself.
      expect(['one', 'failed: quorum-unavailable']).toContain(strongGet(cluster, newcomer, 'x'));
      cluster.run(3000);
      expect(strongGet(cluster, newcomer, 'x')).toBe('one');
    }
  });

  test('of two acceptors the one that lost a record copies what the other has', () => {
    const cluster = led(2);
    const [a, b] = cluster.nodes as [SimNode, SimNode];
    for (const key of ['x', 'y']) expect(strongPut(cluster, a, key, key)).toMatchObject({ applied: true });
    cluster.run(3000);
    const shard = shardOf('strong', 'x', cluster.shards);
    cluster.reportBadRegister(b, { table: 'register', shard, name: { bucket: 'strong', key: 'x' } });
    cluster.run(CHANGE_MS);
    for (const key of ['x', 'y']) expect(strongGet(cluster, a, key)).toBe(key);
    expect(strongPut(cluster, b, 'x', 'again')).toMatchObject({ applied: true });
  });
});
