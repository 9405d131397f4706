import { CHUNK_BYTES, SESSIONS_PER_PEER } from './sync-session.ts';

/**
 * How fast this node sends objects that others miss (a token bucket): one second's worth at once, and what exceeds the
 * bucket is a debt that the next ones wait for.
 */
export class SyncPace {
  private readonly bytesPerSecond: number;
  private budget: number;
  private countedMs = 0;

  /** `bytesPerSecond`: 0 for as fast as it goes. */
  constructor(bytesPerSecond: number) {
    this.bytesPerSecond = bytesPerSecond;
    this.budget = bytesPerSecond;
  }

  /** Shards sent to one peer at a time: each gets a chunk through before the peer stops waiting for it. */
  get sessionsMax(): number {
    if (this.bytesPerSecond === 0) return SESSIONS_PER_PEER;
    return Math.max(1, Math.min(SESSIONS_PER_PEER, Math.floor((2 * this.bytesPerSecond) / CHUNK_BYTES)));
  }

  /** True when so much may be sent now; it counts as sent. */
  take(bytes: number, nowMs: number): boolean {
    if (this.bytesPerSecond === 0) return true;
    const elapsedMs = Math.max(0, nowMs - this.countedMs);
    this.countedMs = nowMs;
    this.budget = Math.min(this.bytesPerSecond, this.budget + (elapsedMs * this.bytesPerSecond) / 1000);
    if (this.budget <= 0) return false;
    this.budget -= bytes;
    return true;
  }

  /** When something may be sent again. */
  get readyAtMs(): number {
    if (this.budget > 0) return this.countedMs;
    return this.countedMs + Math.floor((-this.budget * 1000) / this.bytesPerSecond) + 1;
  }
}
