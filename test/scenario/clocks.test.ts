import { describe, expect, test } from 'vitest';
import { hlcWallMs } from '../../src/lib/hlc.ts';
import { believed } from '../../src/protocol/causal/mark.ts';
import { readCounter, readRegister } from '../../src/protocol/causal/value.ts';
import type { NodeEvent } from '../../src/protocol/node/effect.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { WALL_START_MS } from '../simulation/node-clock.ts';
import {
  BUCKET,
  DISCONNECT_MS,
  formed,
  keyWhere,
  mutate,
  onDisk,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

const YEAR_MS = 365 * 86_400_000;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** What a clock without a battery shows after a power cut. */
const TO_1970_MS = -WALL_START_MS;
const DRIFT_MS = 60_000;
const decoder = new TextDecoder();

type Three = readonly [SimNode, SimNode, SimNode];

function three(): { cluster: SimCluster; nodes: Three } {
  const cluster = formed(3);
  cluster.run(2000);
  return { cluster, nodes: cluster.nodes as unknown as Three };
}

function textOn(node: SimNode, key: string): string | undefined {
  const found = readRegister(onDisk(node, ringOf(node).shardOf(BUCKET, key), key));
  return found === undefined ? undefined : decoder.decode(found.payload.value);
}

/** How far the time is off that a node works with. */
function errorMs(cluster: SimCluster, { running, clock }: SimNode): number {
  return (running?.node.wallMs(clock.now()) ?? 0) - WALL_START_MS - cluster.clock.nowMs;
}

test('a value lives by the clock of the node that has set its expiry, not of the one that was forwarded the write', () => {
  const { cluster, nodes } = three();
  const [wrong] = nodes;
  isolate(cluster, wrong);
  wrong.clock.jump(YEAR_MS);
  cluster.run(10_000);
  const expiresAtMs = WALL_START_MS + cluster.clock.nowMs + DAY_MS;
  mutate(cluster, wrong, 'k', putFor('value', expiresAtMs), 'one')();
  cluster.run(10_000);
  wrong.clock.jump(-YEAR_MS);
  cluster.heal();
  settle(cluster);
  cluster.run(10_000);
  for (const node of nodes) expect(textOn(node, 'k')).toBe('value');
});

function stampsOf(nodes: readonly SimNode[]): number[] {
  return nodes.flatMap(({ disk }) =>
    [...disk.objects.values()].flatMap((rows) =>
      [...rows.values()].flatMap(({ object }) => believed(object.entries).map(({ hlc }) => hlcWallMs(hlc))),
    ),
  );
}

function putFor(text: string, expiresAtMs: number): ReturnType<typeof put> {
  return { ...put(text), expiresAtMs } as ReturnType<typeof put>;
}

function wallMs(node: SimNode): number {
  return node.running?.node.wallMs(node.clock.now()) ?? 0;
}

function isolate(cluster: SimCluster, node: SimNode): void {
  cluster.partition(
    [node],
    cluster.nodes.filter((other) => other !== node),
  );
  cluster.run(DISCONNECT_MS);
}

describe('wrong clocks', () => {
  test.each([
    ['a year ahead', YEAR_MS],
    ['a day behind', -DAY_MS],
    ['at 1970', TO_1970_MS],
  ])('a node %s works with the time of the others, and says so', (_, byMs) => {
    const { cluster, nodes } = three();
    const [wrong, other] = nodes;
    const events: NodeEvent[] = [];
    cluster.observers.push({ event: (_node, event) => void events.push(event) });
    wrong.clock.jump(byMs);
    for (const [at, key] of [
      [wrong, 'a'],
      [other, 'b'],
    ] as const) {
      expect(mutate(cluster, at, key, put('x'), 'all')()).toMatchObject({ type: 'mutate', quorum: 'strict' });
    }
    expect(Math.abs(errorMs(cluster, wrong))).toBeLessThan(1000);
    for (const stampMs of stampsOf(nodes)) {
      expect(Math.abs(stampMs - WALL_START_MS - cluster.clock.nowMs)).toBeLessThan(DRIFT_MS);
    }
    wrong.clock.jump(-byMs);
    cluster.run(2000);
    expect(events.filter(({ type }) => type.startsWith('clock'))).toEqual([
      { type: 'clock-wrong', offsetMs: expect.closeTo(byMs, -3) as number },
      { type: 'clock-right' },
    ]);
  });

  test('a restarted node with a wrong clock has the right time as soon as it is connected', () => {
    const { cluster, nodes } = three();
    const [wrong] = nodes;
    cluster.crash(wrong);
    wrong.clock.jump(YEAR_MS);
    cluster.run(2000);
    cluster.start(wrong);
    expect(cluster.runUntil(() => Math.abs(errorMs(cluster, wrong)) < 1000, 3000)).toBe(true);
  });

  test('what a node a year ahead acknowledged while it was cut off reaches the others, and does not outbid them', () => {
    const { cluster, nodes } = three();
    const [wrong, right] = nodes;
    isolate(cluster, wrong);
    wrong.clock.jump(YEAR_MS);
    cluster.run(6000);
    mutate(cluster, wrong, 'alone', put('kept'), 'one')();
    mutate(cluster, wrong, 'both', put('by the wrong clock'), 'one')();
    mutate(cluster, wrong, 'count', { type: 'increment', by: 5 }, 'one')();
    mutate(cluster, right, 'both', put('by a true one'), 'quorum')();
    mutate(cluster, right, 'count', { type: 'increment', by: 2 }, 'quorum')();
    cluster.heal();
    settle(cluster);
    for (const node of nodes) {
      expect(textOn(node, 'alone')).toBe('kept');
      expect(textOn(node, 'both')).toBe('by a true one');
      expect(readCounter(onDisk(node, ringOf(node).shardOf(BUCKET, 'count'), 'count'))).toBe(7);
    }
    expect(Math.max(...stampsOf(nodes))).toBeLessThan(WALL_START_MS + cluster.clock.nowMs + DRIFT_MS);
  });

  test('a cluster that was a year ahead goes on with its keys once its clocks are set, and fills a new disk', () => {
    const { cluster, nodes } = three();
    for (const node of nodes) node.clock.jump(YEAR_MS);
    cluster.run(10_000);
    const [first, second, third] = nodes;
    const before = Array.from({ length: 20 }, (_, index) => `k${index}`);
    for (const key of before) mutate(cluster, first, key, put(key), 'all')();
    mutate(cluster, first, 'count', { type: 'increment', by: 5 }, 'all')();
    for (const node of nodes) node.clock.jump(-YEAR_MS);
    cluster.run(10_000);
    expect(mutate(cluster, second, 'k0', put('later'), 'all')()).toMatchObject({ type: 'mutate' });
    for (const node of nodes) {
      expect(mutate(cluster, node, 'count', { type: 'increment', by: 1 }, 'all')()).toMatchObject({ type: 'mutate' });
    }
    cluster.crash(third);
    cluster.replaceDisk(third);
    cluster.run(2000);
    cluster.start(third);
    cluster.run(5000);
    settle(cluster);
    for (const node of nodes) {
      expect(textOn(node, 'k0')).toBe('later');
      for (const key of before.slice(1)) expect(textOn(node, key)).toBe(key);
      expect(readCounter(onDisk(node, ringOf(node).shardOf(BUCKET, 'count'), 'count'))).toBe(8);
    }
  });

  test('after a power cut with all clocks at 1970 nothing is lost, refused or stuck', () => {
    const { cluster, nodes } = three();
    const [first, second, third] = nodes;
    mutate(cluster, first, 'old', put('from before'), 'all')();
    mutate(cluster, first, 'again', put('from before'), 'all')();
    mutate(cluster, first, 'timed', putFor('from before', wallMs(first) + HOUR_MS), 'all')();
    for (const node of nodes) {
      cluster.crash(node);
      node.clock.jump(TO_1970_MS - cluster.clock.nowMs);
    }
    cluster.replaceDisk(third);
    for (const node of nodes) cluster.start(node);
    cluster.run(10_000);
    settle(cluster);
    expect(textOn(third, 'old')).toBe('from before');
    expect(mutate(cluster, second, 'old', put('changed'), 'all')()).toMatchObject({ type: 'mutate' });
    mutate(cluster, second, 'new', putFor('in 1970', wallMs(second) + HOUR_MS), 'all')();
    mutate(cluster, second, 'again', putFor('in 1970', wallMs(second) + HOUR_MS), 'all')();
    mutate(cluster, second, 'short', putFor('in 1970', wallMs(second) + 20_000), 'all')();
    cluster.run(5000);
    for (const node of nodes) cluster.correctClock(node);
    cluster.run(10_000);
    settle(cluster);
    for (const node of nodes) {
      expect(textOn(node, 'old')).toBe('changed');
      expect(textOn(node, 'timed')).toBe('from before');
      expect(textOn(node, 'new')).toBe('in 1970');
      expect(textOn(node, 'again')).toBe('in 1970');
    }
    cluster.run(60_000);
    for (const node of nodes) {
      expect(textOn(node, 'new')).toBe('in 1970');
      expect(textOn(node, 'short')).toBeUndefined();
    }
    cluster.run(HOUR_MS);
    for (const node of nodes) {
      expect(textOn(node, 'timed')).toBeUndefined();
      expect(textOn(node, 'new')).toBeUndefined();
    }
  });

  test('a node that starts alone a year ahead removes nothing, but what it has stamped itself', () => {
    const { cluster, nodes } = three();
    const [wrong, right] = nodes;
    mutate(cluster, right, 'k', putFor('lives', wallMs(right) + HOUR_MS), 'all')();
    cluster.crash(wrong);
    cluster.partition([wrong], [right, nodes[2]]);
    wrong.clock.jump(YEAR_MS);
    cluster.start(wrong);
    cluster.run(5000);
    mutate(cluster, wrong, 'own', putFor('passes', wallMs(wrong) + 3000), 'one')();
    cluster.run(60_000);
    expect(textOn(wrong, 'k')).toBe('lives');
    expect(textOn(wrong, 'own')).toBeUndefined();
    cluster.heal();
    settle(cluster);
    for (const node of nodes) expect(textOn(node, 'k')).toBe('lives');
  });

  test('a node that is the only one left in the ring, and cut off, removes nothing when its clock goes a year ahead', () => {
    const { cluster, nodes } = three();
    const [last, ...others] = nodes;
    mutate(cluster, last, 'k', putFor('value', wallMs(last) + DAY_MS), 'all')();
    for (const other of others) expect(cluster.changeRing(last, other, { place: 'out' })).toBe(true);
    settle(cluster);
    isolate(cluster, last);
    last.clock.jump(YEAR_MS);
    cluster.run(10_000);
    last.clock.jump(-YEAR_MS);
    cluster.heal();
    settle(cluster);
    expect(textOn(last, 'k')).toBe('value');
  });

  test('two nodes that disagree each keep their clock', () => {
    const cluster = formed(2);
    const [wrong, right] = cluster.nodes as [SimNode, SimNode];
    cluster.run(2000);
    wrong.clock.jump(YEAR_MS);
    cluster.run(30_000);
    expect(Math.round(errorMs(cluster, wrong) / YEAR_MS)).toBe(1);
    expect(Math.abs(errorMs(cluster, right))).toBeLessThan(1000);
  });

  test('a hint by a wrong clock does not bring back what another one did and a client has deleted since', () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const key = keyWhere(ring, (shard) => !ring.isOwner(shard, cluster.nodes[0]?.id ?? ''));
    const shard = ring.shardOf(BUCKET, key);
    const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
    const [first, second] = cluster.nodes.filter(({ id }) => !ring.isOwner(shard, id)) as [SimNode, SimNode];
    cluster.partition([first, second], owners);
    cluster.run(DISCONNECT_MS);
    for (const node of [first, second]) node.clock.jump(YEAR_MS);
    cluster.run(10_000);
    const reply = mutate(cluster, first, key, put('x'), 'one')();
    expect(reply).toMatchObject({ type: 'mutate', quorum: 'sloppy' });
    cluster.run(1000);
    expect([first.disk.hints.size, second.disk.hints.size]).toEqual([1, 1]);
    for (const node of [first, second]) node.clock.jump(-YEAR_MS);
    cluster.run(10_000);
    cluster.heal();
    cluster.partition([second], [first, ...owners]);
    expect(cluster.runUntil(() => first.disk.hints.size === 0, SETTLE_MS)).toBe(true);
    for (const owner of owners) expect(textOn(owner, key)).toBe('x');
    mutate(cluster, first, key, { type: 'delete' }, 'quorum')();
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(onDisk(owner, shard, key)).toEqual([]);
  });

  test('asking for the time costs less than 10 bytes a second and node', () => {
    const { cluster, nodes } = three();
    let bytes = 0;
    cluster.observers.push({
      message: (_from, _to, message, size) => {
        if (message.type === 'clock-ask' || message.type === 'clock-tell') bytes += size;
      },
    });
    cluster.run(120_000);
    expect(bytes).toBeGreaterThan(0);
    expect(bytes / nodes.length / 120).toBeLessThan(10);
  });
});
