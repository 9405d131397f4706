import { ByteReader, varintBytes } from './byte-reader.ts';
import { maskedCrc32c } from './crc32c.ts';
import { uncompress } from './snappy.ts';

/**
 * LevelDB's tables, read without LevelDB: blocks of records, each followed by the kind of its compression and a checksum,
 * blocks of filters, an index of the blocks, and a footer that says where the index is.
 */
const FOOTER_BYTES = 48;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
const TRAILER_BYTES = 5;
const SNAPPY = 1;
/** Behind each key: kind of the record (1 byte), number of the write (7 bytes). */
const TAG_BYTES = 8;
const KIND_MAX = 1;
/** LevelDB counts to 2^56 and aborts beyond; nobody writes half as much. It takes the largest that it finds for its own. */
export const SEQUENCE_MAX = 2 ** 55 - 1;
const SEQUENCE_TOP_BYTE_MAX = 0x7f;

export interface TableCheck {
  /** Parts that are damaged; 0: the table is sound. */
  readonly damaged: number;
  /** A table of the blocks that are sound; null where there is none. */
  readonly rest: Uint8Array | null;
}

interface Handle {
  readonly offset: number;
  readonly size: number;
}

interface SoundBlock {
  /** With its trailer. */
  readonly raw: Uint8Array;
  readonly last: Uint8Array;
}

/** Looks at every block of a table, and makes one of what is sound where some are not. */
export function checkTable(table: Uint8Array): TableCheck {
  const steps = checkingTable(table);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same with a pause after every block. */
export function* checkingTable(table: Uint8Array): Generator<undefined, TableCheck> {
  let handles: Handle[];
  try {
    handles = entriesOf(blockAt(table, footerOf(table).index)).map(({ value }) => handleIn(new ByteReader(value)));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { damaged: 1, rest: null };
  }
  const sound: SoundBlock[] = [];
  for (const handle of handles) {
    yield;
    const last = lastKeyOf(table, handle, sound.at(-1)?.last);
    if (last === undefined) continue;
    sound.push({ raw: table.subarray(handle.offset, handle.offset + handle.size + TRAILER_BYTES), last });
  }
  const damaged = handles.length - sound.length + (hasSoundFilters(table) ? 0 : 1);
  return { damaged, rest: damaged === 0 || sound.length === 0 ? null : tableOf(sound) };
}

function footerOf(table: Uint8Array): { filters: Handle; index: Handle } {
  const footer = table.subarray(Math.max(0, table.length - FOOTER_BYTES));
  if (!MAGIC.equals(footer.subarray(footer.length - MAGIC.length))) throw new RangeError('not a table');
  const reader = new ByteReader(footer);
  return { filters: handleIn(reader), index: handleIn(reader) };
}

function handleIn(reader: ByteReader): Handle {
  return { offset: reader.varint(), size: reader.varint() };
}

/** Content of a block whose checksum is right. */
function blockAt(table: Uint8Array, handle: Handle): Uint8Array {
  const { stored, kind } = storedBlockAt(table, handle);
  if (kind === 0) return stored;
  if (kind !== SNAPPY) throw new RangeError('unknown compression');
  return uncompress(stored);
}

function storedBlockAt(table: Uint8Array, { offset, size }: Handle): { stored: Uint8Array; kind: number } {
  const reader = new ByteReader(table);
  reader.bytes(offset);
  const checked = reader.bytes(size + 1);
  const [a, b, c, d] = reader.bytes(4);
  const expected = Buffer.from([a as number, b as number, c as number, d as number]).readUInt32LE();
  if (maskedCrc32c(checked) !== expected) throw new RangeError('checksum mismatch');
  return { stored: checked.subarray(0, size), kind: checked[size] as number };
}

function entriesOf(block: Uint8Array): { key: Uint8Array; value: Uint8Array }[] {
  if (block.length < 4) throw new RangeError('a block without its end');
  const restarts = new DataView(block.buffer, block.byteOffset, block.length).getUint32(block.length - 4, true);
  const end = block.length - 4 * (restarts + 1);
  if (end < 0) throw new RangeError('a block without its end');
  const reader = new ByteReader(block.subarray(0, end));
  const entries: { key: Uint8Array; value: Uint8Array }[] = [];
  let before: Uint8Array = new Uint8Array(0);
  while (reader.left > 0) {
    const shared = reader.varint();
    const own = reader.varint();
    const valueBytes = reader.varint();
    if (shared > before.length || own > reader.left) throw new RangeError('a key that shares more than there is');
    const key = new Uint8Array(shared + own);
    key.set(before.subarray(0, shared));
    key.set(reader.bytes(own), shared);
    entries.push({ key, value: reader.bytes(valueBytes) });
    before = key;
  }
  return entries;
}

/** Of a block of records that is sound and comes after what was before; undefined where it is not. */
function lastKeyOf(table: Uint8Array, handle: Handle, before: Uint8Array | undefined): Uint8Array | undefined {
  try {
    let last = before;
    const entries = entriesOf(blockAt(table, handle));
    for (const { key } of entries) {
      if (!isKey(key) || (last !== undefined && compareKeys(last, key) >= 0)) return undefined;
      last = key;
    }
    return entries.length === 0 ? undefined : last;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}

function isKey(key: Uint8Array): boolean {
  const kind = key[key.length - TAG_BYTES];
  return kind !== undefined && kind <= KIND_MAX && (key.at(-1) as number) <= SEQUENCE_TOP_BYTE_MAX;
}

/** Records of one key: the newest first. */
function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const [endA, endB] = [a.length - TAG_BYTES, b.length - TAG_BYTES];
  const order = Buffer.compare(a.subarray(0, endA), b.subarray(0, endB));
  if (order !== 0) return order;
  for (let i = TAG_BYTES - 1; i >= 0; i--) {
    const difference = (b[endB + i] as number) - (a[endA + i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** LevelDB trusts its filters: a damaged one hides records. */
function hasSoundFilters(table: Uint8Array): boolean {
  try {
    for (const { value } of entriesOf(blockAt(table, footerOf(table).filters))) {
      storedBlockAt(table, handleIn(new ByteReader(value)));
    }
    return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}

/** Without filters: the next compaction makes new ones. */
function tableOf(blocks: readonly SoundBlock[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let offset = 0;
  const add = (raw: Uint8Array): Uint8Array => {
    parts.push(raw);
    const handle = Buffer.concat([varintBytes(offset), varintBytes(raw.length - TRAILER_BYTES)]);
    offset += raw.length;
    return handle;
  };
  const index = blocks.map(({ raw, last }) => ({ key: last, value: add(raw) }));
  const filters = add(blockOf([]));
  const handles = Buffer.concat([filters, add(blockOf(index))]);
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.set(handles);
  footer.set(MAGIC, FOOTER_BYTES - MAGIC.length);
  return Buffer.concat([...parts, footer]);
}

/** A block without compression in which no key shares anything with the one before; with its trailer. */
function blockOf(entries: readonly { key: Uint8Array; value: Uint8Array }[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const restarts: number[] = [];
  let offset = 0;
  for (const { key, value } of entries) {
    const entry = Buffer.concat([Uint8Array.of(0), varintBytes(key.length), varintBytes(value.length), key, value]);
    restarts.push(offset);
    parts.push(entry);
    offset += entry.length;
  }
  if (restarts.length === 0) restarts.push(0);
  const end = Buffer.alloc(4 * (restarts.length + 1) + 1);
  for (const [i, restart] of [...restarts, restarts.length].entries()) end.writeUInt32LE(restart, 4 * i);
  const block = Buffer.concat([...parts, end]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(maskedCrc32c(block));
  return Buffer.concat([block, checksum]);
}
