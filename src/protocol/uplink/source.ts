import type { CausalContext, DotRange } from '../causal/context.ts';
import type { KeyEvents } from '../causal/key-events.ts';
import type { ObjectName } from '../causal/name.ts';
import type { CausalObject } from '../causal/object.ts';
import type { SyncPolicy, UplinkItem } from './message.ts';

/** A key as its holder has it. */
export interface KeyCopy extends CausalObject {
  readonly name: ObjectName;
}

/** Keys, and what their shard covered when they were as read. */
export interface KeysRead {
  readonly copies: readonly KeyCopy[];
  readonly context: CausalContext;
  /** Of the context, the events that were written at a hub. */
  readonly own: CausalContext;
}

/** What came down, and what its copies have seen. */
export interface PulledItems {
  readonly items: readonly UplinkItem[];
  readonly context: CausalContext;
  readonly own: CausalContext;
  /** Buckets whose copies have seen no more than `own`. */
  readonly partial: readonly string[];
}

/** How a holder gets back what nobody but the hub has any more. */
export interface Restoring {
  /** For how long nobody else has to have come with it, ms. */
  restMs(shard: number): number;
  /**
   * Counts all that the hub counts, as its keys have been compared. False: more of it has come from elsewhere meanwhile, or one
   * of the owners is away.
   */
  settle(shard: number, counted: Restored, use: (isSettled: boolean | null) => void): void;
}

export interface Restored {
  /** What the hub counts. */
  readonly context: CausalContext;
  /** What was covered here before. */
  readonly before: CausalContext;
  /** What came with the copies. */
  readonly brought: CausalContext;
  /** Copies that bring no event: what they lack of what is here is gone. */
  readonly late: readonly UplinkItem[];
}

/**
 * Whoever holds shards that are to be reconciled with a hub: a node, or a hub that has a hub of its own. Where a shard is let go
 * of meanwhile, callbacks get null.
 */
export interface UplinkSource {
  /** Those that this holder is to reconcile. */
  shards(): readonly number[];
  /** What is durable of the shard, not to be modified; null: nothing is to be said of it now. */
  covered(shard: number): { readonly context: CausalContext; readonly floor: CausalContext } | null;
  policyOf(bucket: string): SyncPolicy | undefined;
  /** Qualified names of all buckets. */
  buckets(): readonly string[];
  /** The keys behind these events, in their order; at most so many events are looked at. */
  keysOf(
    shard: number,
    events: readonly DotRange[],
    eventsMax: number,
    use: (found: { readonly keys: readonly KeyEvents[]; readonly looked: CausalContext } | null) => void,
  ): void;
  /**
   * The keys as they are at one moment, in the order asked for, and what the shard covered then. All of it is durable when it
   * is called back.
   */
  read(shard: number, names: readonly ObjectName[], use: (read: KeysRead | null) => void): void;
  /** All keys of the shard in the order of their names. */
  scan(
    shard: number,
    after: ObjectName | null,
    use: (page: { readonly rows: readonly KeyCopy[]; readonly more: boolean } | null) => void,
  ): void;
  /** Takes in what the hub has sent; calls back once it is durable. False: something was refused, and not counted. */
  join(shard: number, pulled: PulledItems, use: (isTaken: boolean | null) => void): void;
}
