import { assert } from '../../lib/assert.ts';
import type { ActorId, Dot } from './dot.ts';

/** Inclusive counter ranges, flat and sorted: [from, to, from, to, …], never touching each other. */
type Ranges = number[];

/** Lists of numbers that are both longer than this are merged in one walk. */
const MERGED_LENGTH_MIN = 16;

/** One run of consecutive dots of an actor, both ends inclusive. */
export interface DotRange {
  readonly actor: ActorId;
  readonly from: number;
  readonly to: number;
}

/** The set of dots a replica covers. Mutable; `clone` before handing one out. */
export class CausalContext {
  private readonly actors = new Map<ActorId, Ranges>();
  /** The actors in order; null: not asked for since one came or went. Not part of the value, so hidden from comparisons. */
  #sorted: readonly ActorId[] | null = null;

  static fromDots(dots: Iterable<Dot>): CausalContext {
    const context = new CausalContext();
    for (const dot of dots) context.add(dot);
    return context;
  }

  static fromRanges(ranges: Iterable<DotRange>): CausalContext {
    const context = new CausalContext();
    for (const range of ranges) context.addRange(range);
    return context;
  }

  get isEmpty(): boolean {
    return this.actors.size === 0;
  }

  get actorCount(): number {
    return this.actors.size;
  }

  /** Number of ranges over all actors: what an encoding costs. */
  get rangeCount(): number {
    let count = 0;
    for (const ranges of this.actors.values()) count += ranges.length / 2;
    return count;
  }

  /** Number of dots. */
  get dotCount(): number {
    let count = 0;
    for (const ranges of this.actors.values()) {
      for (let i = 0; i < ranges.length; i += 2) count += (ranges[i + 1] as number) - (ranges[i] as number) + 1;
    }
    return count;
  }

  actorIds(): IterableIterator<ActorId> {
    return this.actors.keys();
  }

  /** The highest counter of an actor, 0 when it has none. */
  highest(actor: ActorId): number {
    return this.actors.get(actor)?.at(-1) ?? 0;
  }

  /** The highest counter up to which every dot of the actor is covered. */
  contiguous(actor: ActorId): number {
    const ranges = this.actors.get(actor);
    return ranges !== undefined && ranges[0] === 1 ? (ranges[1] as number) : 0;
  }

  has(dot: Dot): boolean {
    const ranges = this.actors.get(dot.actor);
    return ranges !== undefined && holdsRange(ranges, dot.counter, dot.counter);
  }

  add(dot: Dot): void {
    assert(dot.counter >= 1, 'dots count from 1');
    const ranges = this.actors.get(dot.actor);
    if (ranges === undefined) this.setRanges(dot.actor, [dot.counter, dot.counter]);
    else insertRange(ranges, dot.counter, dot.counter);
  }

  addRange(range: DotRange): void {
    assert(range.from >= 1 && range.to >= range.from, 'a dot range runs upwards from 1');
    const ranges = this.actors.get(range.actor);
    if (ranges === undefined) this.setRanges(range.actor, [range.from, range.to]);
    else insertRange(ranges, range.from, range.to);
  }

  /** Adds every dot of `other`. */
  union(other: CausalContext): void {
    for (const [actor, ranges] of other.actors) {
      const own = this.actors.get(actor);
      if (own === undefined) this.setRanges(actor, ranges.slice());
      else if (Math.min(own.length, ranges.length) > MERGED_LENGTH_MIN)
        this.setRanges(actor, mergedRanges(own, ranges));
      else for (let i = 0; i < ranges.length; i += 2) insertRange(own, ranges[i] as number, ranges[i + 1] as number);
    }
  }

  /** Keeps of each actor of `other` one dot: the highest of both. True when it is another one. */
  raiseTo(other: CausalContext): boolean {
    let changed = false;
    for (const actor of other.actors.keys()) {
      const counter = other.highest(actor);
      if (counter <= this.highest(actor)) continue;
      this.setRanges(actor, [counter, counter]);
      changed = true;
    }
    return changed;
  }

  /** True when every dot of `other` is covered here. */
  covers(other: CausalContext): boolean {
    for (const [actor, ranges] of other.actors) {
      const own = this.actors.get(actor);
      if (own === undefined) return false;
      for (let i = 0; i < ranges.length; i += 2) {
        if (!holdsRange(own, ranges[i] as number, ranges[i + 1] as number)) return false;
      }
    }
    return true;
  }

  /** The dots covered here and not by `other`, as ranges. */
  minus(other: CausalContext): DotRange[] {
    const missing: DotRange[] = [];
    for (const [actor, ranges] of this.actors) {
      const theirs = other.actors.get(actor) ?? [];
      let j = 0;
      for (let i = 0; i < ranges.length; i += 2) {
        let from = ranges[i] as number;
        const to = ranges[i + 1] as number;
        while (j < theirs.length && (theirs[j + 1] as number) < from) j += 2;
        let k = j;
        while (from <= to && k < theirs.length && (theirs[k] as number) <= to) {
          const low = theirs[k] as number;
          if (low > from) missing.push({ actor, from, to: low - 1 });
          from = (theirs[k + 1] as number) + 1;
          k += 2;
        }
        if (from <= to) missing.push({ actor, from, to });
      }
    }
    return missing;
  }

  /** The dots that both cover. */
  intersection(other: CausalContext): CausalContext {
    const both = new CausalContext();
    if (other.isEmpty) return both;
    for (const [actor, ranges] of this.actors) {
      const theirs = other.actors.get(actor) ?? [];
      let j = 0;
      for (let i = 0; i < ranges.length; i += 2) {
        const from = ranges[i] as number;
        const to = ranges[i + 1] as number;
        while (j < theirs.length && (theirs[j + 1] as number) < from) j += 2;
        for (let k = j; k < theirs.length && (theirs[k] as number) <= to; k += 2) {
          both.addRange({
            actor,
            from: Math.max(from, theirs[k] as number),
            to: Math.min(to, theirs[k + 1] as number),
          });
        }
      }
    }
    return both;
  }

  /** A copy without the dots of `other`. */
  without(other: CausalContext): CausalContext {
    // Nearly always: what is bare or past is an exception.
    if (other.isEmpty) return this.clone();
    return CausalContext.fromRanges(this.minus(other));
  }

  equals(other: CausalContext): boolean {
    if (this.actors.size !== other.actors.size) return false;
    for (const [actor, ranges] of this.actors) {
      const theirs = other.actors.get(actor);
      if (theirs === undefined || theirs.length !== ranges.length) return false;
      for (let i = 0; i < ranges.length; i++) if (ranges[i] !== theirs[i]) return false;
    }
    return true;
  }

  /** Takes one dot out again, which leaves a gap. */
  remove(dot: Dot): void {
    const ranges = this.actors.get(dot.actor);
    if (ranges === undefined) return;
    for (let i = 0; i < ranges.length; i += 2) {
      const from = ranges[i] as number;
      const to = ranges[i + 1] as number;
      if (dot.counter < from || dot.counter > to) continue;
      const left = dot.counter > from ? [from, dot.counter - 1] : [];
      const right = dot.counter < to ? [dot.counter + 1, to] : [];
      ranges.splice(i, 2, ...left, ...right);
      break;
    }
    if (ranges.length === 0) this.forget(dot.actor);
  }

  /** A copy with one actor's dots alone. */
  ofActor(actor: ActorId): CausalContext {
    const copy = new CausalContext();
    const ranges = this.actors.get(actor);
    if (ranges !== undefined) copy.actors.set(actor, ranges.slice());
    return copy;
  }

  /** A copy without the actor's dots above `counter`. */
  cappedAt(actor: ActorId, counter: number): CausalContext {
    const copy = this.clone();
    const ranges = copy.actors.get(actor);
    if (ranges === undefined) return copy;
    while (ranges.length > 0 && (ranges[ranges.length - 2] as number) > counter) ranges.splice(-2, 2);
    if (ranges.length === 0) copy.forget(actor);
    else ranges[ranges.length - 1] = Math.min(ranges[ranges.length - 1] as number, counter);
    return copy;
  }

  clone(): CausalContext {
    const copy = new CausalContext();
    for (const [actor, ranges] of this.actors) copy.actors.set(actor, ranges.slice());
    copy.#sorted = this.#sorted;
    return copy;
  }

  /** All ranges, sorted by actor then counter: the canonical form for encodings and digests. */
  ranges(): DotRange[] {
    const all: DotRange[] = [];
    this.forEachRange((actor, from, to) => all.push({ actor, from, to }));
    return all;
  }

  /** As `ranges`, without making them. */
  forEachRange(use: (actor: ActorId, from: number, to: number) => void): void {
    this.#sorted ??= [...this.actors.keys()].sort();
    for (const actor of this.#sorted) {
      const ranges = this.actors.get(actor) as Ranges;
      for (let i = 0; i < ranges.length; i += 2) use(actor, ranges[i] as number, ranges[i + 1] as number);
    }
  }

  /** An order-independent 32-bit digest; equal contexts have equal digests. */
  digest(): number {
    let sum = 0;
    for (const [actor, ranges] of this.actors) {
      let h = Number.parseInt(actor.slice(0, 8), 16) ^ Math.imul(Number.parseInt(actor.slice(8), 16), 0x9e3779b1);
      for (const bound of ranges) {
        // Counters may exceed 32 bits: both halves count.
        h = Math.imul(h ^ (bound >>> 0) ^ Math.imul(Math.floor(bound / 0x1_0000_0000), 0x27d4eb2f), 0x85ebca6b);
        h ^= h >>> 15;
      }
      sum = (sum + Math.imul(h, 0xc2b2ae35)) >>> 0;
    }
    return sum;
  }

  private setRanges(actor: ActorId, ranges: Ranges): void {
    this.actors.set(actor, ranges);
    this.#sorted = null;
  }

  private forget(actor: ActorId): void {
    this.actors.delete(actor);
    this.#sorted = null;
  }
}

/** Covers no dot. Shared: not to be modified. */
export const NOTHING = new CausalContext();

/** Nearly always there is one range; the context of a delta that takes much out of a large set has thousands. */
function holdsRange(ranges: Ranges, from: number, to: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ranges[2 * middle] as number) <= from) low = middle + 1;
    else high = middle;
  }
  return low > 0 && to <= (ranges[2 * low - 1] as number);
}

/** Of two long lists in one walk over both: inserting each range would walk over the other list again and again. */
function mergedRanges(a: Ranges, b: Ranges): Ranges {
  const merged: number[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const isFirst = j >= b.length || (i < a.length && (a[i] as number) <= (b[j] as number));
    const [from, to] = isFirst ? [a[i++], a[i++]] : [b[j++], b[j++]];
    insertRange(merged, from as number, to as number);
  }
  return merged;
}

function insertRange(ranges: Ranges, from: number, to: number): void {
  // Nearly always the last range goes on, or has it already.
  const last = ranges[ranges.length - 1] as number;
  if (from === last + 1) {
    ranges[ranges.length - 1] = to;
    return;
  }
  if (from > last) {
    ranges.push(from, to);
    return;
  }
  if (to <= last && from >= (ranges[ranges.length - 2] as number)) return;
  // The first range that could touch [from, to]: its end reaches from - 1.
  let start = ranges.length;
  while (start >= 2 && (ranges[start - 1] as number) >= from - 1) start -= 2;
  let end = start;
  let low = from;
  let high = to;
  while (end < ranges.length && (ranges[end] as number) <= to + 1) {
    low = Math.min(low, ranges[end] as number);
    high = Math.max(high, ranges[end + 1] as number);
    end += 2;
  }
  if (end - start === 2) {
    ranges[start] = low;
    ranges[start + 1] = high;
  } else {
    ranges.splice(start, end - start, low, high);
  }
}
