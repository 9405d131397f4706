import { CausalContext } from '../causal/context.ts';
import type { KeyEvents } from '../causal/key-events.ts';
import { compareNames } from '../causal/name.ts';
import type { Chunk } from './chunk.ts';
import { itemBytes, itemsOf } from './item.ts';
import type { ShardPush, UplinkItem } from './message.ts';
import type { ShardUplink, WaitingParts } from './shard-uplink.ts';
import type { KeyCopy, UplinkSource } from './source.ts';

const READ_KEYS = 256;
/** Times so many keys that one push passes over. */
const SKIPS_PER_PUSH = 16;
/** Events of a shard that are looked for by the index; where the hub lacks more, all keys are compared. */
export const COLLECT_EVENTS = 16_384;

/** What of one shard goes into a push. */
export interface PushPart {
  readonly state: ShardUplink;
  /** `state.turn` when it was begun. */
  readonly turn: number;
  readonly budget: Chunk;
  readonly items: UplinkItem[];
  /** What it is about: counted by the hub once it has answered. */
  readonly events: CausalContext;
  readonly skipped: CausalContext;
  readonly skippedOf: Set<string>;
  context: CausalContext;
  own: CausalContext;
  bytes: number;
  isLive: boolean;
  /** Some of it is of a bucket that this holder has not heard of yet. */
  isEarly: boolean;
}

/** Makes what goes into a push of one shard. */
export class PushPartReader {
  private readonly source: UplinkSource;

  constructor(source: UplinkSource) {
    this.source = source;
  }

  /**
   * Looks for the keys behind what the hub lacks, and reads as many of them as fit. Calls back with false where nothing is to be
   * said of the shard just now, or it was begun with anew.
   */
  fill(part: PushPart, done: (isMade: boolean) => void): void {
    const { state } = part;
    if (state.parts !== null) {
      this.takeParts(part, state.parts);
      done(true);
      return;
    }
    const covered = this.source.covered(state.shard);
    if (covered === null) done(false);
    else this.collect(part, covered.context, (isMade) => (isMade ? this.readKeys(part, done) : done(false)));
  }

  /** Finds the keys behind all that the hub lacks of these. */
  private collect(part: PushPart, context: CausalContext, done: (isMade: boolean) => void): void {
    const { state } = part;
    const missing = state.uncollected(context);
    if (missing.length === 0) {
      done(true);
      return;
    }
    this.source.keysOf(state.shard, missing, COLLECT_EVENTS, (found) => {
      if (found !== null && part.turn === state.turn) {
        state.collect(found.keys, found.looked);
        if (state.unnamed.isEmpty) {
          this.collect(part, context, done);
          return;
        }
      }
      done(false);
    });
  }

  private readKeys(part: PushPart, done: (isMade: boolean) => void): void {
    const { state } = part;
    part.isLive = state.isLive;
    const wanted = this.takeKeys(part);
    if (wanted.length === 0) {
      done(true);
      return;
    }
    this.source.read(
      state.shard,
      wanted.map(({ name }) => name),
      (read) => {
        if (read === null || part.turn !== state.turn) {
          done(false);
          return;
        }
        part.context = read.context;
        part.own = read.own;
        // Events that came while the keys were read: the copies stand for them too.
        this.collect(part, read.context, (isMade) => {
          if (isMade) {
            for (const { name, events } of wanted) events.union(state.claim(name));
            state.giveBack(this.addCopies(part, wanted, read.copies));
          }
          done(isMade);
        });
      },
    );
  }

  /** The next keys to be read; events of those that the hub is not to have are skipped. */
  private takeKeys(part: PushPart): KeyEvents[] {
    const { state } = part;
    const wanted: KeyEvents[] = [];
    for (let left = SKIPS_PER_PUSH; left > 0 && wanted.length === 0 && state.keysLeft > 0; left--) {
      for (const key of state.take(Math.min(READ_KEYS, part.budget.keys))) {
        const policy = this.source.policyOf(key.name.bucket);
        if (policy === 'up' || policy === 'both') {
          wanted.push(key);
        } else if (policy === undefined) {
          // Somebody has just created the bucket: this node hears of it in a moment.
          state.giveBack([key]);
          part.isEarly = true;
          left = 0;
        } else {
          part.skipped.union(key.events);
          part.skippedOf.add(key.name.bucket);
        }
      }
    }
    return wanted.sort((a, b) => compareNames(a.name, b.name));
  }

  /** Adds copies until the part is full; returns the keys that were left over. */
  private addCopies(part: PushPart, wanted: readonly KeyEvents[], copies: readonly KeyCopy[]): KeyEvents[] {
    for (const [index, key] of wanted.entries()) {
      if (part.bytes >= part.budget.bytes) return wanted.slice(index);
      const items = itemsOf(copies[index] as KeyCopy, key.events);
      const [first, ...others] = items;
      this.addItem(part, first as UplinkItem);
      if (others.length > 0) {
        part.state.parts = { context: part.context, own: part.own, items: others };
        return wanted.slice(index + 1);
      }
    }
    return [];
  }

  private takeParts(part: PushPart, parts: WaitingParts): void {
    part.context = parts.context;
    part.own = parts.own;
    this.addItem(part, parts.items.shift() as UplinkItem);
    if (parts.items.length === 0) part.state.parts = null;
  }

  private addItem(part: PushPart, item: UplinkItem): void {
    part.items.push(item);
    part.events.union(item.events);
    part.bytes += itemBytes(item);
  }
}

export function newPart(state: ShardUplink, budget: Chunk): PushPart {
  return {
    state,
    turn: state.turn,
    budget,
    items: [],
    events: new CausalContext(),
    skipped: new CausalContext(),
    skippedOf: new Set(),
    context: new CausalContext(),
    own: new CausalContext(),
    bytes: 0,
    isLive: false,
    isEarly: false,
  };
}

export function isEmpty({ items, skipped }: PushPart): boolean {
  return items.length === 0 && skipped.isEmpty;
}

export function pushOf({ state, context, own, items, events, skipped, skippedOf }: PushPart): ShardPush {
  const lacking = CausalContext.fromRanges(state.hub === null ? [] : context.minus(state.hub));
  const later = lacking.without(events).without(skipped);
  const told = { shard: state.shard, context, items, later, skipped, skippedOf: [...skippedOf].toSorted() };
  return { ...told, own: own.intersection(events) };
}
