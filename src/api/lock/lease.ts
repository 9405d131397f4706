import { type Failure, failure } from '../../lib/failure.ts';

/**
 * Another client may take a lock only so long after its time is over: `untilMs` is written by one node and judged by
 * another, and their clocks differ by a little. Clocks that NTP keeps are far within this. Nodes do not notice a difference
 * below `maxClockDriftMs` themselves, and nobody would wait that long for a lock: where clocks are that far apart two
 * holders may overlap, and what they write to has to compare their tokens.
 */
export const TAKEOVER_MARGIN_MS = 1000;
export const TTL_MS_MIN = 100;
export const TTL_MS_MAX = 3_600_000;
/**
 * Further ahead than any lock is given for, and than clocks may differ: the time was written by a clock that was wrong
 * then, and would hold the lock for years after its holder is gone.
 */
const AHEAD_MS_MAX = 2 * TTL_MS_MAX;
/** Longer than any two clocks differ that nodes go by. */
const RECORD_KEPT_MS = 86_400_000;

/** The latest holding of a lock: what its register holds. */
export interface Lease {
  readonly owner: string;
  readonly token: number;
  /** By the cluster's clock; null: released. */
  readonly untilMs: number | null;
  readonly ttlMs: number;
  /** Names the attempt that got it: who does not know whether a write took effect finds out by it. */
  readonly attempt: string;
}

export interface HeldLease extends Lease {
  readonly untilMs: number;
}

/** What to do about a lease in its register; `write`: if nobody has changed it meanwhile. */
export type Step<T> =
  | { readonly type: 'done'; readonly result: T }
  | { readonly type: 'write'; readonly lease: Lease; readonly result: T }
  | { readonly type: 'refuse'; readonly failure: Failure };

/** `sinceMs`: when the client's request began, by the same clock as `nowMs`. */
export interface Times {
  readonly sinceMs: number;
  readonly nowMs: number;
}

export interface AcquireRequest {
  readonly name: string;
  readonly owner: string;
  readonly ttlMs: number;
  readonly attempt: string;
}

export interface RenewRequest {
  readonly name: string;
  readonly token: number;
  /** Null: as long as before. */
  readonly ttlMs: number | null;
}

/** Nobody but its holder may have the lock. */
export function isHeld(lease: Lease, nowMs: number): lease is HeldLease {
  const { untilMs } = lease;
  return untilMs !== null && nowMs <= untilMs + TAKEOVER_MARGIN_MS && untilMs <= nowMs + AHEAD_MS_MAX;
}

export function acquire(lease: Lease | null, request: AcquireRequest, times: Times): Step<HeldLease> {
  const { name, owner, ttlMs, attempt } = request;
  if (lease !== null && isGiven(lease)) {
    // An earlier write took effect although nobody could say so.
    if (lease.attempt === attempt) return extend(lease, ttlMs, times);
    if (isHeld(lease, times.nowMs)) return { type: 'refuse', failure: lockHeld(name, lease) };
  }
  const { nowMs } = times;
  const next = { owner, token: nextToken(lease, nowMs), untilMs: nowMs + ttlMs, ttlMs, attempt };
  return { type: 'write', lease: next, result: next };
}

/** The holder may come late, as long as nobody else has taken the lock. */
export function renew(lease: Lease | null, request: RenewRequest, times: Times): Step<HeldLease> {
  const { name, token, ttlMs } = request;
  if (lease !== null && lease.token === token && isGiven(lease)) return extend(lease, ttlMs ?? lease.ttlMs, times);
  return { type: 'refuse', failure: staleToken(name, token, lease, times.nowMs) };
}

/** Leaves the token behind, so that the next one is higher. Harmless while nobody else holds the lock. */
export function release(lease: Lease | null, name: string, token: number, nowMs: number): Step<null> {
  if (lease !== null && lease.token === token && isGiven(lease)) {
    return { type: 'write', lease: { ...lease, untilMs: null }, result: null };
  }
  if (lease !== null && lease.token !== token && isHeld(lease, nowMs)) {
    return { type: 'refuse', failure: staleToken(name, token, lease, nowMs) };
  }
  return { type: 'done', result: null };
}

/**
 * When the register may forget the lease. Tokens have to grow for ever, and the next one is made from this one, so a
 * lock that is free or lapsed stays for a day. It can go then, or names that are used once would pile up: the clock
 * has passed its token by a day (it is not among the last tokens that a fast clock or a thousand takers a second have
 * run ahead to), and tokens are no lower than the clock.
 */
export function keptUntilMs({ token, untilMs }: Lease, nowMs: number): number {
  return Math.max(nowMs, token, untilMs ?? 0) + RECORD_KEPT_MS;
}

function isGiven(lease: Lease): lease is HeldLease {
  return lease.untilMs !== null;
}

/** Never shortens it: an earlier answer may have promised more. */
function extend(lease: HeldLease, ttlMs: number, { sinceMs, nowMs }: Times): Step<HeldLease> {
  const isSound = lease.untilMs <= nowMs + AHEAD_MS_MAX;
  if (isSound && lease.ttlMs === ttlMs && lease.untilMs >= sinceMs + ttlMs) return { type: 'done', result: lease };
  const untilMs = Math.max(nowMs + ttlMs, isSound ? lease.untilMs : 0);
  const next = { ...lease, untilMs, ttlMs };
  return { type: 'write', lease: next, result: next };
}

function nextToken(lease: Lease | null, nowMs: number): number {
  return Math.max((lease?.token ?? 0) + 1, nowMs);
}

function lockHeld(name: string, lease: HeldLease): Failure {
  const { owner, token } = lease;
  const expiresAt = timeText(lease.untilMs);
  const message = `${JSON.stringify(name)} is held by ${JSON.stringify(owner)} until ${expiresAt}; wait for it with waitMs, or come back later`;
  return failure('lock-held', message, { data: { owner, token, expiresAt } });
}

function staleToken(name: string, token: number, lease: Lease | null, nowMs: number): Failure {
  const lock = JSON.stringify(name);
  const advice = 'do nothing more by it, and acquire the lock again';
  if (lease !== null && isHeld(lease, nowMs) && lease.token !== token) {
    const { owner } = lease;
    const message = `${lock} is held by ${JSON.stringify(owner)} by now, and the token ${token} is no longer good; ${advice}`;
    const data = { held: true, owner, token: lease.token, expiresAt: timeText(lease.untilMs) };
    return failure('stale-token', message, { data });
  }
  const message = `${lock} is not held by the token ${token}; ${advice}`;
  return failure('stale-token', message, { data: { held: false, ...(lease === null ? {} : { token: lease.token }) } });
}

/** ISO 8601. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
