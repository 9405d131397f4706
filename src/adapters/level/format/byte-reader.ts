/** Reads numbers as LevelDB writes them. Throws RangeError at the end of the bytes and on numbers that are too long. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.at;
  }

  byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new RangeError('the bytes end too soon');
    this.at++;
    return byte;
  }

  /** Up to 64 bits; beyond 2^53 it is not exact. */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw new RangeError('the number is too long');
  }

  /** A view. */
  bytes(length: number): Uint8Array {
    if (length > this.left) throw new RangeError('the bytes end too soon');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }
}

export function varintBytes(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 128) | 0x80);
    left = Math.floor(left / 128);
  }
  bytes.push(left);
  return Uint8Array.from(bytes);
}
