import { describe, expect, it } from 'vitest';
import {
  changedRecord,
  type RingChange,
  type RingRecord,
  unspoken,
} from '../../../../src/protocol/catalog/ring-record.ts';
import { greediestRing, outnumbers } from '../../../../src/protocol/catalog/unseen-rings.ts';

/** A member that has spoken, after these commands. */
function member(id: string, ...changes: RingChange[]): RingRecord {
  const spoken = { ...unspoken(id), own: { version: 1, weight: 1, zone: 'z', actor: '' } };
  return changes.reduce<RingRecord>((record, change) => changedRecord(record, change, 'test'), spoken);
}

function catalog(...records: RingRecord[]): Map<string, RingRecord> {
  return new Map(records.map((record) => [record.id, record]));
}

function insOf(ring: ReturnType<typeof greediestRing>): string[] {
  if (ring === null || ring === 'unknown') throw new Error(String(ring));
  return ring.filter((one) => one.in).map(({ id }) => id);
}

const OUT: RingChange = { place: 'out' };
const IN: RingChange = { place: 'in' };

describe('rings in between', () => {
  it('are none after one step', () => {
    const before = catalog(member('a'), member('b'), member('c', OUT));
    expect(greediestRing('a', before, before)).toBe(null);
    expect(greediestRing('a', before, catalog(member('a'), member('b', OUT), member('c', OUT)))).toBe(null);
    expect(greediestRing('a', before, catalog(member('a'), member('b'), member('c', OUT), member('d')))).toBe(null);
    expect(greediestRing('a', before, catalog(member('a', { zone: 'y' }), member('b'), member('c', OUT)))).toBe(null);
  });

  it('may have had both whoever came and whoever went', () => {
    const before = catalog(member('a'), member('b'));
    expect(insOf(greediestRing('a', before, catalog(member('a'), member('b', OUT), member('c'))))).toEqual([
      'a',
      'b',
      'c',
    ]);
  });

  it('may have had a member that is in neither the first nor the last', () => {
    const known = catalog(member('a'), member('b', OUT));
    expect(insOf(greediestRing('a', known, catalog(member('a'), member('b', OUT, IN, OUT))))).toEqual(['a', 'b']);
    expect(insOf(greediestRing('a', catalog(member('a')), catalog(member('a'), member('b', OUT))))).toEqual(['a', 'b']);
  });

  it('had the others at their heaviest, and this one at its lightest', () => {
    const before = catalog(member('a', { weight: 2 }), member('b', { weight: 2 }));
    const after = catalog(member('a', { weight: 2 }, { weight: 3 }), member('b', { weight: 2 }, { weight: 1 }));
    expect(greediestRing('a', before, after)).toMatchObject([{ weight: 2 }, { weight: 2 }]);
    expect(greediestRing('b', before, after)).toMatchObject([{ weight: 3 }, { weight: 1 }]);
  });

  it('are not known where this member was out, or a weight or zone has been another', () => {
    const before = catalog(member('a'), member('b'));
    expect(greediestRing('a', before, catalog(member('a', OUT, IN), member('b')))).toBe('unknown');
    expect(greediestRing('a', before, catalog(member('a'), member('b', { weight: 9 }, { weight: 1 })))).toBe('unknown');
    expect(greediestRing('a', before, catalog(member('a'), member('b', { zone: 'y' }), member('c')))).toBe('unknown');
  });
});

describe('of two rings that become one', () => {
  const places = (...ids: string[]): { id: string; in: boolean }[] => ids.map((id) => ({ id, in: true }));

  it('just one outnumbers the other', () => {
    for (const [one, other] of [
      [places('a', 'd'), places('b')],
      [places('c'), places('a', 'b')],
      [places('a', 'd'), places('b', 'c')],
      [places('a'), places('b')],
    ] as const) {
      expect(outnumbers(one, [...one, ...other])).not.toBe(outnumbers(other, [...one, ...other]));
    }
    expect(outnumbers(places('a', 'b'), places('a', 'b', 'c'))).toBe(true);
    expect(outnumbers(places('c'), places('a', 'b', 'c'))).toBe(false);
  });

  it('a member that is out does not count', () => {
    expect(outnumbers([...places('a'), { id: 'b', in: false }], places('a', 'c', 'd'))).toBe(false);
  });
});
