import { describe, expect, it } from 'vitest';
import { SyncPace } from '../../../../src/protocol/replication/sync-pace.ts';

describe('SyncPace', () => {
  it('lets one second of data go at once, and what exceeds it is waited for', () => {
    const pace = new SyncPace(1000);
    expect(pace.take(900, 5000)).toBe(true);
    expect(pace.take(1100, 5000)).toBe(true);
    expect(pace.take(1, 5000)).toBe(false);
    expect(pace.readyAtMs).toBe(6001);
    expect(pace.take(1, 5999)).toBe(false);
    expect(pace.take(1, pace.readyAtMs)).toBe(true);
  });

  it('saves no more than one second of data up', () => {
    const pace = new SyncPace(1000);
    expect(pace.take(1000, 1000)).toBe(true);
    expect(pace.take(1000, 60_000)).toBe(true);
    expect(pace.take(1, 60_000)).toBe(false);
  });

  it('sends no more than so much in the long run', () => {
    const pace = new SyncPace(10_000);
    let sent = 0;
    for (let nowMs = 0; nowMs <= 60_000; nowMs += 7) while (pace.take(333, nowMs)) sent += 333;
    expect(sent).toBeLessThanOrEqual(61 * 10_000 + 333);
    expect(sent).toBeGreaterThan(60 * 10_000);
  });

  it('works at fewer shards at a time where it is slow', () => {
    expect([0, 10, 65_536, 1024 * 1024].map((rate) => new SyncPace(rate).sessionsMax)).toEqual([16, 1, 2, 16]);
  });

  it('knows no bounds at 0', () => {
    const pace = new SyncPace(0);
    for (let i = 0; i < 100; i++) expect(pace.take(1e9, 0)).toBe(true);
  });
});
