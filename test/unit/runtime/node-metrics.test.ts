import { expect, it } from 'vitest';
import { registerMetrics } from '../../../src/runtime/node-metrics.ts';

const STATS = {
  inFlight: 1,
  keys: 2,
  leads: 3,
  cache: { rows: 99, bytes: 4 },
  takeovers: 5,
  collectable: 6,
  counters: {
    fastRounds: 7,
    fullRounds: 8,
    fastReads: 9,
    contentions: 10,
    forwards: 11,
    unknownOutcomes: 12,
    erased: 13,
    copiedRows: 14,
    dropped: 15,
  },
};

it('says each thing about strong keys once, and 0 of each where there are none', () => {
  const valuesOf = (stats: typeof STATS | null): unknown[] =>
    registerMetrics(stats).map(({ values }) => values.map(({ value }) => value));
  const ordered = Array.from({ length: 15 }, (_, i) => [i + 1]);
  expect(valuesOf(STATS)).toEqual(ordered);
  expect(valuesOf(null)).toEqual(ordered.map(() => [0]));
});

it('counts what only grows', () => {
  for (const { name, type } of registerMetrics(STATS)) expect(type === 'counter', name).toBe(name.endsWith('_total'));
});
