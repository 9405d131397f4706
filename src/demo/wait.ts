import { setTimeout as delay } from 'node:timers/promises';

/** The demo cannot go on or has shown something wrong; the message names the cause. */
export class DemoError extends Error {
  override readonly name = 'DemoError';
}

/** The user, or the system, ended the demo. */
export class InterruptedError extends DemoError {}

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}

/** Waits; throws the signal's reason as soon as it is aborted. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, delayMs), undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

/** Polls until the condition holds. Throws `not within …: what` after the timeout. */
export async function waitUntil(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { timeoutMs, intervalMs, signal }: WaitOptions,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    signal.throwIfAborted();
    if (performance.now() >= deadlineMs) throw new DemoError(`not within ${timeoutMs / 1000} s: ${what}`);
    await pause(intervalMs, signal);
  }
  signal.throwIfAborted();
}

/** Runs `work` for every item, at most `parallel` at a time; the first failure ends it. */
export async function forEachLimited<T>(
  items: readonly T[],
  parallel: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const runOne = async (): Promise<void> => {
    while (next < items.length) await work(items[next++] as T);
  };
  const runs = Array.from({ length: Math.min(parallel, items.length) }, runOne);
  try {
    await Promise.all(runs);
  } finally {
    next = items.length;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
