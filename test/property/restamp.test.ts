import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hlcNext, hlcUndated, isAhead } from '../../src/lib/hlc.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import { joinEntries } from '../../src/protocol/causal/join.ts';
import { believed, withoutDeadMarks } from '../../src/protocol/causal/mark.ts';
import { mutate } from '../../src/protocol/causal/mutate.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { markFor } from '../../src/protocol/causal/restamp.ts';
import { liveEntries, readCounter, readValue, winner } from '../../src/protocol/causal/value.ts';

const NOW_MS = 1_790_000_000_000;
const YEAR_MS = 365 * 86_400_000;
const DRIFT_MS = 60_000;
const decoder = new TextDecoder();

/** One replica of one key. */
class Replica {
  stored: Entries = [];
  readonly context = new CausalContext();
  private readonly actor: string;
  private counter = 0;

  constructor(index: number) {
    this.actor = String(index + 1).padStart(16, '0');
  }

  get entries(): Entries {
    return believed(this.stored);
  }

  mutate(mutation: Mutation, wallMs: number): void {
    const dot = { actor: this.actor, counter: this.counter + 1 };
    const hlc = hlcNext(0, wallMs);
    const at = { dot, ownFrom: 1, isComplete: true, hlc, wallMs, context: null, conflict: 'lww' as const };
    const outcome = mutate(this.entries, mutation, at);
    if (!outcome.applied) return;
    const seen = CausalContext.fromDots([...outcome.dots, ...outcome.replaced]);
    this.counter += outcome.dots.length;
    this.join(outcome.added, seen, CausalContext.fromDots(outcome.dots));
    expect(this.entries).toEqual(outcome.after);
  }

  mark(wallMs = NOW_MS): void {
    const mark = markFor(this.stored, wallMs, DRIFT_MS);
    if (mark === null) return;
    const dot = { actor: this.actor, counter: ++this.counter };
    const events = CausalContext.fromDots([dot]);
    this.join([{ dot, ...mark }], events, events);
  }

  pull(from: Replica): void {
    this.join(from.stored, from.context, from.context);
  }

  private join(entries: Entries, seen: CausalContext, events: CausalContext): void {
    const joined = joinEntries(
      this.stored,
      (dot) => this.context.has(dot),
      entries,
      (dot) => seen.has(dot),
    );
    this.context.union(events);
    this.stored = withoutDeadMarks(joined.entries, (dot) => this.context.has(dot));
  }
}

const REPLICAS = 4;

function replicas(): Replica[] {
  return Array.from({ length: REPLICAS }, (_, index) => new Replica(index));
}

function settle(all: readonly Replica[]): void {
  for (let round = 0; round < 2; round++) for (const a of all) for (const b of all) a.pull(b);
  for (const { stored } of all) expect(stored).toEqual((all[0] as Replica).stored);
}

function put(value: string, expiresAtMs = 0): Mutation {
  return { type: 'put', value: new TextEncoder().encode(value), contentType: 'text/plain', expiresAtMs, onlyIf: null };
}

const at = fc.nat(REPLICAS - 1);
const ahead = fc.constantFrom(0, 0, YEAR_MS, 2 * YEAR_MS);
const by = fc.integer({ min: -9, max: 9 });
const increment = fc.record({ type: fc.constant('increment' as const), at, by, ahead });
const pull = fc.record({ type: fc.constant('pull' as const), at, from: at });
const mark = fc.record({ type: fc.constant('mark' as const), at });
const remove = fc.record({ type: fc.constant('delete' as const), at, ahead });

describe('stamps that a wrong clock has made', () => {
  it('every increment counts once, whoever marks which total, and when', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(increment, increment, pull, mark), { maxLength: 40 }), (steps) => {
        const all = replicas();
        let sum = 0;
        for (const step of steps) {
          const replica = all[step.at] as Replica;
          if (step.type === 'pull') replica.pull(all[step.from] as Replica);
          else if (step.type === 'mark') replica.mark();
          else {
            replica.mutate({ type: 'increment', by: step.by }, NOW_MS + step.ahead);
            sum += step.by;
          }
        }
        for (const replica of all) replica.mark();
        settle(all);
        for (const { entries } of all) expect(readCounter(entries) ?? 0).toBe(sum);
      }),
      { numRuns: 2000 },
    );
  });

  it('a mark brings nothing back, and leaves nothing behind', () => {
    const write = fc.record({ type: fc.constant('put' as const), at, value: fc.nat(99), ahead });
    fc.assert(
      fc.property(fc.array(fc.oneof(write, remove, pull, mark), { maxLength: 40 }), (steps) => {
        const [marked, plain] = [replicas(), replicas()];
        for (const all of [marked, plain]) {
          for (const step of steps) {
            const replica = all[step.at] as Replica;
            if (step.type === 'pull') replica.pull(all[step.from] as Replica);
            else if (step.type === 'put') replica.mutate(put(String(step.value)), NOW_MS + step.ahead);
            else if (step.type === 'delete') replica.mutate({ type: 'delete' }, NOW_MS + step.ahead);
            else if (all === marked) replica.mark();
          }
          settle(all);
        }
        const values = ({ entries }: Replica): string[] =>
          entries.map(({ payload }) => (payload.kind === 'register' ? decoder.decode(payload.value) : '')).sort();
        const [a, b] = [marked[0] as Replica, plain[0] as Replica];
        expect(values(a)).toEqual(values(b));
        if (a.entries.length === 0) expect(a.stored).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it('several that mark at once leave the value as it was', () => {
    const ms = fc.nat(5000);
    const write = fc.record({ type: fc.constant('put' as const), at, value: fc.nat(99), ms });
    const add = fc.record({ type: fc.constant('add' as const), at, by, ms });
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
          // Half a millisecond becomes one stamp.
          const stamps = new Set((all[0] as Replica).entries.map(({ hlc }) => hlc));
          fc.pre(new Set([...stamps].map(hlcUndated)).size === stamps.size);
          const before = readValue((all[0] as Replica).entries)?.value;
          for (const doer of doers) (all[doer] as Replica).mark(NOW_MS + doer * 1000);
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

  it('lose against true ones', () => {
    const [a, b] = replicas() as [Replica, Replica];
    a.mutate(put('by the wrong clock'), NOW_MS + YEAR_MS);
    b.mutate(put('by a true one'), NOW_MS);
    a.mark(NOW_MS + 1000);
    settle([a, b]);
    expect(decoder.decode(readValue(a.entries)?.value)).toBe('by a true one');
  });

  it('are told from true ones', () => {
    const [a] = replicas() as [Replica];
    a.mutate(put('x'), NOW_MS + DRIFT_MS);
    const before = a.stored;
    a.mark();
    expect(a.stored).toBe(before);
  });

  it('are marked once', () => {
    const [a] = replicas() as [Replica];
    a.mutate(put('x'), NOW_MS + YEAR_MS);
    a.mark();
    const before = a.stored;
    expect(before).toHaveLength(2);
    a.mark();
    expect(a.stored).toBe(before);
  });

  it('let a time to live begin anew', () => {
    const [a] = replicas() as [Replica];
    a.mutate(put('x', NOW_MS + YEAR_MS + 3000), NOW_MS + YEAR_MS);
    a.mark();
    expect(winner(a.entries)?.expiresAtMs).toBe(NOW_MS + 3000);
  });

  it('in 1970 do not end a time to live once the clock is set', () => {
    const [a] = replicas() as [Replica];
    a.mutate(put('x', 95_000), 35_000);
    expect(liveEntries(a.stored, 95_000, 'lww')).toEqual([]);
    expect(liveEntries(a.stored, 94_999, 'lww')).toHaveLength(1);
    expect(liveEntries(a.stored, NOW_MS, 'lww')).toHaveLength(1);
    a.mark(40_000);
    expect(a.stored).toHaveLength(1);
    a.mark();
    expect(winner(a.entries)?.expiresAtMs).toBe(NOW_MS + 60_000);
    expect(liveEntries(a.stored, NOW_MS + 60_000, 'lww')).toEqual([]);
  });
});

describe('a mark', () => {
  it('is enough, whichever clocks have set the stamp and the expiry', () => {
    const ms = fc.oneof(
      fc.integer({ min: 0, max: 100 * 86_400_000 }),
      fc.integer({ min: NOW_MS - YEAR_MS, max: NOW_MS + 2 * YEAR_MS }),
    );
    fc.assert(
      fc.property(
        ms,
        fc.oneof(fc.constant(0), ms),
        fc.integer({ min: 0, max: YEAR_MS }),
        (madeMs, expiresAtMs, laterMs) => {
          const dot = { actor: '0'.repeat(16), counter: 1 };
          const payload = { kind: 'register', value: new Uint8Array(), contentType: '' } as const;
          const entries = [{ dot, hlc: hlcNext(0, madeMs), expiresAtMs, payload }];
          const mark = markFor(entries, NOW_MS, DRIFT_MS);
          if (mark === null) return;
          const marked = [...entries, { ...mark, dot: { ...dot, counter: 2 } }];
          expect(markFor(marked, NOW_MS, DRIFT_MS)).toBeNull();
          expect(markFor(marked, NOW_MS + laterMs, DRIFT_MS)).toBeNull();
        },
      ),
    );
  });
});
