import { describe, expect, test } from 'vitest';
import {
  type Elector,
  electorateBytes,
  electorateIn,
  founded,
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
