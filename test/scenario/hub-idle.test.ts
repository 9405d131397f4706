import { describe, expect, test } from 'vitest';
import type { HubRequest } from '../../src/protocol/uplink/message.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { ask, BUCKET, hasRing, put, SETTLE_MS } from '../support/sim-story.ts';

const MINUTE_MS = 60_000;

/** Requests by type that reach the hub within ten minutes. */
function idle(cluster: SimCluster): Record<string, number> {
  const hub = cluster.hub as VirtualHub;
  const counted: Record<string, number> = {};
  hub.interfere = ({ type }: HubRequest) => {
    counted[type] = (counted[type] ?? 0) + 1;
  };
  cluster.run(10 * MINUTE_MS);
  return counted;
}

function site(nodes: number): SimCluster {
  const cluster = new SimCluster({ seed: 1, nodes, hub: true });
  for (const node of cluster.nodes) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes), SETTLE_MS)).toBe(true);
  const node = cluster.nodes[0] as SimNode;
  for (let i = 0; i < 200; i++) {
    const mutation = i % 3 === 0 ? ({ type: 'delete' } as const) : put(`${i}`);
    ask(cluster, node, {
      type: 'mutate',
      bucket: BUCKET,
      key: `k${i % 50}`,
      mutation,
      level: 'quorum',
      context: null,
    })();
  }
  cluster.run(2 * MINUTE_MS);
  return cluster;
}

describe('an idle site', () => {
  test('asks its hub once in two minutes whether all is as it believes', () => {
    const cluster = site(3);
    const { 'hub-ask': asks = 0, 'hub-report': reports = 0, ...others } = idle(cluster);
    expect(others).toEqual({});
    expect(asks).toBeLessThanOrEqual(3 * 5);
    expect(reports).toBeLessThanOrEqual(2);
  });

  test('keeps asking no more often where the hub cannot be reached by a node', () => {
    const cluster = site(3);
    const hub = cluster.hub as VirtualHub;
    hub.setCut(cluster.nodes[1] as SimNode, true);
    cluster.run(MINUTE_MS);
    const { 'hub-ask': asks = 0, ...others } = idle(cluster);
    expect(asks).toBeLessThanOrEqual(3 * 6);
    expect(Object.keys(others).filter((type) => type !== 'hub-report')).toEqual([]);
  });

  test('says no more where a node is down for good', () => {
    const cluster = site(3);
    cluster.crash(cluster.nodes[2] as SimNode);
    cluster.run(MINUTE_MS);
    const { 'hub-ask': asks = 0, ...others } = idle(cluster);
    expect(asks).toBeLessThanOrEqual(2 * 6);
    expect(Object.keys(others).filter((type) => type !== 'hub-report')).toEqual([]);
  });
});
