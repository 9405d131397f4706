import { unreachable } from '../../lib/assert.ts';
import type { Hlc } from '../../lib/hlc.ts';
import type { CausalContext } from './context.ts';
import { compareDots, type Dot } from './dot.ts';
import { type ConflictPolicy, type Entries, type Entry, type Payload, VALUE_BYTES_MAX } from './entry.ts';
import type { Mutation } from './mutation.ts';
import { countedEntries, liveEntries, readCounter, readValue, winner } from './value.ts';

export interface MutationContext {
  /** The name of the event, if there will be one: the writing actor's next dot. Free again when nothing is applied. */
  readonly dot: Dot;
  /** The writer's clock. Raised where needed, so that a write is always later than what it was shown. */
  readonly hlc: Hlc;
  readonly wallMs: number;
  /** What the client has seen: all else stays beside the write. Null: it has seen `before`. */
  readonly context: CausalContext | null;
  readonly conflict: ConflictPolicy;
}

/**
 * - `not-a-number`: an increment of a value that is no decimal safe integer.
 * - `overflow`: the sum would leave the safe integers.
 * - `value-too-large`: an append would exceed VALUE_BYTES_MAX.
 */
export type MutationFailure = 'not-a-number' | 'overflow' | 'value-too-large';

export type MutationOutcome =
  /** `failure` is null when a condition did not hold or there was nothing to do. Nothing is written. */
  | { readonly applied: false; readonly failure: MutationFailure | null }
  | {
      readonly applied: true;
      /** All entries of the key from now on, sorted by dot. */
      readonly after: Entries;
      /** The entry of the new dot; empty for a delete. */
      readonly added: Entries;
      /** The dots that the event replaces. A subset of those of `before`: a client's context never adds to it. */
      readonly replaced: readonly Dot[];
    };

const NOT_APPLIED: MutationOutcome = { applied: false, failure: null };
const NOTHING: readonly Dot[] = [];
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
      return apply(before, seenBy(before, at), entryOf(before, at, expiresAtMs, payload));
    }
    case 'delete': {
      const seen = seenBy(before, at);
      return seen.length === 0 ? NOT_APPLIED : apply(before, seen, null);
    }
    case 'expire':
      return expire(before, mutation.expiresAtMs, at);
    case 'append':
      return append(before, mutation.value, at);
    case 'increment':
      return increment(before, mutation.by, at);
    default:
      return unreachable(mutation);
  }
}

function seenBy(entries: Entries, at: MutationContext): Entries {
  const { context } = at;
  return context === null ? entries : entries.filter((entry) => context.has(entry.dot));
}

function keptExpiry(live: Entries, at: MutationContext): number {
  return winner(seenBy(live, at))?.expiresAtMs ?? 0;
}

/** A new entry, stamped after everything in `before`. */
function entryOf(before: Entries, at: MutationContext, expiresAtMs: number, payload: Payload): Entry {
  let hlc = at.hlc;
  for (const entry of before) if (entry.hlc >= hlc) hlc = entry.hlc + 1;
  return { dot: at.dot, hlc, expiresAtMs, payload };
}

function apply(before: Entries, gone: Entries, added: Entry | null): MutationOutcome {
  const replaced = gone.length === 0 ? NOTHING : gone.map((entry) => entry.dot);
  const kept = gone.length === before.length ? [] : without(before, gone);
  if (added === null) return { applied: true, after: kept, added: [], replaced };
  if (kept.length === 0) return { applied: true, after: [added], added: [added], replaced };
  const after = [...kept, added].sort((a, b) => compareDots(a.dot, b.dot));
  return { applied: true, after, added: [added], replaced };
}

function without(entries: Entries, gone: Entries): Entries {
  if (gone.length === 0) return entries;
  const dropped = new Set(gone);
  return entries.filter((entry) => !dropped.has(entry));
}

/** What a rewrite of the value that readers see takes the place of. */
function rewritten(seen: Entries, live: Entries, best: Entry, at: MutationContext): Entries {
  if (at.conflict === 'lww') return seen;
  const visible = new Set(live);
  return seen.filter((entry) => entry === best || !visible.has(entry) || entry.payload.kind === 'counter');
}

function expire(before: Entries, expiresAtMs: number, at: MutationContext): MutationOutcome {
  const seen = seenBy(before, at);
  const live = liveEntries(seen, at.wallMs, at.conflict);
  const best = winner(live);
  if (best === undefined) return NOT_APPLIED;
  if (expiresAtMs !== 0 && expiresAtMs <= at.wallMs) return apply(before, rewritten(seen, live, best, at), null);
  // Whoever increments a number may do so concurrently: a new register would override that.
  const counts = at.conflict === 'lww' && typeof readCounter(live) === 'number';
  if (best.payload.kind === 'register' && !counts) {
    return apply(before, rewritten(seen, live, best, at), entryOf(before, at, expiresAtMs, best.payload));
  }
  // As in an increment, the client's context plays no part: an actor has always seen its own running total.
  const { total, since, gone } = ownTotal(before, liveEntries(before, at.wallMs, at.conflict), at.dot);
  return apply(before, gone, entryOf(before, at, expiresAtMs, { kind: 'counter', total, since }));
}

function append(before: Entries, bytes: Uint8Array, at: MutationContext): MutationOutcome {
  const seen = seenBy(before, at);
  const live = liveEntries(seen, at.wallMs, at.conflict);
  const best = winner(live);
  const current = readValue(live);
  const head = current?.value ?? new Uint8Array();
  if (head.length + bytes.length > VALUE_BYTES_MAX) return { applied: false, failure: 'value-too-large' };
  const value = new Uint8Array(head.length + bytes.length);
  value.set(head);
  value.set(bytes, head.length);
  const payload = { kind: 'register', value, contentType: current?.contentType ?? APPEND_CONTENT_TYPE } as const;
  const gone = best === undefined ? seen : rewritten(seen, live, best, at);
  return apply(before, gone, entryOf(before, at, best?.expiresAtMs ?? 0, payload));
}

function increment(before: Entries, by: number, at: MutationContext): MutationOutcome {
  // The client's context plays no part: an actor has always seen its own running total.
  const live = liveEntries(before, at.wallMs, at.conflict);
  if (readCounter(live) === 'not-a-number') return { applied: false, failure: 'not-a-number' };
  const { total, since, gone } = ownTotal(before, live, at.dot);
  const payload = { kind: 'counter', total: total + by, since } as const;
  const best = winner(live);
  const added: Entry =
    best === undefined
      ? entryOf(before, at, 0, payload)
      : { dot: at.dot, hlc: best.hlc, expiresAtMs: best.expiresAtMs, payload };
  const outcome = apply(before, gone, added);
  if (!outcome.applied || !Number.isSafeInteger(payload.total) || typeof readCounter(outcome.after) !== 'number') {
    return { applied: false, failure: 'overflow' };
  }
  return outcome;
}

/** This actor's share of a live counter, and the entries that its next entry replaces. */
function ownTotal(before: Entries, live: Entries, dot: Dot): { total: number; since: number; gone: Entries } {
  const { counted, overridden } = countedEntries(live);
  const own = counted.find((entry) => entry.dot.actor === dot.actor);
  const kept = new Set(live);
  for (const entry of overridden) kept.delete(entry);
  if (own !== undefined) kept.delete(own);
  const gone = before.filter((entry) => !kept.has(entry));
  return { total: own?.payload.total ?? 0, since: own?.payload.since ?? dot.counter, gone };
}
