import { hashString } from '../../lib/hash.ts';
import { hlcWallMs } from '../../lib/hlc.ts';
import { type ConflictPolicy, dotText, type Entries, type Entry, readValue, winner } from '../../ports/node-handle.ts';

/** One value as a client sees it. */
export interface Variant {
  readonly value: Uint8Array;
  readonly contentType: string;
  /** Quoted, as in the ETag header. */
  readonly etag: string;
  /** When it was written, Unix ms. */
  readonly hlcMs: number;
}

/** What is behind a key: null when absent, several variants only in `siblings` buckets. */
export type Representation = {
  readonly etag: string;
  readonly variants: readonly [Variant, ...Variant[]];
} | null;

export function represent(entries: Entries, conflict: ConflictPolicy): Representation {
  const [first] = entries;
  if (first === undefined) return null;
  if (conflict === 'lww' || entries.length === 1) return single(entries);
  const registers = entries.filter((entry) => entry.payload.kind === 'register');
  const counters = entries.filter((entry) => entry.payload.kind === 'counter');
  const variants = registers.map((entry) => variantOf([entry]));
  // The running totals of all actors are one value.
  if (counters.length > 0) variants.push(variantOf(counters));
  const [head, ...others] = variants as [Variant, ...Variant[]];
  return others.length === 0
    ? { etag: head.etag, variants: [head] }
    : { etag: tagOf(entries), variants: [head, ...others] };
}

function single(entries: Entries): Representation {
  const variant = variantOf(entries);
  return { etag: variant.etag, variants: [variant] };
}

function variantOf(entries: Entries): Variant {
  const best = winner(entries) as Entry;
  const { value, contentType } = readValue(entries) as { value: Uint8Array; contentType: string };
  // A register is named by its dot; a counter's value changes with any of its entries.
  const etag = best.payload.kind === 'register' ? `"${dotText(best.dot)}"` : tagOf(entries);
  return { value, contentType, etag, hlcMs: hlcWallMs(best.hlc) };
}

function tagOf(entries: Entries): string {
  const best = winner(entries) as Entry;
  if (entries.length === 1) return `"${dotText(best.dot)}"`;
  const digest = hashString(entries.map((entry) => dotText(entry.dot)).join()).toString(16);
  return `"${dotText(best.dot)}.${digest.padStart(8, '0')}"`;
}

/** The members of one key's value in JSON: `value` (base64), `contentType`, `etag`, `hlcMs`, or `siblings` of these. */
export function variantsJson(representation: NonNullable<Representation>, values: boolean): Record<string, unknown> {
  const [first, ...others] = representation.variants;
  if (others.length === 0) return variantJson(first, values);
  return {
    etag: representation.etag,
    siblings: representation.variants.map((variant) => variantJson(variant, values)),
  };
}

export function variantJson(variant: Variant, values: boolean): Record<string, unknown> {
  const { value, contentType, etag, hlcMs } = variant;
  const about = { contentType, etag, hlcMs };
  return values ? { value: base64(value), ...about } : about;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
