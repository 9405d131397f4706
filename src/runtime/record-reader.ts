import { unreachable } from '../lib/assert.ts';
import { compareUtf8 } from '../lib/utf8.ts';
import { type Storage, StorageError, type StorageRange, type StorageRow } from '../ports/storage.ts';
import { FRAME_BYTES_MAX } from '../ports/transport.ts';
import type {
  ConflictRow,
  ListingRow,
  ReadResult,
  RecordRead,
  RecordScan,
  ScanResult,
} from '../protocol/replication/record.ts';
import { DecodeError } from '../wire/codec.ts';
import {
  conflictRange,
  decodeConflictRow,
  decodeDotRow,
  decodeExpiryRow,
  decodeHint,
  decodeHintRow,
  decodeListingRow,
  decodeObject,
  decodeObjectRow,
  decodeRowName,
  dotRange,
  expiryRange,
  listingRange,
  namesAfterRange,
  readKey,
} from '../wire/record.ts';
import { after } from '../wire/record-key.ts';

/** A page with more than this may have been cut by its bytes: room is left for the largest record that travels. */
const PAGE_BYTES_SURE = 64 * 1024;
/** Bytes that one scan brings into memory. */
const SCAN_BYTES_MAX = FRAME_BYTES_MAX + PAGE_BYTES_SURE;
/** Rows that a listing fetches of each shard at first. */
const LISTING_CHUNK_MIN = 8;
/**
 * Time for reading one by one in a turn. What is in memory is read in some ten microseconds, less than the trip
 * through the thread pool costs, and the turn goes on without a break; a disk that has to be asked uses the time up
 * with its first answers, and the rest goes to the pool.
 */
const SYNC_READS_MS_MAX = 1;

export type ReadRequest = { readonly id: number; readonly key: RecordRead };

/** Answers reads in order: at once while they are quick, the rest in one batch. `nowMs` is monotonic. */
export function readRecords(
  storage: Storage,
  reads: readonly ReadRequest[],
  answer: (id: number, result: ReadResult) => void,
  fail: (error: unknown) => void,
  nowMs: () => number,
): void {
  readInOrder(
    storage,
    reads.map(({ key }) => readKey(key)),
    (index, row) => {
      const { id, key } = reads[index] as ReadRequest;
      answer(id, row === undefined ? { table: key.table, value: null } : decodeRead(storage, key, row));
    },
    fail,
    nowMs,
  );
}

/** Reads keys in their order, as `readRecords` does; `answer` is called with the index of each. */
export function readInOrder(
  storage: Storage,
  keys: readonly Uint8Array[],
  answer: (index: number, row: StorageRow | undefined) => void,
  fail: (error: unknown) => void,
  nowMs: () => number,
): void {
  const answerOne = (index: number, value: Uint8Array | undefined): void =>
    answer(index, value === undefined ? undefined : { key: keys[index] as Uint8Array, value });
  const endMs = storage.prefersBatches ? Number.NEGATIVE_INFINITY : nowMs() + SYNC_READS_MS_MAX;
  let next = 0;
  try {
    for (; next < keys.length && nowMs() < endMs; next++) answerOne(next, storage.read(keys[next] as Uint8Array));
  } catch (error) {
    // A store that is being repaired answers again, but only to those who wait.
    if (!(error instanceof StorageError)) throw error;
  }
  if (next === keys.length) return;
  const rest = keys.slice(next);
  storage
    .readMany(rest)
    .then((values) => {
      for (const i of rest.keys()) answerOne(next + i, values[i]);
    })
    .catch(fail);
}

function decodeRead(storage: Storage, read: RecordRead, row: StorageRow): ReadResult {
  if (read.table === 'object') {
    return { table: 'object', value: decoded(storage, row, () => decodeObject(row.value)) };
  }
  return { table: 'hint', value: decoded(storage, row, () => decodeHint(row.value)) };
}

/** Null for a record that cannot be decoded: a bad one, whatever its checksum says. */
export function decoded<T>(storage: Storage, row: StorageRow, decode: (row: StorageRow) => T): T | null {
  try {
    return decode(row);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    storage.reject(row.key, error.message);
    return null;
  }
}

/** Executes an ordered read. */
export async function scanRecords(storage: Storage, scan: RecordScan): Promise<ScanResult> {
  switch (scan.table) {
    case 'dot': {
      const range = dotRange(scan.shard, scan.actor, scan.from, scan.to);
      return { table: 'dot', ...(await page(storage, range, scan.limit, decodeDotRow)) };
    }
    case 'object': {
      const range = namesAfterRange('object', scan.shard, scan.after);
      return { table: 'object', ...(await page(storage, range, scan.limit, decodeObjectRow)) };
    }
    case 'hint': {
      const range = namesAfterRange('hint', scan.shard, scan.after);
      return { table: 'hint', ...(await page(storage, range, scan.limit, decodeHintRow)) };
    }
    case 'expiry': {
      const range = expiryRange(scan.beforeMs, scan.after);
      return { table: 'expiry', ...(await page(storage, range, scan.limit, decodeExpiryRow)) };
    }
    case 'conflict':
      return { table: 'conflict', ...(await conflictPage(storage, scan)) };
    case 'listing':
      return { table: 'listing', ...(await listing(storage, scan)) };
    default:
      return unreachable(scan);
  }
}

async function page<T>(
  storage: Storage,
  range: StorageRange,
  limit: number,
  decode: (row: StorageRow) => T,
): Promise<{ rows: T[]; more: boolean }> {
  const rows = await storage.scan(range, limit + 1, SCAN_BYTES_MAX);
  const all = rows.slice(0, limit).map((row) => decoded(storage, row, decode));
  return { rows: all.filter((row) => row !== null), more: rows.length > limit || mayBeCut(rows) };
}

/** Looks through the whole journal for those of one bucket: it is bounded. */
async function conflictPage(
  storage: Storage,
  { bucket, after: last, limit }: Extract<RecordScan, { table: 'conflict' }>,
): Promise<{ rows: ConflictRow[]; more: boolean }> {
  const found: ConflictRow[] = [];
  const { from: first, to } = conflictRange(last);
  let from = first;
  for (;;) {
    const rows = await storage.scan({ from, to }, limit + 1, SCAN_BYTES_MAX);
    for (const row of rows) {
      const conflict = decoded(storage, row, decodeConflictRow);
      if (conflict === null || (bucket !== null && conflict.record.name.bucket !== bucket)) continue;
      if (found.length === limit) return { rows: found, more: true };
      found.push(conflict);
    }
    const end = rows.at(-1);
    if (end === undefined) return { rows: found, more: false };
    from = after(end.key);
  }
}

/** True when the byte bound may have ended the page early; a page too many is then read in vain at worst. */
function mayBeCut(rows: readonly StorageRow[]): boolean {
  let bytes = 0;
  for (const row of rows) bytes += row.key.length + row.value.length;
  return bytes > PAGE_BYTES_SURE;
}

interface Cursor {
  readonly table: 'object' | 'hint';
  readonly shard: number;
  rows: ListingRow[];
  next: number;
  more: boolean;
}

/** Merges the shards' objects of one bucket in key order. A key of which a hint waits here is named without entries. */
async function listing(
  storage: Storage,
  scan: Extract<RecordScan, { table: 'listing' }>,
): Promise<{ rows: ListingRow[]; more: boolean }> {
  const { after, limit, shards, hints } = scan;
  // Keys are spread by a hash: two deviations above the mean, few shards have to be asked twice.
  const mean = limit / Math.max(1, shards.length);
  const chunk = Math.max(LISTING_CHUNK_MIN, Math.ceil(mean + 2 * Math.sqrt(mean)));
  const fill = async (cursor: Cursor, afterKey: string): Promise<void> => {
    const range = listingRange(cursor.table, cursor.shard, { ...scan, after: afterKey });
    const rows = await storage.scan(range, chunk, SCAN_BYTES_MAX);
    const decode = cursor.table === 'object' ? decodeListingRow : hintedRow;
    // A bad one too is a key that this node alone says nothing of.
    cursor.rows = rows.map((row) => decoded(storage, row, decode) ?? { name: decodeRowName(row), entries: [] });
    cursor.next = 0;
    cursor.more = rows.length === chunk || mayBeCut(rows);
  };
  const cursorOf = (table: Cursor['table'], shard: number): Cursor => ({ table, shard, rows: [], next: 0, more: true });
  const cursors = [
    ...shards.map((shard) => cursorOf('object', shard)),
    ...hints.map((shard) => cursorOf('hint', shard)),
  ];
  await Promise.all(cursors.map((cursor) => fill(cursor, after)));
  const heap = cursors.filter((cursor) => cursor.rows.length > 0);
  heap.sort(byHead);
  const rows: ListingRow[] = [];
  for (let first = heap.shift(); first !== undefined; first = heap.shift()) {
    const row = headOf(first);
    const last = rows.at(-1);
    if (last?.name.key === row.name.key) {
      rows[rows.length - 1] = { ...last, entries: [] };
    } else if (rows.length === limit) {
      return { rows, more: true };
    } else {
      rows.push(row);
    }
    first.next++;
    if (first.next === first.rows.length && first.more) await fill(first, row.name.key);
    if (first.next < first.rows.length) insert(heap, first);
  }
  return { rows, more: false };
}

function hintedRow(row: StorageRow): ListingRow {
  return { name: decodeRowName(row), entries: [] };
}

function headOf(cursor: Cursor): ListingRow {
  return cursor.rows[cursor.next] as ListingRow;
}

function byHead(a: Cursor, b: Cursor): number {
  return compareUtf8(headOf(a).name.key, headOf(b).name.key);
}

function insert(sorted: Cursor[], cursor: Cursor): void {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byHead(sorted[middle] as Cursor, cursor) < 0) low = middle + 1;
    else high = middle;
  }
  sorted.splice(low, 0, cursor);
}
