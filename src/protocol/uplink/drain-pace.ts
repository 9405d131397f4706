import type { Chunk } from './chunk.ts';

/** Of a request that may be smaller than others: each costs the hub a transaction. */
const KEYS_MIN = 64;
/** Larger keys count as several. */
const KEY_BYTES = 1024;
/** Keys a second, while others are served. */
const RATE_MIN = 250;
const RATE_MAX = 20_000;
/** What is gained by a second without delay in which more could have been sent. */
const RATE_GAIN = 500;
const BACKOFF = 0.5;
/** One delay is answered once. */
const BACKOFF_INTERVAL_MS = 100;
/** A turn that comes later than this has been kept waiting. */
const LATE_MS = 5;
/** After a request somebody is held to be served for so long. */
const SERVING_MS = 1000;
/** As much as is allowed in so long may be sent at once. */
const BURST_MS = 100;

/**
 * How fast a node takes part in reconciliation: as fast as it goes while it serves nobody, and otherwise so that it gives way.
 * Turns that come late show that something waits, within this process or for its processor: the rate falls with them, and
 * rises slowly without (additive increase, multiplicative decrease: Chiu and Jain 1989; delay as the sign that others
 * need the room: LEDBAT, RFC 6817).
 */
export class DrainPace {
  private rate = RATE_MIN;
  private budget = 0;
  private countedMs = 0;
  private backoffMs = 0;
  private servedMs = Number.NEGATIVE_INFINITY;
  /** Since the last turn something had to wait. */
  private isWanting = false;

  /** A client is served, or another node for one. */
  noteServed(nowMs: number): void {
    this.servedMs = nowMs;
  }

  isYielding(nowMs: number): boolean {
    return nowMs < this.servedMs + SERVING_MS;
  }

  /** A turn that was due comes so much later. */
  handleTurn(lateMs: number, nowMs: number): void {
    const elapsedMs = Math.min(BURST_MS, Math.max(0, nowMs - this.countedMs));
    this.countedMs = nowMs;
    const { isWanting } = this;
    this.isWanting = false;
    if (lateMs > LATE_MS) this.slowDown(nowMs);
    else if (isWanting) this.rate = Math.min(RATE_MAX, this.rate + (RATE_GAIN * elapsedMs) / 1000);
    this.budget = Math.min((this.rate * BURST_MS) / 1000, this.budget + (this.rate * elapsedMs) / 1000);
  }

  /** What the next request is to hold where it could hold so much. */
  within({ keys, bytes }: Chunk, nowMs: number): Chunk {
    if (!this.isYielding(nowMs)) return { keys, bytes };
    const allowed = Math.max(KEYS_MIN, Math.floor((this.rate * BURST_MS) / 1000));
    return { keys: Math.min(keys, allowed), bytes: Math.min(bytes, allowed * KEY_BYTES) };
  }

  /** From one push to the next one: what clients write meanwhile goes together. */
  pauseMs(nowMs: number): number {
    return this.isYielding(nowMs) ? BURST_MS : 0;
  }

  /** Whether more keys may be sent now. */
  allows(nowMs: number): boolean {
    if (!this.isYielding(nowMs) || this.budget > 0) return true;
    this.isWanting = true;
    return false;
  }

  /** So much is sent. What exceeds the rate is a debt that the next ones wait for. */
  count({ keys, bytes }: Chunk, nowMs: number): void {
    if (this.isYielding(nowMs)) this.budget -= Math.max(keys, bytes / KEY_BYTES);
  }

  private slowDown(nowMs: number): void {
    if (nowMs < this.backoffMs) return;
    this.backoffMs = nowMs + BACKOFF_INTERVAL_MS;
    this.rate = Math.max(RATE_MIN, this.rate * BACKOFF);
  }
}
