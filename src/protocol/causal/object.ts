import { CausalContext } from './context.ts';
import type { Dot } from './dot.ts';
import type { Entries } from './entry.ts';
import { joinEntries } from './join.ts';

/**
 * A replica's copy of one key, next to the causal context of its shard.
 *
 * The shard's context holds exactly the *applied* events: those whose entry was added or is superseded, and
 * whose replaced dots are gone. A delta may replace dots of events that have not arrived here. Adding those dots
 * to the shard's context would claim events that were never applied: two replicas could then have equal contexts
 * and different entries, and anti-entropy, which compares contexts, would never repair it. Such dots wait in the
 * object's own `past` until the context covers them; nearly always there are none. (The object's causal context,
 * stripped of what the node's clock covers, of Goncalves et al., "DottedDB", SRDS 2017.)
 *
 * Hence: the entries of an object without a past are a function of the shard's context.
 */
export interface CausalObject {
  readonly entries: Entries;
  /**
   * Dots beyond the shard's context that this copy has seen all the same: superseded ones whose events have not
   * been applied, and entries that came with another replica's copy ahead of their events. Null: none.
   */
  readonly past: CausalContext | null;
}

export const ABSENT: CausalObject = { entries: [], past: null };

/** A delta, or another replica's copy of a key. */
export interface RemoteObject {
  readonly entries: Entries;
  /**
   * Of a delta: its events and all that they replaced. Of a copy: what the sender's shard context and the
   * object's past cover. Local entries among it that the remote lacks are gone.
   */
  readonly seen: CausalContext;
  /**
   * The events whose whole effect the remote stands for. All that they replaced is among `events`, in `past`, or
   * covered here already; otherwise a late delta could bring it back unnoticed.
   */
  readonly events: CausalContext;
  /** Superseded dots to remember until they are covered; null: none. */
  readonly past: CausalContext | null;
  /** Dots that the caller is going to cover all at once: they need not be remembered as past. */
  readonly floor?: CausalContext;
}

export interface JoinedObject {
  readonly object: CausalObject;
  /** True when the entries or the past differ from before and must be stored. */
  readonly changed: boolean;
  /** Events that the shard's context does not cover yet and now must. */
  readonly applied: readonly Dot[];
}

/** Joins a remote object into the local one. `context` is the local shard's; the caller adds `applied` to it. */
export function joinObject(local: CausalObject, context: CausalContext, remote: RemoteObject): JoinedObject {
  const { past } = local;
  const joined = joinEntries(
    local.entries,
    (dot) => context.has(dot) || past?.has(dot) === true,
    remote.entries,
    (dot) => remote.seen.has(dot),
  );
  const applied: Dot[] = [];
  for (const range of remote.events.minus(context)) {
    for (let counter = range.from; counter <= range.to; counter++) applied.push({ actor: range.actor, counter });
  }
  const open = openPast(past, context, remote);
  const changed = joined.changed || !samePast(past, open);
  return { object: changed ? { entries: joined.entries, past: open } : local, changed, applied };
}

/** The object without the part of its past that the shard's context covers by now. */
export function stripPast(object: CausalObject, context: CausalContext): CausalObject {
  return object.past === null ? object : { entries: object.entries, past: openOf(object.past, context) };
}

/**
 * What of a past is beyond the context; null: nothing. All of it where it would fall to pieces, as while very many keys are
 * restored: what is covered says nothing any more, and costs less than to say where it is.
 */
function openOf(past: CausalContext, context: CausalContext): CausalContext | null {
  const left = past.minus(context);
  if (left.length === 0) return null;
  return left.length > PIECES_MAX && left.length > past.rangeCount ? past : CausalContext.fromRanges(left);
}

const PIECES_MAX = 64;

/** What a copy of the object has seen: the `seen` of a RemoteObject. Not to be modified. */
export function seenOf({ past }: Pick<CausalObject, 'past'>, context: CausalContext): CausalContext {
  if (past === null) return context;
  const seen = context.clone();
  seen.union(past);
  return seen;
}

/** Superseded dots and entries ahead of their events: what is known of the key beyond the shard's context. */
function openPast(past: CausalContext | null, context: CausalContext, remote: RemoteObject): CausalContext | null {
  const { events, floor } = remote;
  let open: CausalContext | null = past === null ? null : openOf(past, context);
  const keep = (dots: CausalContext | null): void => {
    if (dots === null) return;
    const all = open?.clone() ?? new CausalContext();
    all.union(dots);
    open = all;
  };
  if (remote.past !== null) {
    const beyond = floor === undefined ? remote.past : remote.past.without(floor);
    keep(openOf(beyond, context));
  }
  const ahead = remote.entries.filter(({ dot }) => !context.has(dot) && !events.has(dot) && floor?.has(dot) !== true);
  if (ahead.length > 0) keep(CausalContext.fromDots(ahead.map(({ dot }) => dot)));
  return open === null ? null : openOf(open, events);
}

export function samePast(a: CausalContext | null, b: CausalContext | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}
