import { describe, expect, it } from 'vitest';
import type { ChangeEvent, Entries } from '../../../src/ports/node-handle.ts';
import { ChangeLog } from '../../../src/runtime/change-log.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const LINGER_MS = 60_000;
const RETAINED = 16_384;
const RETAINED_BYTES = 8 * 1024 * 1024;

const TOLD = { coverage: () => new Map(), isSettling: () => false, isStale: () => false };

function setup() {
  const clock = new ManualClock();
  const wanted: (readonly string[])[] = [];
  const log = new ChangeLog(
    'run',
    clock,
    (buckets) => wanted.push(buckets),
    () => TOLD,
  );
  const seen: string[] = [];
  const listener = ({ key, seq }: ChangeEvent): void => void seen.push(`${seq} ${key}`);
  return { clock, wanted, log, seen, listener };
}

function entriesOf(bytes: number): Entries {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return [{ dot: { actor: 'a'.repeat(16), counter: 1 }, hlc: 1, expiresAtMs: 0, payload }];
}

function keys(changes: readonly ChangeEvent[] | null): string[] | null {
  return changes === null ? null : changes.map(({ key }) => key);
}

describe('change log', () => {
  it('passes on the changes of a bucket that begin with the prefix', () => {
    const { log, wanted, seen, listener } = setup();
    const end = log.subscribe('b', 'x/', listener);
    log.append('b', 'x/1', []);
    log.append('b', 'y/1', []);
    log.append('other', 'x/2', []);
    end();
    log.append('b', 'x/3', []);
    expect(seen).toEqual(['1 x/1']);
    expect(wanted).toEqual([['b']]);
    expect(log.latest).toBe(4);
  });

  it('resumes within what was watched without a gap', () => {
    const { log, listener } = setup();
    log.append('b', 'unwatched', []);
    expect(log.after('b', 0)).toBeNull();
    log.subscribe('b', '', listener);
    // Before the first watch nobody asked the owners for changes: some may be missing.
    expect(log.after('b', 0)).toBeNull();
    log.append('b', 'one', []);
    log.append('c', 'elsewhere', []);
    log.append('b', 'two', []);
    expect(keys(log.after('b', 1))).toEqual(['one', 'two']);
    expect(keys(log.after('b', 2))).toEqual(['two']);
    expect(keys(log.after('b', 4))).toEqual([]);
    expect(log.after('b', 5)).toBeNull();
    expect(log.after('c', 3)).toBeNull();
  });

  it('leaves no timer behind once it is stopped, whenever the last client goes', () => {
    const { clock, log, wanted, listener } = setup();
    const first = log.subscribe('b', '', listener);
    const second = log.subscribe('c', '', listener);
    first();
    log.stop();
    second();
    clock.advance(2 * LINGER_MS);
    expect(wanted).toEqual([['b'], ['b', 'c']]);
  });

  it('keeps so many changes', () => {
    const { log, listener } = setup();
    log.subscribe('b', '', listener);
    for (let i = 0; i < RETAINED + 5; i++) log.append('b', 'k', []);
    expect(log.after('b', 4)).toBeNull();
    expect(log.after('b', 5)).toHaveLength(RETAINED);
  });

  it('keeps so many bytes', () => {
    const { log, listener } = setup();
    log.subscribe('b', '', listener);
    const bytes = 1024 * 1024;
    const fit = RETAINED_BYTES / bytes;
    for (let i = 0; i < fit + 2; i++) log.append('b', `k${i}`, entriesOf(bytes));
    expect(log.after('b', 2)).toBeNull();
    expect(keys(log.after('b', 3))).toEqual(Array.from({ length: fit - 1 }, (_, i) => `k${i + 3}`));
  });

  it('goes on watching for a while after the last client went', () => {
    const { clock, log, wanted, listener } = setup();
    const end = log.subscribe('b', '', listener);
    end();
    clock.advance(LINGER_MS - 1);
    log.append('b', 'meanwhile', []);
    expect(keys(log.after('b', 0))).toEqual(['meanwhile']);
    clock.advance(1);
    expect(wanted).toEqual([['b'], []]);
    expect(log.after('b', 0)).toBeNull();
  });

  it('counts that while from the last client, not from one before it', () => {
    const { clock, log, wanted, listener } = setup();
    log.subscribe('b', '', listener)();
    clock.advance(LINGER_MS - 10_000);
    log.subscribe('b', '', listener)();
    clock.advance(LINGER_MS - 1);
    expect(wanted).toEqual([['b']]);
    expect(log.after('b', 0)).toEqual([]);
    clock.advance(1);
    expect(wanted).toEqual([['b'], []]);
  });

  it('ends a subscription once, however often it is told to', () => {
    const { clock, log, wanted, seen, listener } = setup();
    const end = log.subscribe('b', '', listener);
    log.subscribe('b', '', listener);
    end();
    end();
    clock.advance(2 * LINGER_MS);
    log.append('b', 'k', []);
    expect(seen).toEqual(['1 k']);
    expect(wanted).toEqual([['b']]);
  });
});
