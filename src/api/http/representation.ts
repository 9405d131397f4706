import { hashString } from '../../lib/hash.ts';
import { hlcWallMs } from '../../lib/hlc.ts';
import {
  type ConflictPolicy,
  dotText,
  type Entries,
  type Entry,
  type Family,
  familyOf,
  readValue,
  valueType,
  winner,
} from '../../ports/node-handle.ts';
import { base64, type CollectionJson, collectionJson } from '../../wire/collection-json.ts';

type Collection = { readonly type: 'set' | 'map' } & CollectionJson;

/** One value as a client sees it. */
export interface Variant {
  /** Bytes and their type, or a set or map. */
  readonly content: { readonly value: Uint8Array; readonly contentType: string } | Collection;
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
  const variants: Variant[] = [];
  for (const [family, own] of byFamily(entries)) {
    // Each register is a value of its own; the entries of any other type together are one.
    if (family === 'register') for (const entry of own) variants.push(variantOf([entry]));
    else variants.push(variantOf(own));
  }
  const [head, ...others] = variants as [Variant, ...Variant[]];
  return others.length === 0
    ? { etag: head.etag, variants: [head] }
    : { etag: tagOf(entries), variants: [head, ...others] };
}

function byFamily(entries: Entries): Map<Family, Entry[]> {
  const families = new Map<Family, Entry[]>();
  for (const entry of entries) {
    const family = familyOf(entry.payload);
    const own = families.get(family);
    if (own === undefined) families.set(family, [entry]);
    else own.push(entry);
  }
  return families;
}

function single(entries: Entries): Representation {
  const variant = variantOf(entries);
  return { etag: variant.etag, variants: [variant] };
}

function variantOf(entries: Entries): Variant {
  const best = winner(entries) as Entry;
  // A register is named by its dot; any other value changes with any of its entries.
  const etag = best.payload.kind === 'register' ? `"${dotText(best.dot)}"` : tagOf(entries);
  return { content: contentOf(entries), etag, hlcMs: hlcWallMs(best.hlc) };
}

function contentOf(entries: Entries): Variant['content'] {
  const type = valueType(entries);
  if (type === 'set' || type === 'map') return { type, ...collectionJson(entries) };
  return readValue(entries) as { value: Uint8Array; contentType: string };
}

function tagOf(entries: Entries): string {
  const best = winner(entries) as Entry;
  if (entries.length === 1) return `"${dotText(best.dot)}"`;
  const digest = hashString(entries.map((entry) => dotText(entry.dot)).join()).toString(16);
  return `"${dotText(best.dot)}.${digest.padStart(8, '0')}"`;
}

/**
 * The members of one key's value in JSON: `value` (base64) and `contentType`, or `type` and what a set or map holds; `etag`
 * and `hlcMs`; or `siblings` of these.
 */
export function variantsJson(representation: NonNullable<Representation>, values: boolean): Record<string, unknown> {
  const [first, ...others] = representation.variants;
  if (others.length === 0) return variantJson(first, values);
  return {
    etag: representation.etag,
    siblings: representation.variants.map((variant) => variantJson(variant, values)),
  };
}

export function variantJson({ content, etag, hlcMs }: Variant, values: boolean): Record<string, unknown> {
  if ('type' in content) return { ...(values ? content : { type: content.type }), etag, hlcMs };
  const { value, contentType } = content;
  const about = { contentType, etag, hlcMs };
  return values ? { value: base64(value), ...about } : about;
}
