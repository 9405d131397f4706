import { describe, expect, test } from 'vitest';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { ClientReply, GetReply, Level, SessionContext } from '../../src/protocol/replication/request.ts';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { ask, BUCKET, DISCONNECT_MS, dotOf, formed, mutate, put, ringOf, settle } from '../support/sim-story.ts';

const KEY = 'k';

function get(cluster: SimCluster, node: SimNode, level: Level, session: SessionContext | null): ClientReply {
  return ask(cluster, node, { type: 'get', bucket: BUCKET, key: KEY, level, session })();
}

function tokenOf(reply: ClientReply): SessionContext {
  if (reply.type !== 'mutate' && reply.type !== 'get') throw new Error(`no token: ${JSON.stringify(reply)}`);
  return { context: reply.context, bare: reply.bare };
}

function dotsOf(reply: ClientReply): string[] {
  return (reply as GetReply).entries.map(({ dot }) => dotText(dot));
}

/** Owners of the key and the others. */
function places(cluster: SimCluster): { owners: SimNode[]; others: SimNode[] } {
  const ring = ringOf(cluster.nodes[0] as SimNode);
  const shard = ring.shardOf(BUCKET, KEY);
  const owners = cluster.nodes.filter(({ id }) => ring.isOwner(shard, id));
  return { owners, others: cluster.nodes.filter((node) => !owners.includes(node)) };
}

describe('a session', () => {
  test('reads its own write at another owner that has missed it', () => {
    const cluster = formed(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.partition([a], [b, c]);
    cluster.run(DISCONNECT_MS);
    const written = mutate(cluster, a, KEY, put('only here'), 'one')();
    cluster.heal();
    // The link is back, and the replicas have not compared yet.
    expect(cluster.runUntil(() => b.running?.peers.has(a.id) === true, DISCONNECT_MS, 1)).toBe(true);
    expect(dotsOf(get(cluster, b, 'one', null))).toEqual([]);
    expect(dotsOf(get(cluster, b, 'one', tokenOf(written)))).toEqual([dotText(dotOf(written))]);
  });

  test('is refused rather than shown less, in an island that cannot know its write', () => {
    const cluster = formed(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.partition([a], [b, c]);
    cluster.run(DISCONNECT_MS);
    const written = mutate(cluster, a, KEY, put('only here'), 'one')();
    for (const level of ['one', 'quorum'] as const) {
      const reply = get(cluster, b, level, tokenOf(written));
      expect(reply).toMatchObject({ type: 'failed', failure: { code: 'session-unavailable', stateChanged: 'no' } });
    }
    expect(get(cluster, b, 'quorum', null)).toMatchObject({ type: 'get', entries: [], complete: true });
    cluster.heal();
    settle(cluster);
    expect(dotsOf(get(cluster, c, 'one', tokenOf(written)))).toEqual([dotText(dotOf(written))]);
  });

  test('finds its write in the hint of a fallback, asked through an owner', () => {
    const cluster = formed(5);
    const { owners, others } = places(cluster);
    const [fallback, other] = others as [SimNode, SimNode];
    cluster.partition(owners, others);
    cluster.run(DISCONNECT_MS);
    const written = mutate(cluster, fallback, KEY, put('in a hint'), 'one')();
    expect(written).toMatchObject({ quorum: 'sloppy' });
    // The other fallback is asked: it has no copy of its own.
    expect(dotsOf(get(cluster, other, 'one', tokenOf(written)))).toEqual([dotText(dotOf(written))]);
  });

  test('does not see a deleted value again at an owner that has missed the delete', () => {
    const cluster = formed(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    mutate(cluster, a, KEY, put('old'), 'all')();
    cluster.partition([a, b], [c]);
    cluster.run(DISCONNECT_MS);
    mutate(cluster, a, KEY, { type: 'delete' }, 'quorum')();
    const absent = get(cluster, b, 'one', null);
    expect(dotsOf(absent)).toEqual([]);
    expect(dotsOf(get(cluster, c, 'one', null))).toHaveLength(1);
    expect(get(cluster, c, 'one', tokenOf(absent))).toMatchObject({ failure: { code: 'session-unavailable' } });
    cluster.heal();
    expect(cluster.runUntil(() => c.running?.peers.has(a.id) === true, DISCONNECT_MS, 1)).toBe(true);
    expect(dotsOf(get(cluster, c, 'one', tokenOf(absent)))).toEqual([]);
  });

  test('has seen of a write only what that replaced, so that passing it on spares what nobody has looked at', () => {
    const cluster = formed(3);
    const [a] = cluster.nodes as [SimNode];
    const first = mutate(cluster, a, KEY, put('first'), 'all')();
    const unseen = dotOf(mutate(cluster, a, KEY, put('concurrent, unseen by the session'), 'all')());
    const write = (text: string, context: SessionContext): ClientReply =>
      ask(cluster, a, { type: 'mutate', bucket: BUCKET, key: KEY, mutation: put(text), level: 'all', context })();
    const second = write('second', tokenOf(first));
    const third = write('third', tokenOf(second));
    expect(tokenOf(third).context.covers(tokenOf(first).context)).toBe(true);
    expect(dotsOf(get(cluster, a, 'all', null)).sort()).toEqual([dotText(unseen), dotText(dotOf(third))].sort());
  });

  test('keeps what it has seen with a write that had nothing to do', () => {
    const cluster = formed(3);
    const [a, b] = cluster.nodes as [SimNode, SimNode];
    const written = mutate(cluster, a, KEY, put('value'), 'all')();
    mutate(cluster, b, KEY, { type: 'delete' }, 'all')();
    const request = { type: 'mutate', bucket: BUCKET, key: KEY, mutation: { type: 'delete' }, level: 'one' } as const;
    const nothing = ask(cluster, b, { ...request, context: tokenOf(written) })();
    expect(nothing).toMatchObject({ type: 'mutate', applied: false });
    expect(tokenOf(nothing).context.covers(tokenOf(written).context)).toBe(true);
  });

  test('replaces what it has seen also where only another node has that', () => {
    const cluster = formed(3);
    const [a, b, c] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.partition([a], [b, c]);
    cluster.run(DISCONNECT_MS);
    const first = mutate(cluster, a, KEY, put('first'), 'one')();
    cluster.heal();
    expect(cluster.runUntil(() => b.running?.peers.has(a.id) === true, DISCONNECT_MS, 1)).toBe(true);
    const request = { type: 'mutate', bucket: BUCKET, key: KEY, mutation: put('second'), level: 'quorum' } as const;
    const second = ask(cluster, b, { ...request, context: tokenOf(first) })();
    settle(cluster);
    expect(dotsOf(get(cluster, c, 'all', null))).toEqual([dotText(dotOf(second))]);
  });

  test('covers the delete that its read shows before that is synced', () => {
    const cluster = formed(3);
    const [a] = cluster.nodes as [SimNode, ...SimNode[]];
    mutate(cluster, a, KEY, put('value'), 'all')();
    cluster.run(1000);
    const deleting = mutate(cluster, a, KEY, { type: 'delete' }, 'one');
    expect(cluster.runUntil(() => a.running?.commits.idle === false, 100, 0.05)).toBe(true);
    const reading = ask(cluster, a, { type: 'get', bucket: BUCKET, key: KEY, level: 'one', session: null });
    const dot = dotOf(deleting());
    expect(dotsOf(reading())).toEqual([]);
    expect(tokenOf(reading()).context.has(dot)).toBe(true);
  });
});
