import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import { checkLinearizability } from '../simulation/linearizability.ts';
import type { Outcome, RegisterOp, RegisterOperation, Shown } from '../simulation/register-operation.ts';
import { atomicHistory } from '../support/atomic-register.ts';
import { isLinearizable } from '../support/brute-linearizability.ts';

const OPERATIONS_MAX = 6;
const UNCERTAINTY_MS = 3;
const value = fc.constantFrom('a', 'b');
const version = fc.constantFrom('v1', 'v2', 'v3');
const condition = fc.oneof(
  { weight: 3, arbitrary: fc.constant('none' as const) },
  fc.constantFrom('absent' as const, 'present' as const),
  fc.record({ version }),
);
const put = fc.record({
  type: fc.constant('put' as const),
  value,
  condition,
  expiresAtMs: fc.option(fc.integer({ min: 0, max: 12 }), { freq: 4 }),
});
const op: fc.Arbitrary<RegisterOp> = fc.oneof(
  fc.constant({ type: 'get' as const }),
  put,
  fc.record({ type: fc.constant('delete' as const), condition }),
);
const shown = fc.oneof(
  fc.record({ value, version }),
  fc.record({ value, version: fc.constant(null) }),
  { weight: 2, arbitrary: fc.constant({ value: null, version: null }) },
  fc.record({ value: fc.constant(null), version }),
);

/** Operations that have nothing to do with each other, of which few are linearizable. */
const unrelated: fc.Arbitrary<RegisterOperation[]> = fc
  .array(
    fc.record({
      client: fc.constantFrom('c1', 'c2', 'c3'),
      invokedMs: fc.nat(8),
      tookMs: fc.nat(6),
      op,
      seen: shown,
      made: version,
      kind: fc.nat(9),
    }),
    { maxLength: OPERATIONS_MAX, size: 'max' },
  )
  .map((list) =>
    list.map(({ client, invokedMs, tookMs, op: each, seen, made, kind }, id) => {
      const outcome = outcomeOf(each, kind, seen, made);
      const completedMs = outcome === 'unknown' ? null : invokedMs + tookMs;
      return { id, client, invokedMs, completedMs, op: each, outcome };
    }),
  );

function outcomeOf(each: RegisterOp, kind: number, seen: Shown, made: string): Outcome {
  if (kind === 0) return { type: 'not-applied' };
  if (each.type === 'get') return kind === 1 ? 'unknown' : { type: 'read', ...seen };
  if (kind <= 4) return 'unknown';
  if (kind <= 7) return { type: 'written', version: made };
  // Of a version that was not shown the checker does not remember that it is another than this one.
  const isVague = typeof each.condition === 'object' && seen.value !== null && seen.version === null;
  return { type: 'condition-failed', ...seen, version: isVague ? made : seen.version };
}

/** What a real register may have shown, with some answers exchanged. */
const related: fc.Arbitrary<RegisterOperation[]> = fc
  .record({
    seed: fc.nat(),
    clients: fc.integer({ min: 1, max: 3 }),
    operations: fc.integer({ min: 4, max: OPERATIONS_MAX }),
    unknownShare: fc.constantFrom(0.2, 0.5),
    expiringShare: fc.constantFrom(0, 0.5),
    values: fc.constantFrom(null, 1, 2),
    swaps: fc.nat(4),
  })
  .map(({ swaps, ...load }) => {
    const history = atomicHistory({ ...load, expiryUncertaintyMs: UNCERTAINTY_MS });
    const prng = new Prng(load.seed);
    for (let swap = 0; swap < swaps; swap++) exchange(history, prng);
    return history;
  });

function exchange(history: RegisterOperation[], prng: Prng): void {
  const places = history.flatMap(({ outcome }, place) => (shownIn(outcome) === null ? [] : [place]));
  const [to, from] = [prng.pick(places), prng.pick(places)];
  if (to === undefined || from === undefined) return;
  const operation = history[to] as RegisterOperation;
  const seen = shownIn((history[from] as RegisterOperation).outcome) as Shown;
  history[to] = { ...operation, outcome: { ...(operation.outcome as { type: 'read' }), ...seen } };
}

function shownIn(outcome: Outcome): Shown | null {
  if (outcome === 'unknown' || !('value' in outcome)) return null;
  return { value: outcome.value, version: outcome.version };
}

/** What was known of the operation before that time, with writes under way of which nothing was known. */
function knownBefore(operation: RegisterOperation, ms: number): RegisterOperation {
  if ((operation.completedMs ?? Number.POSITIVE_INFINITY) < ms) return operation;
  const { op: each, outcome } = operation;
  const mayWrite = each.type !== 'get' && (outcome === 'unknown' || outcome.type === 'written');
  return { ...operation, completedMs: null, outcome: mayWrite ? 'unknown' : { type: 'not-applied' } };
}

describe('linearizability', () => {
  it.each([
    ['unrelated operations', unrelated, 20_000],
    ['operations of a register', related, 5000],
  ])('is judged as by trying all orders: %s', (_, histories, numRuns) => {
    const judged = { good: 0, bad: 0 };
    fc.assert(
      fc.property(histories, fc.constantFrom(0, UNCERTAINTY_MS), (history, expiryUncertaintyMs) => {
        const finding = checkLinearizability(history, { expiryUncertaintyMs });
        const expected = isLinearizable(history, expiryUncertaintyMs);
        expect(finding?.type ?? 'linearizable').toBe(expected ? 'linearizable' : 'not-linearizable');
        judged[expected ? 'good' : 'bad']++;
        if (finding === null) return;
        expect(isLinearizable(finding.operations, expiryUncertaintyMs), 'the part reported').toBe(false);
        const before = finding.operations.map((each) => knownBefore(each, finding.untilMs));
        expect(isLinearizable(before, expiryUncertaintyMs), 'the part without its last answers').toBe(true);
      }),
      { numRuns },
    );
    // Both kinds are common enough for the comparison to mean something.
    expect(Math.min(judged.good, judged.bad)).toBeGreaterThan(numRuns / 20);
  });

  it('holds for what a register shows, and mostly no longer once one read shows what another has shown', () => {
    const judged = { mutated: 0, found: 0 };
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(null, 3), fc.constantFrom(0, 0.1), (seed, values, expiringShare) => {
        const load = { seed, values, expiringShare, expiryUncertaintyMs: UNCERTAINTY_MS };
        const history = atomicHistory({ ...load, operations: 200, clients: 5, unknownShare: 0.1 });
        const options = { expiryUncertaintyMs: UNCERTAINTY_MS };
        expect(checkLinearizability(history, options)).toBeNull();
        const reads = history.filter(({ op: each, outcome }) => each.type === 'get' && outcome !== 'unknown');
        const [early, late] = [reads[Math.floor(reads.length / 3)], reads[Math.floor((2 * reads.length) / 3)]];
        if (early === undefined || late === undefined) return;
        const mutated = history.map((each) => (each === late ? { ...late, outcome: early.outcome } : each));
        judged.mutated++;
        if (checkLinearizability(mutated, options)?.type === 'not-linearizable') judged.found++;
      }),
      { numRuns: 100 },
    );
    expect(judged.found).toBeGreaterThan(judged.mutated / 2);
  });
});
