import { describe, expect, test } from 'vitest';
import { chunkAt } from '../../../../src/protocol/uplink/chunk.ts';
import { DrainPace } from '../../../../src/protocol/uplink/drain-pace.ts';

const TICK_MS = 20;
const FULL = chunkAt(0);

/** A node that always has something to send, and how much of it is sent. */
class Node {
  readonly pace = new DrainPace();
  sentKeys = 0;
  private nowMs = 0;

  /** `lateMs`: how late its turns come; `isServing`: whether it serves clients all the time. */
  run(forMs: number, { lateMs = 0, isServing = true, isFull = true } = {}): number {
    const before = this.sentKeys;
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; this.nowMs += TICK_MS) {
      if (isServing) this.pace.noteServed(this.nowMs);
      this.pace.handleTurn(lateMs, this.nowMs);
      // At full pace it never ends: so much in one turn is enough.
      for (let i = 0; isFull && i < 10 && this.pace.allows(this.nowMs); i++) {
        const chunk = this.pace.within(FULL, this.nowMs);
        this.pace.count(chunk, this.nowMs);
        this.sentKeys += chunk.keys;
      }
    }
    return this.sentKeys - before;
  }
}

describe('the pace of a drain', () => {
  test('knows no bound as long as nobody is served, however late turns come', () => {
    const node = new Node();
    expect(node.run(1000, { lateMs: 100, isServing: false })).toBe(10 * FULL.keys * (1000 / TICK_MS));
  });

  test('ends at the same turn in which somebody is served, and begins slowly', () => {
    const node = new Node();
    node.run(1000, { isServing: false });
    const keys = node.run(1000);
    expect(keys).toBeGreaterThan(0);
    expect(keys).toBeLessThan(2000);
  });

  test('rises while turns come in time, falls with late ones, and never to nothing', () => {
    const node = new Node();
    const first = node.run(2000);
    const second = node.run(2000);
    expect(second).toBeGreaterThan(2 * first);
    node.run(2000, { lateMs: 30 });
    const slow = node.run(4000, { lateMs: 30 });
    expect(slow).toBeLessThan(second);
    expect(slow).toBeGreaterThan(500);
    expect(slow).toBeLessThan(2000);
  });

  test('does not rise while there is less to send than it allows', () => {
    const node = new Node();
    node.run(60_000, { isFull: false });
    expect(node.run(1000)).toBeLessThan(2000);
  });

  test('counts a large value as several keys, and makes requests no larger than they may be', () => {
    const pace = new DrainPace();
    pace.noteServed(0);
    expect(pace.within(FULL, 0).keys).toBeLessThan(FULL.keys);
    expect(pace.within({ keys: 8, bytes: 4096 }, 0)).toEqual({ keys: 8, bytes: 4096 });
    pace.handleTurn(0, 100);
    pace.noteServed(100);
    expect(pace.allows(100)).toBe(true);
    pace.count({ keys: 1, bytes: 1024 * 1024 }, 100);
    pace.handleTurn(0, 200);
    expect(pace.allows(200)).toBe(false);
    // What was sent is nobody's concern any more once nobody is served.
    expect(pace.allows(1200)).toBe(true);
  });
});
