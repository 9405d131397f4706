import type { ActorId, Dot, ObjectName } from '../../ports/hub-store.ts';
import type { StorageRange } from '../../ports/storage.ts';
import { Reader, Writer } from '../../wire/codec.ts';
import {
  after,
  nameIn as nameAt,
  prefixRange,
  SHARD_BYTES,
  shardIn as shardAt,
  textIn,
  writeName,
  writeShard,
} from '../../wire/record-key.ts';
import { actorId } from '../../wire/value.ts';

/**
 * Keys of an embedded hub's records. Those of a site begin with its id, so that they go together with it; parts are big-endian:
 * byte order is the order scans want. Capitals, so that a hub's directory is not taken for a node's, nor a node's for a hub's.
 *
 *     F                                  the format
 *     S name                             a site
 *     R id                               an id whose rows are to go
 *     D id s shard                       a shard, with counts
 *     D id o shard bucket \0 key         an object
 *     D id l bucket \0 key               the shard of a key that has a value
 *     D id e shard actor counter         an event of the hub's own
 *     D id c (max - position)            a conflict: the latest comes first
 *     D id k shard actor counter         a conflict by its loser
 *     D id b                             the site's buckets
 *     D id a actor                       the name of a node
 *     D id g bucket                      who gives the bucket to the site
 */

export const FORMAT_KEY = Uint8Array.of(0x46);
const SITE = 0x53;
const REMOVAL = 0x52;
const DATA = 0x44;

const TABLES = {
  shard: 0x73,
  object: 0x6f,
  listing: 0x6c,
  event: 0x65,
  conflict: 0x63,
  'known-conflict': 0x6b,
  buckets: 0x62,
  actor: 0x61,
  share: 0x67,
} as const;

type Table = keyof typeof TABLES;

const TABLE_NAMES: ReadonlyMap<number, Table> = new Map(
  Object.entries(TABLES).map(([name, letter]) => [letter, name as Table]),
);

const ID_BYTES = 4;
const TABLE_AT = 1 + ID_BYTES;
const PARTS_AT = TABLE_AT + 1;
const WIDE = 0x1_0000_0000;

const scratch = new Writer();

export const ALL_SITES: StorageRange = prefixRange(Uint8Array.of(SITE));
export const ALL_REMOVALS: StorageRange = prefixRange(Uint8Array.of(REMOVAL));
/** Every record but the format. */
export const ALL_ROWS: readonly StorageRange[] = [DATA, REMOVAL, SITE].map((letter) =>
  prefixRange(Uint8Array.of(letter)),
);

export function siteKey(name: string): Uint8Array {
  scratch.byte(SITE);
  scratch.utf8(name);
  return scratch.take();
}

export function siteNameIn(key: Uint8Array): string {
  return textIn(key, 1);
}

export function removalKey(site: number): Uint8Array {
  scratch.byte(REMOVAL);
  scratch.uint32(site);
  return scratch.take();
}

export function removalIn(key: Uint8Array): number {
  return new Reader(key, 1).uint32();
}

/** All rows of a site but the one with its name. */
export function siteRange(site: number): StorageRange {
  scratch.byte(DATA);
  scratch.uint32(site);
  return prefixRange(scratch.take());
}

export function tableRange(site: number, table: Table): StorageRange {
  begin(site, table);
  return prefixRange(scratch.take());
}

export function shardKey(site: number, shard: number): Uint8Array {
  begin(site, 'shard');
  writeShard(scratch, shard);
  return scratch.take();
}

export function objectKey(site: number, shard: number, name: ObjectName): Uint8Array {
  begin(site, 'object');
  writeShard(scratch, shard);
  writeName(scratch, name);
  return scratch.take();
}

/** Objects of all buckets of a shard; after one of them: null for all. */
export function objectsOfShard(site: number, shard: number, afterName: ObjectName | null = null): StorageRange {
  begin(site, 'object');
  writeShard(scratch, shard);
  const all = prefixRange(scratch.take());
  return afterName === null ? all : { from: after(objectKey(site, shard, afterName)), to: all.to };
}

/** Objects of one bucket of a shard; after a key of it: null for all. */
export function objectsOfBucket(site: number, shard: number, bucket: string, afterKey: string | null): StorageRange {
  const all = prefixRange(objectKey(site, shard, { bucket, key: '' }));
  if (afterKey === null) return all;
  return { from: after(objectKey(site, shard, { bucket, key: afterKey })), to: all.to };
}

export function listingKey(site: number, name: ObjectName): Uint8Array {
  begin(site, 'listing');
  writeName(scratch, name);
  return scratch.take();
}

/** Rows of keys with a prefix, after a key: '' for all. */
export function listingRange(site: number, bucket: string, prefix: string, afterKey: string): StorageRange {
  const all = prefixRange(listingKey(site, { bucket, key: prefix }));
  if (afterKey === '') return all;
  const from = after(listingKey(site, { bucket, key: afterKey }));
  return Buffer.compare(from, all.from) > 0 ? { from, to: all.to } : all;
}

export function listedName(key: Uint8Array): ObjectName {
  return nameAt(key, PARTS_AT);
}

export function eventKey(site: number, shard: number, dot: Dot): Uint8Array {
  return dotKey(site, 'event', shard, dot);
}

export function knownConflictKey(site: number, shard: number, loser: Dot): Uint8Array {
  return dotKey(site, 'known-conflict', shard, loser);
}

export function conflictKey(site: number, position: number): Uint8Array {
  begin(site, 'conflict');
  wide(Number.MAX_SAFE_INTEGER - position);
  return scratch.take();
}

export function positionIn(conflict: Uint8Array): number {
  const reader = new Reader(conflict, PARTS_AT);
  return Number.MAX_SAFE_INTEGER - (reader.uint32() * WIDE + reader.uint32());
}

/** Conflicts with positions below `before`; null: all. */
export function conflictsBefore(site: number, before: number | null): StorageRange {
  const all = tableRange(site, 'conflict');
  return before === null ? all : { from: after(conflictKey(site, before)), to: all.to };
}

export function bucketsKey(site: number): Uint8Array {
  begin(site, 'buckets');
  return scratch.take();
}

export function actorKey(site: number, actor: ActorId): Uint8Array {
  begin(site, 'actor');
  actorId.encode(scratch, actor);
  return scratch.take();
}

export function actorIn(key: Uint8Array): ActorId {
  return actorId.decode(new Reader(key, PARTS_AT));
}

export function shareKey(site: number, bucket: string): Uint8Array {
  begin(site, 'share');
  scratch.utf8(bucket);
  return scratch.take();
}

/** The bucket. */
export function sharedIn(key: Uint8Array): string {
  return textIn(key, PARTS_AT);
}

/** What the key of a record that is damaged says of it. */
export type HubRecordName =
  | { readonly table: 'object'; readonly site: number; readonly shard: number; readonly name: ObjectName }
  | { readonly table: 'listing'; readonly site: number; readonly name: ObjectName }
  | { readonly table: 'shard'; readonly site: number; readonly shard: number }
  | { readonly table: 'other' };

export function hubRecordOf(key: Uint8Array): HubRecordName {
  const table = key[0] === DATA ? TABLE_NAMES.get(key[TABLE_AT] ?? 0) : undefined;
  if (table === undefined) return { table: 'other' };
  const site = new Reader(key, 1).uint32();
  if (table === 'object') {
    return { table, site, shard: shardAt(key, PARTS_AT), name: nameAt(key, PARTS_AT + SHARD_BYTES) };
  }
  if (table === 'listing') return { table, site, name: listedName(key) };
  if (table === 'shard') return { table, site, shard: shardIn(key) };
  return { table: 'other' };
}

/** In the key of a row of a table whose keys begin with it. */
export function shardIn(key: Uint8Array): number {
  return shardAt(key, PARTS_AT);
}

export function objectNameIn(key: Uint8Array): ObjectName {
  return nameAt(key, PARTS_AT + SHARD_BYTES);
}

function begin(site: number, table: Table): void {
  scratch.byte(DATA);
  scratch.uint32(site);
  scratch.byte(TABLES[table]);
}

function dotKey(site: number, table: Table, shard: number, { actor, counter }: Dot): Uint8Array {
  begin(site, table);
  writeShard(scratch, shard);
  actorId.encode(scratch, actor);
  wide(counter);
  return scratch.take();
}

/** A 64-bit integer below 2^53. */
function wide(value: number): void {
  scratch.uint32(Math.floor(value / WIDE));
  scratch.uint32(value % WIDE);
}
