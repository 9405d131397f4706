import { describe, expect, it } from 'vitest';
import { Prng } from '../../../src/lib/prng.ts';

describe('Prng', () => {
  it('repeats itself for a seed and differs between seeds', () => {
    const draw = (seed: number): number[] => {
      const prng = new Prng(seed);
      return Array.from({ length: 8 }, () => prng.uint32());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
    expect(new Set(draw(0)).size).toBe(8);
  });

  it('draws uniformly below a bound', () => {
    const prng = new Prng(1);
    const counts = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 100_000; i++) {
      const drawn = prng.below(10);
      counts[drawn] = (counts[drawn] as number) + 1;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
    // 9 degrees of freedom; 27.9 is exceeded once in a thousand seeds, and this seed is fixed.
    expect(chiSquare).toBeLessThan(27.9);
  });

  it('keeps floats in [0, 1) and honours certain and impossible chances', () => {
    const prng = new Prng(2);
    for (let i = 0; i < 1000; i++) {
      const drawn = prng.float();
      expect(drawn >= 0 && drawn < 1).toBe(true);
      expect(prng.chance(0)).toBe(false);
      expect(prng.chance(1)).toBe(true);
    }
  });

  it('shuffles in place without losing anything, and picks from what there is', () => {
    const prng = new Prng(3);
    const items = Array.from({ length: 50 }, (_, i) => i);
    const shuffled = prng.shuffle(items);
    expect(shuffled).toBe(items);
    expect(shuffled).not.toEqual([...items].sort((a, b) => a - b));
    expect([...shuffled].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(items).toContain(prng.pick(items));
    expect(prng.pick([])).toBeUndefined();
  });
});
