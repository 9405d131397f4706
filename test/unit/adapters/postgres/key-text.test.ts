import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endOfPrefix, keyFromText, keyToText } from '../../../../src/adapters/postgres/key-text.ts';
import { compareUtf8 } from '../../../../src/lib/utf8.ts';

/** Many of them share a prefix, or are one of what is written in another way. */
const key = fc.string({
  unit: fc.constantFrom('\0', '\u0001', '\u0002', 'a', 'é', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}'),
  maxLength: 6,
});

describe('a key as text', () => {
  it('has no U+0000, comes back as it was, and keeps the order', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(keyToText(a)).not.toContain('\0');
        expect(keyFromText(keyToText(a))).toBe(a);
        expect(Math.sign(compareUtf8(keyToText(a), keyToText(b)))).toBe(Math.sign(compareUtf8(a, b)));
        expect(keyToText(a).startsWith(keyToText(b))).toBe(a.startsWith(b));
      }),
    );
  });

  it('is what it was for nearly all keys', () => {
    expect(keyToText('sensors/1 ü \u{1f600}')).toBe('sensors/1 ü \u{1f600}');
    expect(keyToText('a\0b\u0001')).toBe('a\u0001\u0001b\u0001\u0002');
  });
});

describe('the end of a prefix', () => {
  it('is above all that begin with it, and not above anything else', () => {
    fc.assert(
      fc.property(key, key, (prefix, other) => {
        const end = endOfPrefix(prefix);
        const isWithin = compareUtf8(other, prefix) >= 0 && (end === null || compareUtf8(other, end) < 0);
        expect(isWithin).toBe(other.startsWith(prefix));
      }),
    );
  });

  it('is a text that UTF-8 can hold', () => {
    expect(endOfPrefix('a\ud7ff')).toBe('a\ue000');
    expect(endOfPrefix('a\u{10ffff}')).toBe('b');
    expect(endOfPrefix('\u{10ffff}')).toBeNull();
    expect(endOfPrefix('')).toBeNull();
  });
});
