import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { dotText } from '../../src/protocol/causal/dot.ts';
import { type SyncItem, WHOLE } from '../../src/protocol/replication/message.ts';
import type { ShardRecord } from '../../src/protocol/replication/record.ts';
import { boundsChecker } from '../simulation/checkers/bounds.ts';
import { indexChecker } from '../simulation/checkers/index-rows.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { FAIR_WEATHER } from '../simulation/weather.ts';
import { COVERED, EVENT, NAME as LONE_NAME, LoneReplica, OBJECT } from '../support/lone-replica.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  keyWhere,
  mutate,
  nodesOf,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

/** Bugs that the simulator found around records that fail their checksum, each as the shortest story that shows it. */

const KEY = 'k';
const NAME = { bucket: BUCKET, key: KEY };
/** More keys than a node keeps in memory. */
const MANY = 80;
const RUNS = 24;

type Three = readonly [SimNode, SimNode, SimNode];

/** Three nodes that own everything; the key is written with the first and the second up. */
function written(level: 'quorum' | 'all' = 'quorum'): {
  cluster: SimCluster;
  three: Three;
  shard: number;
  dot: string;
} {
  const cluster = formed(3);
  const three = cluster.nodes as unknown as Three;
  const shard = ringOf(three[0]).shardOf(BUCKET, KEY);
  if (level === 'quorum') cluster.crash(three[2]);
  const dot = dotText(dotOf(mutate(cluster, three[0], KEY, put('value'), level)()));
  cluster.run(1000);
  return { cluster, three, shard, dot };
}

function covers(node: SimNode, shard: number, dot: string): boolean {
  const [actor = '', counter = ''] = dot.split('-');
  return node.disk.shards.get(shard)?.context.has({ actor, counter: Number(counter) }) === true;
}

function isStripped({ disk }: SimNode, shard: number): boolean {
  return disk.floors.get(shard)?.isEmpty === false;
}

/**
 * The node is started again and again, and writes keys of the shard each time. A member is away that could confirm its
 * counters, so each run leaves a gap before its events: the index is to be searched range by range.
 */
function writeWithGaps(cluster: SimCluster, node: SimNode, shard: number): void {
  const { ring } = node.running?.node ?? expect.unreachable();
  let tried = 0;
  for (let run = 0; run < RUNS; run++) {
    cluster.crash(node);
    cluster.start(node);
    cluster.run(2000);
    while (ring.shardOf(BUCKET, `other/${tried}`) !== shard) tried++;
    expect(mutate(cluster, node, `other/${tried++}`, put('other'), 'quorum')()).toMatchObject({ applied: true });
  }
  const ranges = node.disk.shards.get(shard)?.context.ranges() ?? [];
  expect(ranges.length).toBeGreaterThan(RUNS / 2);
}

function scrub(cluster: SimCluster, node: SimNode): void {
  node.disk.scrub((shard, name) => cluster.reportLost(node, shard, name));
}

describe('a bad record', () => {
  test('that is found while it is being sent does not tell the peer that the key is deleted', () => {
    const { cluster, three, shard, dot } = written();
    const [first, second, third] = three;
    cluster.crash(first);
    cluster.crash(second);
    first.disk.damage(shard, NAME);
    cluster.start(first);
    cluster.start(third);
    cluster.run(20_000);
    expect(covers(third, shard, dot)).toBe(false);
    cluster.start(second);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  });

  test('that is found when a delete of the key arrives does not undo the delete', () => {
    const { cluster, three, shard, dot } = written('all');
    const [first, second, third] = three;
    cluster.crash(second);
    cluster.crash(third);
    const deleted = dotText(dotOf(mutate(cluster, first, KEY, { type: 'delete' }, 'one')()));
    third.disk.damage(shard, NAME);
    cluster.start(third);
    // The one that deleted it goes as soon as the third has heard of it, and before it can send the lost event again.
    expect(cluster.runUntil(() => covers(third, shard, deleted), 20_000, 0.1)).toBe(true);
    cluster.crash(first);
    expect(covers(third, shard, dot)).toBe(false);
    cluster.start(second);
    expect(cluster.runUntil(() => covers(third, shard, dot), 60_000)).toBe(true);
    expect(dotsOn(third, shard, KEY)).toEqual([]);
    cluster.start(first);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([]);
  });

  test('that is found while a read waits for another owner does not hide the value', () => {
    const { cluster, three, shard } = written('all');
    const [first] = three;
    let found = 0;
    cluster.observers.push({ event: (_node, { type }) => void (found += type === 'object-lost' ? 1 : 0) });
    cluster.weather = { ...FAIR_WEATHER, latencyMinMs: 100, latencyMaxMs: 120 };
    const read = ask(cluster, first, { type: 'get', bucket: BUCKET, key: KEY, level: 'quorum', session: null });
    cluster.run(50);
    first.disk.damage(shard, NAME);
    for (let i = 0; i < MANY; i++)
      ask(cluster, first, { type: 'get', bucket: BUCKET, key: `other/${i}`, level: 'one', session: null });
    cluster.run(50);
    const reply = read();
    expect(found).toBe(1);
    expect(reply).toMatchObject({ type: 'get', complete: true });
    expect(reply.type === 'get' ? reply.entries : []).toHaveLength(1);
  });

  test('is found again after a crash that came before the loss was synced', () => {
    const { cluster, three, shard, dot } = written('all');
    const [first] = three;
    cluster.crash(first);
    first.disk.damage(shard, NAME);
    cluster.start(first);
    cluster.run(5000);
    first.troubles.syncMaxMs.push(5000);
    cluster.weather = { ...FAIR_WEATHER, syncMinMs: 3000 };
    scrub(cluster, first);
    cluster.run(1000);
    expect(covers(first, shard, dot)).toBe(true);
    cluster.crash(first);
    first.troubles.syncMaxMs.pop();
    cluster.weather = FAIR_WEATHER;
    cluster.start(first);
    scrub(cluster, first);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  });

  test('whose index rows are stripped while they are looked for leaves the floor covered', () => {
    /** Written by all, and no more in the memory of the first. */
    const forgotten = (): ReturnType<typeof written> => {
      const story = written('all');
      const [first] = story.three;
      for (let i = 0; i < MANY; i++) {
        ask(story.cluster, first, { type: 'get', bucket: BUCKET, key: `other/${i}`, level: 'one', session: null });
      }
      story.cluster.run(50);
      return story;
    };
    const rehearsal = forgotten();
    const { floors } = rehearsal.three[0].disk;
    expect(rehearsal.cluster.runUntil(() => floors.has(rehearsal.shard), 60_000, 0.1)).toBe(true);
    for (let earlyMs = 0.5; earlyMs < 10; earlyMs += 0.5) {
      const { cluster, three, shard } = forgotten();
      const [first] = three;
      cluster.run(rehearsal.cluster.clock.nowMs - earlyMs - cluster.clock.nowMs);
      first.disk.damage(shard, NAME);
      cluster.reportLost(first, shard, NAME);
      cluster.run(100);
      const { context } = first.disk.shards.get(shard) as ShardRecord;
      expect(context.covers(first.disk.floors.get(shard) ?? new CausalContext())).toBe(true);
      settle(cluster);
      expect(indexChecker(cluster).check()).toEqual([]);
    }
  });

  test('that is found by another owner that asks for its copy of it does not pass for a delete', () => {
    const { cluster, three, shard, dot } = written('all');
    const bounds = boundsChecker(cluster);
    cluster.observers.push(bounds);
    const [first, second, third] = three;
    expect(cluster.runUntil(() => three.every((node) => isStripped(node, shard)), 60_000)).toBe(true);
    // So that it is in nobody's memory.
    for (const node of [first, second]) {
      cluster.crash(node);
      node.disk.damage(shard, NAME);
      cluster.start(node);
    }
    cluster.run(5000);
    cluster.crash(third);
    scrub(cluster, first);
    cluster.run(20_000);
    cluster.start(third);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
    // What the other lacked is not kept once the third has sent it.
    cluster.run(20_000);
    expect(bounds.check()).toEqual([]);
  });

  test.each(['is away', 'is cut off from it'] as const)(
    'that is missing from a comparison with a new disk is not deleted there and everywhere, while the third %s',
    (third) => {
      const { cluster, three, shard, dot } = written('all');
      const [a, b, c] = three;
      // Every owner covers it: no index names it any more.
      expect(cluster.runUntil(() => three.every((node) => isStripped(node, shard)), 60_000)).toBe(true);
      cluster.run(5000);
      // The lost disk has died before the events that make the search for the lost key's in the index a long one.
      cluster.crash(third === 'is away' ? c : a);
      writeWithGaps(cluster, b, shard);
      cluster.run(20_000);
      cluster.crash(a);
      cluster.crash(b);
      cluster.replaceDisk(a);
      if (third === 'is cut off from it') cluster.block(a, c);
      b.disk.damage(shard, NAME);
      cluster.weather = { ...FAIR_WEATHER, latencyMinMs: 0.1, latencyMaxMs: 0.2, syncMinMs: 0.1, syncMaxMs: 0.2 };
      let found = 0;
      cluster.observers.push({
        event: (node, { type }) => void (found += node === b && type === 'object-lost' ? 1 : 0),
      });
      cluster.start(a);
      cluster.start(b);
      cluster.run(10_000);
      expect(found).toBe(1);
      cluster.start(c);
      cluster.heal();
      settle(cluster);
      for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
    },
  );

  test.each([
    ['an owner', 'back'],
    ['a former owner', 'back'],
    ['an owner', 'removed'],
    ['a former owner', 'removed'],
  ])(
    'on %s, of a key that new owners have not got yet, waits for those who are away until they are %s',
    (place, end) => {
      const cluster = formed(5);
      const ring = ringOf(cluster.nodes[0] as SimNode);
      const shard = ring.shardOf(BUCKET, KEY);
      const nodes = nodesOf(cluster, ring.preference(shard));
      const [damaged, second, third, ...further] = nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
      const dot = dotText(dotOf(mutate(cluster, damaged, KEY, put('value'), 'all')()));
      const isFloor = (): boolean => [damaged, second, third].every((node) => isStripped(node, shard));
      expect(cluster.runUntil(isFloor, 300_000)).toBe(true);
      for (const node of [damaged, second, third]) cluster.crash(node);
      damaged.disk.damage(shard, NAME);
      cluster.start(damaged);
      cluster.run(DISCONNECT_MS);
      for (const gone of place === 'an owner' ? [second, third] : [second, third, damaged]) {
        expect(cluster.changeRing(further[0], gone, { place: 'out' })).toBe(true);
      }
      cluster.run(60_000);
      for (const node of [second, third]) {
        if (end === 'back') cluster.start(node);
        else expect(cluster.changeRing(further[0], node, { place: 'removed' })).toBe(true);
      }
      // Then nobody has it any more, and the others are complete without.
      const dots = end === 'back' ? [dot] : [];
      const isOver = (): boolean =>
        [damaged, ...further].every((node) => node.running?.node.replicationStats().shards.transferring === 0);
      if (end === 'back') settle(cluster);
      else expect(cluster.runUntil(isOver, SETTLE_MS)).toBe(true);
      const owners = place === 'an owner' ? [damaged, ...further] : further;
      for (const node of owners) expect(dotsOn(node, shard, KEY)).toEqual(dots);
    },
  );

  test('is made up for by a damaged disk where nobody else has the key', () => {
    const { cluster, three, shard, dot } = written('all');
    const [first, second, third] = three;
    expect(cluster.runUntil(() => three.every((node) => isStripped(node, shard)), 60_000)).toBe(true);
    cluster.run(5000);
    for (const node of three) cluster.crash(node);
    first.disk.damage(shard, NAME);
    cluster.replaceDisk(second, second.disk.salvaged('00000000000000bb'));
    cluster.replaceDisk(third);
    for (const node of three) cluster.start(node);
    cluster.run(1000);
    scrub(cluster, first);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  });

  test('does not make a hint of its key forgotten that is on the disk', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, KEY);
    const holder = cluster.nodes.find(({ id }) => ring.isOwner(shard, id)) as SimNode;
    const owners = cluster.nodes.filter((node) => node !== holder);
    mutate(cluster, holder, KEY, put('value'), 'all')();
    // It learns alone that it is out: it keeps its copy until the owners have it all.
    cluster.partition([holder], owners);
    cluster.run(DISCONNECT_MS);
    expect(cluster.changeRing(holder, holder, { place: 'out' })).toBe(true);
    const restart = (): void => {
      cluster.run(1000);
      cluster.crash(holder);
      cluster.start(holder);
      cluster.run(2000);
    };
    // In the run that has owned the shard it would take writes as a former owner.
    restart();
    const acknowledged = dotText(dotOf(mutate(cluster, holder, KEY, put('acknowledged'), 'one')()));
    expect(holder.disk.hints.size).toBe(1);
    restart();
    holder.disk.damage(shard, NAME);
    scrub(cluster, holder);
    cluster.run(2000);
    mutate(cluster, holder, KEY, { type: 'increment', by: 1 }, 'one')();
    cluster.heal();
    expect(cluster.runUntil(() => owners.every((node) => covers(node, shard, acknowledged)), SETTLE_MS)).toBe(true);
    settle(cluster);
  });
});

test('a page of a replica that lacks a lost key does not tell those who watch that it is deleted', () => {
  const cluster = formed(4);
  const [watching, ...others] = cluster.nodes as unknown as readonly [SimNode, ...SimNode[]];
  const ring = ringOf(watching);
  const key = keyWhere(ring, (id) => !ring.owners(id).includes(watching.id));
  const shard = ring.shardOf(BUCKET, key);
  const [first, second, third] = others as unknown as Three;
  const told: number[] = [];
  cluster.observers.push({
    changed: (_, change) => void (change.key === key && told.push(change.entries.length)),
  });
  cluster.watch(watching, [BUCKET]);
  cluster.run(10_000);
  mutate(cluster, first, key, put('value'), 'all')();
  for (let i = 0; i < MANY; i++) mutate(cluster, first, `other/${i}`, put('other'), 'all')();
  expect(cluster.runUntil(() => isStripped(third, shard), 60_000)).toBe(true);
  expect(told).toEqual([1]);
  cluster.partition([first, second], [third, watching]);
  cluster.run(DISCONNECT_MS);
  const name = { bucket: BUCKET, key };
  third.disk.damage(shard, name);
  cluster.reportLost(third, shard, name);
  cluster.run(5000);
  expect(dotsOn(third, shard, key)).toEqual([]);
  const page = {
    type: 'list',
    bucket: BUCKET,
    prefix: '',
    after: '',
    limit: 64,
    values: true,
    snapshot: true,
  } as const;
  ask(cluster, watching, page)();
  expect(told).toEqual([1]);
  cluster.heal();
  settle(cluster);
  expect(told).toEqual([1]);
});

/**
 * An owner finds the record of a key bad. Another one has deleted the key, and is sending just that: it knows from before
 * that the value is here. The third, who has not heard of the delete, sends the value before the second sends its event.
 */
test('a value that a restored copy says is deleted does not come back with who has not heard of that', () => {
  const node = new LoneReplica('a');
  const deletion = { actor: 'd'.repeat(16), counter: 1 };
  const context = CausalContext.fromDots([EVENT, deletion]);
  const absent: SyncItem = { ...LONE_NAME, entries: [], past: null, events: new CausalContext(), part: WHOLE };
  const items = (item: SyncItem, from: string, covers: CausalContext): void => {
    const chunk = { shard: 0, sequence: 1, context: covers, items: [item], covered: null };
    node.handle({ type: 'message', from, message: { type: 'sync-objects', chunks: [chunk] } });
    node.answerReads();
  };
  node.lose();
  expect(node.context).toEqual(new CausalContext());
  node.handle({ type: 'message', from: 'b', message: { type: 'sync-fetched', shard: 0, context, items: [absent] } });
  node.answerReads();
  items({ ...absent, events: CausalContext.fromDots([deletion]) }, 'b', context);
  items({ ...absent, entries: OBJECT.entries, events: COVERED }, 'c', COVERED);
  expect(node.onDisk).toBeNull();
});

test('a value that is restored counts at once: its event may have no other copy a moment later', () => {
  const node = new LoneReplica('a');
  node.lose();
  expect(node.context).toEqual(new CausalContext());
  const item: SyncItem = {
    ...LONE_NAME,
    entries: OBJECT.entries,
    past: null,
    events: new CausalContext(),
    part: WHOLE,
  };
  node.handle({
    type: 'message',
    from: 'b',
    message: { type: 'sync-fetched', shard: 0, context: COVERED, items: [item] },
  });
  node.answerReads();
  expect(node.onDisk).toEqual(OBJECT);
  expect(node.context).toEqual(COVERED);
});
