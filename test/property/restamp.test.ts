import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hlcNext, hlcUndated, isAhead } from '../../src/lib/hlc.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { joinEntries } from '../../src/protocol/causal/join.ts';
import { mutate } from '../../src/protocol/causal/mutate.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { isMisstamped, restamp } from '../../src/protocol/causal/restamp.ts';
import { liveEntries, readCounter, readValue, winner } from '../../src/protocol/causal/value.ts';

const NOW_MS = 1_790_000_000_000;
const YEAR_MS = 365 * 86_400_000;
const DRIFT_MS = 60_000;
const decoder = new TextDecoder();

/** One replica of one key. */
class Replica {
  entries: Entries = [];
  readonly context = new CausalContext();
  private readonly actor: string;
  private counter = 0;

  constructor(index: number) {
    this.actor = String(index + 1).padStart(16, '0');
  }

  mutate(mutation: Mutation, wallMs: number): void {
    const dot = { actor: this.actor, counter: this.counter + 1 };
    const at = { dot, ownFrom: 1, hlc: hlcNext(0, wallMs), wallMs, context: null, conflict: 'lww' as const };
    const outcome = mutate(this.entries, mutation, at);
    if (!outcome.applied) return;
    this.counter++;
    this.entries = outcome.after;
    this.context.add(dot);
  }

  restamp(wallMs = NOW_MS): void {
    const dot = { actor: this.actor, counter: this.counter + 1 };
    const { added, replaced } = restamp(this.entries, { dot, wallMs, maxDriftMs: DRIFT_MS });
    const seen = CausalContext.fromDots([...added.map((entry) => entry.dot), ...replaced]);
    this.entries = joinEntries(
      this.entries,
      (each) => this.context.has(each),
      added,
      (each) => seen.has(each),
    ).entries;
    this.counter += added.length;
    for (const entry of added) this.context.add(entry.dot);
  }

  pull(from: Replica): void {
    this.entries = joinEntries(
      this.entries,
      (each) => this.context.has(each),
      from.entries,
      (each) => from.context.has(each),
    ).entries;
    this.context.union(from.context);
  }
}

const REPLICAS = 4;

function replicas(): Replica[] {
  return Array.from({ length: REPLICAS }, (_, index) => new Replica(index));
}

function settle(all: readonly Replica[]): void {
  for (let round = 0; round < 2; round++) for (const a of all) for (const b of all) a.pull(b);
}

const at = fc.nat(REPLICAS - 1);
const ahead = fc.constantFrom(0, 0, YEAR_MS, 2 * YEAR_MS);
const increment = fc.record({
  type: fc.constant('increment' as const),
  at,
  by: fc.integer({ min: -9, max: 9 }),
  ahead,
});
const pull = fc.record({ type: fc.constant('pull' as const), at, from: at });
const again = fc.record({ type: fc.constant('restamp' as const), at });

function put(value: string): Mutation {
  return {
    type: 'put',
    value: new TextEncoder().encode(value),
    contentType: 'text/plain',
    expiresAtMs: 0,
    onlyIf: null,
  };
}

describe('stamps that a wrong clock has made, issued anew', () => {
  it('every increment counts once, whoever issues which total anew, and when', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(increment, increment, pull, again), { maxLength: 40 }), (steps) => {
        const all = replicas();
        let sum = 0;
        for (const step of steps) {
          const replica = all[step.at] as Replica;
          if (step.type === 'pull') replica.pull(all[step.from] as Replica);
          else if (step.type === 'restamp') replica.restamp();
          else {
            replica.mutate({ type: 'increment', by: step.by }, NOW_MS + step.ahead);
            sum += step.by;
          }
        }
        for (const replica of all) replica.restamp();
        settle(all);
        for (const { entries } of all) {
          expect(entries).toEqual((all[0] as Replica).entries);
          expect(readCounter(entries) ?? 0).toBe(sum);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('several that do it at once leave the value as it was', () => {
    const write = fc.record({ type: fc.constant('put' as const), at, value: fc.nat(99), ms: fc.nat(5000) });
    const add = fc.record({
      type: fc.constant('add' as const),
      at,
      by: fc.integer({ min: -9, max: 9 }),
      ms: fc.nat(5000),
    });
    fc.assert(
      fc.property(
        fc.array(fc.oneof(write, add, pull), { maxLength: 25 }),
        fc.uniqueArray(at, { minLength: 1 }),
        (steps, doers) => {
          const all = replicas();
          for (const step of steps) {
            const replica = all[step.at] as Replica;
            if (step.type === 'pull') replica.pull(all[step.from] as Replica);
            else if (step.type === 'put') replica.mutate(put(String(step.value)), NOW_MS + YEAR_MS + step.ms);
            else replica.mutate({ type: 'increment', by: step.by }, NOW_MS + YEAR_MS + step.ms);
          }
          settle(all);
          // Equal ones are decided by their dots, which are new ones afterwards; and half a millisecond is one stamp.
          const { entries: old } = all[0] as Replica;
          const registers = old.filter(({ payload }) => payload.kind === 'register').map(({ hlc }) => hlc);
          const stamps = new Set(old.map(({ hlc }) => hlc));
          fc.pre(new Set(registers).size === registers.length);
          fc.pre(new Set([...stamps].map(hlcUndated)).size === stamps.size);
          const before = readValue((all[0] as Replica).entries)?.value;
          for (const doer of doers) (all[doer] as Replica).restamp();
          settle(all);
          for (const { entries } of all) {
            expect(entries.some(({ hlc }) => isAhead(hlc, NOW_MS, DRIFT_MS))).toBe(false);
            expect(decoder.decode(readValue(entries)?.value)).toBe(decoder.decode(before));
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('a write with a true stamp prevails over it', () => {
    const [a, b] = replicas() as [Replica, Replica];
    a.mutate(put('by the wrong clock'), NOW_MS + YEAR_MS);
    b.mutate(put('by a true one'), NOW_MS);
    a.restamp(NOW_MS + 1000);
    settle([a, b]);
    expect(decoder.decode(readValue(a.entries)?.value)).toBe('by a true one');
  });

  it('an entry with a true stamp is left alone', () => {
    const [a] = replicas() as [Replica];
    a.mutate(put('x'), NOW_MS + DRIFT_MS);
    const before = a.entries;
    a.restamp();
    expect(a.entries).toEqual(before);
  });

  it('a time to live begins anew', () => {
    const [a] = replicas() as [Replica];
    a.mutate({ ...put('x'), expiresAtMs: NOW_MS + YEAR_MS + 3000 } as Mutation, NOW_MS + YEAR_MS);
    a.restamp();
    expect(winner(a.entries)?.expiresAtMs).toBe(NOW_MS + 3000);
  });

  it('a value with a time to live by a clock that was never set lives on when it is set', () => {
    const [a] = replicas() as [Replica];
    a.mutate({ ...put('x'), expiresAtMs: 95_000 } as Mutation, 35_000);
    expect(liveEntries(a.entries, 95_000, 'lww')).toEqual([]);
    expect(liveEntries(a.entries, 94_999, 'lww')).toEqual(a.entries);
    expect(liveEntries(a.entries, NOW_MS, 'lww')).toEqual(a.entries);
    expect(a.entries.every((entry) => isMisstamped(entry, NOW_MS, DRIFT_MS))).toBe(true);
    expect(a.entries.some((entry) => isMisstamped(entry, 40_000, DRIFT_MS))).toBe(false);
    a.restamp();
    expect(winner(a.entries)?.expiresAtMs).toBe(NOW_MS + 60_000);
    expect(a.entries.some((entry) => isMisstamped(entry, NOW_MS, DRIFT_MS))).toBe(false);
  });
});
