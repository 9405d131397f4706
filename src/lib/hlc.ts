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
