import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hash32, hashString } from '../../../src/lib/hash.ts';

const encoder = new TextEncoder();

describe('hash32', () => {
  // Published vectors of MurmurHash3_x86_32.
  it.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['a', 0x9747b28c, 0x7fa09ea6],
    ['aa', 0x9747b28c, 0x5d211726],
    ['aaa', 0x9747b28c, 0x283e0130],
    ['aaaa', 0x9747b28c, 0x5a97808a],
    ['abc', 0, 0xb3dd93fa],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ])('of %j with seed %i', (text, seed, expected) => {
    expect(hash32(encoder.encode(text), seed)).toBe(expected);
    expect(hashString(text, seed)).toBe(expected);
  });
});

describe('hashString', () => {
  it('is the hash of the UTF-8 form, of ASCII and anything else', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.tuple(fc.string(), fc.string({ unit: 'grapheme' })).map((parts) => parts.join('\0')),
    );
    fc.assert(
      fc.property(text, fc.integer(), (each, seed) => {
        expect(hashString(each, seed)).toBe(hash32(encoder.encode(each), seed));
      }),
      { numRuns: 1000 },
    );
  });

  it('takes lone surrogates as the encoder does', () => {
    expect(hashString('a\ud800')).toBe(hash32(encoder.encode('a\ud800')));
  });
});
