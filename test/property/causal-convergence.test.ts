import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hlcNext } from '../../src/lib/hlc.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { joinEntries } from '../../src/protocol/causal/join.ts';
import { mutate } from '../../src/protocol/causal/mutate.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import {
  ABSENT,
  type CausalObject,
  joinObject,
  type RemoteObject,
  seenOf,
  stripPast,
} from '../../src/protocol/causal/object.ts';
import { liveEntries, readCounter } from '../../src/protocol/causal/value.ts';

const KEYS = ['a', 'b'] as const;
const START_MS = 1_700_000_000_000;

/** One event of the run, as its writer made it. */
interface Happened {
  readonly dot: Dot;
  readonly key: string;
  readonly added: Entries;
  readonly replaced: readonly Dot[];
}

/** One shard replica: what a node keeps on disk. */
interface Node {
  readonly actor: string;
  readonly skewMs: number;
  readonly context: CausalContext;
  readonly objects: Map<string, CausalObject>;
  counter: number;
}

/** One replica sending another what it misses: taken down at the start, sent key by key, much later or never. */
interface Session {
  readonly from: Node;
  readonly to: Node;
  readonly covered: CausalContext;
  readonly missing: CausalContext;
}

class Cluster {
  readonly nodes: Node[];
  readonly events: Happened[] = [];
  readonly sessions: Session[] = [];
  wallMs = START_MS;

  constructor(size: number) {
    this.nodes = Array.from({ length: size }, (_, i) => ({
      actor: String(i + 1).padStart(16, '0'),
      skewMs: i * 700,
      context: new CausalContext(),
      objects: new Map<string, CausalObject>(),
      counter: 0,
    }));
  }

  node(index: number): Node {
    return this.nodes[index % this.nodes.length] as Node;
  }

  object(node: Node, key: string): CausalObject {
    return stripPast(node.objects.get(key) ?? ABSENT, node.context);
  }

  mutate(index: number, key: string, mutation: Mutation, context: CausalContext | null): void {
    const node = this.node(index);
    const wallMs = this.wallMs + node.skewMs;
    const dot = { actor: node.actor, counter: node.counter + 1 };
    const object = this.object(node, key);
    const at = { dot, hlc: hlcNext(0, wallMs), wallMs, context, conflict: 'lww' as const };
    const outcome = mutate(object.entries, mutation, at);
    if (!outcome.applied) return;
    node.counter++;
    const event = { dot, key, added: outcome.added, replaced: outcome.replaced };
    this.events.push(event);
    this.deliver([event], node);
    expect(this.object(node, key).entries).toEqual(outcome.after);
  }

  receive(node: Node, key: string, remote: RemoteObject): void {
    const joined = joinObject(this.object(node, key), node.context, remote);
    node.objects.set(key, joined.object);
    for (const dot of joined.applied) node.context.add(dot);
  }

  /** A delta, in whatever order and however often; of several events of one key where they waited as a hint. */
  deliver(events: readonly Happened[], to: Node): void {
    const [first] = events;
    if (first === undefined) return;
    let entries: Entries = [];
    const seen = new CausalContext();
    for (const { dot, key, added, replaced } of events) {
      if (key !== first.key) continue;
      const own = CausalContext.fromDots([dot, ...replaced]);
      const covers = (each: Dot): boolean => seen.has(each);
      entries = joinEntries(entries, covers, added, (each) => own.has(each)).entries;
      seen.union(own);
    }
    const listed = events.filter(({ key }) => key === first.key).map(({ dot }) => dot);
    this.receive(to, first.key, { entries, seen, events: CausalContext.fromDots(listed), past: seen });
  }

  begin(from: Node, to: Node): Session {
    const missing = CausalContext.fromRanges(from.context.minus(to.context));
    const session = { from, to, covered: from.context.clone(), missing };
    this.sessions.push(session);
    return session;
  }

  /** One item of anti-entropy: the key as it is now, and those of its events that were missing at the start. */
  copyKey({ from, to, covered, missing }: Session, key: string): void {
    const object = this.object(from, key);
    const listed = this.events.filter((event) => event.key === key && missing.has(event.dot)).map(({ dot }) => dot);
    // What was applied since the start is not listed: it counts as seen only.
    const past = CausalContext.fromRanges(from.context.minus(covered));
    if (object.past !== null) past.union(object.past);
    this.receive(to, key, {
      entries: object.entries,
      seen: seenOf(object, from.context),
      events: CausalContext.fromDots(listed),
      past: past.isEmpty ? null : past,
    });
  }

  /** Anti-entropy in one direction, to the end. */
  copyAll(from: Node, to: Node): void {
    const session = this.begin(from, to);
    for (const key of KEYS) this.copyKey(session, key);
    expect(to.context.covers(session.covered)).toBe(true);
  }

  /** As the nodes do it: replicas with equal contexts have nothing to say to each other. */
  settle(): void {
    for (let round = 0; round < 2; round++) {
      for (const from of this.nodes) {
        for (const to of this.nodes) if (!from.context.equals(to.context)) this.copyAll(from, to);
      }
    }
  }

  /** The reference: an entry lives until an event that the context covers has replaced it. */
  reference(context: CausalContext, key: string): string[] {
    const known = this.events.filter((event) => event.key === key && context.has(event.dot));
    const replaced = new Set(known.flatMap((event) => event.replaced.map(dotText)));
    const dots = known.flatMap((event) => event.added.map((entry) => dotText(entry.dot)));
    return dots.filter((dot) => !replaced.has(dot)).sort();
  }
}

function dotsOf(entries: Entries): string[] {
  return entries.map((entry) => dotText(entry.dot)).sort();
}

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 99 }).map((n) => put(String(n), 0)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((ms) => put('7', START_MS + ms)) },
  { weight: 3, arbitrary: fc.constant<Mutation>({ type: 'delete' }) },
  { weight: 3, arbitrary: fc.integer({ min: -5, max: 5 }).map((by): Mutation => ({ type: 'increment', by })) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -500, max: 3000 }).map(
      (ms): Mutation => ({
        type: 'expire',
        expiresAtMs: START_MS + ms,
      }),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Mutation>({ type: 'append', value: new Uint8Array([49]) }) },
);

function put(text: string, expiresAtMs: number): Mutation {
  const value = new TextEncoder().encode(text);
  return { type: 'put', value, contentType: 'text/plain', expiresAtMs, onlyIf: null };
}

type Step =
  | { type: 'mutate'; node: number; key: string; mutation: Mutation; reads: number | null }
  | { type: 'deliver'; events: readonly number[]; node: number }
  | { type: 'begin-copy'; from: number; to: number }
  | { type: 'copy-key'; session: number; key: string }
  | { type: 'copy-all'; from: number; to: number }
  | { type: 'wait'; ms: number };

const node = fc.nat(3);
const key = fc.constantFrom(...KEYS);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    // `reads`: the node whose copy the client read before it writes; null: none.
    arbitrary: fc.record({
      type: fc.constant('mutate' as const),
      node,
      key,
      mutation,
      reads: fc.option(node, { freq: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('deliver' as const),
      events: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
      node,
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('begin-copy' as const), from: node, to: node }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('copy-key' as const), session: fc.nat(1000), key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('copy-all' as const), from: node, to: node }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(1000) }) },
);

function run(cluster: Cluster, next: Step): void {
  switch (next.type) {
    case 'mutate': {
      const read = next.reads === null ? null : cluster.object(cluster.node(next.reads), next.key);
      const context = read === null ? null : CausalContext.fromDots(read.entries.map((entry) => entry.dot));
      cluster.mutate(next.node, next.key, next.mutation, context);
      break;
    }
    case 'deliver': {
      const events = next.events.flatMap((n) => cluster.events[n % Math.max(1, cluster.events.length)] ?? []);
      cluster.deliver(events, cluster.node(next.node));
      break;
    }
    case 'begin-copy':
      cluster.begin(cluster.node(next.from), cluster.node(next.to));
      break;
    case 'copy-key': {
      const session = cluster.sessions[next.session % Math.max(1, cluster.sessions.length)];
      if (session !== undefined) cluster.copyKey(session, next.key);
      break;
    }
    case 'copy-all':
      cluster.copyAll(cluster.node(next.from), cluster.node(next.to));
      break;
    case 'wait':
      cluster.wallMs += next.ms;
      break;
  }
}

const history = fc.record({
  size: fc.integer({ min: 2, max: 4 }),
  steps: fc.array(step, { maxLength: 60, size: 'max' }),
});
const runs = { numRuns: 600 };

describe('replicas of a shard', () => {
  it('hold what their context says, whatever the order, loss and duplication of deltas', () => {
    fc.assert(
      fc.property(history, ({ size, steps }) => {
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
      fc.property(history, ({ size, steps }) => {
        const cluster = new Cluster(size);
        for (const next of steps) run(cluster, next);
        cluster.settle();
        const all = CausalContext.fromDots(cluster.events.map((event) => event.dot));
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
      fc.property(history, deliveries, ({ size, steps }, extra) => {
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
      fc.property(history, fc.nat(3), fc.boolean(), ({ size, steps }, deleter, concurrent) => {
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
