import { describe, expect, test } from 'vitest';
import type { Entry, Payload } from '../../../src/protocol/causal/entry.ts';
import { ShownKeys } from '../../simulation/shown-keys.ts';

const NOW_MS = 1000;
const FIELD: Payload = { kind: 'map-field', field: new Uint8Array(), hlc: 1, value: new Uint8Array() };

function entry(counter: number, payload: Payload, expiresAtMs = 0): Entry {
  return { dot: { actor: 'a'.repeat(16), counter }, hlc: counter, expiresAtMs, payload };
}

/** Shows a key in these states, and returns the counters of what came back. */
function cameBack(...states: readonly (readonly Entry[])[]): string[] {
  const keys = new ShownKeys();
  return states.flatMap((state) => keys.show('k', state, NOW_MS)).map((dot) => dot.slice('a'.repeat(16).length + 1));
}

describe('the keys as a watching client was shown them', () => {
  const header = entry(1, { kind: 'map' });
  const first = entry(2, FIELD);
  const second = entry(3, FIELD);

  test('a version that was replaced does not come back', () => {
    expect(cameBack([first], [second], [first])).toEqual(['2']);
    expect(cameBack([first], [], [first])).toEqual(['2']);
  });

  test('the expiry of a map without fields is hidden, and is seen again with the next field', () => {
    expect(cameBack([header, first], [], [header, second])).toEqual([]);
    expect(cameBack([header, first], [], [], [header, second])).toEqual([]);
  });

  test('the expiry of a map is replaced where its fields are seen without it', () => {
    expect(cameBack([header, first], [first], [header, first])).toEqual(['1']);
    expect(cameBack([header, first], [], [second], [header, second])).toEqual(['1']);
  });

  test('what has expired is hidden until something later is seen beside it', () => {
    const expired = entry(1, FIELD, NOW_MS);
    expect(cameBack([expired], [], [expired, second])).toEqual([]);
    expect(cameBack([expired], [second], [expired, second])).toEqual(['1']);
  });
});
