import fc from 'fast-check';
import { type Elector, type Electorate, idsOf, type Refounding } from '../../src/protocol/electorate/electorate.ts';
import type { ElectorateMessage } from '../../src/protocol/electorate/message.ts';
import { actor, text } from './name-arbitraries.ts';

const count = fc.integer({ min: 1, max: 2 ** 40 });
const term = fc.nat();

const electors: fc.Arbitrary<Elector[]> = fc
  .uniqueArray(
    fc.record({
      id: fc.stringMatching(/^[a-z0-9]{1,20}$/),
      weight: fc.double({ min: 0.001, max: 1000, noNaN: true }),
      zone: text(64),
      disk: actor,
    }),
    { minLength: 1, maxLength: 6, selector: ({ id }) => id },
  )
  .map((list) => list.sort((a, b) => (a.id < b.id ? -1 : 1)));

const lineage = fc.record({ generation: fc.integer({ min: 1, max: 2 ** 20 }), founder: text(100) });
const epoch = fc.integer({ min: 1, max: 2 ** 32 - 1 });

const settledElectorate: fc.Arbitrary<Electorate> = fc.record({
  lineage,
  epoch,
  shards: fc.integer({ min: 1, max: 65_536 }),
  replicas: fc.integer({ min: 1, max: 7 }),
  electors,
  previous: fc.option(electors),
  refounding: fc.constant(null),
  past: fc.array(fc.record({ epoch: count, electors }), { maxLength: 3 }),
});

const refounding: fc.Arbitrary<Refounding> = fc.record({
  lost: electors.map(idsOf),
  before: settledElectorate,
  by: text(100),
});

const electorate: fc.Arbitrary<Electorate> = fc
  .tuple(settledElectorate, fc.option(refounding))
  .map(([settled, begun]) => {
    if (begun === null) return settled;
    const { shards, replicas } = settled;
    return { ...settled, refounding: { ...begun, before: { ...begun.before, shards, replicas } } };
  });

const accepted = fc.option(fc.record({ term, electorate }));

/** The fields of each message, its type left out; a new message does not compile until it is listed here. */
export const ELECTORATE_FIELDS: {
  readonly [T in ElectorateMessage['type']]: fc.Arbitrary<
    Omit<Extract<ElectorateMessage, { readonly type: T }>, 'type'>
  >;
} = {
  'electorate-disk': fc.record({ disk: actor }),
  'electorate-have': fc.record({ lineage, epoch: count }),
  'electorate-ask': fc.record({}),
  'electorate-tell': fc.record({ electorate }),
  'electorate-want': fc.record({}),
  'electorate-ready': fc.record({ lineage, epoch: count, ready: fc.boolean(), mute: fc.boolean() }),
  'found-ask': fc.record({ term }),
  'found-promise': fc.record({ term, accepted }),
  'found-accept': fc.record({ term, electorate }),
  'found-accepted': fc.record({ term }),
};
