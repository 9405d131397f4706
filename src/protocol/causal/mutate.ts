import { unreachable } from '../../lib/assert.ts';
import { type Entries, type Entry, familyOf, VALUE_BYTES_MAX } from './entry.ts';
import { expireCollection, mutateCollection } from './mutate-collection.ts';
import { increment, ownTotal } from './mutate-counter.ts';
import type { Mutation } from './mutation.ts';
import {
  applied,
  entryOf,
  type MutationContext,
  type MutationOutcome,
  NOT_APPLIED,
  refused,
  seenBy,
} from './outcome.ts';
import { isCollection, liveEntries, readCounter, readValue, winner } from './value.ts';

const APPEND_CONTENT_TYPE = 'application/octet-stream';

/**
 * Evaluates a mutation against one replica's copy of a key: `before` is all of it, expired entries included.
 * Expired entries count as absent for the client, and are replaced like any other.
 *
 * - put and delete replace what the client has seen. A delete that replaces nothing is not applied.
 * - expire and append rewrite the value that readers see; in a `siblings` bucket the other siblings stay.
 *   An expiry that has passed already deletes.
 * - increment replaces this actor's running total and keeps the rest, so increments on both sides of a
 *   partition add up. Changing the expiry of a number likewise rewrites this actor's entry (of total 0 when it
 *   has none): folding the sum into a register would lose concurrent increments.
 * - add and put-fields make entries of their own, remove and remove-fields replace those that they have seen: a member
 *   added concurrently with its removal stays. All but put and delete are refused on a value of another type.
 * - A put that runs concurrently with increments of the value it replaces wins over them or, when they began
 *   after it, is their base. A *delete* concurrent with an increment leaves that actor's whole running total,
 *   since a delete removes only what it saw (the known limit of observed-reset counters).
 */
export function mutate(before: Entries, mutation: Mutation, at: MutationContext): MutationOutcome {
  switch (mutation.type) {
    case 'put': {
      const live = liveEntries(before, at.wallMs, at.conflict);
      if (mutation.onlyIf === 'absent' && live.length > 0) return NOT_APPLIED;
      if (mutation.onlyIf === 'present' && live.length === 0) return NOT_APPLIED;
      const expiresAtMs = mutation.expiresAtMs === 'keep' ? keptExpiry(live, at) : mutation.expiresAtMs;
      const payload = { kind: 'register', value: mutation.value, contentType: mutation.contentType } as const;
      return applied(before, seenBy(before, at), [entryOf(before, at, expiresAtMs, payload)], at);
    }
    case 'delete': {
      const seen = seenBy(before, at);
      return seen.length === 0 ? NOT_APPLIED : applied(before, seen, [], at);
    }
    case 'expire':
      return expire(before, mutation.expiresAtMs, at);
    case 'append':
      return append(before, mutation.value, at);
    case 'increment':
      return increment(before, mutation.by, at);
    case 'add':
    case 'remove':
    case 'put-fields':
    case 'remove-fields':
    case 'increment-field':
      return mutateCollection(before, mutation, at);
    default:
      return unreachable(mutation);
  }
}

function keptExpiry(live: Entries, at: MutationContext): number {
  return winner(seenBy(live, at))?.expiresAtMs ?? 0;
}

/** What a rewrite of the value that readers see takes the place of. */
function rewritten(seen: Entries, live: Entries, best: Entry, at: MutationContext): Entries {
  if (at.conflict === 'lww') return seen;
  const visible = new Set(live);
  const family = familyOf(best.payload);
  return seen.filter((entry) => {
    if (entry === best || !visible.has(entry) || entry.payload.kind === 'counter') return true;
    return family !== 'register' && familyOf(entry.payload) === family;
  });
}

function expire(before: Entries, expiresAtMs: number, at: MutationContext): MutationOutcome {
  const seen = seenBy(before, at);
  const live = liveEntries(seen, at.wallMs, at.conflict);
  const best = winner(live);
  if (best === undefined) return NOT_APPLIED;
  if (expiresAtMs !== 0 && expiresAtMs <= at.wallMs) {
    return applied(before, rewritten(seen, live, best, at), [], at);
  }
  if (isCollection(best)) return expireCollection(before, best, expiresAtMs, at);
  // Whoever increments a number may do so concurrently: a new register would override that.
  const counts = at.conflict === 'lww' && typeof readCounter(live) === 'number';
  if (best.payload.kind === 'register' && !counts) {
    return applied(before, rewritten(seen, live, best, at), [entryOf(before, at, expiresAtMs, best.payload)], at);
  }
  // As in an increment, the client's context plays no part: an actor has always seen its own running total.
  const { total, since, gone } = ownTotal(before, liveEntries(before, at.wallMs, at.conflict), at);
  return applied(before, gone, [entryOf(before, at, expiresAtMs, { kind: 'counter', total, since })], at);
}

function append(before: Entries, bytes: Uint8Array, at: MutationContext): MutationOutcome {
  const seen = seenBy(before, at);
  const live = liveEntries(seen, at.wallMs, at.conflict);
  const best = winner(live);
  if (best !== undefined && isCollection(best)) return refused('wrong-type');
  const current = readValue(live);
  const head = current?.value ?? new Uint8Array();
  if (head.length + bytes.length > VALUE_BYTES_MAX) return refused('value-too-large');
  const value = new Uint8Array(head.length + bytes.length);
  value.set(head);
  value.set(bytes, head.length);
  const payload = { kind: 'register', value, contentType: current?.contentType ?? APPEND_CONTENT_TYPE } as const;
  const gone = best === undefined ? seen : rewritten(seen, live, best, at);
  return applied(before, gone, [entryOf(before, at, best?.expiresAtMs ?? 0, payload)], at);
}
