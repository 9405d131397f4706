import { z } from 'zod';
import { failure, HoldfastError } from '../../lib/failure.ts';
import type { RegisterContent } from '../../ports/node-handle.ts';
import { keptUntilMs, type Lease, TTL_MS_MAX, TTL_MS_MIN } from './lease.ts';

const CONTENT_TYPE = 'application/vnd.holdfast.lock+json';
/** The last time that a Date can tell. */
const TIME_MS_MAX = 8.64e15;

const LEASE = z.strictObject({
  owner: z.string(),
  token: z.int().min(1).max(TIME_MS_MAX),
  untilMs: z.int().min(0).max(TIME_MS_MAX).nullable(),
  ttlMs: z.int().min(TTL_MS_MIN).max(TTL_MS_MAX),
  attempt: z.string(),
});

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

export function leaseContent(lease: Lease, nowMs: number): RegisterContent {
  const { owner, token, untilMs, ttlMs, attempt } = lease;
  return {
    bytes: encoder.encode(JSON.stringify({ owner, token, untilMs, ttlMs, attempt })),
    contentType: CONTENT_TYPE,
    expiresAtMs: keptUntilMs(lease, nowMs),
  };
}

/** Throws `internal`: to take a lock whose holder cannot be read would be a guess. */
export function readLease(content: RegisterContent | null): Lease | null {
  if (content === null) return null;
  const result = content.contentType === CONTENT_TYPE ? LEASE.safeParse(documentIn(content.bytes)) : null;
  if (result?.success === true) return result.data;
  throw new HoldfastError(failure('internal', 'what is stored about this lock is not understood by this version'));
}

/** Undefined where it is no JSON. */
function documentIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
}
