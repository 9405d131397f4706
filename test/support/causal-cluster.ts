import { expect } from 'vitest';
import { hlcNext } from '../../src/lib/hlc.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import { type Dot, dotText } from '../../src/protocol/causal/dot.ts';
import type { ConflictPolicy, Entries } from '../../src/protocol/causal/entry.ts';
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
import type { MutationOutcome } from '../../src/protocol/causal/outcome.ts';

export const KEYS = ['a', 'b'] as const;
export const START_MS = 1_700_000_000_000;

/** One event of the run, as its writer made it. */
interface Happened {
  readonly dots: readonly Dot[];
  readonly key: string;
  readonly added: Entries;
  readonly replaced: readonly Dot[];
}

/** One shard replica: what a node keeps on disk. */
export interface Node {
  readonly actor: string;
  readonly skewMs: number;
  readonly context: CausalContext;
  readonly objects: Map<string, CausalObject>;
  counter: number;
}

/** One replica sending another what it misses: taken down at the start, sent key by key, much later or never. */
export interface Session {
  readonly from: Node;
  readonly to: Node;
  readonly covered: CausalContext;
  readonly missing: CausalContext;
}

/** Replicas of one shard that exchange deltas and copies in whatever order a test likes. */
export class Cluster {
  readonly nodes: Node[];
  readonly events: Happened[] = [];
  readonly sessions: Session[] = [];
  readonly conflict: ConflictPolicy;
  wallMs = START_MS;

  constructor(size: number, conflict: ConflictPolicy = 'lww') {
    this.conflict = conflict;
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

  /** The wall clock of one node: none is exact. */
  wallOf(node: Node): number {
    return this.wallMs + node.skewMs;
  }

  mutate(index: number, key: string, mutation: Mutation, context: CausalContext | null): MutationOutcome {
    const node = this.node(index);
    const wallMs = this.wallOf(node);
    const dot = { actor: node.actor, counter: node.counter + 1 };
    const object = this.object(node, key);
    const at = { dot, ownFrom: 1, isComplete: true, hlc: hlcNext(0, wallMs), wallMs, context, conflict: this.conflict };
    const outcome = mutate(object.entries, mutation, at);
    if (!outcome.applied) return outcome;
    const { dots, added, replaced } = outcome;
    node.counter += dots.length;
    expect(dots.map(({ counter }) => counter)).toEqual(dots.map((_, i) => dot.counter + i));
    const event = { dots, key, added, replaced };
    this.events.push(event);
    this.deliver([event], node);
    expect(this.object(node, key).entries).toEqual(outcome.after);
    return outcome;
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
    for (const { dots, key, added, replaced } of events) {
      if (key !== first.key) continue;
      const own = CausalContext.fromDots([...dots, ...replaced]);
      const covers = (each: Dot): boolean => seen.has(each);
      entries = joinEntries(entries, covers, added, (each) => own.has(each)).entries;
      seen.union(own);
    }
    const listed = events.filter(({ key }) => key === first.key).flatMap(({ dots }) => dots);
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
    const ofKey = this.events.filter((event) => event.key === key).flatMap(({ dots }) => dots);
    const listed = ofKey.filter((dot) => missing.has(dot));
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
    const known = this.events.filter((event) => event.key === key && event.dots.every((dot) => context.has(dot)));
    const replaced = new Set(known.flatMap((event) => event.replaced.map(dotText)));
    const dots = known.flatMap((event) => event.added.map((entry) => dotText(entry.dot)));
    return dots.filter((dot) => !replaced.has(dot)).sort();
  }
}
