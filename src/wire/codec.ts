/**
 * The byte form of everything that leaves this process: small composable codecs, each with a hard bound, so that
 * a decoder never allocates more than its input justifies. Integers are LEB128 varints, text is UTF-8, lists and
 * byte strings are length-prefixed.
 *
 * Written here rather than generated: protobuf generators for TypeScript emit namespaces and enums, which Node
 * cannot strip, and their decoders do not bound lists by default.
 *
 * Evolution: a decoder ignores what follows the last field of a message, so fields can be appended; a new message
 * gets a new tag, which older nodes skip and count.
 */

/** The input does not follow the format; `reason` says where. Never thrown for trusted data. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

const textEncoder = new TextEncoder();
// A byte order mark is part of the text: without it a key would become another one.
const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Small results share chunks: an ArrayBuffer of its own costs several times what filling it does, and its release
 * burdens the garbage collector. Results are short-lived (frames, records on their way to the disk), so a chunk is too.
 */
const CHUNK_BYTES = 16 * 1024;
const SHARED_BYTES_MAX = 1024;
/** Up to so many bytes are copied one by one. */
const LOOP_BYTES_MAX = 256;
let chunk = new Uint8Array(CHUNK_BYTES);
let chunkUsed = 0;

function copyOf(bytes: Uint8Array, length: number): Uint8Array {
  if (length > SHARED_BYTES_MAX) return bytes.slice(0, length);
  if (chunkUsed + length > CHUNK_BYTES) {
    chunk = new Uint8Array(CHUNK_BYTES);
    chunkUsed = 0;
  }
  const copy = chunk.subarray(chunkUsed, chunkUsed + length);
  copyBytes(bytes, 0, length, copy, 0);
  chunkUsed += length;
  return copy;
}

/** As `target.set(bytes.subarray(from, from + length), at)`, which for a few bytes costs several times as much. */
function copyBytes(bytes: Uint8Array, from: number, length: number, target: Uint8Array, at: number): void {
  if (length > LOOP_BYTES_MAX) target.set(bytes.subarray(from, from + length), at);
  else for (let i = 0; i < length; i++) target[at + i] = bytes[from + i] as number;
}

const floatBytes = new DataView(new ArrayBuffer(8));

/** A growing byte buffer. */
export class Writer {
  private buffer: Uint8Array;
  private used = 0;

  constructor(initialBytes = 256) {
    this.buffer = new Uint8Array(initialBytes);
  }

  get length(): number {
    return this.used;
  }

  /** Bytes that it holds on to for reuse. */
  get capacity(): number {
    return this.buffer.length;
  }

  /** Everything written, as a copy; the writer is then empty and can be used again. */
  take(): Uint8Array {
    const bytes = copyOf(this.buffer, this.used);
    this.used = 0;
    return bytes;
  }

  /** Appends everything written to `target`, as a byte string; the writer is then empty. */
  moveTo(target: Writer): void {
    target.varint(this.used);
    target.reserve(this.used);
    copyBytes(this.buffer, 0, this.used, target.buffer, target.used);
    target.used += this.used;
    this.used = 0;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.used++] = value;
  }

  /** An integer from 0 to 2^53 - 1. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      // Integer arithmetic where 31 bits suffice; a division of doubles costs ten times as much.
      if (rest <= 0x7fff_ffff) {
        this.buffer[this.used++] = (rest & 0x7f) | 0x80;
        rest >>>= 7;
      } else {
        this.buffer[this.used++] = (rest % 0x80) | 0x80;
        rest = Math.floor(rest / 0x80);
      }
    }
    this.buffer[this.used++] = rest;
  }

  uint32(value: number): void {
    this.reserve(4);
    this.buffer[this.used++] = value >>> 24;
    this.buffer[this.used++] = value >>> 16;
    this.buffer[this.used++] = value >>> 8;
    this.buffer[this.used++] = value;
  }

  float64(value: number): void {
    floatBytes.setFloat64(0, value);
    for (let i = 0; i < 8; i++) this.byte(floatBytes.getUint8(i));
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    copyBytes(bytes, 0, bytes.length, this.buffer, this.used);
    this.used += bytes.length;
  }

  bytes(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.raw(bytes);
  }

  text(text: string): void {
    // Most text is short ASCII: one byte a unit, no call into the encoder.
    const start = this.used;
    if (text.length < 0x80) {
      this.byte(text.length);
      if (this.ascii(text)) return;
      this.used = start;
    }
    this.bytes(textEncoder.encode(text));
  }

  /** UTF-8 without its length. */
  utf8(text: string): void {
    const start = this.used;
    if (this.ascii(text)) return;
    this.used = start;
    this.raw(textEncoder.encode(text));
  }

  /** False, with some of it written, when the text is not ASCII. */
  private ascii(text: string): boolean {
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= 0x80) return false;
      this.buffer[this.used++] = unit;
    }
    return true;
  }

  private reserve(bytes: number): void {
    if (this.used + bytes <= this.buffer.length) return;
    let size = this.buffer.length * 2;
    while (size < this.used + bytes) size *= 2;
    const grown = new Uint8Array(size);
    grown.set(this.buffer.subarray(0, this.used));
    this.buffer = grown;
  }
}

/** Reads what `Writer` wrote; every method throws `DecodeError` rather than read past the end. */
export class Reader {
  private readonly buffer: Uint8Array;
  private readonly end: number;
  private at: number;

  constructor(buffer: Uint8Array, from = 0, to = buffer.length) {
    this.buffer = buffer;
    this.at = from;
    this.end = to;
  }

  get remaining(): number {
    return this.end - this.at;
  }

  /** The next byte, which stays; undefined at the end. */
  peek(): number | undefined {
    return this.at < this.end ? this.buffer[this.at] : undefined;
  }

  byte(): number {
    this.need(1);
    return this.buffer[this.at++] as number;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new DecodeError('an integer exceeds 53 bits');
  }

  uint32(): number {
    this.need(4);
    const { buffer, at } = this;
    this.at += 4;
    return (
      (((buffer[at] as number) << 24) |
        ((buffer[at + 1] as number) << 16) |
        ((buffer[at + 2] as number) << 8) |
        (buffer[at + 3] as number)) >>>
      0
    );
  }

  float64(): number {
    for (let i = 0; i < 8; i++) floatBytes.setUint8(i, this.byte());
    return floatBytes.getFloat64(0);
  }

  /** A view into the input, not a copy. */
  raw(length: number): Uint8Array {
    this.need(length);
    const bytes = this.buffer.subarray(this.at, this.at + length);
    this.at += length;
    return bytes;
  }

  /** A view into the input, not a copy. */
  bytes(bytesMax: number): Uint8Array {
    return this.raw(this.count(bytesMax));
  }

  /** A copy, so that a small value does not keep its whole frame in memory. */
  copy(bytesMax: number): Uint8Array {
    const length = this.count(bytesMax);
    // Not `slice`: that of a Buffer is a view.
    const bytes = new Uint8Array(length);
    copyBytes(this.buffer, this.at, length, bytes, 0);
    this.at += length;
    return bytes;
  }

  /** A byte string as an input of its own. */
  nested(bytesMax: number): Reader {
    const length = this.count(bytesMax);
    const reader = new Reader(this.buffer, this.at, this.at + length);
    this.at += length;
    return reader;
  }

  text(bytesMax: number): string {
    const length = this.count(bytesMax);
    if (length < 64) {
      const end = this.at + length;
      let ascii = '';
      let at = this.at;
      for (; at < end; at++) {
        const byte = this.buffer[at] as number;
        if (byte >= 0x80) break;
        ascii += String.fromCharCode(byte);
      }
      if (at === end) {
        this.at = end;
        return ascii;
      }
    }
    const bytes = this.raw(length);
    try {
      return textDecoder.decode(bytes);
    } catch {
      throw new DecodeError('a text is not valid UTF-8');
    }
  }

  /** The length of a byte string that is there whole. */
  private count(bytesMax: number): number {
    const length = this.varint();
    if (length > bytesMax) throw new DecodeError(`a byte string of ${length} exceeds its bound of ${bytesMax}`);
    this.need(length);
    return length;
  }

  private need(bytes: number): void {
    if (bytes > this.end - this.at) throw new DecodeError('the input ends early');
  }
}

/** How one type is written and read. */
export interface Codec<T> {
  encode(writer: Writer, value: T): void;
  decode(reader: Reader): T;
}

/** An integer from 0 to `max`. */
export function integer(max: number = Number.MAX_SAFE_INTEGER): Codec<number> {
  return {
    encode: (writer, value) => writer.varint(value),
    decode: (reader) => {
      const value = reader.varint();
      if (value > max) throw new DecodeError(`the integer ${value} exceeds its bound of ${max}`);
      return value;
    },
  };
}

/** A signed safe integer: a byte for the sign, then the magnitude. */
export const signed: Codec<number> = {
  encode: (writer, value) => {
    writer.byte(value < 0 ? 1 : 0);
    writer.varint(Math.abs(value));
  },
  decode: (reader) => {
    const isNegative = boolean.decode(reader);
    const magnitude = reader.varint();
    if (isNegative && magnitude === 0) throw new DecodeError('zero has no sign');
    return isNegative ? -magnitude : magnitude;
  },
};

export const uint32: Codec<number> = {
  encode: (writer, value) => writer.uint32(value),
  decode: (reader) => reader.uint32(),
};

/** A finite number. */
export const number: Codec<number> = {
  encode: (writer, value) => writer.float64(value),
  decode: (reader) => {
    const value = reader.float64();
    if (!Number.isFinite(value)) throw new DecodeError('a number is not finite');
    return value;
  },
};

export const boolean: Codec<boolean> = {
  encode: (writer, value) => writer.byte(value ? 1 : 0),
  decode: (reader) => {
    const value = reader.byte();
    if (value > 1) throw new DecodeError('a boolean is neither 0 nor 1');
    return value === 1;
  },
};

export function text(bytesMax: number): Codec<string> {
  return {
    encode: (writer, value) => writer.text(value),
    decode: (reader) => reader.text(bytesMax),
  };
}

export function bytes(bytesMax: number): Codec<Uint8Array> {
  return {
    encode: (writer, value) => writer.bytes(value),
    decode: (reader) => reader.copy(bytesMax),
  };
}

export function list<T>(item: Codec<T>, itemsMax: number): Codec<readonly T[]> {
  return {
    encode: (writer, values) => {
      writer.varint(values.length);
      for (const value of values) item.encode(writer, value);
    },
    decode: (reader) => {
      const count = reader.varint();
      if (count > itemsMax) throw new DecodeError(`a list of ${count} exceeds its bound of ${itemsMax}`);
      // Every item takes at least a byte: a count beyond the rest of the input is a lie, found before allocating.
      if (count > reader.remaining) throw new DecodeError('the input ends early');
      const values: T[] = [];
      for (let i = 0; i < count; i++) values.push(item.decode(reader));
      return values;
    },
  };
}

export function nullable<T>(inner: Codec<T>): Codec<T | null> {
  return {
    encode: (writer, value) => {
      writer.byte(value === null ? 0 : 1);
      if (value !== null) inner.encode(writer, value);
    },
    decode: (reader) => (boolean.decode(reader) ? inner.decode(reader) : null),
  };
}

/** One of a few words, as its index: only append to the list. */
export function oneOf<const W extends string>(...words: readonly W[]): Codec<W> {
  return {
    encode: (writer, value) => writer.byte(words.indexOf(value)),
    decode: (reader) => {
      const word = words[reader.byte()];
      if (word === undefined) throw new DecodeError('an unknown choice');
      return word;
    },
  };
}

type Fields<T> = { readonly [K in keyof T]-?: Codec<T[K]> };

/** An object with fixed fields, in the order in which they are listed. */
export function record<T extends object>(fields: Fields<T>): Codec<T> {
  const names = Object.keys(fields) as (keyof T)[];
  const codecs = names.map((name) => fields[name]) as Codec<T[keyof T]>[];
  return {
    encode: (writer, value) => {
      for (let i = 0; i < names.length; i++) {
        (codecs[i] as Codec<T[keyof T]>).encode(writer, value[names[i] as keyof T]);
      }
    },
    decode: (reader) => {
      const value = {} as T;
      for (let i = 0; i < names.length; i++) {
        value[names[i] as keyof T] = (codecs[i] as Codec<T[keyof T]>).decode(reader);
      }
      return value;
    },
  };
}

/** A last field that was appended later: null where an older node has left it out. */
export function appended<T>(inner: Codec<T>): Codec<T | null> {
  return {
    encode: (writer, value) => {
      if (value !== null) inner.encode(writer, value);
    },
    decode: (reader) => (reader.remaining === 0 ? null : inner.decode(reader)),
  };
}

type Tagged<D extends string> = { readonly [K in D]: string };
/** The member of a union whose discriminant may be `K`. */
type Variant<T, D extends string, K> = T extends { readonly [P in D]: infer V } ? (K extends V ? T : never) : never;
type Variants<T extends Tagged<D>, D extends string> = {
  readonly [K in T[D]]: readonly [tag: number, codec: Codec<Omit<Variant<T, D, K>, D>>];
};

export interface UnionCodec<T> extends Codec<T> {
  readonly tags: ReadonlySet<number>;
}

/** A union told apart by the field `discriminant`, as one tag byte. Tags are for ever. */
export function union<T extends Tagged<D>, const D extends string>(
  discriminant: D,
  variants: Variants<T, D>,
): UnionCodec<T> {
  const byName = variants as Readonly<Record<string, readonly [number, Codec<object>]>>;
  const byTag: (readonly [string, Codec<object>] | undefined)[] = [];
  for (const [name, [tag, codec]] of Object.entries(byName)) byTag[tag] = [name, codec];
  return {
    tags: new Set(Object.values(byName).map(([tag]) => tag)),
    encode: (writer, value) => {
      const variant = byName[value[discriminant]] as readonly [number, Codec<object>];
      writer.byte(variant[0]);
      variant[1].encode(writer, value);
    },
    decode: (reader) => {
      const tag = reader.byte();
      const variant = byTag[tag];
      if (variant === undefined) throw new DecodeError(`unknown tag ${tag}`);
      const value = variant[1].decode(reader) as Record<string, unknown>;
      value[discriminant] = variant[0];
      return value as T;
    },
  };
}

/** Carries a type by way of another. `to` may throw `DecodeError`. */
export function mapped<A, B>(inner: Codec<A>, from: (value: B) => A, to: (value: A) => B): Codec<B> {
  return {
    encode: (writer, value) => inner.encode(writer, from(value)),
    decode: (reader) => to(inner.decode(reader)),
  };
}

const idle: Writer[] = [];
const IDLE_BYTES_MAX = 64 * 1024;

/** Encodes one value on its own. */
export function encodeOne<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = idle.pop() ?? new Writer();
  codec.encode(writer, value);
  const bytes = writer.take();
  if (writer.capacity <= IDLE_BYTES_MAX) idle.push(writer);
  return bytes;
}

/** Decodes one value on its own; bytes after it are ignored. */
export function decodeOne<T>(codec: Codec<T>, input: Uint8Array): T {
  return codec.decode(new Reader(input));
}
