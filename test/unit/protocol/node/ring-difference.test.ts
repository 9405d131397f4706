import { expect, it } from 'vitest';
import { Catalog } from '../../../../src/protocol/catalog/catalog.ts';
import type { RingChange } from '../../../../src/protocol/catalog/ring-record.ts';
import { ringDifferences } from '../../../../src/protocol/node/ring-difference.ts';

it('tells every command that raises the epoch, also where the member says the same of itself', () => {
  const catalog = new Catalog();
  catalog.setOwn('a', { weight: 2, zone: 'hall', actor: '00000000000000a1' });
  const told = (change: RingChange) => {
    const [places, records, epoch] = [catalog.ringMembers, catalog.ringRecords, catalog.epoch()];
    catalog.changeMember('a', change, 'ann');
    const found = ringDifferences(places, catalog.ringMembers, records, catalog.ringRecords);
    return { rise: catalog.epoch() - epoch, what: found.map(({ what, weight, zone, by }) => [what, weight, zone, by]) };
  };
  const nothing = { rise: 0, what: [] };
  expect(told({ zone: null })).toEqual(nothing);
  // Now the word of an operator, which outlasts what the member is configured with later.
  expect(told({ zone: 'hall' })).toEqual({ rise: 1, what: [['zone', 2, 'hall', 'ann']] });
  expect(told({ zone: 'hall' })).toEqual(nothing);
  expect(told({ zone: null })).toEqual({ rise: 1, what: [['zone', 2, 'hall', 'ann']] });
  expect(told({ weight: 2 })).toEqual({ rise: 1, what: [['weight', 2, 'hall', 'ann']] });
  expect(told({ weight: null, zone: 'b' })).toEqual({
    rise: 2,
    what: [
      ['weight', 2, 'b', 'ann'],
      ['zone', 2, 'b', 'ann'],
    ],
  });
  expect(told({ weight: null, zone: 'b' })).toEqual(nothing);
});
