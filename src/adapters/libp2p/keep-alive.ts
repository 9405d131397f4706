/** Silence of so many intervals, and three pings without an answer, mean that nobody is there. */
const INTERVALS_MAX = 4;
/** After so much of an interval without a sign of life upon a request nobody is there; a ping is due after half of that. */
const PATIENCE = 0.5;
/** A line that is slower than this, bytes/ms, passes for a dead one while much is on its way. */
const SLOWEST_LINE = 4;

/**
 * When to ping a peer, and when to give it up. One end pings and the other answers, so that an idle session costs
 * a ping and an answer an interval. A ping is due where either direction was silent for an interval: both ends then
 * know. A peer that has been sent something is given up sooner: what was sent tells at no cost that the line is cut,
 * where nothing else would. Times are monotonic milliseconds.
 */
export class KeepAlive {
  private readonly intervalMs: number;
  private readonly pings: boolean;
  private sentMs: number;
  private heardMs: number;
  private pingedMs: number;
  /** Since when the peer owes a sign of life, and for how many bytes; null: it does not. */
  private askedMs: number | null = null;
  private askedBytes = 0;

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

  /** Something was sent that is to be answered. */
  noteAsked(nowMs: number, bytes: number): void {
    this.askedMs ??= nowMs;
    this.askedBytes += bytes;
  }

  /** Bytes have come in, or the peer has taken some that waited for it. */
  noteHeard(nowMs: number): void {
    this.heardMs = nowMs;
    this.askedMs = null;
    this.askedBytes = 0;
  }

  /** What is to be done now. A ping that is due counts as sent. */
  due(nowMs: number): 'nothing' | 'ping' | 'give-up' {
    if (nowMs - this.heardMs >= this.intervalMs * INTERVALS_MAX) return 'give-up';
    if (this.pings && this.askedMs !== null) {
      const patienceMs = this.intervalMs * PATIENCE + this.askedBytes / SLOWEST_LINE;
      const waitedMs = nowMs - this.askedMs;
      if (waitedMs >= patienceMs) return 'give-up';
      // The answer itself may take its time; that to a ping does not.
      if (waitedMs >= patienceMs / 2 && this.pingedMs <= this.askedMs) {
        this.pingedMs = nowMs;
        return 'ping';
      }
    }
    const silentSinceMs = Math.max(Math.min(this.sentMs, this.heardMs), this.pingedMs);
    if (!this.pings || nowMs - silentSinceMs < this.intervalMs) return 'nothing';
    this.pingedMs = nowMs;
    return 'ping';
  }
}
