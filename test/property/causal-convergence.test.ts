import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { seenOf } from '../../src/protocol/causal/object.ts';
import { liveEntries, readCounter } from '../../src/protocol/causal/value.ts';
import { Cluster, KEYS } from '../support/causal-cluster.ts';
import { anyHistory, node, put, run } from '../support/causal-history.ts';

function dotsOf(entries: Entries): string[] {
  return entries.map((entry) => dotText(entry.dot)).sort();
}

const runs = { numRuns: 600 };

describe('replicas of a shard', () => {
  it('hold what their context says, whatever the order, loss and duplication of deltas', () => {
    fc.assert(
      fc.property(anyHistory, ({ size, steps }) => {
        const cluster = new Cluster(size);
        for (const next of steps) {
          run(cluster, next);
          for (const holder of cluster.nodes) {
            for (const name of KEYS) {
              const object = cluster.object(holder, name);
              const seen = seenOf(object, holder.context);
              for (const entry of object.entries) expect(seen.has(entry.dot)).toBe(true);
              if (object.past !== null) continue;
              expect(dotsOf(object.entries)).toEqual(cluster.reference(holder.context, name));
            }
          }
        }
      }),
      runs,
    );
  });

  it('converge to the reference once they have exchanged what they miss', () => {
    fc.assert(
      fc.property(anyHistory, ({ size, steps }) => {
        const cluster = new Cluster(size);
        for (const next of steps) run(cluster, next);
        cluster.settle();
        const all = CausalContext.fromDots(cluster.events.flatMap((event) => event.dots));
        for (const holder of cluster.nodes) {
          expect(holder.context.ranges()).toEqual(all.ranges());
          for (const name of KEYS) {
            const object = cluster.object(holder, name);
            expect(object.past).toBeNull();
            expect(dotsOf(object.entries)).toEqual(cluster.reference(all, name));
            expect(object.entries).toEqual(cluster.object(cluster.node(0), name).entries);
          }
        }
      }),
      runs,
    );
  });

  it('converge by deltas alone, delivered in any order and more than once', () => {
    const deliveries = fc.array(fc.nat(1000), { maxLength: 40, size: 'max' });
    fc.assert(
      fc.property(anyHistory, deliveries, ({ size, steps }, extra) => {
        const cluster = new Cluster(size);
        for (const next of steps) if (!next.type.includes('copy')) run(cluster, next);
        const order = [...extra.map((n) => cluster.events[n % Math.max(1, cluster.events.length)]), ...cluster.events];
        for (const event of order.reverse()) {
          if (event !== undefined) for (const holder of cluster.nodes) cluster.deliver([event], holder);
        }
        for (const holder of cluster.nodes) {
          for (const name of KEYS) {
            const object = cluster.object(holder, name);
            expect(object.past).toBeNull();
            expect(dotsOf(object.entries)).toEqual(cluster.reference(holder.context, name));
          }
        }
      }),
      runs,
    );
  });

  it('never bring a deleted key back, and keep a put that the delete had not seen', () => {
    fc.assert(
      fc.property(anyHistory, fc.nat(3), fc.boolean(), ({ size, steps }, deleter, concurrent) => {
        const cluster = new Cluster(size);
        for (const next of steps) run(cluster, next);
        cluster.settle();
        cluster.mutate(deleter, 'a', { type: 'delete' }, null);
        if (concurrent) cluster.mutate(deleter + 1, 'a', put('new', 0), null);
        const writer = cluster.node(deleter + 1);
        // Late duplicates of everything that came before.
        for (const event of [...cluster.events].reverse()) {
          for (const holder of cluster.nodes) cluster.deliver([event], holder);
        }
        cluster.settle();
        for (const holder of cluster.nodes) {
          const { entries } = cluster.object(holder, 'a');
          if (!concurrent) expect(entries).toEqual([]);
          else expect(entries.map((entry) => entry.dot.actor)).toEqual([writer.actor]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('add up concurrent increments exactly, with changes of expiry in between', () => {
    const increments = fc.array(
      fc.record({
        node,
        by: fc.integer({ min: -1000, max: 1000 }),
        next: fc.constantFrom('nothing', 'deliver', 'copy', 'expire'),
        to: node,
      }),
      { maxLength: 40, size: 'max' },
    );
    fc.assert(
      fc.property(increments, fc.option(fc.integer({ min: -50, max: 50 })), (list, base) => {
        const cluster = new Cluster(4);
        if (base !== null) {
          cluster.mutate(0, 'a', put(String(base), 0), null);
          cluster.settle();
        }
        for (const { node: at, by, next, to } of list) {
          cluster.mutate(at, 'a', { type: 'increment', by }, null);
          if (next === 'deliver') cluster.deliver(cluster.events.slice(-1), cluster.node(to));
          if (next === 'copy') cluster.copyAll(cluster.node(at), cluster.node(to));
          if (next === 'expire') {
            const expiresAtMs = cluster.wallMs + 1_000_000;
            cluster.mutate(to, 'a', { type: 'expire', expiresAtMs }, null);
          }
        }
        cluster.settle();
        const sum = list.reduce((total, { by }) => total + by, base ?? 0);
        for (const holder of cluster.nodes) {
          const live = liveEntries(cluster.object(holder, 'a').entries, cluster.wallMs, 'lww');
          expect(readCounter(live)).toBe(list.length === 0 && base === null ? null : sum);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
