import { ByteMap } from '../../lib/byte-map.ts';
import type { Hlc } from '../../lib/hlc.ts';
import { fieldAsKey, fieldOf, keyed, memberOf } from './collection.ts';
import { type Dot, sameDot } from './dot.ts';
import {
  COLLECTION_BYTES_MAX,
  COLLECTION_ENTRIES_MAX,
  type Entries,
  type Entry,
  familyOf,
  isHeader,
  type Payload,
  sizeOf,
} from './entry.ts';
import { increment } from './mutate-counter.ts';
import type { CollectionMutation } from './mutation.ts';
import {
  applied,
  entryOf,
  type MutationContext,
  type MutationOutcome,
  NOT_APPLIED,
  nextStamp,
  refused,
  seenBy,
} from './outcome.ts';
import { liveEntries, winner } from './value.ts';

/** A set or map as a mutation finds it. */
interface Collection {
  /** Its live entries. */
  readonly own: Entries;
  /** What no reader sees any more: expired, or overridden by this type. It must not come back, and goes with any change. */
  readonly stale: Entries;
  /** What additions take over, so that they do not outbid a put or a change of expiry that they have not seen. */
  readonly hlc: Hlc;
  readonly expiresAtMs: number;
}

/** Null where the key holds another type. */
function open(before: Entries, family: 'set' | 'map', at: MutationContext): Collection | null {
  const live = liveEntries(before, at.wallMs, at.conflict);
  const best = winner(live);
  if (best === undefined) return { own: [], stale: before, hlc: nextStamp(before, at), expiresAtMs: 0 };
  if (familyOf(best.payload) !== family) return null;
  const own = live.filter((entry) => familyOf(entry.payload) === family);
  // Nearly always: nothing is looked up then, however large it is.
  if (own.length === before.length) return { own, stale: [], hlc: best.hlc, expiresAtMs: best.expiresAtMs };
  const kept = new Set(at.conflict === 'siblings' ? live : own);
  const stale = before.filter((entry) => !kept.has(entry));
  return { own, stale, hlc: best.hlc, expiresAtMs: best.expiresAtMs };
}

export function mutateCollection(before: Entries, mutation: CollectionMutation, at: MutationContext): MutationOutcome {
  const isSet = mutation.type === 'add' || mutation.type === 'remove';
  const collection = open(before, isSet ? 'set' : 'map', at);
  if (collection === null) return refused('wrong-type');
  switch (mutation.type) {
    case 'add':
      return add(before, collection, mutation.members, at);
    case 'remove':
      return remove(before, collection, keyed(collection.own, memberOf, mutation.members), at);
    case 'put-fields':
      return putFields(before, collection, mutation, at);
    case 'remove-fields':
      return remove(before, collection, keyed(collection.own, fieldOf, mutation.fields), at);
    case 'increment-field':
      return incrementField(before, collection, mutation.field, mutation.by, at);
  }
}

/**
 * Changes the expiry of a set or map as a whole, by an entry that is no member: it must neither bring back what is
 * removed concurrently nor go with it. `best`: its winner, and live.
 */
export function expireCollection(
  before: Entries,
  best: Entry,
  expiresAtMs: number,
  at: MutationContext,
): MutationOutcome {
  const kind = familyOf(best.payload) === 'set' ? 'set' : 'map';
  const collection = open(before, kind, at);
  // What the client has seen is overridden, or has expired, by something that it has not.
  if (collection === null || collection.own.every(isHeader)) return NOT_APPLIED;
  const gone = [...collection.stale, ...collection.own.filter(isHeader)];
  return applied(before, gone, [entryOf(before, at, expiresAtMs, { kind })], at);
}

function add(
  before: Entries,
  collection: Collection,
  members: readonly Uint8Array[],
  at: MutationContext,
): MutationOutcome {
  const unique = new ByteMap<Payload>();
  for (const member of members) unique.set(member, { kind: 'set-member', member });
  // Also where the member is there already: the event must outlive a concurrent removal.
  const gone = [...collection.stale, ...keyed(collection.own, memberOf, members)];
  return grown(before, collection, gone, payloadsOf(unique), at);
}

function putFields(
  before: Entries,
  collection: Collection,
  { fields, onlyIf }: Extract<CollectionMutation, { type: 'put-fields' }>,
  at: MutationContext,
): MutationOutcome {
  const names = fields.map(({ field }) => field);
  const present = keyed(collection.own, fieldOf, names);
  if (onlyIf === 'absent' && present.length > 0) return NOT_APPLIED;
  const hlc = nextStamp(before, at);
  const unique = new ByteMap<Payload>();
  for (const { field, value } of fields) unique.set(field, { kind: 'map-field', field, hlc, value });
  const gone = [...collection.stale, ...seenBy(present, at)];
  return grown(before, collection, gone, payloadsOf(unique), at);
}

function incrementField(
  before: Entries,
  collection: Collection,
  field: Uint8Array,
  by: number,
  at: MutationContext,
): MutationOutcome {
  const own = keyed(collection.own, fieldOf, [field]);
  const outcome = increment(fieldAsKey(own, field), by, at);
  if (!outcome.applied && outcome.failure === 'not-a-number') return refused('field-not-a-number');
  const [added] = outcome.applied ? outcome.added : [];
  if (!outcome.applied || added?.payload.kind !== 'counter') return outcome;
  const { total, since } = added.payload;
  const isReplaced = (dot: Dot): boolean => outcome.replaced.some((each) => sameDot(each, dot));
  const gone = [...collection.stale, ...own.filter((entry) => isReplaced(entry.dot))];
  const hlc = own.length === 0 ? nextStamp(before, at) : added.hlc;
  return grown(before, collection, gone, [{ kind: 'map-counter', field, hlc, total, since }], at);
}

/** Takes out what of `found` the client has seen; with the last member or field, all that is left of the whole. */
function remove(before: Entries, collection: Collection, found: Entries, at: MutationContext): MutationOutcome {
  const seen = new Set(seenBy(found, at));
  if (seen.size === 0) return NOT_APPLIED;
  const left = collection.own.filter((entry) => !seen.has(entry));
  const gone = left.every(isHeader) ? collection.own : [...seen];
  return applied(before, [...collection.stale, ...gone], [], at);
}

/** The collection with further entries: each takes a dot of its own, so that it can be removed by itself. */
function grown(
  before: Entries,
  collection: Collection,
  gone: Entries,
  payloads: readonly Payload[],
  at: MutationContext,
): MutationOutcome {
  if (payloads.length === 0) return NOT_APPLIED;
  const { hlc, expiresAtMs } = collection;
  const { actor, counter } = at.dot;
  const added = payloads.map((payload, i) => ({ dot: { actor, counter: counter + i }, hlc, expiresAtMs, payload }));
  const outcome = applied(before, gone, added, at);
  if (!outcome.applied) return outcome;
  const family = familyOf(payloads[0] as Payload);
  const next = outcome.after.filter((entry) => familyOf(entry.payload) === family);
  return isTooLarge(next, collection.own) ? refused('collection-too-large') : outcome;
}

/** Concurrent additions may take it over the limit: what does not add to it goes on. */
function isTooLarge(next: Entries, own: Entries): boolean {
  const bytes = sizeOf(next);
  if (next.length <= COLLECTION_ENTRIES_MAX && bytes <= COLLECTION_BYTES_MAX) return false;
  return next.length > own.length || bytes > sizeOf(own);
}

function payloadsOf(unique: ByteMap<Payload>): Payload[] {
  return unique.entries().map(({ value }) => value);
}
