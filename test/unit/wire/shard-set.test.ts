import { describe, expect, it } from 'vitest';
import { SHARDS_MAX } from '../../../src/protocol/ring/shard.ts';
import { DecodeError, decodeOne, encodeOne } from '../../../src/wire/codec.ts';
import { shardSet } from '../../../src/wire/shard-set.ts';

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, id) => id);
}

/** Of the first class all, of another one two. */
const OF_CLASSES = [...upTo(64), 7 * SHARDS_MAX + 3, 7 * SHARDS_MAX + 250, 0xffff_ffff * SHARDS_MAX];

describe('a set of shards', () => {
  it('takes a bit a shard where it is dense and a step a shard where it is sparse', () => {
    expect(encodeOne(shardSet, upTo(256)).length).toBe(1 + 1 + 1 + 1 + 32);
    expect(encodeOne(shardSet, [3, 250]).length).toBe(1 + 1 + 1 + 1 + 3);
    for (const shards of [[], [0], [SHARDS_MAX - 1], [3, 250], upTo(256), upTo(SHARDS_MAX), OF_CLASSES]) {
      expect(decodeOne(shardSet, encodeOne(shardSet, shards))).toEqual(shards);
    }
  });

  it('is refused with more shards than there can be', () => {
    const refused = [
      // A step beyond the last one, fewer steps than said, and no such form.
      [1, 0, 0, 2, 0xff, 0xff, 3, 0],
      [1, 0, 0, 5, 1],
      [1, 0, 2, 0],
      // Classes twice, out of order, beyond the last one, and fewer than said.
      [2, 1, 0, 1, 0, 1, 0, 1, 0],
      [2, 2, 0, 1, 0, 1, 0, 1, 0],
      [1, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 1, 0],
      [2, 0, 0, 1, 0],
      [1, 0, 1, 0x81, 0x40, ...new Uint8Array(SHARDS_MAX / 8 + 1)],
    ];
    const whole = [1, 0x80, 0x40, ...new Uint8Array(SHARDS_MAX / 8).fill(0xff)];
    refused.push([17, ...Array.from({ length: 17 }, (_, ofClass) => [ofClass, ...whole]).flat()]);
    for (const bytes of refused) expect(() => decodeOne(shardSet, Uint8Array.from(bytes))).toThrow(DecodeError);
  });
});
