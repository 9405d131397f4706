import { describe, expect, it } from 'vitest';
import { ByteMap, compareBytes, sameBytes } from '../../../src/lib/byte-map.ts';

const bytes = (...list: number[]): Uint8Array => Uint8Array.from(list);

describe('ByteMap', () => {
  it('finds values by the content of their keys', () => {
    const map = new ByteMap<string>();
    map.set(bytes(1, 2), 'a');
    map.set(bytes(), 'empty');
    map.set(bytes(1, 2), 'b');
    expect(map.size).toBe(2);
    expect(map.get(bytes(1, 2))).toBe('b');
    expect(map.get(bytes())).toBe('empty');
    expect(map.has(bytes(1, 2, 0))).toBe(false);
    expect(map.get(bytes(2, 1))).toBeUndefined();
    expect(map.entries().map(({ value }) => value)).toEqual(['b', 'empty']);
  });

  it('keeps keys apart whose hashes are equal', () => {
    const map = new ByteMap<number>();
    // 100,000 keys: some of them share a hash of 32 bits.
    for (let i = 0; i < 100_000; i++) map.set(bytes(i & 255, (i >> 8) & 255, i >> 16), i);
    expect(map.size).toBe(100_000);
    for (let i = 0; i < 100_000; i += 7) expect(map.get(bytes(i & 255, (i >> 8) & 255, i >> 16))).toBe(i);
  });
});

describe('bytes', () => {
  it('are ordered as unsigned, a prefix first', () => {
    const list = [bytes(200), bytes(), bytes(1, 255), bytes(1), bytes(1, 0)];
    expect(list.sort(compareBytes)).toEqual([bytes(), bytes(1), bytes(1, 0), bytes(1, 255), bytes(200)]);
  });

  it('are the same when all of them are', () => {
    expect(sameBytes(bytes(1, 2), bytes(1, 2))).toBe(true);
    expect(sameBytes(bytes(1, 2), bytes(1, 3))).toBe(false);
    expect(sameBytes(bytes(1, 2), bytes(1))).toBe(false);
  });
});
