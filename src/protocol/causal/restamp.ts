import { type Hlc, hlcUndated, hlcWallMs, isAhead } from '../../lib/hlc.ts';
import { compareDots, type Dot } from './dot.ts';
import { type Entries, type Entry, stampOf } from './entry.ts';
import { expiresUnset, ownerOf } from './value.ts';

export interface RestampContext {
  /** The first of the names that the new entries take, one each, counting on from here. */
  readonly dot: Dot;
  readonly wallMs: number;
  readonly maxDriftMs: number;
}

export interface Restamped {
  /** One for each entry that it replaces, sorted by dot. */
  readonly added: Entries;
  readonly replaced: readonly Dot[];
}

/**
 * True of an entry that a wrong clock has made: one that was ahead, or one that had never been set and gave it an
 * expiry that lies in 1970 as well.
 */
export function isMisstamped(entry: Entry, wallMs: number, maxDriftMs: number): boolean {
  return isAhead(stampOf(entry), wallMs, maxDriftMs) || expiresUnset(entry, wallMs);
}

/**
 * Issues entries anew that a wrong clock has made: with the same payload, and in the place of a stamp far ahead one
 * that loses against all true ones. Replicas refuse the old stamp, and would prefer it to whatever is written
 * concurrently for as long as the clock was ahead.
 *
 * All entries of a key in one step: a counter entry without the register that it was stamped after would not count.
 * The stamps depend on the old ones alone, so that two nodes that do this concurrently do not disagree; and a running
 * total says which event it restates, so that it counts once. A time to live begins anew, since nobody knows how much
 * of it had passed.
 */
export function restamp(entries: Entries, at: RestampContext): Restamped {
  const wrong = entries.filter((entry) => isMisstamped(entry, at.wallMs, at.maxDriftMs));
  const added = wrong.map((entry, index): Entry => {
    const { payload, expiresAtMs, hlc } = entry;
    const isWrong = (stamp: Hlc): boolean => isAhead(stamp, at.wallMs, at.maxDriftMs);
    const believed = (stamp: Hlc): Hlc => (isWrong(stamp) ? hlcUndated(stamp) : stamp);
    const isExpiryWrong = expiresAtMs !== 0 && (isWrong(hlc) || expiresUnset(entry, at.wallMs));
    const ttlMs = Math.max(0, expiresAtMs - hlcWallMs(hlc));
    return {
      dot: { actor: at.dot.actor, counter: at.dot.counter + index },
      hlc: believed(hlc),
      expiresAtMs: isExpiryWrong ? Math.floor(at.wallMs) + ttlMs : expiresAtMs,
      payload: 'hlc' in payload ? { ...payload, hlc: believed(payload.hlc) } : payload,
      restates: ownerOf(entry),
    };
  });
  return { added: added.sort((a, b) => compareDots(a.dot, b.dot)), replaced: wrong.map(({ dot }) => dot) };
}
