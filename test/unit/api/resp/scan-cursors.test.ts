import { describe, expect, test } from 'vitest';
import { ScanCursors } from '../../../../src/api/resp/scan-cursors.ts';

describe('ScanCursors', () => {
  test('gives safe integers that lead back to their key, the same one each time', () => {
    const cursors = new ScanCursors();
    for (let i = 0; i < 1000; i++) {
      const cursor = cursors.remember(`key:${String(i)}`);
      expect(cursor).toMatch(/^[1-9][0-9]*$/);
      expect(Number(cursor)).toBeLessThanOrEqual(2 ** 53);
      expect(cursors.remember(`key:${String(i)}`)).toBe(cursor);
      expect(cursors.recall(cursor)).toBe(`key:${String(i)}`);
    }
  });

  test('forgets the least recently used ones', () => {
    const cursors = new ScanCursors(2);
    const [a, b] = [cursors.remember('a'), cursors.remember('b')];
    cursors.recall(a);
    const c = cursors.remember('c');
    expect([a, b, c].map((cursor) => cursors.recall(cursor))).toEqual(['a', undefined, 'c']);
  });
});
