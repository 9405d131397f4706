import type { Instant } from '../protocol/machine.ts';

/** Time and timers, so that the driver can run on a virtual clock. */
export interface Clock {
  now(): Instant;
  /** Calls back once, after the I/O events that are waiting now. */
  soon(callback: () => void): void;
  /** Calls back once at or after `delayMs`; returns a function that cancels it. */
  after(delayMs: number, callback: () => void): () => void;
}
