import { describe, expect, test } from 'vitest';
import type { BucketConfig } from '../../src/protocol/catalog/record.ts';
import type { ClientReply, Level } from '../../src/protocol/replication/request.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ask, formed, mutate, put, settle } from '../support/sim-story.ts';

const ORDERS = 'orders';
const KEY = 'k';
const CONFIG: BucketConfig = {
  consistency: 'eventual',
  conflict: 'lww',
  // Everywhere, so that every node has what it needs to answer.
  replicas: 5,
  preferredZones: [],
  sync: 'none',
  ttlSeconds: null,
  island: 'refuse',
};

interface Story {
  readonly cluster: SimCluster;
  readonly smaller: readonly [SimNode, SimNode];
  readonly larger: readonly [SimNode, SimNode, SimNode];
}

/** Five nodes, and a bucket whose key has been written, that takes no writes in an island. */
function story(seed: number): Story {
  const cluster = formed(5, 5, seed);
  const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
  expect(cluster.putBucket(a, ORDERS, CONFIG)).toBe(true);
  settle(cluster);
  expect(write(cluster, a, 'before', 'all').type).toBe('mutate');
  return { cluster, smaller: [a, b], larger: [c, d, e] };
}

function write(cluster: SimCluster, node: SimNode, text: string, level: Level = 'quorum'): ClientReply {
  const mutation = put(text);
  return ask(cluster, node, { type: 'mutate', bucket: ORDERS, key: KEY, mutation, level, context: null })();
}

/** What a read at the node shows. */
function valueAt(cluster: SimCluster, node: SimNode): string | null {
  const reply = ask(cluster, node, { type: 'get', bucket: ORDERS, key: KEY, level: 'one', session: null })();
  const payload = reply.type === 'get' ? reply.entries[0]?.payload : undefined;
  return payload?.kind === 'register' ? new TextDecoder().decode(payload.value) : null;
}

function keysAt(cluster: SimCluster, node: SimNode): string[] {
  const listed = { prefix: '', after: '', limit: 10, values: false, snapshot: false };
  const reply = ask(cluster, node, { type: 'list', bucket: ORDERS, ...listed })();
  return reply.type === 'list' ? reply.items.map(({ key }) => key) : [];
}

function isIsland({ running }: SimNode): boolean {
  return running?.node.level.level === 'island';
}

/** Sends a request, and says what is answered in the same moment. */
function atOnce(cluster: SimCluster, node: SimNode, text: string): ClientReply | undefined {
  let reply: ClientReply | undefined;
  const mutation = put(text);
  cluster.request(
    node,
    { type: 'mutate', bucket: ORDERS, key: KEY, mutation, level: 'one', context: null },
    (answer) => {
      reply = answer;
    },
  );
  return reply;
}

const REFUSED = { type: 'failed', failure: { code: 'island-refused', stateChanged: 'no' } };

describe('a bucket that takes no writes in an island', () => {
  test.each([1, 2, 3])('takes them in the larger part of a divided cluster alone, and is read in both, %#', (seed) => {
    const { cluster, smaller, larger } = story(seed);
    cluster.partition(smaller, larger);
    expect(cluster.runUntil(() => smaller.every(isIsland), 60_000)).toBe(true);
    for (const node of smaller) {
      expect(atOnce(cluster, node, 'no')).toMatchObject(REFUSED);
      expect(valueAt(cluster, node)).toBe('before');
      expect(keysAt(cluster, node)).toEqual([KEY]);
      // Other buckets go on as ever.
      expect(mutate(cluster, node, KEY, put('yes'), 'one')().type).toBe('mutate');
    }
    for (const node of larger) expect(write(cluster, node, `from ${node.name}`).type).toBe('mutate');
    cluster.heal();
    expect(cluster.runUntil(() => !smaller.some(isIsland), 60_000)).toBe(true);
    settle(cluster);
    for (const node of smaller) expect(valueAt(cluster, node)).toBe(`from ${larger[2].name}`);
    for (const node of smaller) {
      expect(write(cluster, node, `from ${node.name}`).type).toBe('mutate');
    }
  });

  test('has its writes replicated to nodes that take none', () => {
    const { cluster, smaller, larger } = story(4);
    cluster.partition(smaller, larger);
    expect(cluster.runUntil(() => smaller.every(isIsland), 60_000)).toBe(true);
    cluster.heal();
    // The others are back, and the level is not yet: a better one has to hold for a while.
    const isStored = (): boolean => write(cluster, larger[0], 'after', 'all').type === 'mutate';
    expect(cluster.runUntil(isStored, 60_000, 100)).toBe(true);
    for (const node of smaller) {
      expect(isIsland(node)).toBe(true);
      expect(atOnce(cluster, node, 'no')).toMatchObject(REFUSED);
      expect(valueAt(cluster, node)).toBe('after');
    }
  });

  test('refuses every kind of write', () => {
    const { cluster, smaller, larger } = story(5);
    cluster.partition(smaller, larger);
    expect(cluster.runUntil(() => smaller.every(isIsland), 60_000)).toBe(true);
    const bytes = new TextEncoder().encode('m');
    for (const mutation of [
      { type: 'delete' },
      { type: 'expire', expiresAtMs: 1 },
      { type: 'append', value: bytes },
      { type: 'increment', by: 1 },
      { type: 'add', members: [bytes] },
      { type: 'put-fields', fields: [{ field: bytes, value: bytes }], onlyIf: null },
    ] as const) {
      const request = { type: 'mutate', bucket: ORDERS, key: KEY, mutation, level: 'one', context: null } as const;
      expect(ask(cluster, smaller[0], request)(), mutation.type).toMatchObject(REFUSED);
    }
    expect(valueAt(cluster, smaller[0])).toBe('before');
  });
});
