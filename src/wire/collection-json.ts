import { readMap, readSet } from '../protocol/causal/collection.ts';
import type { Entries } from '../protocol/causal/entry.ts';
import { valueType } from '../protocol/causal/value.ts';

/** Text where the bytes are UTF-8, which they nearly always are. */
type JsonBytes = string | { readonly base64: string };

/** What a set or map holds, in JSON. Fields whose names are no UTF-8 cannot be names in JSON, and are listed. */
export type CollectionJson =
  | { readonly members: readonly JsonBytes[] }
  | {
      readonly fields: Readonly<Record<string, JsonBytes>>;
      readonly binaryFields?: readonly { readonly field: JsonBytes; readonly value: JsonBytes }[];
    };

/** `entries`: those of a set or map. */
export function collectionJson(entries: Entries): CollectionJson {
  if (valueType(entries) === 'set') return { members: readSet(entries).map(jsonBytes) };
  const named: [string, JsonBytes][] = [];
  const binary: { field: JsonBytes; value: JsonBytes }[] = [];
  for (const each of readMap(entries)) {
    const field = jsonBytes(each.field);
    const value = jsonBytes(each.value);
    if (typeof field === 'string') named.push([field, value]);
    else binary.push({ field, value });
  }
  const fields = Object.fromEntries(named);
  return binary.length === 0 ? { fields } : { fields, binaryFields: binary };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function jsonBytes(bytes: Uint8Array): JsonBytes {
  try {
    return utf8.decode(bytes);
  } catch {
    return { base64: base64(bytes) };
  }
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
