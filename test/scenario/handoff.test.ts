import { describe, expect, test } from 'vitest';
import type { Shard } from '../../src/protocol/replication/shard-table.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import {
  BUCKET,
  DISCONNECT_MS,
  formed,
  keyWhere,
  mutate,
  put,
  ringOf,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

const KEYS = Array.from({ length: 30 }, (_, i) => `k${i}`);
/** More than a round of questions takes whose answers say nothing. */
const PATIENCE_MS = 20_000;

/** What opens the comparison of a node with others. */
interface Internals {
  readonly node: { readonly replication: { readonly antiEntropy: { readonly digests: { open?: () => void } } } };
}

interface Story {
  readonly cluster: SimCluster;
  readonly away: readonly SimNode[];
  /** Names of the keys that were handed over one by one. */
  readonly handedOver: () => string[];
}

/** Four nodes, some of them away while the others take writes; these keep hints. */
function written(awayCount: number): Story {
  const cluster = formed(4);
  const away = cluster.nodes.slice(0, awayCount);
  for (const node of away) cluster.crash(node);
  cluster.run(DISCONNECT_MS);
  const writer = cluster.nodes.at(-1) as SimNode;
  for (const key of KEYS) expect(mutate(cluster, writer, key, put(key), 'one')()).toMatchObject({ type: 'mutate' });
  cluster.run(1000);
  expect(hintsIn(cluster)).toBeGreaterThan(0);
  const handedOver: string[] = [];
  cluster.observers.push({
    message: (_from, to, message) => {
      if (message.type === 'replicate' && away.some(({ id }) => id === to)) handedOver.push(message.key);
    },
  });
  return { cluster, away, handedOver: () => handedOver };
}

function hintsIn({ nodes }: SimCluster): number {
  return nodes.reduce((sum, { disk }) => sum + disk.hints.size, 0);
}

describe('a hint', () => {
  test('is forgotten without being sent once its owner has the write from another owner', () => {
    const { cluster, away, handedOver } = written(1);
    for (const node of away) cluster.start(node);
    expect(cluster.runUntil(() => hintsIn(cluster) === 0, SETTLE_MS)).toBe(true);
    expect(handedOver()).toEqual([]);
    settle(cluster);
  });

  test('is not sent either while its owner has yet to compare with the other owners', () => {
    const { cluster, away, handedOver } = written(1);
    const [owner] = away as [SimNode];
    cluster.start(owner);
    // A busy node, or link: the hints are asked about before the comparison has got anywhere.
    const exchanges = cluster.nodes.map(({ running }) => {
      const { node } = running as unknown as Internals;
      node.replication.antiEntropy.digests.open = () => {};
      return node.replication.antiEntropy.digests;
    });
    cluster.run(3000);
    expect(hintsIn(cluster)).toBeGreaterThan(0);
    expect(handedOver()).toEqual([]);
    for (const digests of exchanges) delete digests.open;
    expect(cluster.runUntil(() => hintsIn(cluster) === 0, SETTLE_MS)).toBe(true);
    settle(cluster);
  });

  test('of which no other owner has the write is handed over soon', () => {
    const { cluster, away, handedOver } = written(3);
    const [writer] = cluster.nodes.slice(3) as [SimNode];
    const ring = ringOf(writer);
    const only = KEYS.filter((key) => !ring.isOwner(ring.shardOf(BUCKET, key), writer.id));
    for (const node of away) cluster.start(node);
    expect(cluster.runUntil(() => hintsIn(cluster) === 0, 5000)).toBe(true);
    expect([...new Set(handedOver())]).toEqual(expect.arrayContaining(only));
    settle(cluster);
  });

  test('is handed over all the same to an owner that waits for others and gets nowhere', () => {
    const { cluster, away } = written(1);
    const [owner] = away as [SimNode];
    cluster.start(owner);
    const { node } = owner.running as unknown as { node: { replication: { handoff: { parts: object } } } };
    Object.assign(node.replication.handoff.parts, { isAwaiting: () => true });
    cluster.run(5000);
    expect(hintsIn(cluster)).toBeGreaterThan(0);
    expect(cluster.runUntil(() => hintsIn(cluster) === 0, PATIENCE_MS)).toBe(true);
    settle(cluster);
  });

  test('is handed over all the same while the owner asks for those of another shard again and again', () => {
    const cluster = formed(4);
    const [owner] = cluster.nodes as [SimNode];
    const writer = cluster.nodes.at(-1) as SimNode;
    const ring = ringOf(writer);
    const stuck = keyWhere(ring, (shard) => ring.isOwner(shard, owner.id));
    const shard = ring.shardOf(BUCKET, stuck);
    const holder = ring.preference(shard).at(-1);
    const refused = keyWhere(ring, (other) => other !== shard && ring.preference(other).at(-1) === holder);
    mutate(cluster, writer, stuck, put('value'), 'all')();
    cluster.crash(owner);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, writer, stuck, { type: 'delete' }, 'quorum')();
    mutate(cluster, writer, refused, put('value'), 'quorum')();
    cluster.run(1000);
    cluster.start(owner);
    cluster.setWritable(owner, false);
    const { node } = owner.running as unknown as { node: { replication: { handoff: { parts: object } } } };
    Object.assign(node.replication.handoff.parts, { isAwaiting: ({ id }: Shard) => id === shard });
    const keys = (): string[] =>
      cluster.nodes.flatMap(({ disk }) => [...disk.hints.values()].map(({ name }) => name.key));
    cluster.run(5000);
    expect(keys().sort()).toEqual([refused, stuck].sort());
    expect(cluster.runUntil(() => !keys().includes(stuck), PATIENCE_MS)).toBe(true);
    expect(keys()).toEqual([refused]);
    cluster.setWritable(owner, true);
    settle(cluster);
  });
});
