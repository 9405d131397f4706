import { crc32 } from 'node:zlib';

/**
 * A stored value is `format (1 byte) | CRC-32 (4 bytes, big-endian) | value`. The checksum runs over key and
 * value, so that a value which ended up under another key is caught as well. LevelDB has block checksums of its
 * own, but its Node binding offers no way to have them verified on reads.
 */
const FORMAT = 1;
const HEADER_BYTES = 5;

export type DecodedRecord =
  | { readonly ok: true; readonly value: Uint8Array }
  | { readonly ok: false; readonly reason: string };

export function encodeRecord(key: Uint8Array, value: Uint8Array): Uint8Array {
  const stored = Buffer.allocUnsafe(HEADER_BYTES + value.byteLength);
  stored[0] = FORMAT;
  stored.writeUInt32BE(checksum(key, value), 1);
  stored.set(value, HEADER_BYTES);
  return stored;
}

/** The value is a view of `stored`. */
export function decodeRecord(key: Uint8Array, stored: Uint8Array): DecodedRecord {
  if (stored.byteLength < HEADER_BYTES) {
    return { ok: false, reason: `record of ${stored.byteLength} bytes is shorter than its header` };
  }
  const view = new DataView(stored.buffer, stored.byteOffset, HEADER_BYTES);
  const format = view.getUint8(0);
  if (format !== FORMAT) return { ok: false, reason: `unknown record format ${format}` };
  // A plain Uint8Array: on a Buffer `slice` would share memory where every other Uint8Array copies.
  const value = new Uint8Array(stored.buffer, stored.byteOffset + HEADER_BYTES, stored.byteLength - HEADER_BYTES);
  if (view.getUint32(1) !== checksum(key, value)) return { ok: false, reason: 'checksum mismatch' };
  return { ok: true, value };
}

function checksum(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key));
}
