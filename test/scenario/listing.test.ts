import { describe, expect, test } from 'vitest';
import type { ListReply } from '../../src/protocol/replication/request.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, DISCONNECT_MS, formed, mutate, onDisk, put, ringOf, settle } from '../support/sim-story.ts';

function page(cluster: SimCluster, node: SimNode, after = '', limit = 1000, snapshot = false): ListReply {
  const request = { type: 'list', bucket: BUCKET, prefix: '', after, limit, values: true, snapshot } as const;
  const reply = ask(cluster, node, request)();
  if (reply.type !== 'list') throw new Error(JSON.stringify(reply));
  return reply;
}

function keysOf({ items }: ListReply): string[] {
  return items.map(({ key }) => key);
}

const KEYS = Array.from({ length: 60 }, (_, i) => `k${String(i).padStart(2, '0')}`);

describe('a listing', () => {
  test('shows keys that only hints hold, and that it may be incomplete', () => {
    const cluster = formed(5);
    const [alone, ...others] = cluster.nodes as [SimNode, ...SimNode[]];
    for (const key of KEYS.slice(0, 30)) mutate(cluster, others[0] as SimNode, key, put('before'), 'all')();
    cluster.partition([alone], others);
    cluster.run(DISCONNECT_MS);
    for (const key of KEYS.slice(20)) mutate(cluster, alone, key, put('in the island'), 'one')();
    expect(alone.disk.hints.size).toBeGreaterThan(0);
    const ring = ringOf(alone);
    const own = KEYS.filter((key, i) => i >= 20 || ring.isOwner(ring.shardOf(BUCKET, key), alone.id));
    const island = page(cluster, alone);
    expect(keysOf(island)).toEqual(own);
    expect(island).toMatchObject({ complete: false, answered: [alone.id] });
    const decoder = new TextDecoder();
    for (const { key, entries } of island.items) {
      const values = entries.map(({ payload }) => (payload.kind === 'register' ? decoder.decode(payload.value) : ''));
      expect(values).toContain(KEYS.indexOf(key) >= 20 ? 'in the island' : 'before');
    }
    cluster.heal();
    settle(cluster);
    expect(keysOf(page(cluster, alone))).toEqual(KEYS);
    expect(page(cluster, alone).complete).toBe(true);
  });

  test('goes on after its last key, also at another node and after the ring has changed', () => {
    const cluster = formed(5, 4);
    for (const key of KEYS) mutate(cluster, cluster.nodes[0] as SimNode, key, put('value'), 'all')();
    const found: string[] = [];
    let after = '';
    for (let i = 0; i < 50; i++) {
      const reply = page(cluster, cluster.nodes[i % 4] as SimNode, after, 7);
      found.push(...keysOf(reply));
      if (!reply.more) break;
      after = reply.resumeAfter;
      if (i === 2) cluster.start(cluster.nodes[4] as SimNode);
      if (i === 3) cluster.run(3000);
    }
    expect(found).toEqual(KEYS);
  });

  test('for a snapshot asks every owner, and says what each value is the state of', () => {
    const cluster = formed(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    for (const key of KEYS) mutate(cluster, a, key, put('value'), 'all')();
    cluster.partition([a, b], [c]);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, c, 'only on c', put('value'), 'one')();
    cluster.heal();
    expect(cluster.runUntil(() => a.running?.peers.has(c.id) === true, DISCONNECT_MS, 1)).toBe(true);
    const reply = page(cluster, a, '', 1000, true);
    expect(keysOf(reply)).toEqual([...KEYS, 'only on c']);
    // The other may be under suspicion still.
    expect(reply.answered).toEqual(expect.arrayContaining([a.id, c.id]));
    for (const { entries, context } of reply.items) {
      for (const { dot } of entries) expect(context?.has(dot)).toBe(true);
    }
  });
});

test('a page on which a bad record is missing does not count', () => {
  const cluster = formed(3);
  const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
  const shard = ringOf(a).shardOf(BUCKET, 'k');
  cluster.partition([a, c], [b]);
  expect(mutate(cluster, a, 'k', put('acknowledged'), 'quorum')()).toMatchObject({ quorum: 'strict' });
  cluster.run(1000);
  a.disk.damage(shard, { bucket: BUCKET, key: 'k' });
  cluster.crash(c);
  cluster.heal();
  expect(cluster.runUntil(() => a.running?.peers.has(b.id) === true, DISCONNECT_MS, 1)).toBe(true);
  const pages: string[] = [];
  for (let i = 0; i < 100 && onDisk(b, shard, 'k').length === 0; i++) {
    a.disk.damage(shard, { bucket: BUCKET, key: 'k' });
    const { items, complete } = page(cluster, a);
    pages.push(`${items.length} ${complete}`);
  }
  expect(pages).not.toContain('0 true');
});
