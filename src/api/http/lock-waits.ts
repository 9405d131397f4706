import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { failure, HoldfastError } from '../../lib/failure.ts';
import type { HttpLimits } from './limits.ts';

/** Between two looks at a lock that is held; each costs a round trip to a majority of its owners. */
const POLL_MS = 500;
const PASSING: ReadonlySet<string> = new Set(['lock-held', 'too-many-requests']);

const BROKEN_OFF = failure('bad-request', 'the request broke off before the lock was free');
const SHUTTING_DOWN = failure('shutting-down', 'the node is stopping; use another');

/** Requests that wait for a lock: their number, and their end when the client goes or the API closes. */
export class LockWaits {
  private readonly waitersMax: number;
  private readonly waiting = new Set<AbortController>();
  private closed = false;

  constructor({ lockWaitersMax }: Pick<HttpLimits, 'lockWaitersMax'>) {
    this.waitersMax = lockWaitersMax;
  }

  /** Tries until the time is over, and then throws what the last try threw. */
  async until<T>(waitMs: number, response: ServerResponse, tryOnce: () => Promise<T>): Promise<T> {
    const giveUpMs = performance.now() + waitMs;
    try {
      return await tryOnce();
    } catch (error) {
      if (waitMs === 0 || !isPassing(error)) throw error;
    }
    const wait = this.admit(response);
    try {
      return await this.poll(giveUpMs, wait.signal, tryOnce);
    } finally {
      this.waiting.delete(wait);
    }
  }

  close(): void {
    this.closed = true;
    for (const wait of this.waiting) wait.abort();
  }

  private async poll<T>(giveUpMs: number, signal: AbortSignal, tryOnce: () => Promise<T>): Promise<T> {
    for (;;) {
      const leftMs = giveUpMs - performance.now();
      // Clients that were refused at the same time come back at different ones.
      const pauseMs = Math.min(leftMs, POLL_MS * (0.5 + Math.random()));
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) throw new HoldfastError(this.closed ? SHUTTING_DOWN : BROKEN_OFF);
      try {
        return await tryOnce();
      } catch (error) {
        if (performance.now() >= giveUpMs || !isPassing(error)) throw error;
      }
    }
  }

  private admit(response: ServerResponse): AbortController {
    if (this.closed) throw new HoldfastError(SHUTTING_DOWN);
    if (this.waiting.size >= this.waitersMax) throw new HoldfastError(tooManyWaiters(this.waitersMax));
    const wait = new AbortController();
    this.waiting.add(wait);
    response.once('close', () => wait.abort());
    if (response.closed) wait.abort();
    return wait;
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof HoldfastError && PASSING.has(error.code);
}

function tooManyWaiters(max: number) {
  return failure(
    'too-many-requests',
    `${max} requests already wait for locks at this node; use another node or come back later`,
    { data: { limit: 'lockWaitersMax', max } },
  );
}
