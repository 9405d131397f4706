import { describe, expect, it } from 'vitest';
import { DecodeError, decodeOne, encodeOne, integer, list, text } from '../../../src/wire/codec.ts';
import { DIFFERENCE_MAX, differences, recurring, scoped } from '../../../src/wire/recurring.ts';

const words = recurring(text(16));
const all = scoped(list(words.codec, 100), [words]);
const steps = differences(DIFFERENCE_MAX);
const numbers = scoped(list(steps.codec, 100), [steps]);

describe('recurring values', () => {
  it('are written out once a message', () => {
    const bytes = encodeOne(all, ['word', 'word', 'other', 'word']);
    expect([...bytes]).toEqual([4, 1, 4, ...Buffer.from('word'), 1, 2, 5, ...Buffer.from('other'), 1]);
    expect(decodeOne(all, bytes)).toEqual(['word', 'word', 'other', 'word']);
    expect(encodeOne(all, ['word'])).toEqual(encodeOne(all, ['word']));
  });

  it('are refused where a number names nothing, or nothing is not allowed', () => {
    expect(() => decodeOne(all, Uint8Array.of(1, 2, 1, 65))).toThrow(DecodeError);
    expect(() => decodeOne(all, Uint8Array.of(1, 0))).toThrow(DecodeError);
  });

  it('do not outlive a message that could not be decoded', () => {
    expect(() => decodeOne(all, Uint8Array.of(3, 1, 1, 65, 1, 9))).toThrow(DecodeError);
    expect(() => decodeOne(all, Uint8Array.of(1, 2, 1, 65))).toThrow(DecodeError);
  });
});

describe('differences', () => {
  it('are small where neighbours are alike, in both directions, over the whole range', () => {
    const near = [1_000_000_000, 1_000_000_001, 999_999_990];
    expect(encodeOne(numbers, near).length).toBe(1 + 5 + 1 + 1);
    for (const values of [near, [0, DIFFERENCE_MAX, 0, 1], []]) {
      expect(decodeOne(numbers, encodeOne(numbers, values))).toEqual(values);
    }
  });

  it('do not lead out of bounds', () => {
    const few = differences(10);
    const small = scoped(list(few.codec, 100), [few]);
    const raw = (values: number[]): Uint8Array => encodeOne(list(integer(), 100), values);
    expect(decodeOne(small, raw([20, 1]))).toEqual([10, 9]);
    expect(() => decodeOne(small, raw([22]))).toThrow(DecodeError);
    expect(() => decodeOne(small, raw([1]))).toThrow(DecodeError);
    expect(() => decodeOne(small, raw([Number.MAX_SAFE_INTEGER]))).toThrow(DecodeError);
  });
});
