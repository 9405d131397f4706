import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hlcNext } from '../../src/lib/hlc.ts';
import { readMap, readSet } from '../../src/protocol/causal/collection.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { ConflictPolicy, Entries } from '../../src/protocol/causal/entry.ts';
import { liveEntries, readValue, valueType, winner } from '../../src/protocol/causal/value.ts';
import { Cluster, KEYS, type Node } from '../support/causal-cluster.ts';
import { type History, modelledHistory, run, type Step } from '../support/causal-history.ts';
import { type Shown, ValueModel } from '../support/value-model.ts';

const decoder = new TextDecoder();

/** A cluster and, beside it, what it must show. */
class Run {
  readonly cluster: Cluster;
  private readonly models: ReadonlyMap<string, ValueModel>;
  private readonly conflict: ConflictPolicy;

  constructor(size: number, conflict: ConflictPolicy) {
    this.conflict = conflict;
    this.cluster = new Cluster(size, conflict);
    this.models = new Map(KEYS.map((key) => [key, new ValueModel(conflict)]));
  }

  step(next: Step): void {
    if (next.type !== 'mutate') return run(this.cluster, next);
    const { cluster } = this;
    const node = cluster.node(next.node);
    // While events are known in part, there is no telling what the writer has seen: it first hears the rest.
    if (cluster.object(node, next.key).past !== null) cluster.settle();
    const read = next.reads === null ? null : cluster.object(cluster.node(next.reads), next.key).entries;
    const dots = read?.map((entry) => entry.dot) ?? null;
    const wallMs = cluster.wallOf(node);
    const first = node.counter + 1;
    const known = this.known(node, next.key);
    const outcome = cluster.mutate(
      next.node,
      next.key,
      next.mutation,
      dots === null ? null : CausalContext.fromDots(dots),
    );
    const orderOf = (counter: number): string => `${node.actor}-${String(counter).padStart(6, '0')}`;
    const performed = this.model(next.key).perform(next.mutation, {
      id: orderOf(first),
      orders: (n) => orderOf(first + n),
      writer: node.actor,
      wallMs,
      clock: hlcNext(0, wallMs),
      known,
      read:
        dots === null
          ? null
          : new Set(dots.map(({ counter, actor }) => `${actor}-${String(counter).padStart(6, '0')}`)),
    });
    expect(outcome.applied).toBe(performed);
  }

  /** Every replica that knows events wholly shows what the model says, now and at times to come. */
  check(): void {
    for (const node of this.cluster.nodes) {
      for (const key of KEYS) {
        const { entries, past } = this.cluster.object(node, key);
        if (past !== null) continue;
        for (const laterMs of [0, 1000, 4000]) {
          const wallMs = this.cluster.wallMs + laterMs;
          const live = liveEntries(entries, wallMs, this.conflict);
          expect(shownBy(live)).toEqual(this.model(key).shown(this.known(node, key), wallMs));
        }
      }
    }
  }

  private model(key: string): ValueModel {
    return this.models.get(key) as ValueModel;
  }

  private known(node: Node, key: string): Set<string> {
    const known = new Set<string>();
    for (const { key: of, dots } of this.cluster.events) {
      const [first] = dots;
      if (of !== key || first === undefined || !node.context.has(first)) continue;
      known.add(`${first.actor}-${String(first.counter).padStart(6, '0')}`);
    }
    return known;
  }
}

function shownBy(live: Entries): Shown {
  const value = readValue(live)?.value;
  const registers = live.flatMap(({ payload }) => (payload.kind === 'register' ? [decoder.decode(payload.value)] : []));
  return {
    type: valueType(live),
    expiresAtMs: winner(live)?.expiresAtMs ?? 0,
    text: value === undefined ? null : decoder.decode(value),
    members: readSet(live).map((member) => decoder.decode(member)),
    fields: readMap(live).map((each) => [decoder.decode(each.field), decoder.decode(each.value)] as const),
    siblings: registers.sort(),
  };
}

function runAll({ size, steps }: History, conflict: ConflictPolicy): Run {
  const run = new Run(size, conflict);
  for (const next of steps) {
    run.step(next);
    run.check();
  }
  return run;
}

describe.each(['lww', 'siblings'] as const)('replicas of a %s bucket', (conflict) => {
  it('show what the operations that they know of mean, in whatever order these arrive', () => {
    fc.assert(
      fc.property(modelledHistory, (history) => {
        const ran = runAll(history, conflict);
        ran.cluster.settle();
        ran.check();
      }),
      { numRuns: 800 },
    );
  });
});
