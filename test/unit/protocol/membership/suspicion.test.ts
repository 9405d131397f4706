import { describe, expect, it } from 'vitest';
import { MEMBERSHIP_DEFAULTS } from '../../../../src/protocol/membership/options.ts';
import { Suspicions, suspicionTimeoutMs } from '../../../../src/protocol/membership/suspicion.ts';

const minMs = MEMBERSHIP_DEFAULTS.suspicionMinMultiplier * MEMBERSHIP_DEFAULTS.probeIntervalMs;
const maxMs = minMs * MEMBERSHIP_DEFAULTS.suspicionMaxMultiplier;

describe('suspicionTimeoutMs', () => {
  it('falls from the longest to the shortest with each confirmation, the first counting most', () => {
    const timeouts = [0, 1, 2, 3].map((confirmations) => suspicionTimeoutMs(1000, 7000, confirmations, 3));
    expect(timeouts[0]).toBe(7000);
    expect(timeouts[1]).toBe(4000);
    expect(timeouts[3]).toBe(1000);
    const steps = timeouts.slice(1).map((ms, i) => (timeouts[i] as number) - ms);
    expect(steps).toEqual([...steps].sort((a, b) => b - a));
  });

  it('stays at the longest where nobody could confirm', () => {
    expect(suspicionTimeoutMs(1000, 7000, 0, 0)).toBe(7000);
  });
});

describe('Suspicions', () => {
  it('that a pause of our own interrupts is put off as a whole, and what was seen before it is no evidence', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 10, 0);
    suspicions.recordProbe('x', 'failed');
    suspicions.hold('x', 20_000);
    suspicions.postpone(10_000);
    expect(suspicions.nextDeadline(5)).toBe(30_000);
    expect(suspicions.lastProbe('x')).toBeUndefined();
  });

  it('counts distinct accusers only, and only as many as shorten the suspicion are worth telling', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 10, 0);
    expect(suspicions.nextDeadline(8)).toBe(maxMs);
    expect(suspicions.confirm('x', 'a')).toBe(false);
    expect(suspicions.nextDeadline(8)).toBe(maxMs);
    expect(['b', 'c', 'd', 'e'].map((accuser) => suspicions.confirm('x', accuser))).toEqual([true, true, true, false]);
    expect(suspicions.nextDeadline(8)).toBe(minMs);
    expect(suspicions.pollExpired(8, minMs - 1)).toEqual([]);
    expect(suspicions.pollExpired(8, minMs)).toEqual(['x']);
  });

  it('needs no more confirmations than there are members to give them', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 3, 0);
    suspicions.confirm('x', 'b');
    expect(suspicions.nextDeadline(1)).toBe(minMs);
    expect(suspicions.nextDeadline(0)).toBe(maxMs);
  });

  it('grows with log10 of the cluster', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 1000, 0);
    expect(suspicions.nextDeadline(900)).toBeCloseTo(3 * maxMs);
  });

  it('is shortened by strong evidence, and restored by a sign of life', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 10, 0);
    suspicions.shorten('x', 400, 100);
    suspicions.shorten('x', 400, 300);
    expect(suspicions.nextDeadline(8)).toBe(500);
    suspicions.relax('x', 450);
    expect(suspicions.nextDeadline(8)).toBe(450 + maxMs);
  });

  it('does not count the time in which we stood still', () => {
    const suspicions = new Suspicions(MEMBERSHIP_DEFAULTS);
    suspicions.start('x', 'a', 10, 0);
    suspicions.shorten('x', 400, 0);
    suspicions.postpone(5000);
    expect(suspicions.nextDeadline(8)).toBe(5400);
  });
});
