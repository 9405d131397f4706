import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../../src/adapters/system/clock.ts';

describe('system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  it('has a monotonic and a wall time', () => {
    const before = systemClock.now();
    vi.advanceTimersByTime(1500);
    const after = systemClock.now();
    expect(after.monoMs - before.monoMs).toBeCloseTo(1500);
    expect(after.wallMs - before.wallMs).toBe(1500);
    vi.setSystemTime(0);
    expect(systemClock.now().wallMs).toBe(0);
    expect(systemClock.now().monoMs).toBeGreaterThanOrEqual(after.monoMs);
  });

  it('calls back once, never early', () => {
    const callback = vi.fn();
    systemClock.after(10.5, callback);
    vi.advanceTimersByTime(10);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(100);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('waits on when the timer fires before performance.now() has got there', () => {
    const callback = vi.fn();
    const start = performance.now();
    systemClock.after(10, callback);
    const spy = vi.spyOn(performance, 'now').mockReturnValue(start + 9.6);
    vi.advanceTimersByTime(10);
    expect(callback).not.toHaveBeenCalled();
    spy.mockReturnValue(start + 10.6);
    vi.advanceTimersByTime(1);
    expect(callback).toHaveBeenCalledTimes(1);
    spy.mockRestore();
  });

  it('can be cancelled', () => {
    const callback = vi.fn();
    systemClock.after(10, callback)();
    vi.advanceTimersByTime(100);
    expect(callback).not.toHaveBeenCalled();
  });

  it('takes delays beyond what a timer can hold', () => {
    const callback = vi.fn();
    systemClock.after(2 ** 31 + 1000, callback);
    vi.advanceTimersByTime(2 ** 31);
    expect(callback).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    expect(callback).toHaveBeenCalledTimes(1);
  });
});
