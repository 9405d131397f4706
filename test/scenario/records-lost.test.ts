import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { Change, Coverage } from '../../src/protocol/node/watch-relay.ts';
import { indexChecker } from '../simulation/checkers/index-rows.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import type { VirtualDisk } from '../simulation/virtual-disk.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  keyWhere,
  mutate,
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** A store that was repaired, or skipped part of its log: records are gone, or old ones are back, and nobody can name them. */

const KEY = 'k';
const NEW_ACTOR = '00000000000000bb';

type Three = readonly [SimNode, SimNode, SimNode];

function story(): { cluster: SimCluster; three: Three; shard: number; dot: string } {
  const cluster = formed(3);
  const three = cluster.nodes as unknown as Three;
  const shard = ringOf(three[0]).shardOf(BUCKET, KEY);
  const dot = dotText(dotOf(mutate(cluster, three[0], KEY, put('acknowledged'), 'all')()));
  // Every owner covers it, and no index names it any more.
  const isStripped = ({ disk }: SimNode): boolean => disk.floors.get(shard)?.isEmpty === false;
  expect(cluster.runUntil(() => three.every(isStripped), 60_000)).toBe(true);
  return { cluster, three, shard, dot };
}

/** The process dies, the disk loses something, and the next start makes what it can of it. */
function damage(cluster: SimCluster, node: SimNode, lose: (disk: VirtualDisk) => void): void {
  cluster.crash(node);
  lose(node.disk);
  cluster.replaceDisk(node, node.disk.salvaged(NEW_ACTOR));
}

function expectShown(
  cluster: SimCluster,
  { three, shard, dots }: { three: Three; shard: number; dots: string[] },
): void {
  settle(cluster);
  expect(indexChecker(cluster).check()).toEqual([]);
  for (const node of three) {
    const reply = ask(cluster, node, { type: 'get', bucket: BUCKET, key: KEY, level: 'all', session: null })();
    expect(reply).toMatchObject({ type: 'get', complete: true });
    expect(dotsOn(node, shard, KEY)).toEqual(dots);
  }
}

describe('records that are lost without a name', () => {
  test('all objects: nothing is deleted', () => {
    const { cluster, three, shard, dot } = story();
    damage(cluster, three[2], (disk) => disk.objects.clear());
    cluster.start(three[2]);
    expectShown(cluster, { three, shard, dots: [dot] });
  });

  test('the record of the shard: what only this disk has is not lost', () => {
    const { cluster, three, shard } = story();
    const [first, second, third] = three;
    cluster.partition([first, second], [third]);
    cluster.run(DISCONNECT_MS);
    const dot = dotText(dotOf(mutate(cluster, third, KEY, put('only here'), 'one')()));
    cluster.run(1000);
    damage(cluster, third, (disk) => {
      disk.shards.delete(shard);
      disk.floors.delete(shard);
    });
    cluster.heal();
    cluster.start(third);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toContain(dot);
  });

  test('the newer of two versions of an object: the older one does not come back', () => {
    const { cluster, three, shard } = story();
    const [first, , third] = three;
    const id = `${BUCKET}\0${KEY}`;
    const older = third.disk.objects.get(shard)?.get(id);
    const dot = dotText(dotOf(mutate(cluster, first, KEY, put('newer'), 'all')()));
    cluster.run(30_000);
    damage(cluster, third, (disk) => void disk.objects.get(shard)?.set(id, older ?? expect.unreachable()));
    cluster.start(third);
    expectShown(cluster, { three, shard, dots: [dot] });
  });

  test('the delete of an object: it stays deleted', () => {
    const { cluster, three, shard } = story();
    const [first, , third] = three;
    const id = `${BUCKET}\0${KEY}`;
    const older = third.disk.objects.get(shard)?.get(id);
    mutate(cluster, first, KEY, { type: 'delete' }, 'all')();
    cluster.run(30_000);
    damage(cluster, third, (disk) => void disk.objects.get(shard)?.set(id, older ?? expect.unreachable()));
    cluster.start(third);
    expectShown(cluster, { three, shard, dots: [] });
  });

  test.each([true, false])(
    'what an event had replaced is not known here, and comes back nowhere (index: %s)',
    (index) => {
      const { cluster, three, shard } = story();
      const [first, second, third] = three;
      cluster.crash(second);
      const dot = dotText(dotOf(mutate(cluster, first, KEY, put('newer'), 'quorum')()));
      cluster.run(1000);
      damage(cluster, third, (disk) => {
        if (!index) disk.dots.clear();
      });
      // The one who knows it is away, the one who has the older value is there.
      cluster.crash(first);
      cluster.start(second);
      cluster.start(third);
      const read = ask(cluster, second, { type: 'get', bucket: BUCKET, key: KEY, level: 'quorum', session: null });
      expect(read()).toMatchObject({ type: 'get', complete: false });
      cluster.run(30_000);
      cluster.start(first);
      expectShown(cluster, { three, shard, dots: [dot] });
    },
  );

  test('of two disks out of three: each has from the other and the third what it lacks', () => {
    const { cluster, three, shard, dot } = story();
    const [first, second, third] = three;
    const key = 'other';
    const written = dotText(dotOf(mutate(cluster, third, key, put('acknowledged'), 'all')()));
    cluster.run(1000);
    damage(cluster, second, (disk) => disk.objects.clear());
    cluster.crash(third);
    cluster.replaceDisk(third, third.disk.salvaged('00000000000000cc'));
    cluster.start(second);
    cluster.start(third);
    expectShown(cluster, { three, shard, dots: [dot] });
    const where = ringOf(first).shardOf(BUCKET, key);
    for (const node of three) expect(dotsOn(node, where, key)).toEqual([written]);
  });

  test('what only this disk has arrives at another as a whole, also if the disk is lost on the way', () => {
    const { cluster, three, shard } = story();
    const [first, second, third] = three;
    cluster.partition([first, second], [third]);
    cluster.run(DISCONNECT_MS);
    const dot = dotText(dotOf(mutate(cluster, third, KEY, put('only here'), 'one')()));
    cluster.run(1000);
    damage(cluster, third, (disk) => disk.dots.clear());
    cluster.heal();
    cluster.start(third);
    const isThere = (): boolean => [first, second].some((node) => dotsOn(node, shard, KEY).includes(dot));
    expect(cluster.runUntil(isThere, 60_000, 0.5)).toBe(true);
    cluster.crash(third);
    cluster.replaceDisk(third);
    cluster.start(third);
    settle(cluster);
    for (const node of three) expect(dotsOn(node, shard, KEY)).toContain(dot);
  });

  test('what a delete had replaced is forgotten with it', () => {
    const { cluster, three, shard } = story();
    const [first, , third] = three;
    const name = { bucket: BUCKET, key: KEY };
    cluster.crash(third);
    const written = dotOf(mutate(cluster, first, KEY, put('newer'), 'quorum')());
    cluster.run(1000);
    damage(cluster, third, (disk) => {
      // It had deleted what it has not got yet, and is the only one to know.
      const object = { entries: [], past: CausalContext.fromDots([written]) };
      disk.apply({ table: 'object', shard, name, value: object });
    });
    cluster.start(third);
    expectShown(cluster, { three, shard, dots: [dotText(written)] });
  });

  test('a restart before all is back changes nothing', () => {
    const { cluster, three, shard } = story();
    const [first, second, third] = three;
    cluster.crash(second);
    const dot = dotText(dotOf(mutate(cluster, first, KEY, put('newer'), 'quorum')()));
    cluster.run(1000);
    damage(cluster, third, () => undefined);
    cluster.crash(first);
    cluster.start(third);
    cluster.start(second);
    cluster.run(5000);
    cluster.crash(third);
    cluster.start(third);
    cluster.run(5000);
    cluster.start(first);
    expectShown(cluster, { three, shard, dots: [dot] });
  });

  test('who watches it reads everything again once it is complete: not all that is gone may have been told', () => {
    const cluster = formed(4);
    const [watching, ...others] = cluster.nodes as unknown as readonly [SimNode, ...SimNode[]];
    const ring = ringOf(watching);
    const key = keyWhere(ring, (id) => !ring.owners(id).includes(watching.id));
    const shard = ring.shardOf(BUCKET, key);
    const [first, second, third] = others as unknown as Three;
    // One other owner alone does not make it complete.
    cluster.partition([second], [first, third, watching]);
    damage(cluster, third, () => undefined);
    cluster.start(third);
    cluster.run(DISCONNECT_MS);
    const told: number[] = [];
    cluster.observers.push({
      changed: (_, change) => void (change.key === key && told.push(change.entries.length)),
    });
    cluster.watch(watching, [BUCKET]);
    const coverage = (): Coverage => watching.running?.node.watchCoverage(BUCKET) ?? new Map();
    expect(cluster.runUntil(() => coverage().has(third.id), 10_000)).toBe(true);
    mutate(cluster, first, key, put('value'), 'one')();
    expect(cluster.runUntil(() => told.length > 0 && dotsOn(third, shard, key).length > 0, 10_000)).toBe(true);
    const relied = coverage();
    const isStale = (): boolean => watching.running?.node.isWatchStale(BUCKET, relied) === true;

    cluster.block(first, watching);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, first, key, { type: 'delete' }, 'one')();
    expect(cluster.runUntil(() => dotsOn(third, shard, key).length === 0, 10_000)).toBe(true);
    cluster.run(1000);
    expect([told, isStale()]).toEqual([[1, 0], false]);
    for (const link of [third.links.get(second.id), second.links.get(third.id)])
      if (link !== undefined) link.blocks = 0;
    cluster.run(60_000);
    expect([...coverage().keys()].sort()).toEqual([third.id, watching.id].sort());
    expect([told, isStale()]).toEqual([[1, 0], true]);
  });

  test('it is complete, and says so, when those that it waits for are removed from the cluster', () => {
    const cluster = formed(2);
    const [first, second] = cluster.nodes as unknown as readonly [SimNode, SimNode];
    cluster.crash(first);
    damage(cluster, second, () => undefined);
    cluster.start(second);
    cluster.run(DISCONNECT_MS);
    const complete: number[] = [];
    cluster.observers.push({
      event: (_, event) => void (event.type === 'shard-complete' && complete.push(event.shard)),
    });
    expect(cluster.changeRing(second, first, { place: 'removed' })).toBe(true);
    cluster.run(DISCONNECT_MS);
    const { shards } = second.disk;
    expect([...shards.values()].every((shard) => shard.complete)).toBe(true);
    expect(complete.sort((a, b) => a - b)).toEqual([...shards.keys()].sort((a, b) => a - b));
  });
});

test('a replica that is not sure of what it has tells what a change has replaced', () => {
  const cluster = formed(3);
  const [first, second] = cluster.nodes as [SimNode, SimNode];
  const dot = dotOf(mutate(cluster, second, 'k', put('value'), 'all')());
  cluster.crash(first);
  cluster.run(DISCONNECT_MS);
  mutate(cluster, second, 'k', { type: 'delete' }, 'quorum')();
  cluster.replaceDisk(first, first.disk.salvaged(NEW_ACTOR));
  cluster.start(first);
  cluster.watch(first, [BUCKET]);
  const { watches } = (first.running as unknown as { node: { watches: { handleLocal: (change: Change) => void } } })
    .node;
  const told: Change[] = [];
  const handle = watches.handleLocal.bind(watches);
  watches.handleLocal = (change) => {
    told.push(change);
    handle(change);
  };
  expect(cluster.runUntil(() => told.some(({ key }) => key === 'k'), 60_000)).toBe(true);
  // An answer from before the delete, which may still be on its way, does not bring it back.
  const [change] = told.filter(({ key }) => key === 'k');
  expect(change?.entries).toEqual([]);
  expect(change?.context.has(dot)).toBe(true);
});
