import { compareDots, type Dot } from './dot.ts';
import type { Entries, Entry } from './entry.ts';

export interface Joined {
  /** Sorted by dot; the very `local` array when nothing changed. */
  readonly entries: Entries;
  readonly changed: boolean;
}

/**
 * Joins two copies of one key (Almeida, Shoker, Baquero 2018, the dot store's join): what both hold, plus what
 * either holds and the other has not seen. An entry that one side lacks *although it has seen its dot* was
 * replaced or deleted there, and goes.
 *
 * Both lists are sorted by dot. Each side's `seen` is true for at least the dots that it holds; for a delta it
 * is true for the dots of its entries and of all that they replaced, for a whole copy for the replica's context.
 */
export function joinEntries(
  local: Entries,
  localSeen: (dot: Dot) => boolean,
  remote: Entries,
  remoteSeen: (dot: Dot) => boolean,
): Joined {
  const merged: Entry[] = [];
  let changed = false;
  let i = 0;
  let j = 0;
  while (i < local.length || j < remote.length) {
    const ours = local[i];
    const theirs = remote[j];
    const order = ours === undefined ? 1 : theirs === undefined ? -1 : compareDots(ours.dot, theirs.dot);
    if (order <= 0) {
      const entry = ours as Entry;
      if (order === 0 || !remoteSeen(entry.dot)) merged.push(entry);
      else changed = true;
      i++;
      if (order === 0) j++;
    } else {
      const entry = theirs as Entry;
      if (!localSeen(entry.dot)) {
        merged.push(entry);
        changed = true;
      }
      j++;
    }
  }
  return changed ? { entries: merged, changed } : { entries: local, changed };
}
