import type { Hlc } from '../../lib/hlc.ts';
import type { CausalContext } from './context.ts';
import { compareDots, type Dot } from './dot.ts';
import { type ConflictPolicy, type Entries, type Entry, type Payload, stampOf } from './entry.ts';

export interface MutationContext {
  /**
   * The name of the event, if there will be one: the writing actor's next dot. An event that adds several entries takes
   * as many, counting on from here. Free again when nothing is applied.
   */
  readonly dot: Dot;
  /**
   * The writing actor has all of its own events from this counter on. Of earlier ones it may have forgotten the latest,
   * with a disk that was rolled back: it goes on with none of its running totals from then.
   */
  readonly ownFrom: number;
  /** The copy is complete: none of the actor's own entries is missing, and its running totals can be folded into one. */
  readonly isComplete: boolean;
  /** The writer's clock. Raised where needed, so that a write is always later than what it was shown. */
  readonly hlc: Hlc;
  readonly wallMs: number;
  /** What the client has seen: all else stays beside the write. Null: it has seen `before`. */
  readonly context: CausalContext | null;
  readonly conflict: ConflictPolicy;
}

/**
 * - `not-a-number`: an increment of a value that is no decimal safe integer.
 * - `field-not-a-number`: the same of a field of a map.
 * - `overflow`: the sum would leave the safe integers.
 * - `wrong-type`: the key holds a value of another type than the mutation is for.
 * - `value-too-large`: an append would exceed VALUE_BYTES_MAX.
 * - `collection-too-large`: a set or map would exceed COLLECTION_ENTRIES_MAX or COLLECTION_BYTES_MAX.
 */
export type MutationFailure =
  | 'not-a-number'
  | 'field-not-a-number'
  | 'overflow'
  | 'wrong-type'
  | 'value-too-large'
  | 'collection-too-large';

export type MutationOutcome =
  /** `failure` is null when a condition did not hold or there was nothing to do. Nothing is written. */
  | { readonly applied: false; readonly failure: MutationFailure | null }
  | {
      readonly applied: true;
      /** All entries of the key from now on, sorted by dot. */
      readonly after: Entries;
      /** The entries of the new dots; empty for a delete. */
      readonly added: Entries;
      /** The names that the event takes, in order: one for each entry that it adds, and one for a delete. */
      readonly dots: readonly Dot[];
      /** The dots that the event replaces. A subset of those of `before`: a client's context never adds to it. */
      readonly replaced: readonly Dot[];
    };

export const NOT_APPLIED: MutationOutcome = { applied: false, failure: null };
const NOTHING: readonly Dot[] = [];

export function refused(reason: MutationFailure): MutationOutcome {
  return { applied: false, failure: reason };
}

/** `gone`: members of `before`. */
export function applied(before: Entries, gone: Entries, added: Entries, at: MutationContext): MutationOutcome {
  const replaced = gone.length === 0 ? NOTHING : gone.map((entry) => entry.dot);
  const kept = gone.length === before.length ? [] : without(before, gone);
  const dots = added.length === 0 ? [at.dot] : added.map((entry) => entry.dot);
  if (added.length === 0) return { applied: true, after: kept, added, dots, replaced };
  return { applied: true, after: merged(kept, added), added, dots, replaced };
}

/** A stamp after everything in `before`. */
export function nextStamp(before: Entries, at: MutationContext): Hlc {
  let hlc = at.hlc;
  for (const entry of before) {
    const stamp = stampOf(entry);
    if (stamp >= hlc) hlc = stamp + 1;
  }
  return hlc;
}

/** A new entry, stamped after everything in `before`. */
export function entryOf(before: Entries, at: MutationContext, expiresAtMs: number, payload: Payload): Entry {
  return { dot: at.dot, hlc: nextStamp(before, at), expiresAtMs, payload };
}

/** What the client has seen. */
export function seenBy(entries: Entries, at: MutationContext): Entries {
  const { context } = at;
  return context === null ? entries : entries.filter((entry) => context.has(entry.dot));
}

/** Of two lists sorted by dot, one. The second is of one actor and mostly of one entry. */
function merged(kept: Entries, added: Entries): Entries {
  const first = (added[0] as Entry).dot;
  let at = 0;
  while (at < kept.length && compareDots((kept[at] as Entry).dot, first) < 0) at++;
  return [...kept.slice(0, at), ...added, ...kept.slice(at)];
}

function without(entries: Entries, gone: Entries): Entries {
  if (gone.length === 0) return entries;
  const dropped = new Set(gone);
  return entries.filter((entry) => !dropped.has(entry));
}
