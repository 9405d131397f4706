import { type ApiRequest, lockPath } from './client.ts';
import { CliError } from './errors.ts';
import type { Session } from './session.ts';
import { LOCK, readShape } from './shapes.ts';
import { printable } from './text.ts';

const WAIT_MS_MAX = 10_000;
const RETRY_MS = 500;
const RELEASE_TIMEOUT_MS = 5000;
/** A request is given up for the next one after a third of the time to live, but not sooner. */
const RENEW_TIMEOUT_MS_MIN = 500;
/** May be over by the next time. */
const PASSING: ReadonlySet<string> = new Set([
  'lock-held',
  'quorum-unavailable',
  'not-ready',
  'shutting-down',
  'too-many-requests',
  'unreachable',
]);

export interface LockWish {
  readonly name: string;
  readonly owner: string;
  readonly ttlMs: number;
  readonly waitMs: number;
}

/**
 * A lock of this process. Its time is measured by the monotonic clock from before the request that got or renewed it: the
 * node counts from later on, so that this side never believes to hold it for longer than the cluster does.
 */
export class HeldLock {
  readonly token: number;
  private readonly session: Session;
  private readonly wish: LockWish;
  private sinceMs: number;

  private constructor(session: Session, wish: LockWish, token: number, sinceMs: number) {
    this.session = session;
    this.wish = wish;
    this.token = token;
    this.sinceMs = sinceMs;
  }

  /** Tries until the wait is over or the signal is aborted. Throws the last failure. */
  static async acquire(session: Session, wish: LockWish, signal: AbortSignal): Promise<HeldLock> {
    const { client, context } = session;
    const giveUpMs = context.monotonicMs() + wish.waitMs;
    // An answer that is lost on the way does not make this process wait for itself.
    const attempt = crypto.randomUUID();
    for (;;) {
      const sinceMs = context.monotonicMs();
      // Most of the time to live is left when a wait at the node has been long.
      const waitMs = Math.floor(Math.max(0, Math.min(giveUpMs - sinceMs, wish.ttlMs / 3, WAIT_MS_MAX)));
      const { name, owner, ttlMs } = wish;
      try {
        const answer = await client.json(lockPath(name), post({ owner, ttlMs, waitMs, attempt }, { signal }));
        return await new HeldLock(session, wish, readShape(LOCK, answer).token, sinceMs).checked();
      } catch (error) {
        const leftMs = giveUpMs - context.monotonicMs();
        if (signal.aborted || leftMs <= 0 || !isPassing(error)) throw error;
        if (error.code !== 'lock-held') await context.sleep(Math.min(leftMs, RETRY_MS), signal);
      }
    }
  }

  /** Renews the lock until the signal is aborted (null), or until it is lost: why. */
  async keep(signal: AbortSignal): Promise<CliError | null> {
    const { context } = this.session;
    const { ttlMs } = this.wish;
    let pauseMs = this.sinceMs + ttlMs / 3 - context.monotonicMs();
    let reason: string | null = null;
    for (;;) {
      await context.sleep(Math.max(0, pauseMs), signal);
      if (signal.aborted) return null;
      const nowMs = context.monotonicMs();
      if (nowMs >= this.untilMs) return this.lost(reason ?? 'no renewal was tried in time');
      const timeoutMs = Math.min(this.untilMs - nowMs, Math.max(RENEW_TIMEOUT_MS_MIN, ttlMs / 3));
      try {
        await this.renew(signal, timeoutMs);
        this.sinceMs = nowMs;
        pauseMs = nowMs + ttlMs / 3 - context.monotonicMs();
      } catch (error) {
        if (signal.aborted) return null;
        if (!(error instanceof CliError)) throw error;
        if (error.code === 'stale-token') return this.lost(error.message);
        // The last one may have been cut short, and says less.
        if (timeoutMs >= RENEW_TIMEOUT_MS_MIN) reason = error.message;
        reason ??= error.message;
        pauseMs = Math.min(RETRY_MS, ttlMs / 6, this.untilMs - context.monotonicMs());
      }
    }
  }

  /** Throws where the lock was lost, and nobody has noticed. What else goes wrong is a remark: it lapses by itself. */
  async release(): Promise<void> {
    const { client, terminal } = this.session;
    const { name, ttlMs } = this.wish;
    try {
      const limits = { timeoutMs: RELEASE_TIMEOUT_MS };
      await client.request(`${lockPath(name)}/release`, post({ token: this.token }, limits));
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      if (error.code === 'stale-token') throw this.lost(error.message);
      terminal.note(`the lock is not released, and lapses in ${ttlMs / 1000} s: ${error.message}`);
    }
  }

  private get untilMs(): number {
    return this.sinceMs + this.wish.ttlMs;
  }

  private async checked(): Promise<this> {
    if (this.session.context.monotonicMs() < this.untilMs) return this;
    await this.release();
    throw new CliError('the node took longer to give the lock than it is held for — give a longer --ttl');
  }

  private async renew(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const { name, ttlMs } = this.wish;
    const body = { token: this.token, ttlMs };
    await this.session.client.json(`${lockPath(name)}/renew`, post(body, { signal, timeoutMs }));
  }

  private lost(reason: string): CliError {
    return new CliError(`the lock ${printable(this.wish.name)} is lost: ${reason}`, 'lock-lost');
  }
}

function post(body: object, limits: Pick<ApiRequest, 'signal' | 'timeoutMs'>): ApiRequest {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...limits,
  };
}

function isPassing(error: unknown): error is CliError {
  return error instanceof CliError && PASSING.has(error.code);
}
