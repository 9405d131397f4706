import { describe, expect, test } from 'vitest';
import { VALUE_BYTES_MAX } from '../../../../src/protocol/causal/entry.ts';
import {
  ELECTORS_MAX,
  type Elector,
  electorateBytes,
  electorateIn,
  founded,
  settled,
  towards,
} from '../../../../src/protocol/electorate/electorate.ts';

function elector(id: string, more: Partial<Elector> = {}): Elector {
  return { id, weight: 1, zone: '', disk: 'd', ...more };
}

function read(electors: readonly Elector[]): unknown {
  return electorateIn(electorateBytes(founded('1.a', { shards: 16, replicas: 3, electors })));
}

describe('an electorate that a peer tells', () => {
  test('has members as a ring can have them', () => {
    expect(read([elector('a'), elector('b', { weight: 1000, zone: 'north' })])).not.toBeNull();
    for (const weight of [1e308, 5e-324, 0, -1, Number.NaN]) {
      expect(read([elector('a'), elector('b', { weight })])).toBeNull();
    }
    expect(read([elector('a'), elector('b', { zone: 'z'.repeat(65) })])).toBeNull();
    expect(read([])).toBeNull();
    expect(read([elector('a'), elector('a')])).toBeNull();
  });
});

describe('an electorate', () => {
  test('fits into a value however often the largest one changes, and knows the stage before', () => {
    const settings = { weight: 0.125, zone: 'hall 7, north', disk: '0123456789abcdef' };
    const some = (from: number): Elector[] =>
      Array.from({ length: ELECTORS_MAX }, (_, i) => elector(String(from + i).padStart(52, '0'), settings));
    let now = founded('1.a', { shards: 16, replicas: 3, electors: some(0) });
    for (let change = 1; change <= 10; change++) {
      const before = now;
      now = towards(now, some(change));
      const bytes = electorateBytes(now);
      expect(bytes.length).toBeLessThan(VALUE_BYTES_MAX);
      expect(electorateIn(bytes)).toEqual(now);
      now = settled(now);
      expect(now.past[0]).toEqual({ epoch: before.epoch, electors: before.electors });
    }
  });
});
