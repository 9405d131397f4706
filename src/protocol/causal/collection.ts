import { ByteMap, compareBytes, sameBytes } from '../../lib/byte-map.ts';
import type { Entries, Entry } from './entry.ts';
import type { MapField, Mutation } from './mutation.ts';
import { readValue, valueType } from './value.ts';

/** What readers see of sets and maps. */

export function memberOf({ payload }: Entry): Uint8Array | undefined {
  return payload.kind === 'set-member' ? payload.member : undefined;
}

export function fieldOf({ payload }: Entry): Uint8Array | undefined {
  return payload.kind === 'map-field' || payload.kind === 'map-counter' ? payload.field : undefined;
}

/** The members of a set, each once, in the order of their bytes; none of a key of another type. */
export function readSet(entries: Entries): readonly Uint8Array[] {
  if (valueType(entries) !== 'set') return [];
  return keysOf(entries, memberOf).sort(compareBytes);
}

/**
 * The fields of a map, in the order of their bytes; none of a key of another type. Of concurrent values of a field the
 * latest counts; increments of it on both sides of a partition add up.
 */
export function readMap(entries: Entries): readonly MapField[] {
  if (valueType(entries) !== 'map') return [];
  const byField = new ByteMap<Entry[]>();
  for (const entry of entries) {
    const field = fieldOf(entry);
    if (field === undefined) continue;
    const same = byField.get(field);
    if (same === undefined) byField.set(field, [entry]);
    else same.push(entry);
  }
  const fields = byField.entries().map(({ key, value }) => ({ field: key, value: valueIn(value) }));
  return fields.sort((a, b) => compareBytes(a.field, b.field));
}

/** How many members or fields there are; 0 for a key of another type. */
export function collectionSize(entries: Entries): number {
  const type = valueType(entries);
  if (type !== 'set' && type !== 'map') return 0;
  return keysOf(entries, type === 'set' ? memberOf : fieldOf).length;
}

export function hasMember(entries: Entries, member: Uint8Array): boolean {
  return valueType(entries) === 'set' && entries.some((entry) => isKeyed(memberOf(entry), member));
}

/** The value of one field; null when the map has none of that name, and for a key of another type. */
export function readField(entries: Entries, field: Uint8Array): Uint8Array | null {
  if (valueType(entries) !== 'map') return null;
  const own = entries.filter((entry) => isKeyed(fieldOf(entry), field));
  return own.length === 0 ? null : valueIn(own);
}

/** The entries of a map's field as those of a key of their own: a register, or a counter. */
export function fieldAsKey(entries: Entries, field: Uint8Array): Entries {
  return entries.filter((entry) => isKeyed(fieldOf(entry), field)).map(asKey);
}

/** Of a change of some members or fields, the entries that concern them; of any other mutation all. */
export function concerned(entries: Entries, mutation: Mutation): Entries {
  switch (mutation.type) {
    case 'add':
    case 'remove':
      return keyed(entries, memberOf, mutation.members);
    case 'put-fields':
      return keyed(
        entries,
        fieldOf,
        mutation.fields.map(({ field }) => field),
      );
    case 'remove-fields':
      return keyed(entries, fieldOf, mutation.fields);
    case 'increment-field':
      return keyed(entries, fieldOf, [mutation.field]);
    case 'put':
    case 'delete':
    case 'expire':
    case 'append':
    case 'increment':
      return entries;
  }
}

/** The entries of the members or fields that `keys` names. */
export function keyed(
  entries: Entries,
  keyOf: (entry: Entry) => Uint8Array | undefined,
  keys: readonly Uint8Array[],
): Entries {
  const wanted = new ByteMap<true>();
  for (const key of keys) wanted.set(key, true);
  return entries.filter((entry) => {
    const key = keyOf(entry);
    return key !== undefined && wanted.has(key);
  });
}

function keysOf(entries: Entries, keyOf: (entry: Entry) => Uint8Array | undefined): Uint8Array[] {
  const keys = new ByteMap<true>();
  for (const entry of entries) {
    const key = keyOf(entry);
    if (key !== undefined) keys.set(key, true);
  }
  return keys.entries().map(({ key }) => key);
}

function isKeyed(own: Uint8Array | undefined, key: Uint8Array): boolean {
  return own !== undefined && sameBytes(own, key);
}

const NOTHING = new Uint8Array();

function valueIn(ofField: Entries): Uint8Array {
  return readValue(ofField.map(asKey))?.value ?? NOTHING;
}

function asKey(entry: Entry): Entry {
  const { dot, payload } = entry;
  if (payload.kind === 'map-field') {
    const { hlc, value } = payload;
    return { dot, hlc, expiresAtMs: 0, payload: { kind: 'register', value, contentType: '' } };
  }
  if (payload.kind === 'map-counter') {
    const { hlc, total, since } = payload;
    return { dot, hlc, expiresAtMs: 0, payload: { kind: 'counter', total, since } };
  }
  return entry;
}
