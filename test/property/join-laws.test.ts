import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { joinEntries } from '../../src/protocol/causal/join.ts';
import { seenOf } from '../../src/protocol/causal/object.ts';
import { valueType } from '../../src/protocol/causal/value.ts';
import { Cluster, KEYS } from '../support/causal-cluster.ts';
import { anyHistory, type History, run } from '../support/causal-history.ts';

/** A copy of a key, or a delta of it: what it holds and what it has seen. */
interface State {
  readonly entries: Entries;
  readonly seen: CausalContext;
}

function join(a: State, b: State): State {
  const { entries } = joinEntries(
    a.entries,
    (dot) => a.seen.has(dot),
    b.entries,
    (dot) => b.seen.has(dot),
  );
  const seen = a.seen.clone();
  seen.union(b.seen);
  return { entries, seen };
}

function shown({ entries, seen }: State): object {
  return { entries, seen: seen.ranges() };
}

/** The copies of one key on all nodes after a run, and all its deltas. */
function statesOf({ size, steps }: History, key: string): State[] {
  const cluster = new Cluster(size);
  for (const next of steps) run(cluster, next);
  const copies = cluster.nodes.map((node) => {
    const object = cluster.object(node, key);
    return { entries: object.entries, seen: seenOf(object, node.context) };
  });
  const deltas = cluster.events
    .filter((event) => event.key === key)
    .map(({ added, dots, replaced }) => ({ entries: added, seen: CausalContext.fromDots([...dots, ...replaced]) }));
  return [...copies, ...deltas];
}

const key = fc.constantFrom(...KEYS);
const picks = fc.tuple(fc.nat(), fc.nat(), fc.nat());

describe('the join of copies and deltas', () => {
  it('is idempotent, commutative and associative for every type of value', () => {
    const types = new Set<string>();
    fc.assert(
      fc.property(anyHistory, key, picks, (history, name, [i, j, k]) => {
        const states = statesOf(history, name);
        const at = (n: number): State => states[n % states.length] as State;
        const [a, b, c] = [at(i), at(j), at(k)];
        for (const { entries } of [a, b, c]) types.add(valueType(entries));
        expect(shown(join(a, a))).toEqual(shown(a));
        expect(shown(join(a, b))).toEqual(shown(join(b, a)));
        expect(shown(join(join(a, b), c))).toEqual(shown(join(a, join(b, c))));
        // A join says nothing less than what went into it.
        expect(shown(join(join(a, b), b))).toEqual(shown(join(a, b)));
      }),
      { numRuns: 1500 },
    );
    expect([...types].sort()).toEqual(['absent', 'counter', 'map', 'register', 'set']);
  });

  it('makes the same of all deltas in any order as of all copies', () => {
    fc.assert(
      fc.property(anyHistory, key, fc.integer(), (history, name, seed) => {
        const states = statesOf(history, name);
        const copies = states.slice(0, history.size);
        const deltas = states.slice(history.size);
        const empty: State = { entries: [], seen: new CausalContext() };
        const shuffled = [...deltas].sort((a, b) => order(a, seed) - order(b, seed));
        const whole = shuffled.reduce(join, empty);
        expect(whole.entries).toEqual(copies.reduce(join, empty).entries);
      }),
      { numRuns: 600 },
    );
  });
});

/** Some order, another for each seed. */
function order({ seen }: State, seed: number): number {
  return Math.imul(seen.digest() ^ seed, 0x9e3779b1);
}
