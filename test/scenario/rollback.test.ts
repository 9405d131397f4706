import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { nameId } from '../../src/protocol/replication/record.ts';
import type { ClientReply, Level } from '../../src/protocol/replication/request.ts';
import type { Ring } from '../../src/protocol/ring/ring.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  dotsOn,
  formed,
  keyWhere,
  mutate,
  nodesOf,
  onDisk,
  put,
  ringOf,
  settle,
} from '../support/sim-story.ts';

/** A disk that is restored from an older copy of itself: its events since then are known to others only. */

const KEY = 'k';

interface Story {
  readonly cluster: SimCluster;
  readonly shard: number;
  /** The three owners, and one who is none. */
  readonly restored: SimNode;
  readonly witness: SimNode;
  readonly owner: SimNode;
  readonly other: SimNode;
  /** What the restored disk has acknowledged, on the witness's disk too, since the copy was made. */
  readonly forgotten: string;
}

function story(): Story {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const byId = (id: string): SimNode => cluster.nodes.find((node) => node.id === id) as SimNode;
  const shard = ring.shardOf(BUCKET, KEY);
  const [restored, owner, witness] = ring.owners(shard).map(byId) as [SimNode, SimNode, SimNode];
  const other = cluster.nodes.find(({ id }) => !ring.isOwner(shard, id)) as SimNode;
  mutate(cluster, restored, KEY, put('before'), 'all')();
  cluster.run(5000);
  const copy = restored.disk.clone();
  cluster.partition([restored, witness], [owner, other]);
  cluster.run(DISCONNECT_MS);
  const reply = mutate(cluster, restored, KEY, put('acknowledged'), 'quorum')();
  expect(reply).toMatchObject({ quorum: 'strict' });
  cluster.run(1000);
  cluster.crash(restored);
  cluster.replaceDisk(restored, copy);
  cluster.heal();
  cluster.partition([witness], [restored, owner, other]);
  return { cluster, shard, restored, witness, owner, other, forgotten: dotText(dotOf(reply)) };
}

test('a dot is not used again of which only a member knows that is out of the ring', () => {
  const { cluster, shard, restored, witness, owner, forgotten } = story();
  expect(cluster.changeRing(owner, witness, { place: 'out' })).toBe(true);
  cluster.run(DISCONNECT_MS);
  cluster.start(restored);
  cluster.run(30_000);
  const ring = ringOf(restored);
  const key = keyWhere(ring, (each) => each === shard);
  expect(key).not.toBe(KEY);
  expect(dotText(dotOf(mutate(cluster, restored, key, put('another'), 'quorum')()))).not.toBe(forgotten);
  cluster.run(5000);
  cluster.heal();
  settle(cluster);
  for (const id of ringOf(owner).owners(shard)) {
    const node = cluster.nodes.find((each) => each.id === id) as SimNode;
    expect(dotsOn(node, shard, KEY)).toEqual([forgotten]);
  }
});

/**
 * The restored disk has events of its own since, named after a gap: whoever knows forgotten ones knows of none that is
 * later than those. Its running totals from before are not the latest.
 */
test.each(['at once', 'after another start'])(
  'what was written meanwhile does not hide that a disk is older (%s)',
  (when) => {
    const cluster = formed(3);
    const [restored, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
    const shard = ringOf(restored).shardOf(BUCKET, 'counter');
    const increment = (level: Level): ClientReply =>
      mutate(cluster, restored, 'counter', { type: 'increment', by: 1 }, level)();
    increment('all');
    cluster.run(5000);
    const copy = restored.disk.clone();
    increment('all');
    cluster.run(1000);
    for (const node of cluster.nodes) cluster.crash(node);
    cluster.replaceDisk(restored, copy);
    cluster.start(restored);
    cluster.run(1000);
    increment('one');
    cluster.run(1000);
    if (when !== 'at once') {
      cluster.crash(restored);
      cluster.start(restored);
    }
    const told = new Set<string>();
    let noticed = false;
    cluster.observers.push({
      message: (from, _to, message) => void (message.type === 'counter-report' && told.add(from.name)),
      event: (_node, event) => {
        if (event.type === 'disk-rolled-back') noticed = true;
      },
    });
    for (const node of [second, third]) cluster.start(node);
    expect(cluster.runUntil(() => told.has(second.name) && told.has(third.name), 60_000, 1)).toBe(true);
    cluster.run(2);
    increment('one');
    settle(cluster);
    for (const node of cluster.nodes) expect(readCounter(onDisk(node, shard, 'counter'))).toBe(4);
    expect(noticed).toBe(true);
  },
);

test('an answer that a slow disk held back until the next run says nothing of what was forgotten since', () => {
  // A seed at which the disk is slow enough that two questions wait for it.
  const cluster = formed(3, 3, 2);
  const [restored, slow, third] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(restored).shardOf(BUCKET, 'counter');
  const increment = (level: Level): ClientReply =>
    mutate(cluster, restored, 'counter', { type: 'increment', by: 1 }, level)();
  let questions = 0;
  let answers = 0;
  cluster.observers.push({
    message: (from, to, { type }) => {
      if (type === 'counter-check' && from === restored && to === slow.id) questions++;
      if (type === 'counter-report' && from === slow && to === restored.id) answers++;
    },
  });
  increment('all');
  cluster.run(5000);
  cluster.crash(restored);
  cluster.run(5000);
  slow.troubles.syncMaxMs.push(60_000);
  mutate(cluster, third, 'other', put('to sync'), 'one')();
  cluster.run(500);
  cluster.start(restored);
  // The second question is answered one sync after the first, which confirms that nothing was forgotten so far.
  for (const asked of [1, 2]) {
    expect(cluster.runUntil(() => questions >= asked, 20_000, 1)).toBe(true);
    cluster.run(10);
    mutate(cluster, third, 'other', put(`after question ${asked}`), 'one')();
  }
  expect(cluster.runUntil(() => answers > 0, 60_000, 1)).toBe(true);
  cluster.run(10);
  const copy = restored.disk.clone();
  cluster.block(restored, third);
  const forgotten = dotText(dotOf(increment('one')));
  cluster.run(10);
  cluster.crash(restored);
  cluster.replaceDisk(restored, copy);
  cluster.heal();
  cluster.start(restored);
  answers = 0;
  cluster.runUntil(() => answers > 0, 60_000, 1);
  cluster.run(3);
  slow.troubles.syncMaxMs.length = 0;
  expect(dotText(dotOf(increment('one')))).not.toBe(forgotten);
  settle(cluster);
  for (const node of cluster.nodes) expect(readCounter(onDisk(node, shard, 'counter'))).toBe(3);
});

/** Whoever had a forgotten event has lost its disk since; what had replaced the event is elsewhere, and names it. */
describe('a dot is not used again of an event that is lost', () => {
  function expectNew(cluster: SimCluster, restored: SimNode, { shard, lost }: { shard: number; lost: string }): void {
    const written = dotText(dotOf(mutate(cluster, restored, KEY, put('acknowledged'), 'quorum')()));
    expect(written).not.toBe(lost);
    settle(cluster);
    for (const id of ringOf(restored).owners(shard)) {
      const owner = cluster.nodes.find((node) => node.id === id) as SimNode;
      expect(dotsOn(owner, shard, KEY)).toEqual([written]);
    }
  }

  test('and that a hint is known to have replaced', () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, KEY);
    const preference = nodesOf(cluster, ring.preference(shard));
    const [restored, other, away, ...fallbacks] = preference as [SimNode, SimNode, SimNode, SimNode, SimNode];
    mutate(cluster, restored, KEY, put('before'), 'all')();
    cluster.run(5000);
    const copy = restored.disk.clone();
    cluster.crash(away);
    cluster.partition([restored, other], fallbacks);
    cluster.run(DISCONNECT_MS);
    const lost = dotText(dotOf(mutate(cluster, restored, KEY, put('lost'), 'quorum')()));
    cluster.run(1000);
    cluster.crash(restored);
    cluster.heal();
    cluster.run(DISCONNECT_MS);
    mutate(cluster, other, KEY, put('replaced'), 'quorum')();
    cluster.run(1000);
    expect(fallbacks.every(({ disk }) => disk.hints.size === 1)).toBe(true);
    cluster.crash(other);
    cluster.replaceDisk(other);
    cluster.replaceDisk(restored, copy);
    for (const node of [other, away, restored]) cluster.start(node);
    cluster.run(DISCONNECT_MS);
    expectNew(cluster, restored, { shard, lost });
  });

  test.each([false, true])('and that an owner knows to be replaced (restarted since: %s)', (isRestarted) => {
    const cluster = formed(3);
    const [restored, other, owner] = cluster.nodes as [SimNode, SimNode, SimNode];
    const shard = ringOf(restored).shardOf(BUCKET, KEY);
    mutate(cluster, restored, KEY, put('before'), 'all')();
    cluster.run(5000);
    const copy = restored.disk.clone();
    cluster.block(restored, owner);
    const lost = dotText(dotOf(mutate(cluster, restored, KEY, put('lost'), 'quorum')()));
    cluster.crash(restored);
    mutate(cluster, other, KEY, put('replaced'), 'quorum')();
    cluster.crash(other);
    cluster.run(1000);
    const row = owner.disk.objects.get(shard)?.get(nameId({ bucket: BUCKET, key: KEY }));
    expect(row?.object.past?.ranges().map(({ actor, to }) => dotText({ actor, counter: to }))).toEqual([lost]);
    if (isRestarted) {
      cluster.crash(owner);
      cluster.start(owner);
      cluster.run(1000);
    }
    cluster.replaceDisk(other);
    cluster.replaceDisk(restored, copy);
    cluster.heal();
    for (const node of [other, restored]) cluster.start(node);
    cluster.run(DISCONNECT_MS);
    expectNew(cluster, restored, { shard, lost });
  });

  test('and that a comparison of keys has brought', () => {
    const cluster = formed(3);
    const [restored, source, owner] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.run(5000);
    const copy = restored.disk.clone();
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`);
    for (const key of keys) mutate(cluster, restored, key, put('lost'), 'all')();
    const shards = [...source.disk.shards.keys()];
    const isStripped = (shard: number): boolean => source.disk.dots.get(shard)?.size === 0;
    expect(cluster.runUntil(() => shards.every(isStripped), 60_000)).toBe(true);
    for (const node of cluster.nodes) cluster.crash(node);
    cluster.replaceDisk(restored, copy);
    cluster.replaceDisk(owner);
    for (const node of [source, owner]) cluster.start(node);
    const lost = new Map<number, Set<string>>();
    const look = (): boolean => {
      for (const key of keys) {
        const shard = ringOf(owner).shardOf(BUCKET, key);
        for (const dot of dotsOn(owner, shard, key)) lost.set(shard, (lost.get(shard) ?? new Set()).add(dot));
      }
      return lost.size > 0;
    };
    expect(cluster.runUntil(look, 60_000, 1)).toBe(true);
    cluster.crash(source);
    cluster.replaceDisk(source);
    const told = new Set<SimNode>();
    cluster.observers.push({
      message: (from, to, { type }) => void (type === 'counter-report' && to === restored.id && told.add(from)),
    });
    for (const node of [source, restored]) cluster.start(node);
    expect(cluster.runUntil(() => told.has(source) && told.has(owner), 60_000, 1)).toBe(true);
    cluster.run(2);
    for (const [shard, dots] of lost) {
      const others = keysOf(ringOf(restored), shard, 2 * dots.size);
      for (const key of others)
        expect(dots).not.toContain(dotText(dotOf(mutate(cluster, restored, key, put('new'), 'one')())));
    }
    settle(cluster);
  });
});

/** Keys of the shard that nothing was written to. */
function keysOf(ring: Ring, shard: number, count: number): string[] {
  const keys: string[] = [];
  for (let i = 0; keys.length < count; i++) if (ring.shardOf(BUCKET, `new/${i}`) === shard) keys.push(`new/${i}`);
  return keys;
}
