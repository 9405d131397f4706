/**
 * Hybrid logical clock (Kulkarni et al. 2014) packed in one integer below 2^53: milliseconds since the Unix
 * epoch times 2048, plus a logical counter. Comparison is `<`. A counter that overflows carries into the
 * milliseconds, which keeps the order. Good until the year 2109.
 */
export type Hlc = number;

const LOGICAL = 2048;

/** The physical part, in ms since the Unix epoch. */
export function hlcWallMs(stamp: Hlc): number {
  return Math.floor(stamp / LOGICAL);
}

/** The smallest stamp of a wall-clock time. */
export function hlcAt(wallMs: number): Hlc {
  return Math.floor(wallMs) * LOGICAL;
}

/** A stamp that is after `last` and not before the wall clock. */
export function hlcNext(last: Hlc, wallMs: number): Hlc {
  return Math.max(last + 1, hlcAt(wallMs));
}

/** 2020-01-01. A clock that shows an earlier time was never set, as after a power cut without a battery-backed one. */
export const CLOCK_SET_MS = 1_577_836_800_000;

/** Whether a wall clock shows a time that can be true at all. */
export function isPlausible(wallMs: number): boolean {
  return wallMs >= CLOCK_SET_MS;
}

/** Divides every stamp into the first fifty days of 1970, where no clock can have put it. */
const UNDATED_DIVISOR = 1024;
const UNDATED_END: Hlc = 2 ** 53 / UNDATED_DIVISOR;

/**
 * True of a stamp that is further ahead of the clock than clocks may differ: a clock that was wrong has made it. A
 * clock that was never set cannot tell.
 */
export function isAhead(stamp: Hlc, wallMs: number, maxDriftMs: number): boolean {
  return isPlausible(wallMs) && stamp >= UNDATED_END && hlcWallMs(stamp) - wallMs > maxDriftMs;
}

/**
 * What takes the place of a stamp that a wrong clock has made: earlier than all true ones, since nobody knows when
 * the write was made, and in the same order among each other, to half a millisecond. It depends on the stamp alone, so that nodes that do
 * this independently agree.
 */
export function hlcUndated(stamp: Hlc): Hlc {
  return stamp < UNDATED_END ? stamp : Math.floor(stamp / UNDATED_DIVISOR);
}
