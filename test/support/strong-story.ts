import { expect } from 'vitest';
import type { RegisterReply, RegisterRequest } from '../../src/protocol/register/request.ts';
import type { Condition } from '../../src/protocol/register/value.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import { hasRing } from './sim-story.ts';

const FORM_MS = 30_000;
/** No strong request takes longer. */
const ANSWER_MS = 2000;
const ANY: Condition = { type: 'none' };
export const ABSENT: Condition = { type: 'absent' };

/** A cluster with a leader of a majority. */
export function led(nodes: number, seed = 1, options: { readonly outAfterMs?: number } = {}): SimCluster {
  const cluster = new SimCluster({ seed, nodes, ...options });
  for (const node of cluster.nodes) cluster.start(node);
  const isLed = (): boolean => cluster.nodes.some(leadsMajority);
  expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, nodes) && isLed(), FORM_MS)).toBe(true);
  return cluster;
}

export function leadsMajority({ running, clock, id }: SimNode): boolean {
  const leadership = running?.node.leadership(clock.now());
  return leadership?.leader === id && leadership.quorate;
}

/** The reply, which comes within two seconds. */
export function strong(cluster: SimCluster, node: SimNode, request: RegisterRequest): RegisterReply {
  let reply: RegisterReply | undefined;
  cluster.request(node, request, (answer) => {
    reply = answer;
  });
  expect(cluster.runUntil(() => reply !== undefined, ANSWER_MS, 1)).toBe(true);
  return reply as RegisterReply;
}

export function strongPut(
  cluster: SimCluster,
  node: SimNode,
  key: string,
  text: string,
  condition: Condition = ANY,
): RegisterReply {
  const content = { bytes: new TextEncoder().encode(text), contentType: 'text/plain', expiresAtMs: null };
  return strong(cluster, node, { type: 'strong-put', bucket: 'strong', key, content, condition });
}

/** The text, null where there is none, 'failed' with the reason where it cannot be told. */
export function strongGet(cluster: SimCluster, node: SimNode, key: string): string | null {
  const reply = strong(cluster, node, { type: 'strong-get', bucket: 'strong', key });
  if (reply.type === 'failed') return `failed: ${reply.failure.code}`;
  if (reply.type !== 'strong-get') throw new Error(`no answer to a read: ${reply.type}`);
  return reply.content === null ? null : new TextDecoder().decode(reply.content.bytes);
}

/** The epoch and the electors that each running node knows, as one text each. */
export function electoratesOf(cluster: SimCluster): string[] {
  return cluster.nodes
    .filter(({ running }) => running !== null)
    .map(({ running }) => {
      const electorate = running?.node.deciders.electorate ?? null;
      if (electorate === null) return 'none';
      const names = electorate.electors.map(({ id }) => cluster.nodes.find((node) => node.id === id)?.name ?? id);
      return `${names.sort().join()}${electorate.previous === null ? '' : ' changing'}`;
    });
}
