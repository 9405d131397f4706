import { type Hlc, hlcUndated, hlcWallMs, isPlausible } from '../../lib/hlc.ts';
import { type Dot, dotText } from './dot.ts';
import type { Entries, Entry } from './entry.ts';

/**
 * Entries whose stamps a wrong clock has made stay as they are: a dot names one event for ever. A *mark* beside them, an
 * event of its own, says how readers are to take them. It lives by the entries that it is for: so it cannot bring back
 * what somebody deletes concurrently, and several of them do no harm.
 */
interface MarkEntry extends Entry {
  readonly payload: Extract<Entry['payload'], { readonly kind: 'mark' }>;
}

function isMark(entry: Entry): entry is MarkEntry {
  return entry.payload.kind === 'mark';
}

/** Whether a value has a time to live by a clock that had never been set, while that of the reader is. */
export function expiresUnset({ hlc, expiresAtMs }: Entry, wallMs: number): boolean {
  return expiresAtMs !== 0 && !isPlausible(expiresAtMs) && !isPlausible(hlcWallMs(hlc)) && isPlausible(wallMs);
}

/**
 * The entries as readers are to take them: without marks, and with what they say. A stamp that is later than a mark
 * allows gives way to one that is earlier than all true ones (`hlcUndated`), and a time to live that went with it begins
 * at the mark, since nobody knows how much of it had passed. An expiry from before the stamp did not go with it: another
 * node, which had forwarded the write, has set it by its own clock.
 */
export function believed(entries: Entries): Entries {
  if (!entries.some(isMark)) return entries;
  const marks = marksByEntry(entries);
  return entries.filter((entry) => !isMark(entry)).map((entry) => apply(entry, marks.get(dotText(entry.dot))));
}

/** Without marks whose entries were all seen and are gone. The very `entries` where there are none. */
export function withoutDeadMarks(entries: Entries, hasSeen: (dot: Dot) => boolean): Entries {
  if (!entries.some(isMark)) return entries;
  const present = new Set(entries.map(({ dot }) => dotText(dot)));
  const isAlive = (entry: Entry): boolean =>
    !isMark(entry) || entry.payload.of.some((dot) => present.has(dotText(dot)) || !hasSeen(dot));
  return entries.every(isAlive) ? entries : entries.filter(isAlive);
}

interface Mark {
  readonly latest: Hlc;
  readonly atMs: number;
}

/** Of several marks the strictest stamp and the longest life count. */
function marksByEntry(entries: Entries): Map<string, Mark> {
  const marks = new Map<string, Mark>();
  for (const { payload } of entries) {
    if (payload.kind !== 'mark') continue;
    for (const dot of payload.of) {
      const other = marks.get(dotText(dot)) ?? payload;
      const mark = { latest: Math.min(payload.latest, other.latest), atMs: Math.max(payload.atMs, other.atMs) };
      marks.set(dotText(dot), mark);
    }
  }
  return marks;
}

function apply(entry: Entry, mark: Mark | undefined): Entry {
  if (mark === undefined) return entry;
  const { dot, hlc, expiresAtMs, payload } = entry;
  const stamp = (made: Hlc): Hlc => (made > mark.latest ? hlcUndated(made) : made);
  const madeMs = hlcWallMs(hlc);
  const livesByStamp = expiresAtMs > madeMs;
  const dated = { ...entry, hlc: stamp(hlc) };
  const isExpiryWrong = (hlc > mark.latest && livesByStamp) || expiresUnset(dated, mark.atMs);
  // An expiry in 1970 beside a stamp far ahead: by the clock of a forwarding node, which had begun at 0 and was not set.
  const lifeMs = isPlausible(madeMs) && !isPlausible(expiresAtMs) ? expiresAtMs : Math.max(0, expiresAtMs - madeMs);
  return {
    dot,
    hlc: dated.hlc,
    expiresAtMs: isExpiryWrong ? mark.atMs + lifeMs : expiresAtMs,
    payload: 'hlc' in payload ? { ...payload, hlc: stamp(payload.hlc) } : payload,
  };
}
