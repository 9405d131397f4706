import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { differing, FingerprintTree, leafBelow, leafOf } from '../../src/protocol/causal/fingerprint-tree.ts';
import { ABSENT } from '../../src/protocol/causal/object.ts';

const payload = { kind: 'counter', total: 1, since: 1 } as const;
const entries: fc.Arbitrary<Entries> = fc
  .uniqueArray(fc.integer({ min: 1, max: 2 ** 40 }), { minLength: 1, maxLength: 3 })
  .map((counters) =>
    counters
      .sort((a, b) => a - b)
      .map((counter) => ({ dot: { actor: '00000000000000a1', counter }, hlc: 1, expiresAtMs: 0, payload })),
  );
const keys = fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), entries, { maxKeys: 40 });

function treeOf(all: Readonly<Record<string, Entries>>, order: (ids: string[]) => string[] = (ids) => ids) {
  const tree = new FingerprintTree();
  for (const id of order(Object.keys(all))) tree.add(id, { entries: all[id] as Entries, past: null });
  return tree;
}

/** As two replicas find it: the root's children first, then the leaves below those that differ. */
function leavesThatDiffer(ours: FingerprintTree, theirs: FingerprintTree): number[] {
  const children = differing(ours.top(), theirs.top());
  return differing(ours.below(children), theirs.below(children)).map((position) => leafBelow(children, position));
}

describe('FingerprintTree', () => {
  it('finds exactly the leaves in which two sets of keys differ', () => {
    fc.assert(
      fc.property(keys, keys, keys, (shared, ours, theirs) => {
        const [a, b] = [
          { ...shared, ...ours },
          { ...shared, ...theirs },
        ];
        const expected = new Set<number>();
        for (const id of new Set([...Object.keys(a), ...Object.keys(b)])) {
          if (JSON.stringify(a[id]) !== JSON.stringify(b[id])) expected.add(leafOf(id));
        }
        expect(new Set(leavesThatDiffer(treeOf(a), treeOf(b)))).toEqual(expected);
      }),
    );
  });

  it('does not depend on the order of the keys, nor on keys that are absent', () => {
    fc.assert(
      fc.property(keys, fc.string(), (all, absent) => {
        const other = treeOf(all, (ids) => ids.reverse());
        other.add(absent, ABSENT);
        expect(leavesThatDiffer(treeOf(all), other)).toEqual([]);
      }),
    );
  });

  it('tells what is known to be superseded from what is not', () => {
    const superseded = (counter: number): FingerprintTree => {
      const tree = new FingerprintTree();
      tree.add('k', { entries: [], past: CausalContext.fromDots([{ actor: '00000000000000a1', counter }]) });
      return tree;
    };
    expect(leavesThatDiffer(superseded(1), superseded(1))).toEqual([]);
    expect(leavesThatDiffer(superseded(1), superseded(2))).toEqual([leafOf('k')]);
    expect(leavesThatDiffer(superseded(1), treeOf({}))).toEqual([leafOf('k')]);
  });

  it('tells one event from another of the same key', () => {
    const one = (counter: number): FingerprintTree =>
      treeOf({ k: [{ dot: { actor: '00000000000000a1', counter }, hlc: 1, expiresAtMs: 0, payload }] });
    for (const counter of [2, 2 ** 32 + 1, 2 ** 40])
      expect(leavesThatDiffer(one(1), one(counter))).toEqual([leafOf('k')]);
  });
});
