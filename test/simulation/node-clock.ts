import type { Instant } from '../../src/protocol/machine.ts';
import type { VirtualClock } from './virtual-clock.ts';

export const WALL_START_MS = 1_790_000_000_000;

/** The clocks of one machine: they may run fast or slow, and the wall clock may be wrong. */
export class NodeClock {
  private readonly truth: VirtualClock;
  private rate = 1;
  /** Where the present rate began. */
  private trueMs = 0;
  private monoMs = 0;
  /** What the wall clock shows at monotonic 0. */
  private wallMs = WALL_START_MS;

  constructor(truth: VirtualClock) {
    this.truth = truth;
  }

  now(): Instant {
    const monoMs = this.monoMs + (this.truth.nowMs - this.trueMs) * this.rate;
    return { monoMs, wallMs: Math.max(0, Math.floor(this.wallMs + monoMs)) };
  }

  /** The true time at which the monotonic clock shows `monoMs`. */
  trueTimeOf(monoMs: number): number {
    return this.trueMs + (monoMs - this.monoMs) / this.rate;
  }

  /** Both clocks run at `rate` times true speed from now on. */
  run(rate: number): void {
    this.monoMs = this.now().monoMs;
    this.trueMs = this.truth.nowMs;
    this.rate = rate;
  }

  jump(byMs: number): void {
    this.wallMs += byMs;
  }

  /** True speed, and the right time on the wall. */
  correct(): void {
    this.run(1);
    this.wallMs = WALL_START_MS + this.truth.nowMs - this.monoMs;
  }
}
