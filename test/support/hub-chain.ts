import { expect } from 'vitest';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readValue } from '../../src/protocol/causal/value.ts';
import { checkChain } from '../simulation/checkers/chain.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { VirtualHub } from '../simulation/virtual-hub.ts';
import { VirtualUplink } from '../simulation/virtual-uplink.ts';
import { eventualBucket } from './eventual-bucket.ts';
import { ask, hasRing, SETTLE_MS, settle } from './sim-story.ts';

const CLOUD_SEED = 7919;
const decoder = new TextDecoder();

/** A site of three nodes, its hub, the district's, and that one's hub, the cloud's; with a bucket of each policy. */
export class HubChain {
  readonly cluster: SimCluster;
  readonly district: VirtualHub;
  readonly cloud: VirtualHub;
  readonly uplink: VirtualUplink;

  constructor(seed = 1) {
    this.cluster = new SimCluster({ seed, nodes: 3, hub: true });
    const { cluster } = this;
    this.district = cluster.hub as VirtualHub;
    this.cloud = new VirtualHub(cluster.clock, seed ^ CLOUD_SEED);
    for (const node of cluster.nodes) cluster.start(node);
    expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, cluster.nodes.length), SETTLE_MS)).toBe(true);
    for (const sync of ['both', 'down', 'none'] as const) {
      expect(cluster.putBucket(this.first, sync, eventualBucket({ sync }))).toBe(true);
    }
    this.uplink = new VirtualUplink({
      clock: cluster.clock,
      seed,
      lower: this.district,
      upper: this.cloud,
      shards: cluster.shards,
      shardIds: () => [...(this.first.running?.node.placements.shardIds() ?? [])],
    });
    cluster.run(10_000);
  }

  get first(): SimNode {
    return this.cluster.nodes[0] as SimNode;
  }

  run(forMs: number): void {
    this.cluster.run(forMs);
  }

  writeAtSite(bucket: string, key: string, mutation: Mutation): void {
    const request = { type: 'mutate', bucket, key, mutation, level: 'quorum', context: null } as const;
    expect(ask(this.cluster, this.first, request)().type).toBe('mutate');
  }

  writeAt(hub: VirtualHub, bucket: string, key: string, mutation: Mutation): void {
    expect(hub.write({ shard: this.shardOf(bucket, key), bucket, key }, mutation).applied).toBe(true);
  }

  entriesAt(hub: VirtualHub, bucket: string, key: string): Entries {
    return hub.read({ shard: this.shardOf(bucket, key), bucket, key }).object.entries;
  }

  at(hub: VirtualHub, bucket: string, key: string): string | undefined {
    return textOf(this.entriesAt(hub, bucket, key));
  }

  atSite(bucket: string, key: string): string | undefined {
    const reply = ask(this.cluster, this.first, { type: 'get', bucket, key, level: 'quorum', session: null })();
    if (reply.type !== 'get') throw new Error(`not read: ${JSON.stringify(reply)}`);
    return textOf(reply.entries);
  }

  cutSite(isCut: boolean): void {
    for (const node of this.cluster.nodes) this.district.setCut(node, isCut);
  }

  cutCloud(isCut: boolean): void {
    this.cloud.setCut(this.uplink, isCut);
  }

  /** All three have the same, in a while. */
  expectAgreement(faults: readonly string[] = []): void {
    settle(this.cluster);
    const problems = (): string[] => [
      ...checkReconciliation(this.cluster),
      ...checkChain(this.district, this.cloud, this.shardIds()),
    ];
    this.cluster.runUntil(() => problems().length === 0, 3 * SETTLE_MS, 250);
    expect(problems(), faults.join('\n')).toEqual([]);
  }

  shardOf(bucket: string, key: string): number {
    return this.first.running?.node.placements.shardOf(bucket, key) ?? 0;
  }

  private shardIds(): readonly number[] {
    return [...(this.first.running?.node.placements.shardIds() ?? [])];
  }
}

function textOf(entries: Entries): string | undefined {
  const value = readValue(entries)?.value;
  return value === undefined ? undefined : decoder.decode(value);
}
