import type { StorageRange } from '../ports/storage.ts';
import { DecodeError, Reader, Writer } from './codec.ts';

/**
 * Keys of the records on disk: a table letter and its parts, big-endian, so that byte order is the order scans want. A
 * shard takes six bytes: its class and its number within it (`ring/shard.ts`).
 *
 *     o shard bucket \0 key      d shard actor counter      s shard      c shard
 *     f shard                     l shard bucket \0 key
 *     h shard bucket \0 key      x time shard bucket \0 key      m name
 *     r shard bucket \0 key      a shard                         j (max - time) shard actor counter
 */

export const TABLES = {
  object: 0x6f,
  dot: 0x64,
  shard: 0x73,
  floor: 0x66,
  lost: 0x6c,
  counter: 0x63,
  hint: 0x68,
  expiry: 0x78,
  meta: 0x6d,
  register: 0x72,
  'register-shard': 0x61,
  conflict: 0x6a,
} as const;

export const SHARD_BYTES = 6;
/** Where the names begin: after table and shard. */
export const NAME_AT = 1 + SHARD_BYTES;

/** Of an object or a register. */
interface KeyName {
  readonly bucket: string;
  readonly key: string;
}

const scratch = new Writer();
const nameDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

export function shardKey(table: number, shard: number): Uint8Array {
  scratch.byte(table);
  writeShard(scratch, shard);
  return scratch.take();
}

export function nameKey(table: number, shard: number, name: KeyName): Uint8Array {
  scratch.byte(table);
  writeShard(scratch, shard);
  writeName(scratch, name);
  return scratch.take();
}

export function writeShard(writer: Writer, shard: number): void {
  const low = shard % 0x1_0000;
  writer.uint32((shard - low) / 0x1_0000);
  writer.byte(low >> 8);
  writer.byte(low & 0xff);
}

export function writeName(writer: Writer, name: KeyName): void {
  writer.utf8(name.bucket);
  writer.byte(0);
  writer.utf8(name.key);
}

export function shardIn(key: Uint8Array, at = 1): number {
  const reader = new Reader(key, at);
  return reader.uint32() * 0x1_0000 + reader.byte() * 0x100 + reader.byte();
}

export function nameIn(key: Uint8Array, at = NAME_AT): KeyName {
  const end = key.indexOf(0, at);
  if (end === -1) throw new DecodeError('the key of a record names no bucket');
  const reader = new Reader(key, at);
  const bucket = nameDecoder.decode(reader.raw(end - at));
  reader.byte();
  return { bucket, key: nameDecoder.decode(reader.raw(reader.remaining)) };
}

/** The text in a key from `at` on. */
export function textIn(key: Uint8Array, at: number): string {
  return nameDecoder.decode(key.subarray(at));
}

/** The least key above `key`. */
export function after(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Every key that starts with `prefix`, which is not all 0xff. */
export function prefixRange(prefix: Uint8Array): StorageRange {
  let end = prefix.length;
  while (prefix[end - 1] === 0xff) end--;
  const to = prefix.slice(0, end);
  to[end - 1] = (to[end - 1] as number) + 1;
  return { from: prefix, to };
}
