import { describe, expect, test } from 'vitest';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, DISCONNECT_MS, formed, mutate, put, SETTLE_MS, settle } from '../support/sim-story.ts';

const KEYS = Array.from({ length: 60 }, (_, i) => `missed-${i}`);
const VALUE = 'x'.repeat(200);
/** Soon after the peer that was asked fell silent, and long before its connection is given up. */
const NEXT_ASKED_MS = 1500;

interface Story {
  readonly cluster: SimCluster;
  readonly late: SimNode;
  readonly others: readonly SimNode[];
}

/** With as many copies as nodes there are no fallbacks, so no hints: one node has to be brought up by the two others. */
function oneIsLate(): Story {
  const cluster = formed(3);
  const [late, ...others] = cluster.nodes as [SimNode, ...SimNode[]];
  for (const key of KEYS) mutate(cluster, others[0] as SimNode, key, put('before'), 'all')();
  settle(cluster);
  cluster.crash(late);
  cluster.run(DISCONNECT_MS);
  for (const [index, key] of KEYS.entries()) {
    mutate(cluster, others[index % 2] as SimNode, key, put(VALUE), 'quorum')();
  }
  cluster.run(SETTLE_MS);
  return { cluster, late, others };
}

/** The late node, asked alone, answers all keys as they are now. */
function hasCaughtUp({ cluster, late }: Story): boolean {
  return KEYS.every((key) => {
    const reply = ask(cluster, late, { type: 'get', bucket: BUCKET, key, level: 'one', session: null })();
    if (reply.type !== 'get') return false;
    const [entry] = reply.entries;
    return entry?.payload.kind === 'register' && entry.payload.value.length === VALUE.length;
  });
}

function isRepaired({ late, others }: Story): boolean {
  return [...(others[0] as SimNode).disk.shards].every(
    ([shard, { context }]) => late.disk.shards.get(shard)?.context.covers(context) === true,
  );
}

/** Calls back at the first question of the late node, before it leaves. */
function whenAsked({ cluster, late }: Story, use: (asked: SimNode) => void): void {
  let isAsked = false;
  cluster.observers.push({
    message: (from, to, message) => {
      if (isAsked || from !== late || message.type !== 'sync-context') return;
      if (!message.covers.some(({ wants }) => wants)) return;
      isAsked = true;
      const asked = cluster.nodes.find(({ id }) => id === to) as SimNode;
      cluster.clock.after(0, () => use(asked));
    },
  });
}

describe('a node that was away', () => {
  test('is sent by one of the others what both have, in little more than its bytes', () => {
    const story = oneIsLate();
    const { cluster, late } = story;
    const sent = new Map<string, number>();
    let bytes = 0;
    cluster.observers.push({
      message: (_from, to, message, size) => {
        if (!message.type.startsWith('sync-')) return;
        bytes += size;
        if (message.type !== 'sync-objects' || to !== late.id) return;
        for (const { key } of message.chunks.flatMap(({ items }) => items)) sent.set(key, (sent.get(key) ?? 0) + 1);
      },
    });
    cluster.start(late);
    expect(cluster.runUntil(() => isRepaired(story), SETTLE_MS)).toBe(true);
    cluster.run(2000);
    expect(Object.fromEntries(sent)).toEqual(Object.fromEntries(KEYS.map((key) => [key, 1])));
    const objectBytes = KEYS.reduce((sum, key) => sum + key.length + VALUE.length, 0);
    expect(bytes).toBeLessThan(2 * 2000 + 1.2 * objectBytes);
    expect(hasCaughtUp(story)).toBe(true);
    settle(cluster);
  });

  test('is sent it by the other where the one that it asked falls silent', () => {
    const story = oneIsLate();
    const { cluster, late } = story;
    let silentMs = 0;
    whenAsked(story, (asked) => {
      cluster.block(late, asked);
      silentMs = cluster.clock.nowMs;
    });
    cluster.start(late);
    expect(cluster.runUntil(() => silentMs > 0, SETTLE_MS, 1)).toBe(true);
    expect(cluster.runUntil(() => isRepaired(story), NEXT_ASKED_MS, 10)).toBe(true);
    expect(hasCaughtUp(story)).toBe(true);
    cluster.heal();
    settle(cluster);
  });

  test('is sent it by the other where the one that it asked dies', () => {
    const story = oneIsLate();
    const { cluster, late } = story;
    let dead: SimNode | undefined;
    whenAsked(story, (asked) => {
      cluster.crash(asked);
      dead = asked;
    });
    cluster.start(late);
    expect(cluster.runUntil(() => dead !== undefined, SETTLE_MS, 1)).toBe(true);
    expect(cluster.runUntil(() => isRepaired(story), NEXT_ASKED_MS, 10)).toBe(true);
    cluster.start(dead as SimNode);
    settle(cluster);
  });

  test('gets from each of the others what only that one has', () => {
    const story = oneIsLate();
    const { cluster, late, others } = story;
    const [one, other] = others as readonly [SimNode, SimNode];
    cluster.block(one, other);
    cluster.run(DISCONNECT_MS);
    for (const node of others) mutate(cluster, node, 'apart', put(`by ${node.name}`), 'one')();
    cluster.start(late);
    const covers = (node: SimNode): boolean =>
      [...node.disk.shards].every(([id, { context }]) => late.disk.shards.get(id)?.context.covers(context) === true);
    expect(cluster.runUntil(() => covers(one) && covers(other), 10_000)).toBe(true);
    cluster.heal();
    settle(cluster);
  });
});

test('within as many rounds as there are peers a node looks at all of them, whatever it draws', () => {
  const nodes = 6;
  const cluster = formed(nodes);
  settle(cluster);
  cluster.run(DISCONNECT_MS);
  for (const type of ['sync-digest', 'catalog-digest'] as const) {
    const roundMs = type === 'sync-digest' ? 12_500 : 5000;
    const asked = new Map(cluster.nodes.map((node) => [node, new Set<string>()]));
    cluster.observers.push({
      message: (from, to, message) => void (message.type === type && asked.get(from)?.add(to)),
    });
    // A round under way may have begun anywhere.
    cluster.run(2 * (nodes - 1) * roundMs);
    for (const [node, peers] of asked) expect(peers.size, `${type} of ${node.name}`).toBe(nodes - 1);
  }
});
