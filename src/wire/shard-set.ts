import { SHARDS_MAX as SHARDS_OF_CLASS_MAX } from '../protocol/ring/shard.ts';
import { type Codec, DecodeError, type Reader, type Writer } from './codec.ts';

/** Of one message: those of sixteen placements, where there are as many as there may be. */
export const SHARDS_MAX = 16 * SHARDS_OF_CLASS_MAX;
/** A class with one shard. */
const CLASS_BYTES_MIN = 4;

const STEPS = 0;
const BITMAP = 1;

/**
 * Ids of shards in ascending order, class by class: one bit for each shard up to the last of its class, or, where that
 * is shorter, the steps from one to the next.
 */
export const shardSet: Codec<readonly number[]> = {
  encode: (writer, ids) => {
    const classes = new Map<number, number[]>();
    for (const id of ids) {
      const number = id % SHARDS_OF_CLASS_MAX;
      const ofClass = (id - number) / SHARDS_OF_CLASS_MAX;
      const numbers = classes.get(ofClass);
      if (numbers === undefined) classes.set(ofClass, [number]);
      else numbers.push(number);
    }
    writer.varint(classes.size);
    for (const [ofClass, numbers] of classes) {
      writer.varint(ofClass);
      encodeNumbers(writer, numbers);
    }
  },
  decode: (reader) => {
    const count = reader.varint();
    if (count * CLASS_BYTES_MIN > reader.remaining) throw new DecodeError('the input ends early');
    const ids: number[] = [];
    let previous = -1;
    for (let i = 0; i < count; i++) {
      const ofClass = reader.varint();
      if (ofClass <= previous || ofClass > 0xffff_ffff) throw new DecodeError('classes of shards are out of order');
      previous = ofClass;
      for (const number of decodeNumbers(reader)) ids.push(ofClass * SHARDS_OF_CLASS_MAX + number);
      if (ids.length > SHARDS_MAX) throw new DecodeError('a message names too many shards');
    }
    return ids;
  },
};

function encodeNumbers(writer: Writer, numbers: readonly number[]): void {
  const bitmapBytes = Math.floor((numbers.at(-1) ?? -1) / 8) + 1;
  if (bitmapBytes < numbers.length) {
    const bitmap = new Uint8Array(bitmapBytes);
    for (const number of numbers) bitmap[number >> 3] = (bitmap[number >> 3] as number) | (1 << (number & 7));
    writer.byte(BITMAP);
    writer.bytes(bitmap);
    return;
  }
  writer.byte(STEPS);
  writer.varint(numbers.length);
  let previous = -1;
  for (const number of numbers) {
    writer.varint(number - previous - 1);
    previous = number;
  }
}

function decodeNumbers(reader: Reader): number[] {
  const numbers: number[] = [];
  const form = reader.byte();
  if (form > BITMAP) throw new DecodeError('an unknown form of a set of shards');
  if (form === BITMAP) {
    for (const [index, bits] of reader.bytes(SHARDS_OF_CLASS_MAX / 8).entries()) {
      for (let bit = 0; bit < 8; bit++) if ((bits & (1 << bit)) !== 0) numbers.push(index * 8 + bit);
    }
    return numbers;
  }
  const count = reader.varint();
  if (count > reader.remaining) throw new DecodeError('the input ends early');
  let previous = -1;
  for (let i = 0; i < count; i++) {
    previous += reader.varint() + 1;
    if (previous >= SHARDS_OF_CLASS_MAX) throw new DecodeError('there are not so many shards');
    numbers.push(previous);
  }
  return numbers;
}
