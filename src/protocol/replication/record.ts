/**
 * What replication keeps on disk, as typed records; `wire/record.ts` gives them their byte form.
 *
 * | table   | key                    | value                                                              |
 * |---------|------------------------|--------------------------------------------------------------------|
 * | object  | shard, bucket, key     | the key's entries and open past (absent when there are none)       |
 * | dot     | shard, actor, counter  | which key the event touched; kept until every owner covers the dot |
 * | shard   | shard                  | the replica's causal context and state                             |
 * | floor   | shard                  | the dots that every owner covers, whose index rows are gone        |
 * | lost    | shard, bucket, key     | a key whose object went bad, until another owner's copy is here    |
 * | counter | shard                  | this actor's last counter where the shard itself is not held       |
 * | hint    | shard, bucket, key     | a delta that waits for owners that are away                        |
 * | expiry  | time, shard, bucket, key | nothing: the order of the keys is the schedule                   |
 * | conflict | the loser's stamp, shard and dot | a write that lost against a concurrent one, for people |
 */

import type { Hlc } from '../../lib/hlc.ts';
import type { CausalContext } from '../causal/context.ts';
import type { ActorId } from '../causal/dot.ts';
import type { Entries, Entry } from '../causal/entry.ts';
import type { ObjectName } from '../causal/name.ts';
import type { CausalObject } from '../causal/object.ts';
import type { NodeId } from '../machine.ts';

export { compareNames, nameId, type ObjectName } from '../causal/name.ts';

export interface ShardRecord {
  readonly context: CausalContext;
  /** False until the replica has synced with the holders it took the shard over from. */
  readonly complete: boolean;
  /** While it is not complete: whom it has still to sync with. */
  readonly sources: ReadonlySet<NodeId>;
  /** Of a replica that was made of what a damaged disk still held (`salvage.ts`): see `Shard.bare`. */
  readonly bare: CausalContext;
  /** The highest dots that objects name beyond the context, as replaced or ahead of their events: they are used up. */
  readonly named: CausalContext;
}

/** A key whose object was bad on this disk: what its owners have of it is yet to come. */
export interface LostRecord {
  /** Events of the key that were taken out of the shard's context, to be sent again. */
  readonly events: CausalContext;
  /** Dots that have been replaced since: what the other owners still have of them does not come back. */
  readonly replaced: CausalContext;
}

export interface HintRecord {
  readonly entries: Entries;
  /** The events that wait: those of the entries, of deletes, and of entries that later ones replaced. */
  readonly events: CausalContext;
  /** The events and all the dots that they replaced. */
  readonly context: CausalContext;
  /** Owners that have not confirmed the delta. */
  readonly targets: readonly NodeId[];
}

/** The write that lost, which all nodes name alike. */
export interface ConflictKey {
  readonly hlc: Hlc;
  readonly shard: number;
  readonly actor: ActorId;
  readonly counter: number;
}

/** A write that won or lost. */
export interface ConflictWrite {
  /** Without its bytes where those were too many to be kept. */
  readonly entry: Entry;
  /** Of the value as it was written. */
  readonly bytes: number;
  /** A client of a hub wrote it, as far as this node knew. */
  readonly byHub: boolean;
}

export interface ConflictRecord {
  readonly name: ObjectName;
  readonly winner: ConflictWrite;
  readonly loser: ConflictWrite;
  /** When this node noticed, Unix ms. */
  readonly atMs: number;
}

export type RecordWrite =
  | { readonly table: 'object'; readonly shard: number; readonly name: ObjectName; readonly value: CausalObject | null }
  | {
      readonly table: 'dot';
      readonly shard: number;
      readonly actor: ActorId;
      readonly counter: number;
      readonly value: ObjectName | null;
    }
  | { readonly table: 'shard'; readonly shard: number; readonly value: ShardRecord | null }
  | { readonly table: 'floor'; readonly shard: number; readonly value: CausalContext }
  | { readonly table: 'lost'; readonly shard: number; readonly name: ObjectName; readonly value: LostRecord | null }
  | { readonly table: 'counter'; readonly shard: number; readonly value: number | null }
  | { readonly table: 'hint'; readonly shard: number; readonly name: ObjectName; readonly value: HintRecord | null }
  | {
      readonly table: 'expiry';
      readonly atMs: number;
      readonly shard: number;
      readonly name: ObjectName;
      readonly value: true | null;
    }
  | { readonly table: 'conflict'; readonly key: ConflictKey; readonly value: ConflictRecord | null };

/** A point read, answered by `ReadResult` of the same table. */
export type RecordRead =
  | { readonly table: 'object'; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'hint'; readonly shard: number; readonly name: ObjectName };

export type ReadResult =
  | { readonly table: 'object'; readonly value: CausalObject | null }
  | { readonly table: 'hint'; readonly value: HintRecord | null };

/** An ordered read of at most `limit` rows. */
export type RecordScan =
  /** Index entries of one actor, counters `from` to `to` inclusive. */
  | {
      readonly table: 'dot';
      readonly shard: number;
      readonly actor: ActorId;
      readonly from: number;
      readonly to: number;
      readonly limit: number;
    }
  /** All objects of one shard in the order of their names, with the events behind them. */
  | {
      readonly table: 'object';
      readonly shard: number;
      readonly after: ObjectName | null;
      readonly limit: number;
    }
  /** Objects of one bucket over several shards, merged in key order. Keys with a hint or an open past have no entries. */
  | {
      readonly table: 'listing';
      readonly bucket: string;
      readonly shards: readonly number[];
      /** Shards of which hints may be here. */
      readonly hints: readonly number[];
      readonly prefix: string;
      readonly after: string;
      readonly limit: number;
    }
  | {
      readonly table: 'hint';
      readonly shard: number;
      readonly after: ObjectName | null;
      readonly limit: number;
    }
  /** The schedule up to and including a time, after one of its rows. */
  | { readonly table: 'expiry'; readonly beforeMs: number; readonly after: ExpiryRow | null; readonly limit: number }
  /** Conflicts, of one bucket or of all, the latest lost write first. */
  | {
      readonly table: 'conflict';
      readonly bucket: string | null;
      readonly after: ConflictKey | null;
      readonly limit: number;
    };

export interface DotRow {
  readonly actor: ActorId;
  readonly counter: number;
  readonly name: ObjectName;
}

export interface ObjectRow extends CausalObject {
  readonly name: ObjectName;
}

/** A key as a listing takes it. */
export interface ListingRow {
  readonly name: ObjectName;
  readonly entries: Entries;
}

export interface HintRow {
  readonly shard: number;
  readonly name: ObjectName;
  readonly hint: HintRecord;
}

export interface ExpiryRow {
  readonly atMs: number;
  readonly shard: number;
  readonly name: ObjectName;
}

export interface ConflictRow {
  readonly key: ConflictKey;
  readonly record: ConflictRecord;
}

export interface LostRow {
  readonly shard: number;
  readonly name: ObjectName;
  readonly record: LostRecord;
}

export type ScanResult =
  | { readonly table: 'dot'; readonly rows: readonly DotRow[]; readonly more: boolean }
  | { readonly table: 'object'; readonly rows: readonly ObjectRow[]; readonly more: boolean }
  | { readonly table: 'listing'; readonly rows: readonly ListingRow[]; readonly more: boolean }
  | { readonly table: 'hint'; readonly rows: readonly HintRow[]; readonly more: boolean }
  | { readonly table: 'expiry'; readonly rows: readonly ExpiryRow[]; readonly more: boolean }
  | { readonly table: 'conflict'; readonly rows: readonly ConflictRow[]; readonly more: boolean };

/** Everything of a shard but this actor's counter: context, objects, index, floor, lost. Repeated after a crash. */
export interface RecordClear {
  readonly table: 'shard';
  readonly shard: number;
}

/** A record other than an object that failed its checksum. It stays on the disk until this core overwrites it. */
export type BadRecord =
  | { readonly table: 'shard' | 'floor' | 'counter'; readonly shard: number }
  | { readonly table: 'dot'; readonly shard: number; readonly actor: ActorId; readonly counter: number }
  | { readonly table: 'lost'; readonly shard: number; readonly name: ObjectName }
  /** `counted`: it was good when this run began, so the hint store counts it. */
  | { readonly table: 'hint'; readonly shard: number; readonly name: ObjectName; readonly counted: boolean }
  | { readonly table: 'expiry'; readonly atMs: number; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'conflict'; readonly key: ConflictKey };
