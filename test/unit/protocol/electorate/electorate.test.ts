import { describe, expect, test } from 'vitest';
import { VALUE_BYTES_MAX } from '../../../../src/protocol/causal/entry.ts';
import {
  ELECTORS_MAX,
  type Elector,
  type Electorate,
  electorateBytes,
  electorateIn,
  founded,
  refounded,
  registerEpochOf,
  settled,
  supersedes,
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

describe('an electorate that an operator has begun', () => {
  const FIRST = founded('1.a', { shards: 16, replicas: 3, electors: ['a', 'b', 'c'].map((id) => elector(id)) });
  const refoundingOf = (before: Electorate) =>
    refounded(before, { founder: 'x', left: [elector('a')], lost: ['c', 'b'], by: 'an operator' });

  test('takes the place of all that came before, however far that had got', () => {
    const next = refoundingOf(FIRST);
    if (next === null) throw new Error('refused');
    const further = { ...FIRST, epoch: 1000 };
    expect(next).toMatchObject({ epoch: 2, lineage: { generation: 2 }, past: [] });
    expect(next.refounding).toMatchObject({ lost: ['b', 'c'], by: 'an operator' });
    expect(supersedes(next, further)).toBe(true);
    expect(supersedes(further, next)).toBe(false);
    expect(registerEpochOf(next)).toBeGreaterThan(registerEpochOf(further));
    expect(registerEpochOf(settled(next))).toBe(registerEpochOf(next) + 1);
    expect(settled(next)).toMatchObject({ refounding: null, past: [] });
    expect(electorateIn(electorateBytes(next))).toEqual(next);
  });

  test('comes a few times at most without one of them being completed', () => {
    let electorate: Electorate | null = FIRST;
    let times = 0;
    while (electorate !== null) {
      const next: Electorate | null = refoundingOf(electorate);
      if (next !== null) expect(electorateIn(electorateBytes(next))).toEqual(next);
      electorate = next;
      times++;
    }
    expect(times).toBe(5);
  });

  test('is malformed with a loss that is none, or another ring than before', () => {
    const next = refoundingOf(FIRST);
    const refounding = next?.refounding ?? null;
    if (next === null || refounding === null) throw new Error('refused');
    for (const bad of [
      { ...refounding, lost: ['c', 'b'] },
      { ...refounding, before: { ...FIRST, shards: 32 } },
      { ...refounding, before: { ...FIRST, electors: [] } },
    ]) {
      expect(electorateIn(electorateBytes({ ...next, refounding: bad }))).toBeNull();
    }
  });
});
