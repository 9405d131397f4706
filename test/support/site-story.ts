import { expect } from 'vitest';
import type { BucketConfig } from '../../src/protocol/catalog/record.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { eventualBucket } from './eventual-bucket.ts';
import { hasRing, SETTLE_MS, settle } from './sim-story.ts';

/** Stories of a simulated site and its hub. */

export interface Site {
  readonly cluster: SimCluster;
  readonly hub: VirtualHub;
}

export function site(nodes: number, shards: number, { seed = 1, outAfterMs = 0 } = {}): Site {
  const cluster = new SimCluster({ seed, nodes, shards, hub: true, outAfterMs });
  const hub = cluster.hub as VirtualHub;
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes), SETTLE_MS)).toBe(true);
  return { cluster, hub };
}

export function create({ cluster }: Site, name: string, settings: Partial<BucketConfig>): void {
  expect(cluster.putBucket(cluster.nodes[0] as SimNode, name, eventualBucket(settings))).toBe(true);
  cluster.run(10_000);
}

/** Writes without waiting for the answer. */
export function write({ cluster }: Site, bucket: string, key: string, mutation: Mutation, at = 0): void {
  const request = { type: 'mutate', bucket, key, mutation, level: 'quorum', context: null } as const;
  cluster.request(cluster.nodes[at] as SimNode, request, () => undefined);
  cluster.run(20);
}

export function reconciled({ cluster }: Site, withinMs = 200_000): void {
  cluster.runUntil(() => cluster.isSettled() && checkReconciliation(cluster).length === 0, withinMs, 1000);
  settle(cluster);
  expect(checkReconciliation(cluster)).toEqual([]);
}

/** Every node stops, and starts with an empty disk. */
export function loseAllDisks({ cluster }: Site): void {
  for (const node of cluster.nodes) cluster.crash(node);
  for (const node of cluster.nodes) {
    cluster.replaceDisk(node);
    node.disk.lostCatalog = false;
  }
  for (const node of cluster.nodes) cluster.start(node);
  const { length } = cluster.nodes;
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, length), SETTLE_MS)).toBe(true);
}

export function bucketsAt({ running }: SimNode): string[] {
  return (running?.node.buckets ?? []).map(({ name }) => name);
}

export const REMOVE: Mutation = { type: 'delete' };
export const COUNT: Mutation = { type: 'increment', by: 1 };

export function shardOf({ nodes }: SimCluster, bucket: string, key: string): number {
  return nodes[0]?.running?.node.placements.shardOf(bucket, key) ?? 0;
}

export function atHub({ cluster, hub }: Site, bucket: string, key: string): Entries {
  return hub.read({ shard: shardOf(cluster, bucket, key), bucket, key }).object.entries;
}

/** As a quorum shows it. */
export function read({ cluster }: Site, bucket: string, key: string, at = 0): Entries {
  let entries: Entries | undefined;
  const request = { type: 'get', bucket, key, level: 'quorum', session: null } as const;
  cluster.request(cluster.nodes[at] as SimNode, request, (reply) => {
    entries = reply.type === 'get' ? reply.entries : [];
  });
  cluster.runUntil(() => entries !== undefined, SETTLE_MS, 1);
  return entries ?? [];
}

export function textAt(here: Site, bucket: string, key: string, at = 0): string | undefined {
  const payload = read(here, bucket, key, at)[0]?.payload;
  return payload?.kind === 'register' ? new TextDecoder().decode(payload.value) : undefined;
}

/** Both sides count the same, and have the same keys. */
export function agreed(here: Site, withinMs = 200_000): void {
  const { cluster, hub } = here;
  cluster.run(30_000);
  reconciled(here, withinMs);
  for (const [shard, { context }] of hub.rows.shards)
    for (const node of cluster.nodes) {
      const own = node.disk.shards.get(shard)?.context;
      if (own !== undefined) expect(own.equals(context), `shard ${shard} of ${node.name}`).toBe(true);
    }
}
