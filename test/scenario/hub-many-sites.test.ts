import { beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import { checkConvergence } from '../simulation/checkers/convergence.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { SiteFleet } from '../simulation/site-fleet.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { eventualBucket } from '../support/eventual-bucket.ts';
import { BUCKET, hasRing, put } from '../support/sim-story.ts';

/** Nodes of a hundred sites: 60 of one node, 30 of two, 10 of three, which are two islands while the hub is away. */
const SITES = Array.from({ length: 100 }, (_, index) => [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][index % 10] as number);
const NODES = SITES.reduce((sum, nodes) => sum + nodes, 0);
const SHARDS = 4;
const SHARED = 'both';
/** So long that everybody waits as long as it ever does between two attempts. */
const AWAY_MS = 120_000;
/** In which every node writes. */
const ROUNDS = 20;
const DOWN_MS = 20_000;
/** As in `src/protocol/uplink/carrier.ts`: the longest wait between two attempts, drawn from 0 to this. */
const RETRY_MAX_MS = 60_000;
/** What comes of a few sites at once is more than it takes. */
const HUB = { hubBytesMax: 24 * 1024, hubSlots: 2, hubWorkMs: 20 };
/** The last attempt, and a comparison that the refusals of a busy hub interrupt. */
const SERVED_MS = RETRY_MAX_MS + 30_000;

const CONFIG = eventualBucket({ sync: 'both' });

/** What became of it. */
interface Story {
  readonly fleet: SiteFleet;
  /** Increments of each site's counter that were acknowledged, there or at the hub. */
  readonly counted: number[];
  /** The most sessions that began within one second after the hub was away, and after it had been down. */
  readonly openedAfterAway: number;
  readonly openedAfterDown: number;
  readonly busyAnswers: number;
  /** When each site was equal with the hub, after that was there for good. */
  readonly servedMs: (number | null)[];
}

/**
 * Attempts are uniform in a wait that is at least half as long as the hub was away, as each wait is up to twice the one before: in
 * one second those of all nodes, over half the wait on average; and six standard deviations.
 */
function openedAtMost(awayMs: number): number {
  const waitMs = Math.min(RETRY_MAX_MS, awayMs / 2);
  const mean = (NODES * 1000) / (waitMs / 2);
  return mean + 6 * Math.sqrt(mean);
}

function write(cluster: SimCluster, node: SimNode, bucket: string, key: string, mutation: Mutation): void {
  const request = { type: 'mutate', bucket, key, mutation, level: 'one', context: null } as const;
  cluster.request(node, request, () => undefined);
}

/** Every node of a site writes or deletes a key, and counts. */
function work(cluster: SimCluster, prng: Prng, counted: number[], site: number): void {
  for (const node of cluster.nodes) {
    const bucket = prng.chance(0.5) ? BUCKET : SHARED;
    const key = `k${prng.below(12)}`;
    write(cluster, node, bucket, key, prng.chance(0.25) ? { type: 'delete' } : put(`${node.name} ${prng.uint32()}`));
    const request = {
      type: 'mutate',
      bucket: SHARED,
      key: 'count',
      mutation: COUNT,
      level: 'one',
      context: null,
    } as const;
    cluster.request(node, request, (reply) => {
      if (reply.type === 'mutate') counted[site] = (counted[site] ?? 0) + 1;
    });
  }
}

const COUNT: Mutation = { type: 'increment', by: 1 };

function countAtHub(hub: VirtualHub): unknown {
  return readCounter(hub.read(shared('count')).object.entries);
}

function shared(key: string): { readonly shard: number; readonly bucket: string; readonly key: string } {
  return { shard: shardOf(SHARED, key, SHARDS), bucket: SHARED, key };
}

function isEqual(cluster: SimCluster): boolean {
  return cluster.isSettled() && checkReconciliation(cluster).length === 0;
}

function tell(): Story {
  const fleet = new SiteFleet({ seed: 1, sites: SITES, shards: SHARDS, ...HUB });
  const { sites, hubs, clock } = fleet;
  const prng = new Prng(7);
  const counted = sites.map(() => 0);
  for (const cluster of sites) for (const node of cluster.nodes) cluster.start(node);
  fleet.run(10_000);
  for (const [site, cluster] of sites.entries()) {
    expect(hasRing(cluster, SITES[site] as number)).toBe(true);
    expect(cluster.putBucket(cluster.nodes[0] as SimNode, SHARED, CONFIG)).toBe(true);
  }
  fleet.run(2000);

  for (const hub of hubs) hub.crash();
  for (const cluster of sites)
    if (cluster.nodes.length === 3) cluster.partition(cluster.nodes.slice(0, 1), cluster.nodes.slice(1));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [site, cluster] of sites.entries()) work(cluster, prng, counted, site);
    fleet.run(AWAY_MS / ROUNDS);
  }
  const backMs = clock.nowMs;
  for (const hub of hubs) hub.start();
  fleet.run(15_000);
  for (const hub of hubs) hub.save();
  fleet.run(15_000);
  const openedAfterAway = fleet.openedInOneSecond(backMs);

  // In the middle of it the hub is killed, and has an older copy of its store when it comes back.
  expect(sites.filter(isEqual).length).toBeGreaterThan(10);
  expect(sites.filter(isEqual).length).toBeLessThan(90);
  for (const hub of hubs) hub.crash();
  for (const hub of hubs) hub.restore();
  for (const [site, cluster] of sites.entries()) work(cluster, prng, counted, site);
  fleet.run(DOWN_MS);
  const againMs = clock.nowMs;
  for (const [site, hub] of hubs.entries()) {
    hub.start();
    if (!hub.buckets.has(SHARED)) continue;
    expect(hub.write(shared('count'), COUNT).applied).toBe(true);
    counted[site] = (counted[site] ?? 0) + 1;
  }
  for (const cluster of sites) cluster.heal();
  const servedMs = sites.map((): number | null => null);
  while (servedMs.includes(null) && clock.nowMs < againMs + 4 * SERVED_MS) {
    fleet.run(2000);
    for (const [site, cluster] of sites.entries())
      if (servedMs[site] === null && isEqual(cluster)) servedMs[site] = clock.nowMs - againMs;
  }
  return {
    fleet,
    counted,
    openedAfterAway,
    openedAfterDown: fleet.openedInOneSecond(againMs),
    busyAnswers: fleet.busyAnswers,
    servedMs,
  };
}

describe('a hundred sites that come back to their hub at once', () => {
  let story: Story;
  beforeAll(() => {
    story = tell();
  }, 300_000);

  test('are all equal with it in the end, though it was killed and forgot in the middle', () => {
    for (const cluster of story.fleet.sites) {
      expect(checkConvergence(cluster)).toEqual([]);
      expect(checkReconciliation(cluster)).toEqual([]);
    }
  });

  test('have counted nothing twice, and lost no increment', () => {
    expect(story.fleet.hubs.map(countAtHub)).toEqual(story.counted);
  });

  test('do not all call at once', () => {
    expect(story.openedAfterAway).toBeLessThan(openedAtMost(AWAY_MS));
    expect(story.openedAfterDown).toBeLessThan(openedAtMost(DOWN_MS));
  });

  test('are all served, though the hub refuses some of what they ask as too much', () => {
    expect(story.busyAnswers).toBeGreaterThan(0);
    expect(Math.max(...story.servedMs.map((ms) => ms ?? Number.POSITIVE_INFINITY))).toBeLessThan(SERVED_MS);
  });
});
