import { describe, expect, it } from 'vitest';
import { hlcAt, hlcNext, hlcWallMs } from '../../../src/lib/hlc.ts';

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
});
