import { sameDot } from './dot.ts';
import type { Entries, Entry } from './entry.ts';
import { believed } from './mark.ts';
import { isCollection, readRegister, winner } from './value.ts';

/** A register that nobody sees, since what was written concurrently won. */
export interface Conflict {
  /** A register; or the entry by which a set or map won. */
  readonly winner: Entry;
  readonly loser: Entry;
}

const NONE: readonly Conflict[] = [];

/** What lost when the entries of an `lww` key changed: registers that are among them all the same, and had not lost `before`. */
export function conflictsIn(before: Entries, after: Entries): readonly Conflict[] {
  if (!areRivals(after)) return NONE;
  const kept = keptOf(after);
  if (kept === undefined) return NONE;
  const lostBefore = losersIn(before, keptOf(before));
  return losersIn(after, kept)
    .filter(({ dot }) => !lostBefore.some((entry) => sameDot(entry.dot, dot)))
    .map((loser) => ({ winner: kept, loser }));
}

function losersIn(entries: Entries, kept: Entry | undefined): Entry[] {
  return entries.filter((entry) => entry.payload.kind === 'register' && entry !== kept);
}

/** Most keys have one register and nothing else, or none: no more is to be done about those. */
function areRivals(entries: Entries): boolean {
  if (entries.length < 2) return false;
  let registers = 0;
  let hasOthers = false;
  for (const entry of entries) {
    if (entry.payload.kind === 'register') registers++;
    else hasOthers ||= isCollection(entry);
  }
  return registers > 1 || (registers === 1 && hasOthers);
}

/** What readers see; of a counter the register on which it stands, which is not lost. */
function keptOf(entries: Entries): Entry | undefined {
  const seen = believed(entries);
  const best = winner(seen);
  const kept = best === undefined || isCollection(best) ? best : readRegister(seen);
  return kept === undefined ? undefined : entries.find(({ dot }) => sameDot(dot, kept.dot));
}
