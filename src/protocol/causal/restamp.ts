import { hlcAt, isAhead } from '../../lib/hlc.ts';
import type { Dot } from './dot.ts';
import { type Entries, type Entry, stampOf } from './entry.ts';
import { believed, expiresUnset } from './mark.ts';

/**
 * True of an entry that a wrong clock has made: one that was ahead, or one that had never been set and gave it an
 * expiry that lies in 1970 as well.
 */
function isMisstamped(entry: Entry, wallMs: number, maxDriftMs: number): boolean {
  return isAhead(stampOf(entry), wallMs, maxDriftMs) || expiresUnset(entry, wallMs);
}

/**
 * A mark for the entries of a key that need one; null where none does. One for all: a counter entry without the register
 * that it was stamped after would not count.
 */
export function markFor(entries: Entries, wallMs: number, maxDriftMs: number): Omit<Entry, 'dot'> | null {
  const of: Dot[] = [];
  for (const entry of believed(entries)) if (isMisstamped(entry, wallMs, maxDriftMs)) of.push(entry.dot);
  if (of.length === 0) return null;
  const atMs = Math.floor(wallMs);
  return { hlc: 0, expiresAtMs: 0, payload: { kind: 'mark', of, atMs, latest: hlcAt(atMs + maxDriftMs) } };
}
