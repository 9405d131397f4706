import { describe, expect, test } from 'vitest';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { BUCKET, DISCONNECT_MS, formed, mutate, put, ringOf } from '../support/sim-story.ts';

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
    expect(reply.type === 'failed' ? reply.failure.message : '').toMatch(/^2 of 3 needed owners have the write;/);
  });
});
