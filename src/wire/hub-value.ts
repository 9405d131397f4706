import { hlcWallMs, isPlausible } from '../lib/hlc.ts';
import type { ActorId } from '../protocol/causal/dot.ts';
import { type Entries, type Entry, familyOf, stampOf } from '../protocol/causal/entry.ts';
import { believed } from '../protocol/causal/mark.ts';
import { isCollection, readValue, winner } from '../protocol/causal/value.ts';
import { collectionJson } from './collection-json.ts';

/** A key's value as databases and people take it: what an `lww` reader sees, whatever the bucket's policy. */
export interface PlainValue {
  /** A register's bytes, a counter's sum as text, a set or map as JSON text. */
  readonly value: Uint8Array;
  readonly contentType: string;
  /** The value is UTF-8 without U+0000, and its type says that it is text. */
  readonly isText: boolean;
  /** When it was set, Unix ms. */
  readonly writtenMs: number;
  /** Of the entry that wins. */
  readonly actor: ActorId;
  /** Unix ms; null: never. */
  readonly expiresMs: number | null;
}

/** Null where the key has no value. One that has expired is one all the same. */
export function plainValue(stored: Entries): PlainValue | null {
  const entries = believed(stored);
  const best = winner(entries);
  if (best === undefined) return null;
  const { value, contentType } = contentOf(entries, best);
  return {
    value,
    contentType,
    isText: isTextType(contentType) && isText(value),
    writtenMs: writtenMs(entries, best),
    actor: best.dot.actor,
    expiresMs: expiresMs(best),
  };
}

/** Whether `plainValue` is one. */
export function hasValue(stored: Entries): boolean {
  return winner(believed(stored)) !== undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function contentOf(entries: Entries, best: Entry): { value: Uint8Array; contentType: string } {
  if (!isCollection(best)) return readValue(entries) as { value: Uint8Array; contentType: string };
  return { value: encoder.encode(JSON.stringify(collectionJson(entries))), contentType: 'application/json' };
}

/** A set or map was written when its latest member or field was. */
function writtenMs(entries: Entries, best: Entry): number {
  if (!isCollection(best)) return hlcWallMs(best.hlc);
  const family = familyOf(best.payload);
  const stamps = entries.filter(({ payload }) => familyOf(payload) === family).map(stampOf);
  return hlcWallMs(stamps.reduce((a, b) => Math.max(a, b)));
}

/** A time to live by a clock that had never been set says nothing to a reader whose clock is (`expiresUnset`). */
function expiresMs({ hlc, expiresAtMs }: Entry): number | null {
  if (expiresAtMs === 0) return null;
  return isPlausible(expiresAtMs) || isPlausible(hlcWallMs(hlc)) ? expiresAtMs : null;
}

/** Beside `text/…`, `…+json` and `…+xml`. The first is what `curl --data` says unless it is told otherwise. */
const TEXT_TYPES: ReadonlySet<string> = new Set([
  'application/x-www-form-urlencoded',
  'application/json',
  'application/x-ndjson',
  'application/xml',
  'application/yaml',
]);

function isTextType(contentType: string): boolean {
  const type = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
  return type.startsWith('text/') || TEXT_TYPES.has(type) || /\+(?:json|xml)$/.test(type);
}

function isText(value: Uint8Array): boolean {
  if (value.includes(0)) return false;
  try {
    decoder.decode(value);
    return true;
  } catch {
    return false;
  }
}
