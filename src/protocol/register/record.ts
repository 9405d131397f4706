/**
 * What the acceptors keep on disk, as typed records.
 *
 * | table          | key                | value                                                        |
 * |----------------|--------------------|--------------------------------------------------------------|
 * | register       | shard, bucket, key | what was promised and accepted for the key                   |
 * | register-shard | shard              | the floor of the shard, and for which groups its copy counts |
 */

import { compareUtf8 } from '../../lib/utf8.ts';
import type { NodeId } from '../machine.ts';
import { type Ballot, NO_BALLOT } from './ballot.ts';
import type { RegisterValue } from './value.ts';

/** The name of a register; its shard follows from it. */
export interface RegisterName {
  readonly bucket: string;
  readonly key: string;
}

/** The name as one text: a key of maps. */
export function nameId({ bucket, key }: RegisterName): string {
  return `${bucket}\0${key}`;
}

/** The order of names on the disk: negative where `a` comes first. */
export function compareNames(a: RegisterName, b: RegisterName): number {
  return compareUtf8(a.bucket, b.bucket) || compareUtf8(a.key, b.key);
}

export interface Accepted {
  readonly ballot: Ballot;
  readonly value: RegisterValue;
  /**
   * Taken over from another acceptor (`takeover.ts`). That is as good as accepted where a round looks for the latest value,
   * but no vote of this acceptor: it may have promised a higher ballot before, saying that it knew nothing.
   */
  readonly copied: boolean;
}

/** State of one acceptor for one key. */
export interface AcceptorRow {
  /** Rounds below it are refused. */
  readonly promised: Ballot;
  readonly accepted: Accepted | null;
  /** Rows of an earlier generation of the shard (`ShardRecord`) count as absent. */
  readonly generation: number;
}

export interface ShardRecord {
  /** What is promised for every key without a row: the highest promise of all rows that were erased. */
  readonly floor: Ballot;
  /** The ring epoch of the rest of this record. Under an older one this acceptor answers nobody any more. */
  readonly epoch: number;
  /** This node was an acceptor of the shard then. */
  readonly member: boolean;
  /** Groups that had chosen nothing before that epoch which a majority of their copies, with this one, might not show. */
  readonly whole: readonly (readonly NodeId[])[];
  /** Counted up where the rows on this disk may have missed an erasure. */
  readonly generation: number;
}

/** Of a shard that nothing is known of. */
export const UNKNOWN_SHARD: ShardRecord = { floor: NO_BALLOT, epoch: -1, member: false, whole: [], generation: 0 };

export type RegisterWrite =
  | {
      readonly table: 'register';
      readonly shard: number;
      readonly name: RegisterName;
      /** Null: delete the row. */
      readonly value: AcceptorRow | null;
    }
  | { readonly table: 'register-shard'; readonly shard: number; readonly value: ShardRecord };

/** The rows of a shard. Its record stays: it says that copies which it held once are worth nothing. */
export interface RegisterClear {
  readonly table: 'register';
  readonly shard: number;
}

/** A record that failed its checksum, or makes no sense. */
export type BadRegisterRecord =
  | { readonly table: 'register'; readonly shard: number; readonly name: RegisterName }
  | { readonly table: 'register-shard'; readonly shard: number };

/**
 * The record of a shard of which a record has gone bad: this acceptor may have forgotten a word that others rely on. It has
 * no say under this epoch any more, nor any use of a copy that is made under it: a message that is still on its way may
 * have the majority of its round rest on the forgotten word, after the copy. Under a later epoch nobody answers such messages, and
 * the shard is copied as by a new acceptor. `generation`: at least that of every row on the disk.
 */
export function afterLoss(record: ShardRecord, epoch: number, generation = 0): ShardRecord {
  return {
    floor: record.floor,
    epoch: Math.max(record.epoch, epoch),
    member: false,
    whole: [],
    generation: Math.max(record.generation, generation),
  };
}

/** A row as scans and peers hand it over. */
export interface NamedRow {
  readonly name: RegisterName;
  readonly row: AcceptorRow;
}
