import { describe, expect, it } from 'vitest';
import { CLOCK_SET_MS, hlcAt, hlcNext, hlcUndated, hlcWallMs, isAhead } from '../../../src/lib/hlc.ts';

describe('hybrid logical clock', () => {
  it('follows the wall clock', () => {
    const wallMs = 1_700_000_000_123;
    expect(hlcWallMs(hlcNext(0, wallMs))).toBe(wallMs);
    expect(hlcNext(hlcAt(wallMs), wallMs + 1)).toBe(hlcAt(wallMs + 1));
  });

  it('never stands still or falls, whatever the wall clock does', () => {
    let stamp = hlcAt(1_700_000_000_000);
    for (const wallMs of [1_700_000_000_000, 1_600_000_000_000, 0, -5, 1_700_000_000_001, 1_700_000_000_001]) {
      const next = hlcNext(stamp, wallMs);
      expect(next).toBeGreaterThan(stamp);
      stamp = next;
    }
  });

  it('carries an overflowing counter into the milliseconds', () => {
    let stamp = hlcAt(1000);
    for (let i = 0; i < 5000; i++) stamp = hlcNext(stamp, 1000);
    expect(hlcWallMs(stamp)).toBe(1002);
  });

  it('stays a safe integer until 2109', () => {
    expect(Number.isSafeInteger(hlcNext(0, Date.UTC(2109, 0, 1)))).toBe(true);
  });

  it('holds a stamp ahead only by a clock that was set', () => {
    const wallMs = 1_790_000_000_000;
    expect(isAhead(hlcAt(wallMs + 60_000), wallMs, 60_000)).toBe(false);
    expect(isAhead(hlcAt(wallMs + 60_001), wallMs, 60_000)).toBe(true);
    expect(isAhead(hlcAt(wallMs), CLOCK_SET_MS - 1, 60_000)).toBe(false);
  });

  it('replaces wrong stamps by ones that are behind all true ones, in order, and never ahead of any clock', () => {
    const wallMs = 1_790_000_000_000;
    const [first, second] = [hlcUndated(hlcAt(wallMs)), hlcUndated(hlcAt(wallMs + 1))];
    expect(second).toBeGreaterThan(first);
    expect(hlcUndated(second)).toBe(second);
    expect(hlcWallMs(hlcUndated(2 ** 53 - 1))).toBeLessThan(50 * 86_400_000);
    expect(isAhead(hlcUndated(2 ** 53 - 1), CLOCK_SET_MS, 0)).toBe(false);
  });
});
