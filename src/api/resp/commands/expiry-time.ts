/** Seconds or milliseconds, from now or since the Unix epoch. */
export type ExpiryUnit = 'EX' | 'PX' | 'EXAT' | 'PXAT';

/** Unix ms of an expiry; null when it is further away than a number can tell. May lie in the past. */
export function expiryAt(amount: number, unit: ExpiryUnit, nowMs: number): number | null {
  const scaled = unit === 'EX' || unit === 'EXAT' ? amount * 1000 : amount;
  const time = unit === 'EX' || unit === 'PX' ? Math.floor(nowMs) + scaled : scaled;
  return Number.isSafeInteger(time) ? time : null;
}

export function roundToSeconds(ms: number): number {
  return Math.floor((Math.max(0, ms) + 500) / 1000);
}
