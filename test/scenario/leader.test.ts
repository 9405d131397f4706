import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import type { Leadership } from '../../src/protocol/election/election.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { hasRing } from '../support/sim-story.ts';

/** What is promised: one leader in each stable part of the cluster. */
const ELECTED_MS = 10_000;
const FAILOVER_MS = 3000;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** Never two quorate leaders, looked at as often as anything happens; and who led, in order. */
class LeaderWatch {
  readonly changes: string[] = [];
  readonly rivals: string[] = [];
  private lastLeader: string | null = null;
  private readonly cluster: SimCluster;

  constructor(cluster: SimCluster) {
    this.cluster = cluster;
    cluster.observers.push({ turn: () => this.look() });
  }

  private look(): void {
    const leaders = this.cluster.nodes.filter((node) => ownLeadership(node)?.quorate === true);
    if (leaders.length > 1) this.rivals.push(leaders.map(({ name }) => name).join());
    const [leader] = leaders;
    if (leader === undefined || leader.id === this.lastLeader) return;
    this.lastLeader = leader.id;
    this.changes.push(leader.name);
  }
}

function leadershipOf(node: SimNode): Leadership | null {
  return node.running?.node.leadership(node.clock.now()) ?? null;
}

function ownLeadership(node: SimNode): Leadership | null {
  const leadership = leadershipOf(node);
  return leadership?.leader === node.id ? leadership : null;
}

/** The one leader that all of these follow; undefined while they do not agree. */
function commonLeader(nodes: readonly SimNode[]): Leadership | undefined {
  const known = nodes.map(leadershipOf);
  const [first] = known;
  const isCommon = known.every((each) => each?.leader === first?.leader && each?.term === first?.term);
  return isCommon && nodes.some(({ id }) => id === first?.leader) ? (first ?? undefined) : undefined;
}

function formed(nodes: number, seed: number): { cluster: SimCluster; watch: LeaderWatch } {
  const cluster = new SimCluster({ seed, nodes });
  const watch = new LeaderWatch(cluster);
  for (const node of cluster.nodes) cluster.start(node);
  const isFormed = (): boolean => hasRing(cluster, nodes) && commonLeader(cluster.nodes)?.quorate === true;
  expect(cluster.runUntil(isFormed, ELECTED_MS)).toBe(true);
  // While clusters of one merge, each has a leader of its own.
  watch.rivals.length = 0;
  watch.changes.length = 0;
  return { cluster, watch };
}

function leaderOf(cluster: SimCluster): SimNode {
  return cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
}

function termOf(node: SimNode): number {
  return leadershipOf(node)?.term ?? 0;
}

function blockAllBut(cluster: SimCluster, links: readonly (readonly [SimNode, SimNode])[]): void {
  const isLinked = (a: SimNode, b: SimNode): boolean => links.some((link) => link.includes(a) && link.includes(b));
  for (const a of cluster.nodes) {
    for (const b of cluster.nodes) if (a.index < b.index && !isLinked(a, b)) cluster.block(a, b);
  }
}

/** A chain of all nodes, the given one at its end. */
function chainFrom(cluster: SimCluster, end: SimNode): SimNode {
  const row = [end, ...cluster.nodes.filter((node) => node !== end)];
  const links = row.slice(1).map((node, i) => [row[i] as SimNode, node] as const);
  blockAllBut(cluster, links);
  return row.at(-1) as SimNode;
}

/** Who leads from now on, each with its term, in order. */
function leadershipsOf(cluster: SimCluster): string[] {
  const found: string[] = [];
  cluster.observers.push({
    turn: (node) => {
      const own = ownLeadership(node);
      const text = `${node.name} in ${own?.term}`;
      if (own !== null && !found.includes(text)) found.push(text);
    },
  });
  return found;
}

describe('the leader', () => {
  test.each(SEEDS)('is one of those that live, %#', (seed) => {
    const { cluster, watch } = formed(5, seed);
    const former = leaderOf(cluster);
    const term = termOf(former);
    cluster.crash(former);
    const others = cluster.nodes.filter((node) => node !== former);
    expect(cluster.runUntil(() => commonLeader(others)?.quorate === true, FAILOVER_MS, 10)).toBe(true);
    expect(commonLeader(others)?.term).toBeGreaterThan(term);
    // Back again, it finds a leader and leaves it at that.
    const successor = leaderOf(cluster);
    cluster.start(former);
    cluster.run(30_000);
    expect(commonLeader(cluster.nodes)?.leader).toBe(successor.id);
    expect(watch.rivals).toEqual([]);
  });

  test('leaves the lead to another at once when it leaves', () => {
    const { cluster } = formed(5, 3);
    const former = leaderOf(cluster);
    cluster.stop(former);
    const others = cluster.nodes.filter((node) => node !== former);
    expect(cluster.runUntil(() => commonLeader(others)?.quorate === true, 800, 10)).toBe(true);
  });

  test.each(SEEDS)('is quorate in the larger part of a divided cluster, not in the smaller one, %#', (seed) => {
    const { cluster, watch } = formed(5, seed);
    const leader = leaderOf(cluster);
    const others = cluster.nodes.filter((node) => node !== leader);
    // The leader in the smaller part half of the time.
    const smaller = seed % 2 === 0 ? [leader, others[0] as SimNode] : others.slice(0, 2);
    const larger = cluster.nodes.filter((node) => !smaller.includes(node));
    cluster.partition(smaller, larger);
    expect(cluster.runUntil(() => commonLeader(larger)?.quorate === true, ELECTED_MS)).toBe(true);
    expect(cluster.runUntil(() => commonLeader(smaller)?.quorate === false, ELECTED_MS)).toBe(true);
    const terms = cluster.nodes.map(termOf);
    cluster.heal();
    expect(cluster.runUntil(() => commonLeader(cluster.nodes)?.quorate === true, 60_000)).toBe(true);
    expect(commonLeader(cluster.nodes)?.term).toBeGreaterThanOrEqual(Math.max(...terms));
    expect(watch.rivals).toEqual([]);
  });

  test('goes beyond the terms of an island that comes back', () => {
    const { cluster } = formed(5, 2);
    const leader = leaderOf(cluster);
    const lonely = cluster.nodes.find((node) => node !== leader) as SimNode;
    const rest = cluster.nodes.filter((node) => node !== lonely);
    cluster.partition([lonely], rest);
    expect(cluster.runUntil(() => ownLeadership(lonely) !== null, ELECTED_MS)).toBe(true);
    // Each start on its own is a candidacy that nobody else hears of.
    for (let i = 0; i < 3; i++) {
      cluster.crash(lonely);
      cluster.start(lonely);
      expect(cluster.runUntil(() => ownLeadership(lonely) !== null, ELECTED_MS)).toBe(true);
    }
    const term = termOf(lonely);
    expect(term).toBeGreaterThan(termOf(leader));
    cluster.heal();
    expect(cluster.runUntil(() => (commonLeader(cluster.nodes)?.term ?? 0) > term, 60_000)).toBe(true);
    expect(commonLeader(cluster.nodes)?.leader).toBe(leader.id);
  });

  test.each(SEEDS)('is known in a chain whose ends do not see each other, and does not change, %#', (seed) => {
    const { cluster, watch } = formed(3, seed);
    const [a, , c] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.block(a, c);
    cluster.run(ELECTED_MS);
    const lost: string[] = [];
    cluster.observers.push({
      event: (node, event) => void (event.type === 'leader-changed' && lost.push(`${node.name} ${event.leader}`)),
    });
    cluster.run(60_000);
    expect(commonLeader(cluster.nodes)?.quorate).toBe(true);
    expect(watch.changes.length).toBeLessThanOrEqual(2);
    expect(lost).toEqual([]);
    expect(watch.rivals).toEqual([]);
  });

  test('that stood still for longer than its lease leads no more, and its token is stale', () => {
    const { cluster, watch } = formed(5, 4);
    const leader = leaderOf(cluster);
    const token = termOf(leader);
    cluster.pause(leader);
    const others = cluster.nodes.filter((node) => node !== leader);
    expect(cluster.runUntil(() => commonLeader(others)?.quorate === true, FAILOVER_MS, 10)).toBe(true);
    const successor = commonLeader(others) as Leadership;
    cluster.resume(leader, true);
    expect(ownLeadership(leader)).toBe(null);
    const answers: string[] = [];
    for (const node of others) {
      cluster.fence(node, leader, token, (accepted) => answers.push(`${node.name} ${accepted}`));
    }
    cluster.run(200);
    expect(answers.toSorted()).toEqual(others.map(({ name }) => `${name} false`));
    cluster.run(ELECTED_MS);
    expect(commonLeader(cluster.nodes)?.leader).toBe(successor.leader);
    expect(watch.rivals).toEqual([]);
  });

  test('does not change while scores jitter', () => {
    const { cluster, watch } = formed(5, 5);
    const prng = new Prng(5);
    for (let i = 0; i < 120; i++) {
      for (const node of cluster.nodes) cluster.setScore(node, 0.3 + 0.4 * prng.float());
      cluster.run(5000);
    }
    expect(watch.changes.length).toBeLessThanOrEqual(1);
  });

  test('hands over to a member that is much better for a minute, and keeps the lead from then on', () => {
    const { cluster, watch } = formed(5, 6);
    const former = leaderOf(cluster);
    const better = cluster.nodes.find((node) => node !== former) as SimNode;
    cluster.setScore(better, 0.9);
    cluster.run(50_000);
    expect(commonLeader(cluster.nodes)?.leader).toBe(former.id);
    cluster.run(20_000);
    expect(commonLeader(cluster.nodes)).toMatchObject({ leader: better.id, quorate: true });
    cluster.setScore(better, 0.7);
    cluster.run(180_000);
    expect(watch.changes.length).toBeLessThanOrEqual(2);
    expect(watch.rivals).toEqual([]);
  });

  test('whose disk takes no more writes leaves the lead to another', () => {
    const { cluster, watch } = formed(3, 7);
    const former = leaderOf(cluster);
    cluster.setWritable(former, false);
    const hasOther = (): boolean => {
      const leader = commonLeader(cluster.nodes);
      return leader?.quorate === true && leader.leader !== former.id;
    };
    expect(cluster.runUntil(hasOther, 1000, 10)).toBe(true);
    expect(watch.rivals).toEqual([]);
  });

  test('whose machine slept does not believe in its lease by the monotonic clock', () => {
    const { cluster } = formed(3, 8);
    const leader = leaderOf(cluster);
    expect(ownLeadership(leader)?.quorate).toBe(true);
    leader.clock.jump(60_000);
    expect(ownLeadership(leader)).toBe(null);
  });

  test('of a cluster that lost its majority leads on, but not for the cluster', () => {
    const { cluster } = formed(5, 9);
    const leader = leaderOf(cluster);
    const others = cluster.nodes.filter((node) => node !== leader);
    for (const node of others.slice(0, 3)) cluster.crash(node);
    const left = [leader, others[3] as SimNode];
    expect(cluster.runUntil(() => commonLeader(left)?.quorate === false, ELECTED_MS)).toBe(true);
    for (const node of others.slice(0, 3)) cluster.start(node);
    expect(cluster.runUntil(() => commonLeader(cluster.nodes)?.quorate === true, ELECTED_MS)).toBe(true);
  });
});

describe('the level of service', () => {
  test('is that of an island without a majority of the ring, until one is back for a while', () => {
    const { cluster } = formed(5, 1);
    const [a, b, ...rest] = cluster.nodes as [SimNode, SimNode, ...SimNode[]];
    const levelsOf = (nodes: readonly SimNode[]): unknown[] => nodes.map(({ running }) => running?.node.level.level);
    expect(levelsOf(cluster.nodes)).toEqual(Array(5).fill('connected'));
    cluster.partition([a, b], rest);
    cluster.run(20_000);
    expect(levelsOf([a, b])).toEqual(['island', 'island']);
    expect(levelsOf(rest)).toEqual(Array(3).fill('connected'));
    cluster.heal();
    expect(cluster.runUntil(() => levelsOf([a, b]).every((level) => level === 'connected'), 60_000)).toBe(true);
  });
});

describe('slow machines', () => {
  test.each([600, 1000])('a cluster whose disks take %i ms to sync has a leader within 10 s', (ms) => {
    const { cluster } = formed(3, 1);
    cluster.weather = { ...cluster.weather, syncMinMs: ms, syncMaxMs: ms };
    const leader = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
    const others = cluster.nodes.filter((node) => node !== leader);
    cluster.crash(leader);
    const found = cluster.runUntil(() => commonLeader(others)?.quorate === true, 120_000);
    expect(found).toBe(true);
  });

  test('one node alone with such a disk leads itself', () => {
    const cluster = new SimCluster({ seed: 1, nodes: 1 });
    cluster.weather = { ...cluster.weather, syncMinMs: 600, syncMaxMs: 600 };
    const [node] = cluster.nodes as [SimNode];
    cluster.start(node);
    const found = cluster.runUntil(() => ownLeadership(node) !== null, 120_000);
    expect(found).toBe(true);
  });

  test('members that are 250 ms apart, one way, have a leader within 10 s', () => {
    const { cluster } = formed(3, 1);
    cluster.weather = { ...cluster.weather, latencyMinMs: 250, latencyMaxMs: 260 };
    const leader = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
    const others = cluster.nodes.filter((node) => node !== leader);
    cluster.run(20_000);
    cluster.crash(leader);
    cluster.run(20_000);
    expect(cluster.runUntil(() => commonLeader(others)?.quorate === true, 60_000)).toBe(true);
  });
});

describe('handing over', () => {
  test('is not tried again and again with a member that cannot lead: its disk is full', () => {
    const { cluster } = formed(5, 6);
    const former = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
    const better = cluster.nodes.find((node) => node !== former) as SimNode;
    cluster.setScore(better, 0.9);
    cluster.setWritable(better, false);
    const changes = leadershipsOf(cluster);
    cluster.run(600_000);
    expect(changes.length).toBeLessThanOrEqual(3);
  });

  test('nor with one that has too few links: a star', () => {
    const { cluster } = formed(5, 6);
    const [middle, ...leaves] = cluster.nodes as [SimNode, ...SimNode[]];
    blockAllBut(
      cluster,
      leaves.map((leaf) => [middle, leaf] as const),
    );
    cluster.run(60_000);
    const better = cluster.nodes[3] as SimNode;
    cluster.setScore(better, 0.9);
    const changes = leadershipsOf(cluster);
    cluster.run(600_000);
    expect(changes.length).toBeLessThanOrEqual(3);
  });
});

describe('tokens', () => {
  test('of the former leader are refused by who knows the new one from others', () => {
    const { cluster } = formed(4, 3);
    const former = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
    const token = leadershipOf(former)?.term ?? 0;
    const last = chainFrom(cluster, former);
    const isNew = (): boolean =>
      commonLeader(cluster.nodes)?.quorate === true && (leadershipOf(last)?.term ?? 0) > token;
    expect(cluster.runUntil(isNew, 60_000)).toBe(true);
    cluster.run(5000);
    const answers: boolean[] = [];
    cluster.fence(last, former, token, (accepted) => answers.push(accepted));
    cluster.run(500);
    expect(answers).toEqual([false]);
  });

  test('terms do not fall at a node over a restart', () => {
    const { cluster } = formed(4, 3);
    const former = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
    const last = chainFrom(cluster, former);
    cluster.run(30_000);
    const term = last.running?.node.term ?? 0;
    cluster.crash(last);
    cluster.start(last);
    expect(last.running?.node.term).toBeGreaterThanOrEqual(term);
  });
});

describe('the ring', () => {
  test.each(['out', 'removed'] as const)(
    'a leader that an operator puts %s of it leaves the lead to a member of it',
    (place) => {
      const { cluster } = formed(5, 6);
      const former = cluster.nodes.find((node) => ownLeadership(node) !== null) as SimNode;
      const other = cluster.nodes.find((node) => node !== former) as SimNode;
      expect(cluster.changeRing(other, former, { place })).toBe(true);
      cluster.run(180_000);
      expect(ownLeadership(former)).toBe(null);
    },
  );

  test('without the members that are gone for good has a majority', () => {
    const { cluster } = formed(5, 6);
    const [a, b, ...gone] = cluster.nodes as [SimNode, SimNode, ...SimNode[]];
    for (const node of gone) cluster.crash(node);
    cluster.run(30_000);
    expect(a.running?.node.level.level).toBe('island');
    for (const node of gone) expect(cluster.changeRing(a, node, { place: 'removed' })).toBe(true);
    cluster.run(10_000);
    expect([a, b].map(({ running }) => running?.node.level.level)).toEqual(['connected', 'connected']);
    expect(commonLeader([a, b])?.quorate).toBe(true);
  });
});

describe('one node', () => {
  test('alone leads itself again at once after a step of the wall clock', () => {
    const cluster = new SimCluster({ seed: 1, nodes: 1 });
    const [node] = cluster.nodes as [SimNode];
    cluster.start(node);
    cluster.run(3000);
    expect(ownLeadership(node)).not.toBe(null);
    node.clock.jump(60_000);
    const changedMs = cluster.clock.nowMs;
    cluster.runUntil(() => ownLeadership(node) !== null, 10_000, 10);
    expect(cluster.clock.nowMs - changedMs).toBeLessThan(1000);
  });
});
