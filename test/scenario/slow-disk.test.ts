import { expect, test } from 'vitest';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, formed, mutate, put, settle } from '../support/sim-story.ts';

const MIB = 1024 * 1024;
const BYTES = 100_000;

function large(): Mutation {
  return { type: 'put', value: new Uint8Array(BYTES), contentType: '', expiresAtMs: 0, onlyIf: null };
}

interface Kept {
  readonly item: {
    readonly ended: boolean;
    readonly parts?: { readonly message: { readonly entries: Entries } } | null;
  };
}

interface Writer {
  readonly writes: ReadonlyMap<number, unknown>;
  readonly stalls: { readonly items: readonly Kept[] };
  readonly deadlines: { readonly items: readonly Kept[] };
}

function writerOf({ running }: SimNode): Writer {
  if (running === null) throw new Error('the node is down');
  return (running.node as unknown as { replication: { writer: Writer } }).replication.writer;
}

test('values of writes that are over are let go of', () => {
  const cluster = formed(3);
  const [first] = cluster.nodes as [SimNode];
  for (let i = 0; i < 900; i++) mutate(cluster, first, 'k', large(), 'all')();
  for (const node of cluster.nodes) {
    const { stalls, deadlines } = writerOf(node);
    const held = [...stalls.items, ...deadlines.items].filter(
      ({ item }) => (item.parts?.message.entries.length ?? 0) > 0,
    );
    expect(held.length).toBeLessThan(10);
  }
}, 60_000);

test('what waits for a disk that hangs is bounded, and is there once it works again', () => {
  const cluster = formed(4);
  const ring = cluster.nodes[0]?.running?.node.ring;
  const hung = cluster.nodes[2] as SimNode;
  const keys: string[] = [];
  for (let i = 0; keys.length < 400; i++) {
    if (ring?.isOwner(ring.shardOf(BUCKET, `k${i}`), hung.id) === true) keys.push(`k${i}`);
  }
  // One who does not forward them to the node whose disk hangs: its clients wait for their answers.
  const owner = (key: string): SimNode => {
    const id = ring?.owners(ring.shardOf(BUCKET, key)).find((each) => each !== hung.id);
    return cluster.nodes.find((node) => node.id === id) as SimNode;
  };
  hung.troubles.syncMaxMs.push(60_000);
  let most = 0;
  for (const key of keys) {
    expect(mutate(cluster, owner(key), key, large(), 'quorum')()).toMatchObject({ type: 'mutate' });
    most = Math.max(most, hung.running?.node.replicationStats().cache.bytes ?? 0);
  }
  expect(keys.length * BYTES).toBeGreaterThan(32 * MIB);
  expect(most).toBeLessThan(6 * MIB);
  cluster.run(2000);
  for (const node of cluster.nodes) if (node !== hung) expect(writerOf(node).writes.size).toBe(0);
  hung.troubles.syncMaxMs.pop();
  cluster.run(120_000);
  settle(cluster);
}, 120_000);

test('a node whose own disk hangs refuses writes before they fill its memory', () => {
  const cluster = formed(3);
  const [first] = cluster.nodes as [SimNode];
  first.troubles.syncMaxMs.push(60_000);
  const replies = Array.from({ length: 400 }, (_, i) => mutate(cluster, first, `k${i}`, large(), 'one'));
  cluster.run(500);
  expect(first.running?.node.replicationStats().cache.bytes).toBeLessThan(34 * MIB);
  const refused = replies
    .map((reply) => reply())
    .filter((reply) => {
      return (
        reply.type === 'failed' && reply.failure.code === 'too-many-requests' && reply.failure.stateChanged === 'no'
      );
    });
  expect(refused.length).toBeGreaterThan(50);
  first.troubles.syncMaxMs.pop();
  cluster.run(120_000);
  settle(cluster);
  const get = { type: 'get', bucket: BUCKET, key: 'k0', level: 'quorum', session: null } as const;
  expect(ask(cluster, first, get)()).toMatchObject({ type: 'get', complete: true });
  expect(mutate(cluster, first, 'k0', put('later'), 'all')()).toMatchObject({ applied: true });
}, 120_000);
