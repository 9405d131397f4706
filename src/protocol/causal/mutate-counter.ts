import type { Entries, Entry } from './entry.ts';
import { applied, entryOf, type MutationContext, type MutationOutcome, refused } from './outcome.ts';
import { countedEntries, isCollection, liveEntries, readCounter, winner } from './value.ts';

/**
 * An increment of a key; of one field of a map where `before` are that field's entries as those of a key.
 * The client's context plays no part: an actor has always seen its own running total.
 */
export function increment(before: Entries, by: number, at: MutationContext): MutationOutcome {
  const live = liveEntries(before, at.wallMs, at.conflict);
  const best = winner(live);
  if (best !== undefined && isCollection(best)) return refused('wrong-type');
  if (readCounter(live) === 'not-a-number') return refused('not-a-number');
  const { total, since, gone } = ownTotal(before, live, at);
  const payload = { kind: 'counter', total: total + by, since } as const;
  const added: Entry =
    best === undefined
      ? entryOf(before, at, 0, payload)
      : { dot: at.dot, hlc: best.hlc, expiresAtMs: best.expiresAtMs, payload };
  const outcome = applied(before, gone, [added], at);
  if (!outcome.applied || !Number.isSafeInteger(payload.total) || typeof readCounter(outcome.after) !== 'number') {
    return refused('overflow');
  }
  return outcome;
}

interface OwnTotal {
  readonly total: number;
  readonly since: number;
  readonly gone: Entries;
}

/** This actor's share of a live counter, and the entries that its next entry replaces. */
export function ownTotal(before: Entries, live: Entries, at: MutationContext): OwnTotal {
  const { counted, overridden } = countedEntries(live);
  const current = counted.filter(({ dot }) => dot.actor === at.dot.actor && dot.counter >= at.ownFrom);
  // Of several, the latest first: each run that could not be sure of its own events began another. They stay apart while
  // one of them may not be the latest of its kind: what it lacks would be counted twice.
  const own = at.ownFrom === 1 && at.isComplete ? current : current.slice(0, 1);
  // A set or map that lost against the counter must not come back when the counter goes.
  const kept = new Set(at.conflict === 'lww' ? live.filter((entry) => !isCollection(entry)) : live);
  for (const entry of overridden) kept.delete(entry);
  let total = 0;
  let since = at.dot.counter;
  for (const entry of own) {
    kept.delete(entry);
    total += entry.payload.total;
    since = Math.min(since, entry.payload.since);
  }
  const gone = before.filter((entry) => !kept.has(entry));
  return { total, since, gone };
}
