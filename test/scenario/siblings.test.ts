import { describe, expect, test } from 'vitest';
import { type CausalContext, CausalContext as Context } from '../../src/protocol/causal/context.ts';
import { type ClientReply, sessionOf } from '../../src/protocol/replication/request.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ask, DISCONNECT_MS, formed, put, ringOf, settle } from '../support/sim-story.ts';

const SIBLINGS = 'carts';
const KEY = 'cart';

/** Four nodes, three of which own the key of a bucket that keeps concurrent values. */
function story(): { cluster: SimCluster; owners: readonly [SimNode, SimNode, SimNode] } {
  const cluster = formed(4);
  cluster.putBucket(cluster.nodes[0] as SimNode, SIBLINGS, {
    consistency: 'eventual',
    conflict: 'siblings',
    replicas: 3,
    preferredZones: [],
    sync: 'none',
    ttlSeconds: null,
    island: 'accept',
  });
  settle(cluster);
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(SIBLINGS, KEY);
  const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id)) as [SimNode, SimNode, SimNode];
  return { cluster, owners };
}

function write(
  cluster: SimCluster,
  node: SimNode,
  text: string,
  context: CausalContext | null = null,
): () => ClientReply {
  return ask(cluster, node, {
    type: 'mutate',
    bucket: SIBLINGS,
    key: KEY,
    mutation: put(text),
    level: 'quorum',
    context: context === null ? null : sessionOf(context),
  });
}

function values(cluster: SimCluster, node: SimNode): string[] {
  const reply = ask(cluster, node, { type: 'get', bucket: SIBLINGS, key: KEY, level: 'quorum', session: null })();
  if (reply.type !== 'get') throw new Error(JSON.stringify(reply));
  return reply.entries
    .map(({ payload }) => (payload.kind === 'register' ? new TextDecoder().decode(payload.value) : payload.kind))
    .toSorted();
}

describe('a bucket that keeps siblings', () => {
  test('a put without a context replaces what was acknowledged before, also at an owner that missed it', () => {
    const { cluster, owners } = story();
    const [first, , third] = owners;
    cluster.block(first, third);
    expect(write(cluster, first, 'first')()).toMatchObject({ applied: true, quorum: 'strict' });
    expect(write(cluster, third, 'second')()).toMatchObject({ applied: true, quorum: 'strict' });
    cluster.heal();
    settle(cluster);
    for (const owner of owners) expect(values(cluster, owner)).toEqual(['second']);
  });

  test('puts at the same time stay beside each other, at most one an owner however many there are', () => {
    const { cluster, owners } = story();
    for (let round = 0; round < 5; round++) {
      const replies = owners.map((owner, i) => write(cluster, owner, `${round} at ${i}`));
      for (const reply of replies) expect(reply()).toMatchObject({ applied: true });
    }
    settle(cluster);
    const left = values(cluster, owners[0]);
    expect(left.length).toBeGreaterThan(1);
    expect(left.length).toBeLessThanOrEqual(3);
    for (const value of left) expect(value).toMatch(/^4 at /);
  });

  test('a put with an empty context replaces nothing', () => {
    const { cluster, owners } = story();
    write(cluster, owners[0], 'a')();
    write(cluster, owners[0], 'b', new Context())();
    expect(values(cluster, owners[1])).toEqual(['a', 'b']);
  });

  test('puts without a context on both sides of a partition leave one value a side', () => {
    const { cluster, owners } = story();
    const [first, second, third] = owners;
    const fourth = cluster.nodes.find((node) => !owners.includes(node)) as SimNode;
    cluster.partition([first, second], [third, fourth]);
    cluster.run(DISCONNECT_MS);
    for (let i = 0; i < 5; i++) {
      for (const node of [first, second]) write(cluster, node, `here ${i}`)();
      for (const node of [third, fourth]) write(cluster, node, `there ${i}`)();
    }
    cluster.heal();
    settle(cluster);
    expect(values(cluster, first)).toEqual(['here 4', 'there 4']);
  });
});
