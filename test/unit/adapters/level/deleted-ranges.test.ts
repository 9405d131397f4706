import { expect, it } from 'vitest';
import { DeletedRanges } from '../../../../src/adapters/level/deleted-ranges.ts';

it('names the touched ranges once, in key order', () => {
  const deleted = new DeletedRanges();
  for (const key of [
    [0x6f, 0, 0, 0, 0, 1, 2, 9],
    [0x64, 0, 0, 0, 0, 0, 0xff],
    [0x6f, 0, 0, 0, 0, 1, 2, 3],
    [0x6f, 0x80, 0, 0, 7, 1, 2, 3],
    [0x6f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
  ])
    deleted.note(Uint8Array.from(key));
  expect(deleted.take()).toEqual([
    { from: Uint8Array.of(0x64, 0, 0, 0, 0, 0, 0xff), to: Uint8Array.of(0x64, 0, 0, 0, 0, 1) },
    { from: Uint8Array.of(0x6f, 0, 0, 0, 0, 1, 2), to: Uint8Array.of(0x6f, 0, 0, 0, 0, 1, 3) },
    { from: Uint8Array.of(0x6f, 0x80, 0, 0, 7, 1, 2), to: Uint8Array.of(0x6f, 0x80, 0, 0, 7, 1, 3) },
    { from: Uint8Array.of(0x6f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), to: Uint8Array.of(0x70) },
  ]);
  expect(deleted.take()).toEqual([]);
});

it('counts everything as touched beyond its bound', () => {
  const deleted = new DeletedRanges();
  for (let i = 0; i < 20_000; i++) deleted.note(Uint8Array.of(1, i >> 8, i & 0xff));
  expect(deleted.take()).toEqual([{ from: Uint8Array.of(0), to: Uint8Array.of(0xff) }]);
  deleted.note(Uint8Array.of(7));
  expect(deleted.take()).toEqual([{ from: Uint8Array.of(7), to: Uint8Array.of(8) }]);
});
