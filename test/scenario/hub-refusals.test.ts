import { describe, expect, test } from 'vitest';
import type { HubRequest } from '../../src/protocol/uplink/message.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { ask, hasRing, put, SETTLE_MS, settle } from '../support/sim-story.ts';

const DAY_MS = 86_400_000;

/** A site whose hub's clock is so much ahead. */
function site(aheadMs: number): { cluster: SimCluster; hub: VirtualHub } {
  const cluster = new SimCluster({ seed: 1, nodes: 3, hub: true });
  const hub = cluster.hub as VirtualHub;
  hub.aheadMs = aheadMs;
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, 3), SETTLE_MS)).toBe(true);
  const config = { consistency: 'eventual', conflict: 'lww', replicas: null, preferredZones: [] } as const;
  const bucket = { ...config, sync: 'both', ttlSeconds: null, island: 'accept' } as const;
  expect(cluster.putBucket(first(cluster), 'both', bucket)).toBe(true);
  cluster.run(5000);
  return { cluster, hub };
}

function first({ nodes }: SimCluster): SimNode {
  return nodes[0] as SimNode;
}

function writeAtHub(cluster: SimCluster, hub: VirtualHub, key: string): void {
  const shard = first(cluster).running?.node.placements.shardOf('both', key) ?? 0;
  expect(hub.write({ shard, bucket: 'both', key }, put('hub')).applied).toBe(true);
}

describe('what a site cannot take from its hub', () => {
  test('because of its stamps, is taken all the same, and what the site writes goes up meanwhile', () => {
    const { cluster, hub } = site(DAY_MS);
    for (let i = 0; i < 40; i++) writeAtHub(cluster, hub, `h${i}`);
    cluster.run(10_000);
    const node = first(cluster);
    for (let i = 0; i < 40; i++) {
      const write = { key: `k${i}`, mutation: put('site'), level: 'quorum', context: null } as const;
      ask(cluster, node, { type: 'mutate', bucket: 'both', ...write })();
    }
    cluster.run(10_000);
    settle(cluster);
    expect(checkReconciliation(cluster)).toEqual([]);
    for (let i = 0; i < 40; i++) {
      const reply = ask(cluster, node, { type: 'get', bucket: 'both', key: `h${i}`, level: 'quorum', session: null })();
      expect(reply.type === 'get' && reply.entries.length).toBe(1);
    }
  });

  test('because its disks are full, is not asked for again and again', () => {
    const { cluster, hub } = site(0);
    for (const node of cluster.nodes) cluster.setWritable(node, false);
    cluster.run(1000);
    writeAtHub(cluster, hub, 'h');
    let pulls = 0;
    hub.interfere = ({ type }: HubRequest) => {
      if (type === 'hub-pull') pulls++;
    };
    cluster.run(600_000);
    expect(pulls).toBeGreaterThan(1);
    expect(pulls).toBeLessThan(40);
    for (const node of cluster.nodes) cluster.setWritable(node, true);
    cluster.run(60_000);
    settle(cluster);
    expect(checkReconciliation(cluster)).toEqual([]);
  });
});
