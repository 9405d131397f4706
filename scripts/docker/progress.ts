import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 250;

const startMs = performance.now();
/** Aborted when the check has to end early. */
export const interrupted = new AbortController();
export const { signal } = interrupted;
export const figures: Record<string, number> = {};
/** Every acknowledged write. */
export const written = new Map<string, string>();

export function say(text: string): void {
  console.log(`${seconds(performance.now() - startMs).padStart(8)}  ${text}`);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

/** Polls until the condition gives something other than null. */
export async function until<T>(what: string, timeoutMs: number, condition: () => Promise<T | null>): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found !== null) return found;
    check(performance.now() < deadlineMs, `not within ${seconds(timeoutMs)}: ${what}`);
    await delay(POLL_MS, undefined, { signal });
  }
}
