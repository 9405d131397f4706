import { describe, expect, test } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { ConflictKey, ConflictRow } from '../../src/protocol/replication/record.ts';
import type { ConflictsQuery, ConflictsReply } from '../../src/protocol/replication/request.ts';
import { checkReconciliation } from '../simulation/checkers/reconciliation.ts';
import { SimCluster, type SimNode } from '../simulation/cluster.ts';
import type { VirtualHub } from '../simulation/virtual-hub.ts';
import { eventualBucket } from '../support/eventual-bucket.ts';
import {
  ask,
  BUCKET,
  DISCONNECT_MS,
  dotOf,
  formed,
  hasRing,
  mutate,
  put,
  SETTLE_MS,
  settle,
} from '../support/sim-story.ts';

const KEY = 'k';
/** What was written on either side of a partition between the first node and the others, which all own the key. */
function divided(seed: number): { cluster: SimCluster; alone: string; together: string } {
  const cluster = formed(3, 3, seed);
  const [first, ...others] = cluster.nodes as [SimNode, SimNode, SimNode];
  mutate(cluster, first, KEY, put('before'), 'all')();
  cluster.partition([first], others);
  cluster.run(DISCONNECT_MS);
  const alone = dotText(dotOf(mutate(cluster, first, KEY, put('alone'), 'one')()));
  cluster.run(10);
  const together = dotText(dotOf(mutate(cluster, others[0], KEY, put('together'), 'quorum')()));
  return { cluster, alone, together };
}

function write(cluster: SimCluster, node: SimNode, bucket: string, key: string, text: string): void {
  const request = { type: 'mutate', bucket, key, mutation: put(text), level: 'one', context: null } as const;
  expect(ask(cluster, node, request)().type).toBe('mutate');
}

function names(name: string, count: number): string[] {
  return Array<string>(count).fill(name);
}

function conflictsAt(cluster: SimCluster, node: SimNode, query: Partial<ConflictsQuery> = {}): ConflictsReply {
  let reply: ConflictsReply | undefined;
  cluster.conflicts(node, { bucket: null, after: null, limit: 100, ...query }, (answer) => {
    if (answer.type === 'failed') throw new Error(answer.failure.message);
    reply = answer;
  });
  cluster.runUntil(() => reply !== undefined, SETTLE_MS, 1);
  if (reply === undefined) throw new Error('no reply');
  return reply;
}

/** Winner and loser. */
function shown({ record: { winner, loser } }: ConflictRow): string[] {
  return [dotText(winner.entry.dot), dotText(loser.entry.dot)];
}

function journalOf({ disk }: SimNode): string[][] {
  return [...disk.conflicts.values()].map(shown);
}

describe('the journal of conflicts', () => {
  test.each([1, 2, 3])('has what one island lost against another, at every owner, also after a restart, %#', (seed) => {
    const { cluster, alone, together } = divided(seed);
    for (const node of cluster.nodes) expect(journalOf(node)).toEqual([]);
    cluster.heal();
    settle(cluster);
    for (const node of cluster.nodes) expect(journalOf(node)).toEqual([[together, alone]]);
    const [first] = cluster.nodes as [SimNode];
    cluster.crash(first);
    cluster.run(DISCONNECT_MS);
    cluster.start(first);
    settle(cluster);
    expect(journalOf(first)).toEqual([[together, alone]]);
    expect(first.running?.node.replicationStats().conflicts).toBe(1);
    // It is met again, and not written again.
    expect(first.running?.node.replicationStats().counters.conflicts).toBe(0);
  });

  test('is one answer for the site, at any member that is up', () => {
    const { cluster, alone, together } = divided(4);
    cluster.heal();
    settle(cluster);
    const lost = [[together, alone]];
    for (const node of cluster.nodes) {
      const reply = conflictsAt(cluster, node);
      expect(reply.rows.map(shown)).toEqual(lost);
      expect(reply).toMatchObject({ more: false, missing: [] });
    }
    const [first, second, third] = cluster.nodes as [SimNode, SimNode, SimNode];
    // Who has just gone away may not be known to have: it is waited for, and named.
    cluster.partition([first], [second, third]);
    const atOnce = conflictsAt(cluster, first);
    expect(atOnce.missing.toSorted()).toEqual([second.id, third.id].toSorted());
    expect(atOnce.rows.map(shown)).toEqual(lost);
    cluster.run(DISCONNECT_MS);
    const startMs = cluster.clock.nowMs;
    expect(conflictsAt(cluster, first)).toEqual(atOnce);
    expect(cluster.clock.nowMs - startMs).toBeLessThan(100);
  });

  test('comes in pages, of all buckets or of one', () => {
    const cluster = formed(3, 3, 5);
    const [first, second] = cluster.nodes as [SimNode, SimNode];
    expect(cluster.putBucket(first, 'other', eventualBucket())).toBe(true);
    settle(cluster);
    cluster.partition([first], cluster.nodes.slice(1));
    cluster.run(DISCONNECT_MS);
    for (const bucket of [BUCKET, 'other']) {
      for (let i = 0; i < 7; i++) {
        for (const node of [first, second]) write(cluster, node, bucket, `k${i}`, node.name);
      }
    }
    cluster.heal();
    settle(cluster);
    const all = conflictsAt(cluster, second);
    expect(all.rows.length).toBe(14);
    // The latest lost write first.
    expect(all.rows.map(({ record }) => record.name.bucket)).toEqual([...names('other', 7), ...names(BUCKET, 7)]);
    const paged: ConflictRow[] = [];
    let after: ConflictKey | null = null;
    for (let page = 0; page < 5; page++) {
      const reply = conflictsAt(cluster, first, { limit: 3, after });
      paged.push(...reply.rows);
      expect(reply.more).toBe(page < 4);
      after = reply.rows.at(-1)?.key ?? null;
    }
    expect(paged).toEqual(all.rows);
    const { rows } = conflictsAt(cluster, first, { bucket: BUCKET });
    expect(rows).toEqual(all.rows.slice(7));
  });

  test('has nothing of writes that were superseded, in whatever order they came', () => {
    const cluster = formed(3, 3, 6);
    const [first, second] = cluster.nodes as [SimNode, SimNode];
    for (let i = 0; i < 30; i++) {
      cluster.block(first, second);
      mutate(cluster, first, KEY, put(`a${i}`), 'quorum')();
      cluster.heal();
      mutate(cluster, first, KEY, put(`b${i}`), 'quorum')();
    }
    settle(cluster);
    expect(cluster.nodes.map(journalOf)).toEqual([[], [], []]);
  });

  test('has what a client lost that had not seen the value it wrote over', () => {
    const cluster = formed(3, 3, 7);
    const [first] = cluster.nodes as [SimNode];
    const before = dotText(dotOf(mutate(cluster, first, KEY, put('before'), 'all')()));
    const nothing = { context: new CausalContext(), bare: new CausalContext() };
    const request = { type: 'mutate', bucket: BUCKET, key: KEY, mutation: put('blind'), level: 'all' } as const;
    const blind = dotText(dotOf(ask(cluster, first, { ...request, context: nothing })()));
    settle(cluster);
    for (const node of cluster.nodes) expect(journalOf(node)).toEqual([[blind, before]]);
  });
});

describe('the journal of a site with a hub', () => {
  test('has what the site lost against the hub, and the hub against the site', () => {
    const cluster = new SimCluster({ seed: 8, nodes: 3, hub: true });
    const hub = cluster.hub as VirtualHub;
    const [first] = cluster.nodes as [SimNode];
    for (const node of cluster.nodes) cluster.start(node);
    expect(cluster.runUntil(() => cluster.isSettled() && hasRing(cluster, 3), SETTLE_MS)).toBe(true);
    expect(cluster.putBucket(first, 'both', eventualBucket({ sync: 'both' }))).toBe(true);
    cluster.run(5000);
    for (const node of cluster.nodes) hub.setCut(node, true);
    const shard = first.running?.node.placements.shardOf('both', KEY) ?? 0;
    const other = first.running?.node.placements.shardOf('both', 'other') ?? 0;
    write(cluster, first, 'both', KEY, 'site');
    expect(hub.write({ shard: other, bucket: 'both', key: 'other' }, put('hub')).applied).toBe(true);
    cluster.run(1000);
    expect(hub.write({ shard, bucket: 'both', key: KEY }, put('hub')).applied).toBe(true);
    write(cluster, first, 'both', 'other', 'site');
    for (const node of cluster.nodes) hub.setCut(node, false);
    settle(cluster);
    cluster.runUntil(() => checkReconciliation(cluster).length === 0, SETTLE_MS);
    settle(cluster);
    for (const node of cluster.nodes) {
      const { rows } = conflictsAt(cluster, node);
      expect(rows.map(({ record: { name, winner, loser } }) => [name.key, winner.byHub, loser.byHub])).toEqual([
        ['other', false, true],
        [KEY, true, false],
      ]);
    }
    for (const node of cluster.nodes) expect(journalOf(node).length).toBe(2);
  });
});
