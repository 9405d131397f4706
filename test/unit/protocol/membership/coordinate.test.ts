import { describe, expect, it } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import {
  isCoordinate,
  ORIGIN,
  predictedRttMs,
  rounded,
  Vivaldi,
} from '../../../../src/protocol/membership/coordinate.ts';

/** Sites on a plane, in ms, each node with an access link of its own. */
function nodesOf(seed: number, count: number): { readonly x: number; readonly y: number; readonly link: number }[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, () => ({
    x: prng.float() * 100,
    y: prng.float() * 100,
    link: 0.5 + prng.float() * 5,
  }));
}

describe('Vivaldi', () => {
  it('predicts the round trips of pairs that never measured each other', () => {
    const prng = new Prng(7);
    const nodes = nodesOf(3, 40);
    const places = nodes.map(() => new Vivaldi(prng));
    const rtt = (a: number, b: number): number => {
      const [one, other] = [nodes[a] as (typeof nodes)[0], nodes[b] as (typeof nodes)[0]];
      return Math.hypot(one.x - other.x, one.y - other.y) + one.link + other.link;
    };
    // Each measures eight others only, as in a large cluster.
    for (let round = 0; round < 300; round++) {
      for (const [i, place] of places.entries()) {
        const j = (i + 1 + ((round * 5) % 8) * 3) % nodes.length;
        place.observe(rtt(i, j) * (0.9 + 0.2 * prng.float()), (places[j] as Vivaldi).coordinate);
      }
    }
    const errors: number[] = [];
    for (let a = 0; a < nodes.length; a++) {
      for (let b = 0; b < a; b++) {
        const predicted = predictedRttMs((places[a] as Vivaldi).coordinate, (places[b] as Vivaldi).coordinate);
        errors.push(Math.abs(predicted - rtt(a, b)) / rtt(a, b));
      }
    }
    errors.sort((a, b) => a - b);
    expect(errors[Math.floor(errors.length / 2)]).toBeLessThan(0.15);
  });

  it('is not thrown by samples and coordinates that cannot be', () => {
    const place = new Vivaldi(new Prng(1));
    for (const rtt of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e9]) place.observe(rtt, ORIGIN);
    for (const x of [Number.NaN, Number.POSITIVE_INFINITY, 1e9]) place.observe(5, { ...ORIGIN, x });
    expect(isCoordinate({ ...ORIGIN, height: -1 })).toBe(false);
    expect(place.coordinate).toEqual(ORIGIN);
    expect(place.isSettled).toBe(false);
  });

  it('begins anew instead of being pushed out of the space by others at its edge', () => {
    const place = new Vivaldi(new Prng(1));
    for (let i = 0; i < 2000; i++) {
      const side = i % 2 === 0 ? 1 : -1;
      place.observe(60_000, { x: side * 60_000, y: side * 60_000, z: 60_000, height: 60_000, error: 0 });
      place.observe(60_000, { x: -60_000, y: 60_000, z: side * 60_000, height: 0, error: 0 });
      expect(isCoordinate(rounded(place.coordinate))).toBe(true);
    }
  });

  it('travels in a form that does not change when it is told on', () => {
    const place = new Vivaldi(new Prng(1));
    for (let i = 0; i < 30; i++) place.observe(40 + i, { ...ORIGIN, x: 3, error: 0.2 });
    const told = rounded(place.coordinate);
    expect(rounded(told)).toEqual(told);
    expect(Math.abs(told.x - place.coordinate.x)).toBeLessThan(0.006);
  });
});
