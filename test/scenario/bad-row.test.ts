import { expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { nameId } from '../../src/protocol/replication/record.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { BUCKET, DISCONNECT_MS, dotOf, dotsOn, formed, mutate, put, ringOf, settle } from '../support/sim-story.ts';

/** Rows other than objects that fail their checksum, each with what it takes to miss nothing. */

const KEY = 'k';
const NAME = { bucket: BUCKET, key: KEY };

type Three = readonly [SimNode, SimNode, SimNode];

function story(): { cluster: SimCluster; three: Three; shard: number } {
  const cluster = formed(3);
  const three = cluster.nodes as unknown as Three;
  return { cluster, three, shard: ringOf(three[0]).shardOf(BUCKET, KEY) };
}

test('a bad index row: who lacks the event gets it by a comparison of keys', () => {
  const { cluster, three, shard } = story();
  const [first, second, third] = three;
  cluster.crash(third);
  const dot = dotOf(mutate(cluster, first, KEY, put('value'), 'quorum')());
  cluster.run(1000);
  for (const node of [first, second]) {
    expect(node.disk.dots.get(shard)?.delete(dotText(dot))).toBe(true);
    cluster.reportBad(node, { table: 'dot', shard, ...dot });
  }
  cluster.run(1000);
  cluster.start(third);
  settle(cluster);
  expect(dotsOn(third, shard, KEY)).toEqual([dotText(dot)]);
});

test('a bad index row of a delete: who lacks the delete gets it all the same', () => {
  const { cluster, three, shard } = story();
  const [first, second, third] = three;
  mutate(cluster, first, KEY, put('value'), 'all')();
  cluster.run(1000);
  cluster.crash(third);
  const dot = dotOf(mutate(cluster, first, KEY, { type: 'delete' }, 'quorum')());
  cluster.run(1000);
  for (const node of [first, second]) {
    expect(node.disk.dots.get(shard)?.delete(dotText(dot))).toBe(true);
    cluster.reportBad(node, { table: 'dot', shard, ...dot });
  }
  cluster.run(1000);
  cluster.start(third);
  settle(cluster);
  expect(dotsOn(third, shard, KEY)).toEqual([]);
});

test('bad shard, floor and counter rows are written again as this run knows them', () => {
  const { cluster, three, shard } = story();
  const [first] = three;
  mutate(cluster, first, KEY, put('value'), 'all')();
  cluster.run(30_000);
  const { shards, floors } = first.disk;
  const [context, floor] = [shards.get(shard)?.context.ranges(), floors.get(shard)?.ranges()];
  expect([context?.length, floor?.length]).toEqual([1, 1]);
  shards.delete(shard);
  floors.delete(shard);
  cluster.reportBad(first, { table: 'shard', shard });
  cluster.reportBad(first, { table: 'floor', shard });
  // Unknown here: nothing is made up.
  cluster.reportBad(first, { table: 'counter', shard });
  cluster.run(1000);
  expect([shards.get(shard)?.context.ranges(), floors.get(shard)?.ranges()]).toEqual([context, floor]);
  expect(first.disk.counters.has(shard)).toBe(false);
  settle(cluster);
});

test('a bad row of the expiry schedule is derived from the object, and the value is removed in time', () => {
  const { cluster, three, shard } = story();
  const [first] = three;
  const atMs = first.clock.now().wallMs + 30_000;
  const value = { ...put('value'), expiresAtMs: atMs } as Mutation;
  mutate(cluster, first, KEY, value, 'all')();
  cluster.run(1000);
  for (const node of three) {
    expect(node.disk.expiries.delete(`${atMs}/${shard}/${nameId(NAME)}`)).toBe(true);
    cluster.reportBad(node, { table: 'expiry', atMs, shard, name: NAME });
    cluster.reportBad(node, { table: 'expiry', atMs: atMs + 1, shard, name: NAME });
  }
  cluster.run(1000);
  for (const node of three) {
    expect([...node.disk.expiries.keys()]).toEqual([`${atMs}/${shard}/${nameId(NAME)}`]);
  }
  cluster.run(60_000);
  for (const node of three) expect(dotsOn(node, shard, KEY)).toEqual([]);
});

/** Four nodes; two owners of the key are away, the fallback holds a hint for one of them. */
function withHint() {
  const cluster = formed(4);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const byId = (id: string | undefined) => cluster.nodes.find((node) => node.id === id) as SimNode;
  const shard = ring.shardOf(BUCKET, KEY);
  const [first, second, third, fallback] = ring.preference(shard).map(byId) as unknown as [...Three, SimNode];
  cluster.crash(second);
  cluster.crash(third);
  cluster.run(DISCONNECT_MS);
  const dot = dotText(dotOf(mutate(cluster, first, KEY, put('value'), 'quorum')()));
  cluster.run(1000);
  expect(fallback.disk.hints.size).toBe(1);
  const loseHint = (): void => {
    fallback.disk.hints.clear();
    cluster.reportBad(fallback, { table: 'hint', shard, name: NAME, counted: true });
    cluster.run(1000);
  };
  const comeBack = (): void => {
    cluster.start(second);
    cluster.start(third);
    settle(cluster);
    for (const node of [first, second, third]) expect(dotsOn(node, shard, KEY)).toEqual([dot]);
  };
  return { cluster, fallback, loseHint, comeBack };
}

test('a bad hint is counted and dropped, and its event arrives by anti-entropy', () => {
  const { cluster, fallback, loseHint, comeBack } = withHint();
  // So that the hint is not in memory any more.
  cluster.crash(fallback);
  cluster.start(fallback);
  cluster.run(5000);
  expect(fallback.running?.node.replicationStats().hints.records).toBe(1);
  loseHint();
  expect(fallback.running?.node.replicationStats().hints).toEqual({ records: 0, bytes: 0, dropped: 1 });
  comeBack();
});

test('a bad hint that is in memory is written again', () => {
  const { fallback, loseHint, comeBack } = withHint();
  loseHint();
  expect(fallback.disk.hints.size).toBe(1);
  expect(fallback.running?.node.replicationStats().hints).toMatchObject({ records: 1, dropped: 0 });
  comeBack();
});
