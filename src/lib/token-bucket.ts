/**
 * How fast something may be sent (a token bucket): one second's worth at once, and what exceeds the bucket is a debt that the
 * next ones wait for.
 */
export class TokenBucket {
  private readonly perSecond: number;
  private budget: number;
  private countedMs = 0;

  /** `perSecond`: 0 for as fast as it goes. */
  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.budget = perSecond;
  }

  /** True when so much may be sent now; it counts as sent. */
  take(amount: number, nowMs: number): boolean {
    if (this.perSecond === 0) return true;
    const elapsedMs = Math.max(0, nowMs - this.countedMs);
    this.countedMs = nowMs;
    this.budget = Math.min(this.perSecond, this.budget + (elapsedMs * this.perSecond) / 1000);
    if (this.budget <= 0) return false;
    this.budget -= amount;
    return true;
  }

  /** When something may be sent again. */
  get readyAtMs(): number {
    if (this.budget > 0) return this.countedMs;
    return this.countedMs + Math.floor((-this.budget * 1000) / this.perSecond) + 1;
  }
}
