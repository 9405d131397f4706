import { describe, expect, it } from 'vitest';
import { isBelow, isSitePath, SITE_NAME, sitePathOf, siteWithToken } from '../../../src/lib/site-name.ts';

describe('the name of a site of a site', () => {
  it('is made of both, over four levels at most', () => {
    const path = sitePathOf('region-3', sitePathOf('district-7', 'berlin'));
    expect(path).toBe('region-3:district-7:berlin');
    expect(isSitePath(path)).toBe(true);
    expect(isSitePath('berlin')).toBe(true);
    expect(isSitePath(sitePathOf('world', path))).toBe(true);
    expect(isSitePath(sitePathOf('space', sitePathOf('world', path)))).toBe(false);
    expect(sitePathOf('d'.repeat(63), 'b'.repeat(63))).toSatisfy(isSitePath);
  });

  it.each(['', ':', 'a:', ':a', 'a::b', 'A:b', 'a:b c', 'a/b', `a:${'b'.repeat(64)}`])('is never %j', (name) => {
    expect(isSitePath(name)).toBe(false);
  });

  it('is nothing that an operator can give', () => {
    expect(SITE_NAME.test('district-7:berlin')).toBe(false);
  });

  it('says whose token speaks for it, and whose site it is', () => {
    expect(siteWithToken('region-3:district-7:berlin')).toBe('region-3');
    expect(siteWithToken('berlin')).toBe('berlin');
    expect(isBelow('district-7:berlin', 'district-7')).toBe(true);
    expect(isBelow('region-3:district-7:berlin', 'region-3:district-7')).toBe(true);
    for (const other of ['district-70:berlin', 'district-7', 'district-7.berlin']) {
      expect(isBelow(other, 'district-7')).toBe(false);
    }
  });
});
