import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { ClientReply } from '../../src/protocol/replication/request.ts';
import { mutate, put } from '../support/sim-story.ts';
import { SimCluster, type SimNode } from './cluster.ts';
import { CopyLedger } from './copy-ledger.ts';
import type { Fault } from './fault.ts';
import { FaultInjector } from './fault-injector.ts';
import { FAULT_KINDS, RING_FAULT_KINDS } from './fault-kinds.ts';
import { PLACED_BUCKETS } from './placed-buckets.ts';
import { drawSchedule } from './schedule.ts';

type Members = readonly [SimNode, SimNode, SimNode];

interface Story {
  readonly cluster: SimCluster;
  readonly nodes: Members;
  readonly inject: (fault: Fault) => void;
  readonly injector: FaultInjector;
  readonly notes: string[];
}

function story(options: { discovery?: boolean } = {}): Story {
  const cluster = new SimCluster({ seed: 1, nodes: 3, ...options });
  for (const node of cluster.nodes) cluster.start(node);
  cluster.run(5000);
  const nodes = cluster.nodes as unknown as Members;
  for (const node of nodes) expect(aliveSeenBy(node, nodes)).toBe(3);
  const notes: string[] = [];
  const injector = new FaultInjector(cluster, new CopyLedger(cluster.nodes), (text) => notes.push(text));
  return { cluster, nodes, injector, inject: (fault) => injector.inject(fault), notes };
}

function aliveSeenBy({ running }: SimNode, nodes: Members): number {
  return nodes.filter(({ id }) => running?.node.member(id)?.state === 'alive').length;
}

function stateOf(observer: SimNode, subject: SimNode): string | undefined {
  return observer.running?.node.member(subject.id)?.state;
}

function offsetMs(cluster: SimCluster, node: SimNode): number {
  return node.clock.now().wallMs - 1_790_000_000_000 - Math.floor(cluster.clock.nowMs);
}

function write(cluster: SimCluster, node: SimNode, key = 'k'): ClientReply {
  return mutate(cluster, node, key, put('value'), 'quorum')();
}

describe('faults', () => {
  test('a crash takes what is not synced, or keeps the batch that was being synced', () => {
    for (const torn of [0, 1]) {
      const { cluster, nodes, inject } = story();
      cluster.weather = { ...cluster.weather, syncMinMs: 50, syncMaxMs: 60 };
      mutate(cluster, nodes[0], 'k', put('value'), 'one');
      cluster.run(30);
      inject({ type: 'crash', node: 0, downMs: 2000, torn });
      expect(nodes[0].running).toBeNull();
      expect([...nodes[0].disk.objects.values()].reduce((sum, rows) => sum + rows.size, 0)).toBe(torn);
      cluster.run(2500);
      expect(nodes[0].running).not.toBeNull();
    }
  });

  test('a clean restart says goodbye first', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'restart', node: 0, downMs: 3000 });
    cluster.run(1500);
    expect(nodes[0].running).toBeNull();
    expect(stateOf(nodes[1], nodes[0])).toBe('left');
    cluster.run(6000);
    expect(stateOf(nodes[1], nodes[0])).toBe('alive');
  });

  test('a wiped disk has another actor and gets everything again, one at a time', () => {
    const { cluster, nodes, inject, notes } = story();
    write(cluster, nodes[0]);
    cluster.run(1000);
    const { actor } = nodes[0].disk;
    inject({ type: 'wipe', node: 0, downMs: 100 });
    inject({ type: 'wipe', node: 1, downMs: 100 });
    expect(notes.map((text) => text.startsWith('passed over'))).toEqual([false, true]);
    expect(nodes[0].disk.actor).not.toBe(actor);
    expect(nodes[0].disk.objects.size).toBe(0);
    cluster.run(20_000);
    expect([...nodes[0].disk.objects.values()].reduce((sum, rows) => sum + rows.size, 0)).toBe(1);
  });

  test('a bad record is fetched again', () => {
    const { cluster, nodes, inject } = story();
    write(cluster, nodes[0]);
    cluster.run(1000);
    cluster.crash(nodes[0]);
    cluster.start(nodes[0]);
    cluster.run(5000);
    inject({ type: 'corrupt', node: 0, pick: 0, found: 'at-once' });
    expect(nodes[0].disk.hasDamage).toBe(true);
    cluster.run(10_000);
    expect(nodes[0].disk.hasDamage).toBe(false);
    expect([...nodes[0].disk.objects.values()].reduce((sum, rows) => sum + rows.size, 0)).toBe(1);
  });

  test('a repaired store has another actor, and of its records those that are left or were there before', () => {
    const { cluster, nodes, inject, notes } = story();
    for (let i = 0; i < 40; i++) mutate(cluster, nodes[0], `k${i}`, put('value'), 'all')();
    const dots = ({ disk }: SimNode): string[] =>
      [...disk.objects].flatMap(([shard, rows]) =>
        [...rows.values()].flatMap(({ object }) => object.entries.map(({ dot }) => `${shard}/${dotText(dot)}`)),
      );
    inject({ type: 'salvage', node: 0, afterMs: 2000, downMs: 1000, draws: 4 });
    const before = dots(nodes[0]);
    for (let i = 0; i < 40; i++) mutate(cluster, nodes[0], `k${i}`, put('later'), 'all')();
    const after = dots(nodes[0]);
    const { actor } = nodes[0].disk;
    cluster.run(2500);
    expect(notes.at(-1)).toBe('the disk of n1 is repaired');
    expect(nodes[0].running).toBeNull();
    expect(nodes[0].disk.actor).not.toBe(actor);
    const left = dots(nodes[0]);
    expect(left.length).toBeLessThan(after.length);
    expect(left.filter((dot) => before.includes(dot)).length).toBeGreaterThan(0);
    expect(left.filter((dot) => after.includes(dot)).length).toBeGreaterThan(0);
    expect(
      [...nodes[0].disk.shards.values()].every(({ bare, context, complete }) => bare.equals(context) && !complete),
    ).toBe(true);
    cluster.run(30_000);
    expect(dots(nodes[0]).sort()).toEqual(after.sort());
  });

  test.each(['headroom', 'refused'] as const)('a full disk (%s) refuses writes until there is space', (kind) => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'disk-full', node: 0, kind, forMs: 10_000 });
    // It is noticed by the first commit that fails.
    if (kind === 'refused') mutate(cluster, nodes[0], 'first', put('value'), 'one');
    cluster.run(1000);
    expect(write(cluster, nodes[0])).toMatchObject({ type: 'failed', failure: { code: 'disk-full' } });
    cluster.run(12_000);
    expect(write(cluster, nodes[0]).type).toBe('mutate');
  });

  test('a slow disk is slow for its time', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'slow-disk', node: 0, syncMaxMs: 3000, forMs: 5000 });
    const before = cluster.clock.nowMs;
    // One sync may be a quick one.
    for (let i = 0; i < 4; i++) write(cluster, nodes[0]);
    expect(cluster.clock.nowMs - before).toBeGreaterThan(400);
    cluster.run(6000);
    const after = cluster.clock.nowMs;
    write(cluster, nodes[0]);
    expect(cluster.clock.nowMs - after).toBeLessThan(50);
  });

  test.each(['pause', 'block'] as const)('a process under %s handles nothing, and everything afterwards', (type) => {
    const { cluster, nodes, inject } = story();
    inject({ type, node: 0, forMs: 1000 });
    let replyMs = 0;
    cluster.request(nodes[0], { type: 'get', bucket: 'default', key: 'k', level: 'one', session: null }, () => {
      replyMs = cluster.clock.nowMs;
    });
    const { nowMs } = cluster.clock;
    cluster.run(990);
    expect(replyMs).toBe(0);
    // Its kernel keeps the connections.
    expect(nodes[1].running?.peers.has(nodes[0].id)).toBe(true);
    cluster.run(2000);
    expect(replyMs - nowMs).toBeGreaterThanOrEqual(1000);
    expect(aliveSeenBy(nodes[0], nodes)).toBe(3);
  });

  test('clocks jump and drift, and are right again', () => {
    const { cluster, nodes, inject, injector } = story();
    inject({ type: 'clock-jump', node: 0, byMs: 20_000, forMs: 5000 });
    inject({ type: 'clock-drift', node: 1, rate: 1.1, forMs: 10_000 });
    expect(offsetMs(cluster, nodes[0])).toBe(20_000);
    cluster.run(10_000);
    expect(Math.abs(offsetMs(cluster, nodes[0]))).toBeLessThanOrEqual(1);
    expect(Math.abs(offsetMs(cluster, nodes[1]) - 1000)).toBeLessThanOrEqual(1);
    injector.endAll();
    expect(Math.abs(offsetMs(cluster, nodes[1]))).toBeLessThanOrEqual(1);
  });

  test('links break in one direction, in pairs, in chains and in groups', () => {
    const { cluster, nodes, inject } = story();
    const blocks = (): string =>
      nodes
        .flatMap((a) => nodes.map((b) => ((a.links.get(b.id)?.blocks ?? 0) > 0 ? `${a.name}${b.name}` : '')))
        .join(' ');
    const lasting = { forMs: 100 };
    const shown = (fault: Fault): string[] => {
      inject(fault);
      const blocked = blocks().split(' ').filter(Boolean);
      cluster.run(101);
      expect(blocks().trim()).toBe('');
      return blocked;
    };
    expect(shown({ type: 'one-way', from: 0, to: [1], ...lasting })).toEqual(['n1n2']);
    expect(shown({ type: 'cut', pairs: [[0, 2]], ...lasting })).toEqual(['n1n3', 'n3n1']);
    expect(shown({ type: 'chain', row: [0, 1, 2], ...lasting })).toEqual(['n1n3', 'n3n1']);
    expect(shown({ type: 'partition', groups: [[0], [1, 2]], ...lasting })).toEqual(['n1n2', 'n1n3', 'n2n1', 'n3n1']);
    inject({ type: 'flap', node: 0, peers: [1], periodMs: 20, forMs: 100 });
    const seen = Array.from({ length: 8 }, () => {
      cluster.run(10);
      return blocks().trim() === '';
    });
    expect(new Set(seen)).toEqual(new Set([true, false]));
  });

  test('a dead direction takes the connection down after a while, and dials fail', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'one-way', from: 0, to: [1], forMs: 60_000 });
    cluster.run(10_000);
    expect(nodes[1].running?.peers.has(nodes[0].id)).toBe(true);
    cluster.run(20_000);
    expect(nodes[1].running?.peers.has(nodes[0].id)).toBe(false);
    expect(nodes[0].running?.peers.has(nodes[1].id)).toBe(false);
    cluster.run(40_000);
    expect(nodes[0].running?.peers.has(nodes[1].id)).toBe(true);
  });

  test('a storm loses and delays messages', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'storm', node: 0, loss: 0.4, latencyMaxMs: 500, forMs: 1000 });
    expect(nodes[0].links.get(nodes[1].id)).toMatchObject({ loss: 0.4, latencyMaxMs: 500 });
    expect(nodes[1].links.get(nodes[2].id)).toMatchObject({ loss: 0, latencyMaxMs: 0 });
    cluster.run(1001);
    expect(nodes[0].links.get(nodes[1].id)).toMatchObject({ loss: 0, latencyMaxMs: 0 });
  });

  test('strays and messages from the future do no harm', () => {
    const { cluster, nodes } = story();
    cluster.weather = { ...cluster.weather, unknown: 1, duplication: 0.3, reorder: 0.3 };
    for (let i = 0; i < 20; i++) expect(write(cluster, nodes[0], `k${i}`).type).toBe('mutate');
    cluster.run(10_000);
    for (const node of nodes) expect(aliveSeenBy(node, nodes)).toBe(3);
  });

  test('a node that has moved is found by what membership says, without multicast', () => {
    const { cluster, nodes, inject } = story({ discovery: false });
    inject({ type: 'new-address', node: 0, downMs: 1000 });
    cluster.run(10_000);
    for (const node of nodes) expect(aliveSeenBy(node, nodes)).toBe(3);
    expect(nodes[1].running?.node.member(nodes[0].id)?.profile.addresses).toEqual(['/sim/n1/2']);
    expect(nodes[1].running?.addresses.get(nodes[0].id)).toContain('/sim/n1/2');
  });

  test('a node with another wire version is alone until it is back', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'other-version', node: 0, downMs: 100, forMs: 10_000 });
    cluster.run(9000);
    expect(nodes[0].running?.peers.size).toBe(0);
    expect(stateOf(nodes[1], nodes[0])).toBe('dead');
    cluster.run(12_000);
    for (const node of nodes) expect(aliveSeenBy(node, nodes)).toBe(3);
  });

  test('everything restarts at once and comes back', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'mass-restart', downMs: 500, spreadMs: 1000, torn: 0 });
    expect(nodes.every(({ running }) => running === null)).toBe(true);
    cluster.run(15_000);
    for (const node of nodes) expect(aliveSeenBy(node, nodes)).toBe(3);
  });
});

describe('commands of operators', () => {
  const placesSeenBy = ({ running }: SimNode): (readonly [string, number])[] | undefined =>
    running?.node.ringPlaces.map(({ place, weight }) => [place, weight]);

  test('reach everyone, and outlast a restart', () => {
    const { cluster, nodes, inject, notes } = story();
    inject({ type: 'ring-out', node: 1, member: 0 });
    inject({ type: 'ring-weight', node: 1, member: 2, weight: 4 });
    inject({ type: 'ring-out', node: 1, member: 0 });
    cluster.run(1000);
    inject({ type: 'crash', node: 0, downMs: 1000, torn: 0 });
    cluster.run(8000);
    const order = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
    const places = order.map((node) => (node === nodes[0] ? ['out', 1] : ['in', node === nodes[2] ? 4 : 1]));
    for (const node of nodes) {
      expect(placesSeenBy(node)).toEqual(places);
      expect(node.running?.node.ring.memberCount).toBe(2);
    }
    inject({ type: 'ring-in', node: 0, member: 0 });
    inject({ type: 'ring-weight', node: 0, member: 2, weight: null });
    cluster.run(1000);
    for (const node of nodes) expect(placesSeenBy(node)).toEqual(order.map(() => ['in', 1]));
    expect(notes.filter((text) => text.startsWith('passed over'))).toHaveLength(1);
  });

  test('on both sides of a partition come together', () => {
    const { cluster, nodes, inject } = story();
    inject({ type: 'partition', groups: [[0, 1], [2]], forMs: 5000 });
    inject({ type: 'ring-out', node: 0, member: 0 });
    inject({ type: 'ring-out', node: 2, member: 1 });
    inject({ type: 'ring-out', node: 2, member: 2 });
    cluster.run(2000);
    expect(nodes[0].running?.node.ring.memberCount).toBe(2);
    cluster.run(20_000);
    // Each command left somebody in as far as its side knew. Together they leave nobody, and so all count as in.
    for (const { running } of nodes) expect(running?.node.ring.memberCount).toBe(3);
    for (const node of nodes) expect(placesSeenBy(node)).toEqual(placesSeenBy(nodes[0]));
  });

  test('a member that is out serves requests, and hands over what it holds', () => {
    const cluster = new SimCluster({ seed: 2, nodes: 4 });
    for (const node of cluster.nodes) cluster.start(node);
    cluster.run(8000);
    const [first, second] = cluster.nodes as [SimNode, SimNode];
    for (let i = 0; i < 20; i++) expect(mutate(cluster, first, `k${i}`, put('value'), 'all')().type).toBe('mutate');
    const injector = new FaultInjector(cluster, new CopyLedger(cluster.nodes), () => undefined);
    injector.inject({ type: 'ring-out', node: 1, member: 0 });
    cluster.run(500);
    expect(mutate(cluster, first, 'k0', put('other'), 'quorum')()).toMatchObject({ type: 'mutate', quorum: 'strict' });
    cluster.run(30_000);
    expect(first.running?.node.replicationStats().shards).toEqual({
      owned: 0,
      complete: 0,
      transferring: 0,
      behind: 0,
    });
    expect(first.disk.objects.size).toBe(0);
    expect(second.running?.node.replicationStats().shards.transferring).toBe(0);
  });
});

describe('schedules', () => {
  test('differ in their kinds of faults, and all kinds occur', () => {
    const kinds = Array.from({ length: 60 }, (_, seed) => {
      const { events } = drawSchedule(seed, { safetyMs: 60_000, ring: false, buckets: false, salvage: false });
      return new Set(events.map(({ fault }) => fault.type));
    });
    expect(new Set(kinds.flatMap((each) => [...each]))).toEqual(new Set([...Object.keys(FAULT_KINDS), 'start']));
    expect(kinds.some((each) => each.size > 8)).toBe(true);
    expect(kinds.some((each) => each.size < 4)).toBe(true);
  });

  test('create buckets where they are asked to, and are otherwise as without them', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { events, ...rest } = drawSchedule(seed, { safetyMs: 60_000, buckets: true });
      const { events: others, ...plain } = drawSchedule(seed, { safetyMs: 60_000, buckets: false });
      expect(rest).toEqual(plain);
      const created = events.filter(({ fault }) => fault.type === 'create-bucket');
      expect(events.filter((event) => !created.includes(event))).toEqual(others);
      const buckets = new Set(created.map(({ fault }) => (fault.type === 'create-bucket' ? fault.bucket : -1)));
      expect(buckets.size).toBe(PLACED_BUCKETS.length);
    }
  });

  test('have stores repaired where that is asked for, and are otherwise as without it', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { events, ...rest } = drawSchedule(seed, { safetyMs: 60_000, salvage: true });
      const { events: others, ...plain } = drawSchedule(seed, { safetyMs: 60_000, salvage: false });
      expect(rest).toEqual(plain);
      const repairs = events.filter(({ fault }) => fault.type === 'salvage');
      expect(repairs.length).toBeGreaterThan(0);
      expect(events.filter((event) => !repairs.includes(event))).toEqual(others);
    }
  });

  test('have clients of strong buckets in most runs, and are otherwise as without them', () => {
    for (let seed = 0; seed < 20; seed++) {
      const schedule = drawSchedule(seed, { safetyMs: 60_000, strong: true });
      expect({ ...schedule, strong: false }).toEqual(drawSchedule(seed, { safetyMs: 60_000, strong: false }));
    }
    const drawn = Array.from({ length: 100 }, (_, seed) => drawSchedule(seed, { safetyMs: 1000 }).strong);
    expect(drawn.filter((strong) => strong).length).toBeGreaterThan(55);
    expect(drawn).toContain(false);
  });

  test('have commands of operators where they are asked for, and are otherwise as without them', () => {
    const kinds = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const { events, ...rest } = drawSchedule(seed, { safetyMs: 60_000, ring: true });
      const { events: others, ...plain } = drawSchedule(seed, { safetyMs: 60_000, ring: false });
      expect(rest).toEqual(plain);
      const commands = events.filter(({ fault }) => fault.type in RING_FAULT_KINDS);
      expect(events.filter((event) => !commands.includes(event))).toEqual(others);
      for (const { fault } of commands) kinds.add(fault.type);
      expect(commands.length).toBeGreaterThan(0);
    }
    expect(kinds).toEqual(new Set(Object.keys(RING_FAULT_KINDS)));
  });

  test('are plain data, and the same for the same seed', () => {
    const schedule = drawSchedule(7, { safetyMs: 60_000, nodes: 5 });
    expect(schedule.nodes).toBe(5);
    expect(JSON.parse(JSON.stringify(schedule))).toEqual(drawSchedule(7, { safetyMs: 60_000, nodes: 5 }));
  });
});
