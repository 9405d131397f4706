import { isUtf8 } from 'node:buffer';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import { KEY_BYTES_MAX } from './limits.ts';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
const INTEGER = /^(?:0|-?[1-9][0-9]{0,18})$/;

/**
 * A 64-bit decimal integer as Redis' `string2ll` reads it: no blanks, plus sign or leading zeros; null otherwise.
 * Beyond the safe integers the number is rounded: callers compare it, and refuse to store it.
 */
export function parseInteger(bytes: Buffer): number | null {
  if (bytes.length > 20) return null;
  const text = bytes.toString('latin1');
  if (!INTEGER.test(text)) return null;
  if (text.length > 15) {
    const exact = BigInt(text);
    if (exact > INT64_MAX || exact < INT64_MIN) return null;
  }
  return Number(text);
}

/** An option word, in upper case. */
export function parseWord(bytes: Buffer | undefined): string {
  return bytes === undefined ? '' : bytes.toString('latin1').toUpperCase();
}

/** Throws `bad-key` for what is not 1 to 1024 bytes of UTF-8. */
export function parseKey(bytes: Buffer): string {
  if (bytes.length === 0 || bytes.length > KEY_BYTES_MAX) {
    throw new HoldfastError(failure('bad-key', `a key is 1 to ${KEY_BYTES_MAX} bytes long, not ${bytes.length}`));
  }
  if (!isUtf8(bytes)) throw new HoldfastError(failure('bad-key', 'a key is UTF-8 text; this one is not'));
  return bytes.toString();
}

/** The value as bytes of its own, so that storing it does not keep the network chunk alive. */
export function parseValue(bytes: Buffer): Uint8Array {
  if (bytes.length > VALUE_BYTES_MAX) {
    throw new HoldfastError(
      failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes, not ${bytes.length}`),
    );
  }
  return new Uint8Array(bytes);
}
