import { describe, expect, it } from 'vitest';
import { Penalties } from '../../../../src/adapters/libp2p/penalties.ts';

describe('Penalties', () => {
  it('bans for a minute after more than ten points within a minute', () => {
    const penalties = new Penalties();
    for (let i = 0; i < 10; i++) expect(penalties.report('p', 1, 1000 + i)).toBe(false);
    expect(penalties.isBanned('p', 1010)).toBe(false);
    expect(penalties.report('p', 1, 1010)).toBe(true);
    expect(penalties.isBanned('p', 61_009)).toBe(true);
    expect(penalties.isBanned('p', 61_010)).toBe(false);
    expect(penalties.isBanned('q', 1010)).toBe(false);
  });

  it('forgets offences after a minute', () => {
    const penalties = new Penalties();
    expect(penalties.report('p', 10, 0)).toBe(false);
    expect(penalties.report('p', 10, 60_000)).toBe(false);
    expect(penalties.report('p', 1, 60_001)).toBe(true);
  });

  it('remembers a bounded number of peers', () => {
    const penalties = new Penalties();
    penalties.report('first', 11, 0);
    for (let i = 0; i < 2000; i++) penalties.report(`p${i}`, 1, 0);
    expect(penalties.isBanned('first', 1)).toBe(false);
    expect(penalties.report('p1999', 10, 0)).toBe(true);
  });
});
