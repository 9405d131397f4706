import { ByteReader } from './byte-reader.ts';

/** A block is some kilobytes, or one record. */
const BYTES_MAX = 256 * 1024 * 1024;

/** Undoes Snappy's compression of one block. Throws RangeError where the bytes make no sense. */
export function uncompress(compressed: Uint8Array): Uint8Array {
  const reader = new ByteReader(compressed);
  const length = reader.varint();
  // Nothing is compressed to less than a twentieth or so.
  if (length > BYTES_MAX || length > 64 * compressed.length) throw new RangeError('the length makes no sense');
  const out = new Uint8Array(length);
  let at = 0;
  while (reader.left > 0) {
    const tag = reader.byte();
    if ((tag & 3) === 0) {
      const literal = reader.bytes(literalLength(reader, tag >>> 2));
      if (literal.length > length - at) throw new RangeError('more than was announced');
      out.set(literal, at);
      at += literal.length;
      continue;
    }
    const { count, offset } = copyOf(reader, tag);
    if (offset === 0 || offset > at || count > length - at) throw new RangeError('a copy from nowhere');
    // Byte by byte: a copy may run into what it has just written.
    for (const end = at + count; at < end; at++) out[at] = out[at - offset] as number;
  }
  if (at !== length) throw new RangeError('less than was announced');
  return out;
}

function literalLength(reader: ByteReader, code: number): number {
  return code < 60 ? code + 1 : littleEndian(reader, code - 59) + 1;
}

function copyOf(reader: ByteReader, tag: number): { count: number; offset: number } {
  if ((tag & 3) === 1) return { count: ((tag >>> 2) & 7) + 4, offset: ((tag >>> 5) << 8) | reader.byte() };
  return { count: (tag >>> 2) + 1, offset: littleEndian(reader, (tag & 3) === 2 ? 2 : 4) };
}

function littleEndian(reader: ByteReader, count: number): number {
  let value = 0;
  for (let i = 0; i < count; i++) value += reader.byte() * 2 ** (8 * i);
  return value;
}
