import { hashString } from '../../lib/hash.ts';
import { hlcWallMs } from '../../lib/hlc.ts';
import {
  type ConflictPolicy,
  dotText,
  type Entries,
  type Entry,
  type Family,
  familyOf,
  readMap,
  readSet,
  readValue,
  valueType,
  winner,
} from '../../ports/node-handle.ts';

/** Text where the bytes are UTF-8, which they nearly always are. */
type JsonBytes = string | { readonly base64: string };

/** A set or map as its JSON. Fields whose names are no UTF-8 cannot be names in JSON, and are listed. */
type Collection =
  | { readonly type: 'set'; readonly members: readonly JsonBytes[] }
  | {
      readonly type: 'map';
      readonly fields: Readonly<Record<string, JsonBytes>>;
      readonly binaryFields?: readonly { readonly field: JsonBytes; readonly value: JsonBytes }[];
    };

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
  if (type === 'set') return { type, members: readSet(entries).map(jsonBytes) };
  if (type === 'map') return mapContent(entries);
  return readValue(entries) as { value: Uint8Array; contentType: string };
}

function mapContent(entries: Entries): Collection {
  const named: [string, JsonBytes][] = [];
  const binary: { field: JsonBytes; value: JsonBytes }[] = [];
  for (const each of readMap(entries)) {
    const field = jsonBytes(each.field);
    const value = jsonBytes(each.value);
    if (typeof field === 'string') named.push([field, value]);
    else binary.push({ field, value });
  }
  const fields = Object.fromEntries(named);
  return binary.length === 0 ? { type: 'map', fields } : { type: 'map', fields, binaryFields: binary };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function jsonBytes(bytes: Uint8Array): JsonBytes {
  try {
    return utf8.decode(bytes);
  } catch {
    return { base64: base64(bytes) };
  }
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

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
