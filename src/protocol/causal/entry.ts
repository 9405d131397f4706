import type { Hlc } from '../../lib/hlc.ts';
import type { Dot } from './dot.ts';

/**
 * What lives behind a key: a set of dotted entries. Every value type is such a set, so that one join
 * serves them all; types differ only in what a mutation replaces and in how a reader sums the entries up.
 *
 * - `register`: the value itself. Concurrent writes leave several; `lww` readers take the winner.
 * - `counter`: a running total of one actor (the dot's); the value is the sum. `since` is the counter of the first
 *   event of the total: an actor that no longer holds its earlier entry (it handed the key over) begins another.
 */
export type Payload =
  | { readonly kind: 'register'; readonly value: Uint8Array; readonly contentType: string }
  | { readonly kind: 'counter'; readonly total: number; readonly since: number };

export interface Entry {
  readonly dot: Dot;
  /**
   * When the value or its expiry was last *set*. An increment sets neither: its entry takes over the stamp and
   * the expiry of the entry that won before it, so that a concurrent put or change of expiry is not outbid by
   * an increment that had not seen it.
   */
  readonly hlc: Hlc;
  /** Unix ms after which readers no longer see the entry; 0 is never. */
  readonly expiresAtMs: number;
  readonly payload: Payload;
}

/** The entries of one key, sorted by dot. An empty list is an absent key. */
export type Entries = readonly Entry[];

/** `lww` readers see one winner; `siblings` readers see every concurrent value. A bucket's setting. */
export type ConflictPolicy = 'lww' | 'siblings';

/** The largest value of a register, in bytes. */
export const VALUE_BYTES_MAX = 1024 * 1024;
