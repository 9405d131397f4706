import { describe, expect, test } from 'vitest';
import { CausalContext, NOTHING } from '../../src/protocol/causal/context.ts';
import type { SimNode } from '../simulation/cluster.ts';
import { dotOf, mutate, put } from '../support/sim-story.ts';
import {
  agreed,
  atHub,
  bucketsAt,
  create,
  loseAllDisks,
  REMOVE,
  reconciled,
  shardOf,
  site,
  textAt,
  write,
} from '../support/site-story.ts';

const BUSY = { type: 'hub-refused', code: 'busy', detail: 'another time' } as const;

describe('what only the hub has', () => {
  test('is not counted by an island that has not heard of its bucket', () => {
    const here = site(5, 8, { outAfterMs: 20_000 });
    const { cluster, hub } = here;
    const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    cluster.partition([a, b], [c, d, e]);
    cluster.run(15_000);
    create(here, 'late', { sync: 'both' });
    const request = { type: 'mutate', bucket: 'late', level: 'one', context: null } as const;
    const failed: string[] = [];
    for (let i = 0; i < 40; i++) {
      cluster.request(a, { ...request, key: `k${i}`, mutation: put('island') }, (reply) => {
        if (reply.type === 'failed') failed.push(reply.failure.code);
      });
      cluster.run(20);
    }
    // The others take both out of the ring and own all: nobody is away any more from whom it could come.
    cluster.run(200_000);
    expect(failed).toEqual([]);
    expect(c.running?.node.ring.memberCount).toBe(3);
    expect(bucketsAt(c)).not.toContain('late');
    expect([...hub.rows.objects.values()].some(({ name }) => name.bucket === 'late')).toBe(true);
    cluster.heal();
    agreed(here, 400_000);
    for (let i = 0; i < 40; i++) expect(textAt(here, 'late', `k${i}`, i % 5)).toBe('island');
  });

  test('is brought back in pieces while others write at the hub all the time', () => {
    const here = site(3, 4);
    const { cluster, hub } = here;
    create(here, 'both', { sync: 'both' });
    for (let i = 0; i < 100; i++) write(here, 'both', `k${i}`, put('x'), i % 3);
    for (let i = 0; i < 100; i += 5) write(here, 'both', `k${i}`, REMOVE, i % 3);
    reconciled(here);
    const names = Array.from({ length: 100 }, (_, i) => `steady${i}`);
    loseAllDisks(here);
    hub.interfere = (request) => {
      if (request.type !== 'hub-compare' && request.type !== 'hub-fetch') return;
      const key = names.find((name) => shardOf(cluster, 'both', name) === request.shard) ?? '';
      hub.write({ shard: request.shard, bucket: 'both', key }, put('steady'));
    };
    const expected = (i: number): string | undefined => (i % 5 === 0 ? undefined : 'x');
    cluster.run(60_000);
    for (let i = 0; i < 100; i++) expect(textAt(here, 'both', `k${i}`, i % 3)).toBe(expected(i));
    hub.interfere = () => undefined;
    agreed(here, 400_000);
    for (let i = 0; i < 100; i++) expect(textAt(here, 'both', `k${i}`, i % 3)).toBe(expected(i));
  });

  test('does not keep back what is written meanwhile', () => {
    const here = site(3, 64);
    const { cluster, hub } = here;
    for (let i = 0; i < 400; i++) write(here, 'default', `k${i}`, put('x'), i % 3);
    reconciled(here);
    loseAllDisks(here);
    let fetches = 0;
    hub.work = ({ type }, use) => {
      if (type !== 'hub-fetch') use(null);
      else {
        fetches++;
        cluster.clock.after(8000, () => use(null));
      }
    };
    expect(cluster.runUntil(() => fetches > 0, 60_000)).toBe(true);
    cluster.run(3000);
    for (let i = 0; i < 40; i++) write(here, 'default', `new${i}`, put('new'), i % 3);
    cluster.run(6000);
    expect(fetches).toBeLessThan(64);
    const sent = Array.from({ length: 40 }, (_, i) => atHub(here, 'default', `new${i}`).length);
    // But for shards that are being restored just now.
    expect(sent.filter((entries) => entries > 0).length).toBeGreaterThan(20);
    hub.work = (_request, use) => use(null);
    agreed(here, 400_000);
  });
});

describe('a delete that only the hub knows of', () => {
  test('takes away what was on its way to the hub', () => {
    const here = site(3, 2);
    const { cluster, hub } = here;
    const [a] = cluster.nodes as [SimNode];
    for (let i = 0; i < 10; i++) write(here, 'default', `k${i}`, put('x'), i % 3);
    reconciled(here);
    hub.work = ({ type }, use) => use(type === 'hub-push' ? BUSY : null);
    const dot = dotOf(mutate(cluster, a, 'k3', put('late'), 'all')());
    // A node had it from the first one, and sent the hub the delete alone before its disk was lost.
    const shard = shardOf(cluster, 'default', 'k3');
    const events = CausalContext.fromDots([{ actor: 'ab'.repeat(8), counter: 1 }]);
    const past = CausalContext.fromDots([dot, ...atHub(here, 'default', 'k3').map((entry) => entry.dot)]);
    const item = { bucket: 'default', key: 'k3', entries: [], past, events, more: false, sent: null };
    const of = { shard, context: events, later: NOTHING, skipped: NOTHING, skippedOf: [], own: NOTHING };
    const reply = hub.answer({ type: 'hub-push', pushes: [{ ...of, items: [item] }] });
    expect(reply).toMatchObject({ results: [{ status: 'applied' }] });
    cluster.run(60_000);
    expect(cluster.nodes.map(({ disk }) => disk.shards.get(shard)?.context.covers(events))).toEqual([true, true, true]);
    hub.work = (_request, use) => use(null);
    agreed(here, 400_000);
    expect(textAt(here, 'default', 'k3')).toBeUndefined();
  });
});
