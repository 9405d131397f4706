import type { DialResult } from './dialer.ts';

const CAUSES_MAX = 16;

/** What a rejected libp2p dial means. libp2p wraps causes in aggregates, and some only in the text of a message. */
export function classifyDialError(cause: unknown): DialResult {
  const errors = errorsIn(cause);
  if (errors.some((error) => error.message.includes('Can not dial self'))) return { kind: 'self' };
  const names = errors.map((error) => error.name);
  const codes = errors.map((error) => ('code' in error ? error.code : undefined));
  if (names.includes('DialDeniedError') || names.includes('ConnectionInterceptedError')) {
    return { kind: 'failed', reason: 'denied' };
  }
  if (codes.includes('ECONNREFUSED')) return { kind: 'failed', reason: 'refused' };
  if (codes.includes('ETIMEDOUT') || names.includes('TimeoutError') || names.includes('AbortError')) {
    return { kind: 'failed', reason: 'timeout' };
  }
  return { kind: 'failed', reason: 'unreachable' };
}

/** An error and all that it wraps, from the outside in. */
export function errorsIn(cause: unknown): Error[] {
  const found: Error[] = [];
  const open: unknown[] = [cause];
  while (open.length > 0 && found.length < CAUSES_MAX) {
    const next = open.shift();
    if (!(next instanceof Error)) continue;
    found.push(next);
    if (next instanceof AggregateError) open.push(...(next.errors as unknown[]));
    if (next.cause !== undefined) open.push(next.cause);
  }
  return found;
}
