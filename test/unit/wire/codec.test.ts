import { describe, expect, it } from 'vitest';
import { DecodeError, encodeOne, Reader, text, Writer } from '../../../src/wire/codec.ts';
import { actorId, dot } from '../../../src/wire/value.ts';

function written(write: (writer: Writer) => void): number[] {
  const writer = new Writer(1);
  write(writer);
  return [...writer.take()];
}

describe('what a writer gives away', () => {
  it('stays as it is while the writer goes on, at any size', () => {
    const writer = new Writer();
    const taken = Array.from({ length: 100 }, (_, i) => {
      const bytes = new Uint8Array(i * 37).fill(i);
      writer.raw(bytes);
      return { bytes, copy: writer.take() };
    });
    for (const { bytes, copy } of taken) expect(copy).toEqual(bytes);
  });

  it('moves into another writer as a byte string, and leaves nothing behind', () => {
    const [from, to] = [new Writer(), new Writer(1)];
    from.text('abc');
    from.moveTo(to);
    expect(from.length).toBe(0);
    expect([...to.take()]).toEqual([4, 3, 97, 98, 99]);
  });
});

describe('the byte forms', () => {
  it.each([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [0x7fff_ffff, [0xff, 0xff, 0xff, 0xff, 0x07]],
    [0x8000_0000, [0x80, 0x80, 0x80, 0x80, 0x08]],
    [0xffff_ffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
    [Number.MAX_SAFE_INTEGER, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('of the integer %d', (value, bytes) => {
    expect(written((writer) => writer.varint(value))).toEqual(bytes);
    expect(new Reader(Uint8Array.from(bytes)).varint()).toBe(value);
  });

  it('of fixed-size numbers are big-endian', () => {
    expect(written((writer) => writer.uint32(0xfedc_ba98))).toEqual([0xfe, 0xdc, 0xba, 0x98]);
    expect(new Reader(Uint8Array.of(0xfe, 0xdc, 0xba, 0x98)).uint32()).toBe(0xfedc_ba98);
    expect(written((writer) => writer.float64(-1.5))).toEqual([0xbf, 0xf8, 0, 0, 0, 0, 0, 0]);
    expect(new Reader(Uint8Array.of(0xbf, 0xf8, 0, 0, 0, 0, 0, 0)).float64()).toBe(-1.5);
  });

  it.each([
    '',
    'a',
    'ä',
    'ascii then ü',
    '\u{1f600}',
    '\ufeffmarked',
    'x'.repeat(63),
    'x'.repeat(64),
    `${'x'.repeat(126)}é`,
  ])('of the text %j are its UTF-8', (value) => {
    const utf8 = [...new TextEncoder().encode(value)];
    const bytes = encodeOne(text(1024), value);
    expect(bytes.slice(bytes.length - utf8.length)).toEqual(Uint8Array.from(utf8));
    expect(new Reader(bytes).text(1024)).toBe(value);
    expect(written((writer) => writer.utf8(value))).toEqual(utf8);
  });

  it('of actors survive others that share their place in the cache', () => {
    const actors = ['00000000000000aa', '00000001000000ab', '123456780000000a', '12345678000000aa', 'ffffffffffffffaa'];
    for (let round = 0; round < 2; round++) {
      for (const actor of actors) {
        const bytes = encodeOne(actorId, actor);
        expect(Buffer.from(bytes).toString('hex')).toBe(actor);
        expect(actorId.decode(new Reader(bytes))).toBe(actor);
      }
    }
  });

  it('of a dot refuse a counter of 0', () => {
    expect(() => dot.decode(new Reader(new Uint8Array(9)))).toThrow(DecodeError);
  });
});

describe('a reader', () => {
  it('hands out copies that do not share its memory, and views that do', () => {
    const input = Uint8Array.of(2, 7, 8, 1, 9);
    const reader = new Reader(input);
    const copy = reader.copy(10);
    const view = reader.bytes(10);
    input.fill(0);
    expect([...copy]).toEqual([7, 8]);
    expect([...view]).toEqual([0]);
  });

  it('keeps a nested input within its bounds', () => {
    const reader = new Reader(Uint8Array.of(1, 5, 6));
    const nested = reader.nested(10);
    expect([nested.peek(), nested.byte(), nested.peek(), nested.remaining]).toEqual([5, 5, undefined, 0]);
    expect(() => nested.byte()).toThrow(DecodeError);
    expect(reader.byte()).toBe(6);
  });

  it.each(['bytes', 'copy', 'nested', 'text'] as const)('does not read past its end: %s', (method) => {
    const read = (...bytes: number[]) => {
      new Reader(Uint8Array.from(bytes))[method](4);
    };
    expect(() => read(3, 1, 1)).toThrow('the input ends early');
    expect(() => read(5, 1, 1, 1, 1, 1)).toThrow('exceeds its bound');
    expect(() => read()).toThrow(DecodeError);
  });
});
