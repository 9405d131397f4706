import { describe, expect, it } from 'vitest';
import { failure } from '../../../src/lib/failure.ts';
import { Prng } from '../../../src/lib/prng.ts';
import type { NodeReplyOf, NodeRequest } from '../../../src/protocol/node/request.ts';
import type { FailedReply } from '../../../src/protocol/replication/request.ts';
import { SimCluster, type SimNode } from '../../simulation/cluster.ts';
import { WatchClient } from '../../simulation/watch-clients.ts';
import { mutate, put } from '../../support/sim-story.ts';

/** Refuses the first request. */
class RefusingCluster extends SimCluster {
  private refusals = 0;

  override request<R extends NodeRequest>(
    node: SimNode,
    request: R,
    use: (reply: NodeReplyOf<R> | FailedReply) => void,
  ): void {
    if (request.type !== 'list' || this.refusals++ > 0) return super.request(node, request, use);
    use({ type: 'failed', failure: failure('quorum-unavailable', 'not yet') });
  }
}

describe('a client that watches', () => {
  it('is not sent the rest of a state by the process that is started after its own', () => {
    const cluster = new RefusingCluster({ seed: 1, nodes: 1 });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    cluster.start(node);
    cluster.run(1000);
    mutate(cluster, node, 'k', put('value'), 'one');
    const watch = new WatchClient(cluster, new Prng(1));
    cluster.observers.push(watch);
    watch.start();
    watch.stay();
    expect(cluster.runUntil(() => watch.node === node, 1000)).toBe(true);
    cluster.run(100);
    cluster.crash(node);
    cluster.start(node);
    expect(cluster.runUntil(() => watch.snapshots === 2 || watch.keys.size > 0, 2000)).toBe(true);
    expect([watch.snapshots, watch.keys.size]).toEqual([2, 0]);
    expect(cluster.runUntil(() => watch.synced, 1000)).toBe(true);
    expect([...watch.keys.keys()]).toEqual(['k']);
  });
});
