import { type Codec, DecodeError } from './codec.ts';

/** Codecs that remember what came before within one message, which `scoped` has them forget at its beginning. */
interface Memory {
  readonly forget: () => void;
}

interface Recurring<T> extends Memory {
  readonly codec: Codec<T>;
  /** Null takes one byte. */
  readonly orNull: Codec<T | null>;
}

/** Values that recur: each is written out where it is first met, and is a number of one byte or two from then on. */
export function recurring<T>(inner: Codec<T>): Recurring<T> {
  const numbers = new Map<T, number>();
  let known: T[] = [];
  const orNull: Codec<T | null> = {
    encode: (writer, value) => {
      if (value === null) {
        writer.varint(0);
        return;
      }
      const number = numbers.get(value);
      if (number !== undefined) {
        writer.varint(number);
        return;
      }
      numbers.set(value, numbers.size + 1);
      writer.varint(numbers.size);
      inner.encode(writer, value);
    },
    decode: (reader) => {
      const number = reader.varint();
      if (number === 0) return null;
      if (number > known.length + 1) throw new DecodeError('a number names nothing that came before');
      if (number <= known.length) return known[number - 1] as T;
      const value = inner.decode(reader);
      known.push(value);
      return value;
    },
  };
  const codec: Codec<T> = {
    encode: (writer, value) => orNull.encode(writer, value),
    decode: (reader) => {
      const value = orNull.decode(reader);
      if (value === null) throw new DecodeError('a value is missing');
      return value;
    },
  };
  return {
    codec,
    orNull,
    forget: () => {
      numbers.clear();
      known = [];
    },
  };
}

/** The largest integer whose differences can be written. */
export const DIFFERENCE_MAX = 2 ** 52 - 1;

/** Integers from 0 to `max`, each as its difference from the one before: small where neighbours are alike. */
export function differences(max: number): Memory & { readonly codec: Codec<number> } {
  let last = 0;
  return {
    codec: {
      encode: (writer, value) => {
        const difference = value - last;
        writer.varint(difference < 0 ? -2 * difference - 1 : 2 * difference);
        last = value;
      },
      decode: (reader) => {
        const zigzag = reader.varint();
        const value = last + (zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2);
        if (value < 0 || value > max) throw new DecodeError('a difference leads out of bounds');
        last = value;
        return value;
      },
    },
    forget: () => {
      last = 0;
    },
  };
}

/** A whole message, at whose beginning nothing is remembered. */
export function scoped<T>(codec: Codec<T>, memories: readonly Memory[]): Codec<T> {
  const forget = (): void => {
    for (const memory of memories) memory.forget();
  };
  return {
    encode: (writer, value) => {
      forget();
      codec.encode(writer, value);
    },
    decode: (reader) => {
      forget();
      return codec.decode(reader);
    },
  };
}
