import type { Hlc } from '../../lib/hlc.ts';
import type { Dot } from './dot.ts';

/**
 * What lives behind a key: a set of dotted entries. Every value type is such a set, so that one join
 * serves them all; types differ only in what a mutation replaces and in how a reader sums the entries up.
 *
 * - `register`: the value itself. Concurrent writes leave several; `lww` readers take the winner.
 * - `counter`: a running total of one actor (the dot's); the value is the sum. `since` is the counter of the first
 *   event of the total: an actor that no longer holds its earlier entry (it handed the key over) begins another. All
 *   that it has counted from there on is in it.
 * - `set-member`: one member, by the event that added it. Concurrent adds of one member leave several.
 * - `map-field`, `map-counter`: a register and a running total within a field of a map. `hlc` is when the field was
 *   set, as `Entry.hlc` is for a register or counter.
 * - `mark`: no value, but how to take the stamps of the entries that it is for; see `mark.ts`.
 * - `set`, `map`: no member, only the stamp and the expiry of the whole, once its expiry was changed. A member that
 *   carried them could not be removed concurrently. Without a member or field they are nothing.
 */
export type Payload =
  | { readonly kind: 'register'; readonly value: Uint8Array; readonly contentType: string }
  | { readonly kind: 'counter'; readonly total: number; readonly since: number }
  | { readonly kind: 'set' }
  | { readonly kind: 'set-member'; readonly member: Uint8Array }
  | { readonly kind: 'map' }
  | { readonly kind: 'map-field'; readonly field: Uint8Array; readonly hlc: Hlc; readonly value: Uint8Array }
  | {
      readonly kind: 'map-counter';
      readonly field: Uint8Array;
      readonly hlc: Hlc;
      readonly total: number;
      readonly since: number;
    }
  | {
      readonly kind: 'mark';
      readonly of: readonly Dot[];
      /** The time by which the stamps were judged, Unix ms. */
      readonly atMs: number;
      /** Stamps later than this are not believed. */
      readonly latest: Hlc;
    };

/** The types of value that entries make up. */
export type Family = 'register' | 'counter' | 'set' | 'map';

export interface Entry {
  readonly dot: Dot;
  /**
   * When the value or its expiry was last *set*. An increment sets neither, nor does an addition to a set or map:
   * the entry takes over the stamp and the expiry of the entry that won before it, so that a concurrent put or change
   * of expiry is not outbid by one that had not seen it.
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

/** Entries of one set or map. */
export const COLLECTION_ENTRIES_MAX = 16_384;
/** Bytes of one set or map: members, fields and values, and ENTRY_BYTES for each. */
export const COLLECTION_BYTES_MAX = VALUE_BYTES_MAX + VALUE_BYTES_MAX / 2;
/** What an entry takes on the wire beside its bytes, about. */
const ENTRY_BYTES = 32;

export function familyOf({ kind }: Payload): Family {
  switch (kind) {
    case 'register':
    case 'counter':
    case 'set':
    case 'map':
      return kind;
    case 'set-member':
      return 'set';
    case 'map-field':
    case 'map-counter':
      return 'map';
    case 'mark':
      throw new Error('marks are applied before values are looked at');
  }
}

/** True of an entry that has no value of its own: only the stamp and expiry of a set or map. */
export function isHeader({ payload }: Entry): boolean {
  return payload.kind === 'set' || payload.kind === 'map';
}

/** The latest stamp that an entry bears. */
export function stampOf({ hlc, payload }: Entry): Hlc {
  return 'hlc' in payload ? Math.max(hlc, payload.hlc) : hlc;
}

/** The bytes that clients have written: values, members and fields. */
export function payloadBytes(payload: Payload): number {
  switch (payload.kind) {
    case 'register':
      return payload.value.length;
    case 'set-member':
      return payload.member.length;
    case 'map-field':
      return payload.field.length + payload.value.length;
    case 'map-counter':
      return payload.field.length + 8;
    case 'counter':
      return 8;
    case 'mark':
      return payload.of.length * 24;
    case 'set':
    case 'map':
      return 0;
  }
}

const EMPTY = new Uint8Array();

/** The payload without the bytes that clients have written, but of the same type. */
export function withoutBytes(payload: Payload): Payload {
  switch (payload.kind) {
    case 'register':
      return { ...payload, value: EMPTY };
    case 'set-member':
      return { ...payload, member: EMPTY };
    case 'map-field':
      return { ...payload, field: EMPTY, value: EMPTY };
    case 'map-counter':
      return { ...payload, field: EMPTY };
    case 'counter':
    case 'set':
    case 'map':
    case 'mark':
      return payload;
  }
}

/** What the entries of a key take on the wire, about. */
export function sizeOf(entries: Entries): number {
  let bytes = 0;
  for (const { payload } of entries) bytes += ENTRY_BYTES + payloadBytes(payload);
  return bytes;
}
