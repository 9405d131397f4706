import { ByteReader } from './byte-reader.ts';
import { maskedCrc32c, runningMaskedCrc32c } from './crc32c.ts';
import { SEQUENCE_MAX } from './table-file.ts';

/**
 * LevelDB's write-ahead log, read without LevelDB: pages of 32 KiB, in them pieces of the batches that were written, each
 * with a checksum. LevelDB's repair reads it without looking at them.
 */
const PAGE_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const [WHOLE, FIRST, MIDDLE, LAST] = [1, 2, 3, 4];
/** Number of the first write (8 bytes), count (4 bytes). */
const BATCH_HEADER_BYTES = 12;
const PUT = 1;

export interface LogCheck {
  /** Parts that are damaged; a torn end is none. */
  readonly damaged: number;
  /** A log of the batches that are sound; null where there is none, or no need of it. */
  readonly rest: Uint8Array | null;
}

export function checkLog(log: Uint8Array): LogCheck {
  const { batches, damaged } = batchesOf(log);
  const sound: Uint8Array[] = [];
  // LevelDB aborts over a number that comes twice.
  let next = 0n;
  for (const batch of batches) {
    const numbers = numbersOf(batch);
    if (numbers === null || numbers.first < next) continue;
    next = numbers.first + BigInt(numbers.count);
    sound.push(batch);
  }
  const bad = damaged + batches.length - sound.length;
  return { damaged: bad, rest: bad === 0 || sound.length === 0 ? null : logOf(sound) };
}

/** All batches whose checksums are right. The MANIFEST is such a log as well. */
export function batchesOf(log: Uint8Array): { batches: Uint8Array[]; damaged: number } {
  const batches: Uint8Array[] = [];
  let damaged = 0;
  let pieces: Uint8Array[] | null = null;
  // What goes on with a batch whose beginning was damaged is no further damage.
  let isKnown = true;
  const end = log.findLastIndex((byte) => byte !== 0) + 1;
  const damage = (): void => {
    if (isKnown) damaged++;
    isKnown = false;
    pieces = null;
  };
  for (let page = 0; page < log.length; page += PAGE_BYTES) {
    const bytes = log.subarray(page, page + PAGE_BYTES);
    for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
      const piece = pieceAt(bytes, at);
      if (piece === null) {
        if (page + at >= end || isTornEnd(log, page + at)) return { batches, damaged };
        // Its length may be what is wrong: the rest of the page is unknown.
        damage();
        break;
      }
      at += HEADER_BYTES + piece.data.length;
      const begins = piece.kind === WHOLE || piece.kind === FIRST;
      if (begins === (pieces !== null)) damage();
      if (begins) pieces = [];
      if (pieces === null) continue;
      isKnown = true;
      pieces.push(piece.data);
      if (piece.kind !== WHOLE && piece.kind !== LAST) continue;
      batches.push(pieces.length === 1 ? piece.data : Buffer.concat(pieces));
      pieces = null;
    }
  }
  return { batches, damaged };
}

/** Null where there is no sound one. */
function pieceAt(page: Uint8Array, at: number): { kind: number; data: Uint8Array } | null {
  const { checksum, length, kind } = headerAt(page, at);
  const from = at + HEADER_BYTES;
  if (!isKind(kind) || from + length > page.length) return null;
  const checked = page.subarray(from - 1, from + length);
  return maskedCrc32c(checked) === checksum ? { kind, data: checked.subarray(1) } : null;
}

function headerAt(page: Uint8Array, at: number): { checksum: number; length: number; kind: number } {
  const header = Buffer.from(page.buffer, page.byteOffset + at, HEADER_BYTES);
  return { checksum: header.readUInt32LE(0), length: header.readUInt16LE(4), kind: header[6] as number };
}

function isKind(kind: number): boolean {
  return kind === WHOLE || kind === FIRST || kind === MIDDLE || kind === LAST;
}

/**
 * True where the log is as a power cut leaves it: a piece of which the end is missing. LevelDB takes every length that
 * leads beyond the end for that, also where sound pieces follow.
 */
function isTornEnd(log: Uint8Array, at: number): boolean {
  const rest = log.subarray(at);
  if (rest.length > PAGE_BYTES - (at % PAGE_BYTES)) return false;
  const { checksum, length, kind } = headerAt(rest, 0);
  if (!isKind(kind) || HEADER_BYTES + length <= rest.length) return false;
  return !isWholeAtSomeLength(rest, checksum) && !hasPiece(rest);
}

/** The checksum does not cover the length. */
function isWholeAtSomeLength(rest: Uint8Array, checksum: number): boolean {
  return runningMaskedCrc32c(rest.subarray(HEADER_BYTES - 1)).includes(checksum);
}

function hasPiece(rest: Uint8Array): boolean {
  for (let at = 1; at + HEADER_BYTES <= rest.length; at++) if (pieceAt(rest, at) !== null) return true;
  return false;
}

/** Of the writes of a batch; null where the batch makes no sense. */
function numbersOf(batch: Uint8Array): { first: bigint; count: number } | null {
  try {
    const reader = new ByteReader(batch);
    const header = Buffer.from(reader.bytes(BATCH_HEADER_BYTES));
    const first = header.readBigUInt64LE(0);
    let count = 0;
    for (; reader.left > 0; count++) {
      const kind = reader.byte();
      if (kind > PUT) return null;
      reader.bytes(reader.varint());
      if (kind === PUT) reader.bytes(reader.varint());
    }
    return first <= SEQUENCE_MAX && count === header.readUInt32LE(8) ? { first, count } : null;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
}

function logOf(batches: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let left = PAGE_BYTES;
  for (const batch of batches) {
    let at = 0;
    do {
      if (left < HEADER_BYTES) {
        parts.push(new Uint8Array(left));
        left = PAGE_BYTES;
      }
      const data = batch.subarray(at, at + left - HEADER_BYTES);
      parts.push(pieceOf(kindOf(at === 0, at + data.length === batch.length), data));
      at += data.length;
      left -= HEADER_BYTES + data.length;
    } while (at < batch.length);
  }
  return Buffer.concat(parts);
}

function kindOf(isFirst: boolean, isLast: boolean): number {
  if (isFirst) return isLast ? WHOLE : FIRST;
  return isLast ? LAST : MIDDLE;
}

function pieceOf(kind: number, data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(maskedCrc32c(Uint8Array.of(kind), data));
  header.writeUInt16LE(data.length, 4);
  header[6] = kind;
  return Buffer.concat([header, data]);
}
