import { hlcWallMs } from '../../lib/hlc.ts';
import { type ActorId, compareDots } from './dot.ts';
import { type ConflictPolicy, type Entries, type Entry, type Family, familyOf, isHeader } from './entry.ts';
import { believed, expiresUnset } from './mark.ts';

export interface RegisterEntry extends Entry {
  readonly payload: { readonly kind: 'register'; readonly value: Uint8Array; readonly contentType: string };
}

interface CounterEntry extends Entry {
  readonly payload: { readonly kind: 'counter'; readonly total: number; readonly since: number };
}

function isRegister(entry: Entry): entry is RegisterEntry {
  return entry.payload.kind === 'register';
}

function isCounter(entry: Entry): entry is CounterEntry {
  return entry.payload.kind === 'counter';
}

export function isCollection({ payload }: Entry): boolean {
  return payload.kind !== 'register' && payload.kind !== 'counter';
}

/** Expired at a wall-clock time; the expiry instant itself counts as past. */
function isExpired(entry: Entry, wallMs: number): boolean {
  return entry.expiresAtMs !== 0 && entry.expiresAtMs <= wallMs && !expiresUnset(entry, wallMs);
}

/**
 * The entry that decides what `lww` readers see, and of which type it is; undefined of an absent key. A register: it is
 * the value. Else the entries of its family are. The highest stamp wins; at equal stamps a counter stands on top of the
 * register whose stamp it took over; then the dot decides.
 */
export function winner(entries: Entries): Entry | undefined {
  let best: Entry | undefined;
  for (const entry of entries) {
    if (best !== undefined && !outbids(entry, best)) continue;
    if (!isHeader(entry) || isInhabited(entries, familyOf(entry.payload))) best = entry;
  }
  return best;
}

const RANKS: Readonly<Record<Family, number>> = { register: 0, counter: 1, map: 2, set: 3 };

function outbids(a: Entry, b: Entry): boolean {
  if (a.hlc !== b.hlc) return a.hlc > b.hlc;
  const rank = RANKS[familyOf(a.payload)] - RANKS[familyOf(b.payload)];
  return rank !== 0 ? rank > 0 : compareDots(a.dot, b.dot) > 0;
}

function isInhabited(entries: Entries, family: Family): boolean {
  return entries.some((entry) => !isHeader(entry) && familyOf(entry.payload) === family);
}

/** The type of a key's value. Both `register` and `counter` read as bytes (`readValue`). */
export function valueType(entries: Entries): Family | 'absent' {
  const best = winner(entries);
  if (best === undefined) return 'absent';
  const family = familyOf(best.payload);
  // A counter on top of a register that is not a number reads as that register.
  if (family !== 'counter' || readRegister(entries) === undefined) return family;
  return readCounter(entries) === 'not-a-number' ? 'register' : 'counter';
}

/**
 * The entries that readers still see at a wall-clock time.
 *
 * `lww`: the winner's expiry is the key's, so a losing write never comes back when the winner expires.
 * `siblings`: each register lives by its own expiry, the entries of any other type together by their winner's.
 */
export function liveEntries(stored: Entries, wallMs: number, conflict: ConflictPolicy): Entries {
  const entries = believed(stored);
  if (!entries.some((entry) => isExpired(entry, wallMs) || isHeader(entry))) return entries;
  if (conflict === 'lww') {
    const best = winner(entries);
    return best === undefined || isExpired(best, wallMs) ? [] : entries;
  }
  const isLive = new Map<Family, boolean>();
  for (const family of ['counter', 'set', 'map'] as const) {
    const best = winner(entries.filter((entry) => familyOf(entry.payload) === family));
    isLive.set(family, best !== undefined && !isExpired(best, wallMs));
  }
  return entries.filter((entry) => isLive.get(familyOf(entry.payload)) ?? !isExpired(entry, wallMs));
}

/** When entries go for good, Unix ms. The expiry of a set or map without members is due at once: nobody can see it. */
export function expiriesOf(stored: Entries): ReadonlySet<number> {
  const entries = believed(stored);
  let times: Set<number> | null = null;
  for (const entry of entries) {
    const isOrphan = isHeader(entry) && !isInhabited(entries, familyOf(entry.payload));
    const atMs = isOrphan ? hlcWallMs(entry.hlc) : entry.expiresAtMs;
    if (atMs === 0) continue;
    times ??= new Set();
    times.add(atMs);
  }
  return times ?? NEVER;
}

const NEVER: ReadonlySet<number> = new Set();

/** The winning register entry, undefined when there is none. */
export function readRegister(entries: Entries): RegisterEntry | undefined {
  let best: RegisterEntry | undefined;
  for (const entry of entries) if (isRegister(entry) && (best === undefined || outbids(entry, best))) best = entry;
  return best;
}

/** Splits the counter entries into those that the value sums up and those that something later has overridden. */
export function countedEntries(entries: Entries): { counted: CounterEntry[]; overridden: CounterEntry[] } {
  const base = readRegister(entries);
  const counted: CounterEntry[] = [];
  const overridden: CounterEntry[] = [];
  const begun = new Map<ActorId, number>();
  // Backwards, so that the latest of an actor's entries comes first. An older one that lies within its running total is
  // only still here because the event that replaced it has not arrived yet, or because nobody knows any more what that
  // had replaced.
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i] as Entry;
    if (!isCounter(entry)) continue;
    const { actor, counter } = entry.dot;
    const since = begun.get(actor) ?? Number.POSITIVE_INFINITY;
    // A put that the increment had not seen, and that is later than what it built on, starts the count anew.
    const current = counter < since && (base === undefined || entry.hlc >= base.hlc);
    (current ? counted : overridden).push(entry);
    begun.set(actor, Math.min(since, entry.payload.since));
  }
  return { counted, overridden };
}

/** At most 16 digits, as in the decimal form of every safe integer. */
const DECIMAL = /^(0|-?[1-9][0-9]{0,15})$/;
const DECIMAL_BYTES_MAX = 17;
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/**
 * The counter's value: the sum of all running totals, on top of a register that holds a decimal integer
 * (a counter that was started with a plain write). Null when the key is absent; 'not-a-number' when the
 * register holds something else, the sum leaves the safe integers, or the key is a set or map.
 */
export function readCounter(entries: Entries): number | 'not-a-number' | null {
  const best = winner(entries);
  if (best === undefined) return null;
  if (isCollection(best)) return 'not-a-number';
  let sum = 0;
  const base = readRegister(entries);
  if (base !== undefined) {
    const { value } = base.payload;
    const text = value.length <= DECIMAL_BYTES_MAX ? decoder.decode(value) : '';
    if (!DECIMAL.test(text)) return 'not-a-number';
    sum = Number(text);
  }
  for (const entry of countedEntries(entries).counted) sum += entry.payload.total;
  return Number.isSafeInteger(sum) ? sum : 'not-a-number';
}

/**
 * What an `lww` reader sees as bytes: the winning register, or a counter's value as decimal text. Undefined
 * when the key is absent or a set or map. A counter on top of a register that is not a number reads as that register.
 */
export function readValue(entries: Entries): { value: Uint8Array; contentType: string } | undefined {
  const best = winner(entries);
  if (best === undefined || isCollection(best)) return undefined;
  if (isRegister(best)) return { value: best.payload.value, contentType: best.payload.contentType };
  const sum = readCounter(entries);
  const base = readRegister(entries)?.payload;
  if (sum === 'not-a-number' && base !== undefined) return { value: base.value, contentType: base.contentType };
  // Sums that leave the safe integers, and so have no number, only arise from concurrent increments near the limit.
  return { value: encoder.encode(String(sum)), contentType: base?.contentType ?? COUNTER_CONTENT_TYPE };
}

const COUNTER_CONTENT_TYPE = 'text/plain';
