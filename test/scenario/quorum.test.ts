import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { NodeInput } from '../../src/protocol/node/effect.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { BUCKET, DISCONNECT_MS, formed, mutate, put, ringOf, SETTLE_MS } from '../support/sim-story.ts';

/** What the cluster gives to a node's core. */
interface Inputs {
  readonly inputs: (node: SimNode, inputs: readonly NodeInput[]) => void;
}

const PUT_IF_PRESENT: Mutation = {
  type: 'put',
  value: new Uint8Array(),
  contentType: '',
  expiresAtMs: 0,
  onlyIf: 'present',
};

describe('what too few owners could be asked for', () => {
  test('is not said to be absent by a strict quorum', () => {
    const cluster = formed(5);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const shard = ring.shardOf(BUCKET, 'k');
    const alone = cluster.nodes.find((node) => !ring.isOwner(shard, node.id)) as SimNode;
    expect(mutate(cluster, alone, 'k', put('value'), 'all')()).toMatchObject({ quorum: 'strict' });
    cluster.partition(
      [alone],
      cluster.nodes.filter((node) => node !== alone),
    );
    cluster.run(DISCONNECT_MS);
    for (const mutation of [{ type: 'delete' } as const, PUT_IF_PRESENT]) {
      const reply = { type: 'mutate', applied: false, quorum: 'sloppy' };
      expect(mutate(cluster, alone, 'k', mutation, 'quorum')()).toMatchObject(reply);
      const failure = { code: 'quorum-unavailable', stateChanged: 'no' };
      expect(mutate(cluster, alone, 'k', mutation, 'all')()).toMatchObject({ type: 'failed', failure });
    }
    cluster.heal();
    cluster.run(DISCONNECT_MS);
    expect(mutate(cluster, alone, 'no such key', { type: 'delete' }, 'quorum')()).toMatchObject({
      applied: false,
      quorum: 'strict',
    });
  });

  test('is not counted by who is no owner any more, and would keep it for the coordinator alone', () => {
    const cluster = formed(2);
    const [owner, former] = cluster.nodes as [SimNode, SimNode];
    expect(cluster.changeRing(owner, former, { place: 'out' })).toBe(true);
    expect(cluster.runUntil(() => former.disk.shards.size === 0, SETTLE_MS)).toBe(true);
    // The owner has not heard of the change, so to say.
    const dot = { actor: owner.disk.actor, counter: 1 };
    const events = CausalContext.fromDots([dot]);
    const message = { type: 'replicate', id: 1, bucket: 'default', key: 'k', entries: [], events } as const;
    const input = { type: 'message', from: owner.id, message: { ...message, context: events, hintFor: [] } } as const;
    const statuses: string[] = [];
    cluster.observers.push({
      message: (from, _to, sent) =>
        void (from === former && sent.type === 'replicate-ack' && statuses.push(sent.status)),
    });
    (cluster as unknown as Inputs).inputs(former, [input]);
    cluster.run(100);
    expect(statuses).toEqual(['refused']);
    expect(former.running?.node.replicationStats().hints.records).toBe(0);
  });

  test('is counted in owners where all of them were asked for', () => {
    const cluster = formed(4);
    const ring = ringOf(cluster.nodes[0] as SimNode);
    const [first, , away] = ring
      .owners(ring.shardOf(BUCKET, 'k'))
      .map((id) => cluster.nodes.find((node) => node.id === id)) as [SimNode, SimNode, SimNode];
    cluster.crash(away);
    cluster.run(DISCONNECT_MS);
    const reply = mutate(cluster, first, 'k', put('value'), 'all')();
    const data = { acks: 2, needed: 3, owners: 3 };
    expect(reply).toMatchObject({ type: 'failed', failure: { code: 'quorum-unavailable', data } });
    expect(reply.type === 'failed' ? reply.failure.message : '').toMatch(
      /^2 of 3 needed owners have the write; .*ask for less with w=one$/,
    );
  });
});
