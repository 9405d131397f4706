import type { StorageRange, StorageRow, StorageWrite } from '../ports/storage.ts';
import type { CausalContext } from '../protocol/causal/context.ts';
import type { ActorId } from '../protocol/causal/dot.ts';
import type { CausalObject } from '../protocol/causal/object.ts';
import type { NodeId } from '../protocol/machine.ts';
import type { BadRegisterRecord, RegisterClear, RegisterWrite } from '../protocol/register/record.ts';
import type {
  ConflictKey,
  ConflictRow,
  DotRow,
  ExpiryRow,
  HintRecord,
  HintRow,
  ListingRow,
  LostRecord,
  LostRow,
  ObjectName,
  ObjectRow,
  RecordClear,
  RecordRead,
  RecordWrite,
  ShardRecord,
} from '../protocol/replication/record.ts';
import {
  boolean,
  type Codec,
  DecodeError,
  decodeOne,
  encodeOne,
  integer,
  list,
  mapped,
  nullable,
  Reader,
  record,
  text,
  Writer,
} from './codec.ts';
import { conflictRecord } from './conflict.ts';
import {
  after,
  NAME_AT,
  nameIn,
  nameKey,
  prefixRange,
  SHARD_BYTES,
  shardIn,
  shardKey,
  TABLES,
  textIn,
  writeName,
  writeShard,
} from './record-key.ts';
import { registerStorageWrite } from './register-record.ts';
import { actorId, causalContext, entries, objectName } from './value.ts';

/** Byte forms of the records on disk; their keys are in `record-key.ts`. */

/** In the schedule, and in the names of conflicts, the time comes before them. */
const TIMED_SHARD_AT = 9;
const NODE_ID_BYTES_MAX = 128;
const HINT_TARGETS_MAX = 64;
const SOURCES_MAX = 10_000;

const shardRecord: Codec<ShardRecord> = record<ShardRecord>({
  context: causalContext,
  complete: boolean,
  sources: mapped(
    list(text(NODE_ID_BYTES_MAX), SOURCES_MAX),
    (sources: ReadonlySet<NodeId>) => [...sources],
    (sources) => new Set(sources),
  ),
  bare: causalContext,
  named: causalContext,
});

const causalObject: Codec<CausalObject> = record<CausalObject>({ entries, past: nullable(causalContext) });

const lostRecord: Codec<LostRecord> = record<LostRecord>({ events: causalContext, replaced: causalContext });

const hintRecord: Codec<HintRecord> = record<HintRecord>({
  entries,
  events: causalContext,
  context: causalContext,
  targets: list(text(NODE_ID_BYTES_MAX), HINT_TARGETS_MAX),
});

const counterValue = integer();
const EMPTY = new Uint8Array(0);

const scratch = new Writer();

/** The key of a point read. */
export function readKey(read: RecordRead): Uint8Array {
  return nameKey(TABLES[read.table], read.shard, read.name);
}

/** The storage write of a record write. */
export function storageWrite(write: RecordWrite | RegisterWrite): StorageWrite {
  switch (write.table) {
    case 'object':
      return { key: nameKey(TABLES.object, write.shard, write.name), value: encoded(causalObject, write.value) };
    case 'dot':
      return { key: dotKey(write.shard, write.actor, write.counter), value: encoded(objectName, write.value) };
    case 'shard':
      return { key: shardKey(TABLES.shard, write.shard), value: encoded(shardRecord, write.value) };
    case 'floor':
      return { key: shardKey(TABLES.floor, write.shard), value: encoded(causalContext, write.value) };
    case 'lost':
      return { key: nameKey(TABLES.lost, write.shard, write.name), value: encoded(lostRecord, write.value) };
    case 'counter':
      return { key: shardKey(TABLES.counter, write.shard), value: encoded(counterValue, write.value) };
    case 'hint':
      return { key: nameKey(TABLES.hint, write.shard, write.name), value: encoded(hintRecord, write.value) };
    case 'expiry':
      return { key: expiryKey(write.atMs, write.shard, write.name), value: write.value === null ? null : EMPTY };
    case 'conflict':
      return { key: conflictKey(write.key), value: encoded(conflictRecord, write.value) };
    case 'register':
    case 'register-shard':
      return registerStorageWrite(write);
  }
}

export function decodeObject(value: Uint8Array): CausalObject {
  return decodeOne(causalObject, value);
}

export function decodeHint(value: Uint8Array): HintRecord {
  return decodeOne(hintRecord, value);
}

export function decodeShardRow(row: StorageRow): { shard: number; record: ShardRecord } {
  return { shard: shardIn(row.key), record: decodeOne(shardRecord, row.value) };
}

/** The shard in the key of a row of a table whose keys begin with it. */
export function decodeShardId(row: StorageRow): number {
  return shardIn(row.key);
}

export function decodeFloorRow(row: StorageRow): { shard: number; floor: CausalContext } {
  return { shard: shardIn(row.key), floor: decodeOne(causalContext, row.value) };
}

export function decodeLostRow(row: StorageRow): LostRow {
  return { shard: shardIn(row.key), name: nameIn(row.key), record: decodeOne(lostRecord, row.value) };
}

export function decodeCounterRow(row: StorageRow): { shard: number; counter: number } {
  return { shard: shardIn(row.key), counter: decodeOne(counterValue, row.value) };
}

export function decodeObjectRow(row: StorageRow): ObjectRow {
  return { name: nameIn(row.key), ...decodeObject(row.value) };
}

/** As a listing takes it: a key with an open past has no entries, since this replica alone cannot say what it holds. */
export function decodeListingRow(row: StorageRow): ListingRow {
  const { entries, past } = decodeObject(row.value);
  return { name: nameIn(row.key), entries: past === null ? entries : [] };
}

export function decodeHintRow(row: StorageRow): HintRow {
  return { shard: shardIn(row.key), name: nameIn(row.key), hint: decodeHint(row.value) };
}

/** The name in the key of a row of a table whose keys are names. */
export function decodeRowName(row: StorageRow): ObjectName {
  return nameIn(row.key);
}

export function decodeDotRow(row: StorageRow): DotRow {
  return { ...dotIn(row.key), name: decodeOne(objectName, row.value) };
}

export function decodeExpiryRow(row: StorageRow): ExpiryRow {
  return expiryIn(row.key);
}

export function decodeConflictRow(row: StorageRow): ConflictRow {
  return { key: conflictIn(row.key), record: decodeOne(conflictRecord, row.value) };
}

/** All rows of a table. */
export function tableRange(table: keyof typeof TABLES): StorageRange {
  return { from: Uint8Array.of(TABLES[table]), to: Uint8Array.of(TABLES[table] + 1) };
}

/** All rows of a table in one shard. */
export function shardRange(
  table: 'object' | 'hint' | 'dot' | 'floor' | 'lost' | 'register' | 'register-shard',
  shard: number,
): StorageRange {
  return prefixRange(shardKey(TABLES[table], shard));
}

/** All rows of a shard that have names, or those after one of them. */
export function namesAfterRange(
  table: 'object' | 'hint' | 'register',
  shard: number,
  name: ObjectName | null,
): StorageRange {
  const all = shardRange(table, shard);
  return name === null ? all : { from: after(nameKey(TABLES[table], shard, name)), to: all.to };
}

/** Which keys a listing wants: those of a bucket that have a prefix and come after a key. */
export interface ListingBounds {
  readonly bucket: string;
  readonly prefix: string;
  readonly after: string;
}

/** Objects or hints of one shard within the bounds. */
export function listingRange(table: 'object' | 'hint', shard: number, bounds: ListingBounds): StorageRange {
  const { bucket, prefix, after: afterKey } = bounds;
  const range = prefixRange(nameKey(TABLES[table], shard, { bucket, key: prefix }));
  if (afterKey === '') return range;
  const from = after(nameKey(TABLES[table], shard, { bucket, key: afterKey }));
  return Buffer.compare(from, range.from) > 0 ? { from, to: range.to } : range;
}

/** Index rows of one actor, counters inclusive. */
export function dotRange(shard: number, actor: ActorId, from: number, to: number): StorageRange {
  return { from: dotKey(shard, actor, from), to: dotKey(shard, actor, to + 1) };
}

/** The schedule up to and including a time, after one of its rows. */
export function expiryRange(beforeMs: number, last: ExpiryRow | null = null): StorageRange {
  scratch.byte(TABLES.expiry);
  wide(scratch, Math.floor(beforeMs) + 1);
  const to = scratch.take();
  const from = last === null ? Uint8Array.of(TABLES.expiry) : after(expiryKey(last.atMs, last.shard, last.name));
  return { from: Buffer.compare(from, to) < 0 ? from : to, to };
}

/** Conflicts after one of them, or all. */
export function conflictRange(last: ConflictKey | null): StorageRange {
  const all = tableRange('conflict');
  return last === null ? all : { from: after(conflictKey(last)), to: all.to };
}

/** A record of the node itself: identity, incarnation, catalog. */
export function metaKey(name: string): Uint8Array {
  scratch.byte(TABLES.meta);
  scratch.utf8(name);
  return scratch.take();
}

function encoded<T>(codec: Codec<T>, value: T | null): Uint8Array | null {
  return value === null ? null : encodeOne(codec, value);
}

function expiryKey(atMs: number, shard: number, name: ObjectName): Uint8Array {
  scratch.byte(TABLES.expiry);
  wide(scratch, atMs);
  writeShard(scratch, shard);
  writeName(scratch, name);
  return scratch.take();
}

function dotKey(shard: number, actor: ActorId, counter: number): Uint8Array {
  scratch.byte(TABLES.dot);
  writeShard(scratch, shard);
  actorId.encode(scratch, actor);
  wide(scratch, counter);
  return scratch.take();
}

/** The latest comes first. */
function conflictKey({ hlc, shard, actor, counter }: ConflictKey): Uint8Array {
  scratch.byte(TABLES.conflict);
  wide(scratch, Number.MAX_SAFE_INTEGER - hlc);
  writeShard(scratch, shard);
  actorId.encode(scratch, actor);
  wide(scratch, counter);
  return scratch.take();
}

/** A 64-bit big-endian integer below 2^53. */
function wide(writer: Writer, value: number): void {
  writer.uint32(Math.floor(value / 0x1_0000_0000));
  writer.uint32(value % 0x1_0000_0000);
}

function wideIn(reader: Reader): number {
  return reader.uint32() * 0x1_0000_0000 + reader.uint32();
}

function dotIn(key: Uint8Array): { actor: ActorId; counter: number } {
  const reader = new Reader(key, NAME_AT);
  const actor = actorId.decode(reader);
  return { actor, counter: wideIn(reader) };
}

function conflictIn(key: Uint8Array): ConflictKey {
  const hlc = Number.MAX_SAFE_INTEGER - wideIn(new Reader(key, 1));
  const reader = new Reader(key, TIMED_SHARD_AT + SHARD_BYTES);
  return { hlc, shard: shardIn(key, TIMED_SHARD_AT), actor: actorId.decode(reader), counter: wideIn(reader) };
}

function expiryIn(key: Uint8Array): ExpiryRow {
  const atMs = wideIn(new Reader(key, 1));
  return { atMs, shard: shardIn(key, TIMED_SHARD_AT), name: nameIn(key, TIMED_SHARD_AT + SHARD_BYTES) };
}

/**
 * The ranges that a clear empties. A replica and the registers of a shard go each in its own time: who is no owner any
 * more may be an acceptor still.
 */
export function clearRanges({ table, shard }: RecordClear | RegisterClear): StorageRange[] {
  if (table === 'register') return [shardRange('register', shard)];
  const first = prefixRange(shardKey(TABLES.shard, shard));
  return [first, ...(['object', 'dot', 'floor', 'lost'] as const).map((table) => shardRange(table, shard))];
}

/** What the key of a record speaks of. */
type RecordName =
  | { readonly table: 'object'; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'lost'; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'hint'; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'dot'; readonly shard: number; readonly actor: ActorId; readonly counter: number }
  | { readonly table: 'shard' | 'floor' | 'counter'; readonly shard: number }
  | { readonly table: 'expiry'; readonly atMs: number; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'conflict'; readonly key: ConflictKey }
  | BadRegisterRecord
  | { readonly table: 'meta'; readonly name: string }
  | { readonly table: 'other' };

/** `other` for a key that none of the tables could hold: damage may be in the key itself. */
export function recordOf(key: Uint8Array): RecordName {
  try {
    return nameOf(key);
  } catch (error) {
    if (error instanceof DecodeError) return { table: 'other' };
    throw error;
  }
}

function nameOf(key: Uint8Array): RecordName {
  const table = TABLE_NAMES.get(key[0] ?? 0);
  switch (table) {
    case 'object':
    case 'lost':
    case 'hint':
    case 'register':
      return { table, shard: shardIn(key), name: nameIn(key) };
    case 'shard':
    case 'floor':
    case 'counter':
    case 'register-shard':
      return { table, shard: shardIn(key) };
    case 'dot':
      return { table, shard: shardIn(key), ...dotIn(key) };
    case 'expiry':
      return { table, ...expiryIn(key) };
    case 'conflict':
      return { table, key: conflictIn(key) };
    case 'meta':
      return { table, name: metaNameIn(key) };
    case undefined:
      return { table: 'other' };
  }
}

const TABLE_NAMES: ReadonlyMap<number, keyof typeof TABLES> = new Map(
  Object.entries(TABLES).map(([name, letter]) => [letter, name as keyof typeof TABLES]),
);

/** All records of the node itself whose names have a prefix. */
export function metaRange(prefix: string): StorageRange {
  return prefixRange(metaKey(prefix));
}

/** The name in the key of a record of the node itself. */
export function metaNameIn(key: Uint8Array): string {
  return textIn(key, 1);
}
