import type { Clock } from '../../src/ports/clock.ts';
import { VirtualClock } from '../simulation/virtual-clock.ts';

const WALL_START_MS = 1_790_000_000_000;

/** A clock that moves only when it is told to. */
export class ManualClock implements Clock {
  private readonly events = new VirtualClock();

  now(): { monoMs: number; wallMs: number } {
    return { monoMs: this.events.nowMs, wallMs: WALL_START_MS + this.events.nowMs };
  }

  soon(callback: () => void): void {
    this.events.after(0, callback);
  }

  after(delayMs: number, callback: () => void): () => void {
    let cancelled = false;
    this.events.after(delayMs, () => {
      if (!cancelled) callback();
    });
    return () => {
      cancelled = true;
    };
  }

  advance(ms: number): void {
    this.events.runUntil(this.events.nowMs + ms);
  }
}
