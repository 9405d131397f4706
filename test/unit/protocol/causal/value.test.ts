import { describe, expect, it } from 'vitest';
import type { Entry } from '../../../../src/protocol/causal/entry.ts';
import { liveEntries, readCounter, readRegister, readValue, winner } from '../../../../src/protocol/causal/value.ts';

const A = '000000000000000a';
const B = '000000000000000b';

function register(actor: string, hlc: number, text: string, expiresAtMs = 0): Entry {
  const value = new TextEncoder().encode(text);
  return { dot: { actor, counter: 1 }, hlc, expiresAtMs, payload: { kind: 'register', value, contentType: 'text/x' } };
}

function counter(
  actor: string,
  hlc: number,
  total: number,
  options: { expiresAtMs?: number; counter?: number } = {},
): Entry {
  const { expiresAtMs = 0, counter: count = 2 } = options;
  return { dot: { actor, counter: count }, hlc, expiresAtMs, payload: { kind: 'counter', total, since: 1 } };
}

describe('winner', () => {
  it('is the latest, then the counter, then the greater dot', () => {
    const a = register(A, 5, 'a');
    const b = register(B, 5, 'b');
    const later = register(A, 6, 'c');
    const onTop = counter(A, 5, 1);
    expect(winner([])).toBeUndefined();
    expect(winner([a, b])).toBe(b);
    expect(winner([a, onTop, b])).toBe(onTop);
    expect(winner([later, b])).toBe(later);
    expect(readRegister([a, onTop, b])).toBe(b);
    expect(readRegister([onTop])).toBeUndefined();
  });
});

describe('liveEntries', () => {
  it('lww: a loser does not come back when the winner expires', () => {
    const entries = [register(A, 1, 'loser'), register(B, 2, 'winner', 100)];
    expect(liveEntries(entries, 99, 'lww')).toBe(entries);
    expect(liveEntries(entries, 100, 'lww')).toEqual([]);
  });

  it('lww: the key lives on when only a loser has expired', () => {
    const entries = [register(A, 1, 'loser', 100), register(B, 2, 'winner')];
    expect(readRegister(liveEntries(entries, 100, 'lww'))).toBe(entries[1]);
  });

  it('siblings: each lives by its own expiry, counters together', () => {
    const x = register(A, 3, 'x', 100);
    const y = register(B, 2, 'y');
    expect(liveEntries([x, y], 100, 'siblings')).toEqual([y]);
    const older = counter(A, 1, 4);
    const newer = counter(B, 2, 0, { expiresAtMs: 100 });
    expect(liveEntries([older, y, newer], 100, 'siblings')).toEqual([y]);
    expect(liveEntries([older, y, newer], 99, 'siblings')).toEqual([older, y, newer]);
  });
});

describe('counters', () => {
  it('sum up one total an actor, on top of the winning register', () => {
    expect(readCounter([])).toBeNull();
    expect(readCounter([register(A, 1, '5')])).toBe(5);
    expect(readCounter([register(A, 1, '5'), counter(A, 1, 2), counter(B, 1, -3)])).toBe(4);
  });

  it('count an actor once while the event that replaced its older total is on its way', () => {
    expect(readCounter([counter(A, 1, 2, { counter: 2 }), counter(A, 1, 7, { counter: 5 }), counter(B, 1, 1)])).toBe(8);
  });

  it('give way to a later put that had not seen them', () => {
    const entries = [counter(A, 1, 1000), register(B, 9, '0')];
    expect(readCounter(entries)).toBe(0);
    expect(winner(entries)).toBe(entries[1]);
  });

  it('have no number on text, which is then what readers see', () => {
    const entries = [register(A, 1, 'text'), counter(B, 2, 1)];
    expect(readCounter(entries)).toBe('not-a-number');
    expect(new TextDecoder().decode(readValue(entries)?.value)).toBe('text');
  });
});

describe('readValue', () => {
  it('shows registers as they are and counters in decimal', () => {
    expect(readValue([])).toBeUndefined();
    expect(readValue([register(A, 1, '007')])).toMatchObject({ contentType: 'text/x' });
    const read = readValue([counter(A, 1, -12)]);
    expect(new TextDecoder().decode(read?.value)).toBe('-12');
    expect(read?.contentType).toBe('text/plain');
  });
});
