import type { CausalContext } from '../causal/context.ts';
import type { ActorId, Dot } from '../causal/dot.ts';
import type { Entry } from '../causal/entry.ts';
import type { ObjectName } from '../causal/name.ts';
import type { CausalObject } from '../causal/object.ts';

/**
 * What a hub does with its store, of one site: a generator that yields what it wants to read, is resumed with what is there, and
 * ends with what is to be written. The store runs it atomically, alone with the shards it has read: from the start once more if
 * it must. So the hub is as pure as a core, and holds no state of its own. It writes to shards that it has locked, and to no other.
 */
export type HubTransaction<T> = Generator<HubRead, HubOutcome<T>, HubRows>;

export interface HubOutcome<T> {
  readonly writes: readonly HubWrite[];
  readonly result: T;
}

/** The hub's copy of a shard. */
export interface HubShard {
  readonly context: CausalContext;
  /** Of that, the events that were written at a hub: at this one, at that of which it is a site, or at one that is a site of it. */
  readonly own: CausalContext;
  /** Of those, the ones whose index rows are gone: every owner had them. */
  readonly stripped: CausalContext;
  /** At a hub that has a hub: other events that have index rows, since that one may not count them yet. */
  readonly indexed: CausalContext;
  /** At such a hub: events without their keys, that are to be counted like that there too. */
  readonly skipped: CausalContext;
  /** Qualified names of buckets of which the context counts events without their keys. */
  readonly partial: readonly string[];
  /** Qualified names of buckets that were partial, and were compared with nobody yet who has all that the site has sent. */
  readonly doubtful: readonly string[];
  /** Another one after every change: 16 lower-case hex digits. */
  readonly revision: string;
}

export interface ShardObjectName extends ObjectName {
  readonly shard: number;
}

export type HubRead =
  /** `lock`: nobody else writes to them until the end of the transaction. In ascending order. */
  | { readonly type: 'shards'; readonly shards: readonly number[]; readonly lock: boolean }
  | { readonly type: 'objects'; readonly names: readonly ShardObjectName[] }
  /** Index rows of events, by the dots asked for, in their order. */
  | { readonly type: 'events'; readonly shard: number; readonly dots: readonly Dot[] }
  /**
   * Objects of a shard in the order of their names (`compareNames`), of some buckets or of all: at most `limit`, fewer where
   * they are large, but at least one.
   */
  | {
      readonly type: 'scan';
      readonly shard: number;
      /** Null: of all buckets. */
      readonly buckets: readonly string[] | null;
      readonly after: ObjectName | null;
      readonly limit: number;
    };

/** The answer has the type of the question. */
export type HubRows =
  /** Those that are there. */
  | { readonly type: 'shards'; readonly shards: ReadonlyMap<number, HubShard> }
  /** By `nameId`; those that are there. */
  | { readonly type: 'objects'; readonly objects: ReadonlyMap<string, CausalObject> }
  /** Those that are there. */
  | { readonly type: 'events'; readonly events: readonly HubEventRow[] }
  | { readonly type: 'scan'; readonly rows: readonly HubObjectRow[]; readonly more: boolean };

export interface HubEventRow {
  readonly dot: Dot;
  readonly name: ObjectName;
}

export interface HubObjectRow extends CausalObject {
  readonly name: ObjectName;
}

export type HubWrite =
  | { readonly type: 'shard'; readonly shard: number; readonly value: HubShard }
  /** Null: there is no such key any more. */
  | { readonly type: 'object'; readonly name: ShardObjectName; readonly value: CausalObject | null }
  /** The index of what was written at a hub; null: strips the row. */
  | {
      readonly type: 'event';
      readonly shard: number;
      readonly actor: ActorId;
      readonly counter: number;
      readonly name: ObjectName | null;
    }
  /** A write that lost against a concurrent one. The same twice is kept once: `loser.dot` names it within the shard. */
  | { readonly type: 'conflict'; readonly name: ShardObjectName; readonly winner: Entry; readonly loser: Entry };
