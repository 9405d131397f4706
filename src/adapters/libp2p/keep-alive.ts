/** Silence of so many intervals, and three pings without an answer, mean that nobody is there. */
const INTERVALS_MAX = 4;

/**
 * When to ping an idle peer, and when to give it up. One end pings and the other answers, so that an idle session costs
 * a ping and an answer an interval. A ping is due where either direction was silent for an interval: both ends then
 * know. Times are monotonic milliseconds.
 */
export class KeepAlive {
  private readonly intervalMs: number;
  private readonly pings: boolean;
  private sentMs: number;
  private heardMs: number;
  private pingedMs: number;

  /** `pings`: this end begins. */
  constructor(options: { readonly intervalMs: number; readonly pings: boolean; readonly nowMs: number }) {
    this.intervalMs = options.intervalMs;
    this.pings = options.pings;
    this.sentMs = options.nowMs;
    this.heardMs = options.nowMs;
    this.pingedMs = options.nowMs;
  }

  noteSent(nowMs: number): void {
    this.sentMs = nowMs;
  }

  /** Bytes have come in, or the peer has taken some that waited for it. */
  noteHeard(nowMs: number): void {
    this.heardMs = nowMs;
  }

  /** What is to be done now. A ping that is due counts as sent. */
  due(nowMs: number): 'nothing' | 'ping' | 'give-up' {
    if (nowMs - this.heardMs >= this.intervalMs * INTERVALS_MAX) return 'give-up';
    const silentSinceMs = Math.max(Math.min(this.sentMs, this.heardMs), this.pingedMs);
    if (!this.pings || nowMs - silentSinceMs < this.intervalMs) return 'nothing';
    this.pingedMs = nowMs;
    return 'ping';
  }
}
