import { expect } from 'vitest';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { ClientReply, ClientRequest, Level } from '../../src/protocol/replication/request.ts';
import type { Ring } from '../../src/protocol/ring/ring.ts';
import { checkConvergence } from '../simulation/checkers/convergence.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';

export const BUCKET = 'default';
export const SETTLE_MS = 60_000;
/** By then a silent connection is down at both ends. */
export const DISCONNECT_MS = 20_000;

export function formed(nodes: number, running = nodes, seed = 1): SimCluster {
  const cluster = new SimCluster({ seed, nodes });
  for (const node of cluster.nodes.slice(0, running)) cluster.start(node);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, running), SETTLE_MS)).toBe(true);
  return cluster;
}

export function hasRing(cluster: SimCluster, members: number): boolean {
  return cluster.nodes.every(({ running }) => running === null || running.node.ring.memberCount === members);
}

export function ringOf({ running }: SimNode): Ring {
  if (running === null) throw new Error('the node is down');
  return running.node.ring;
}

/** The nodes with these ids, in that order. */
export function nodesOf({ nodes }: SimCluster, ids: readonly string[]): SimNode[] {
  return ids.map((id) => {
    const node = nodes.find((each) => each.id === id);
    if (node === undefined) throw new Error(`there is no node ${id}`);
    return node;
  });
}

/** The first key of which the ring satisfies the condition. */
export function keyWhere(ring: Ring, condition: (shard: number) => boolean): string {
  for (let i = 0; i < 10_000; i++) if (condition(ring.shardOf(BUCKET, `k${i}`))) return `k${i}`;
  throw new Error('no shard satisfies the condition');
}

/** Sends a request; the function that it returns waits for the reply. */
export function ask(cluster: SimCluster, node: SimNode, request: ClientRequest): () => ClientReply {
  let reply: ClientReply | undefined;
  cluster.request(node, request, (answer) => {
    reply = answer;
  });
  return () => {
    cluster.runUntil(() => reply !== undefined, SETTLE_MS, 1);
    if (reply === undefined) throw new Error('no reply');
    return reply;
  };
}

export function mutate(
  cluster: SimCluster,
  node: SimNode,
  key: string,
  mutation: Mutation,
  level: Level,
): () => ClientReply {
  return ask(cluster, node, { type: 'mutate', bucket: BUCKET, key, mutation, level, context: null });
}

export function put(text: string): Mutation {
  const value = new TextEncoder().encode(text);
  return { type: 'put', value, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null };
}

export function dotOf(reply: ClientReply): Dot {
  if (reply.type !== 'mutate' || reply.dot === null) throw new Error(`not written: ${JSON.stringify(reply)}`);
  return reply.dot;
}

export function onDisk(node: SimNode, shard: number, key: string): Entries {
  return node.disk.entriesOf(shard, { bucket: BUCKET, key }) ?? [];
}

export function dotsOn(node: SimNode, shard: number, key: string): string[] {
  return onDisk(node, shard, key).map(({ dot }) => dotText(dot));
}

export function settle(cluster: SimCluster): void {
  cluster.runUntil(() => cluster.isSettled() && checkConvergence(cluster).length === 0, SETTLE_MS);
  expect(checkConvergence(cluster)).toEqual([]);
  expect(cluster.isSettled()).toBe(true);
}
