import { expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Cell } from '../../../../src/protocol/replication/cell-table.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import { knownFrom } from '../../../../src/protocol/replication/own-events.ts';

const NEXT = 10;

interface Told {
  /** Own events that the copy at hand, the shard and the key's hint have. */
  readonly copy?: readonly [number, number][];
  readonly shard?: readonly [number, number][];
  readonly hint?: readonly [number, number][];
  readonly complete?: boolean;
  /** No member knows of others. */
  readonly all?: boolean;
  /** Where this run began. */
  readonly first?: number;
}

function from({ copy = [], shard, hint, complete = false, all = true, first = 1 }: Told): number {
  const contextOf = (ranges: readonly [number, number][]): CausalContext =>
    CausalContext.fromRanges([
      ...ranges.map(([start, to]) => ({ actor: 'own', from: start, to })),
      { actor: 'other', from: 1, to: 99 },
    ]);
  const held = shard === undefined ? undefined : { owned: true, complete, context: contextOf(shard) };
  const core = {
    options: { actor: 'own' },
    shards: { find: () => held, firstOfRun: () => first, hasAllOwn: () => all },
  };
  const cell = { shard: 1, hint: hint === undefined ? null : { events: contextOf(hint) } };
  return knownFrom(core as unknown as ReplicationCore, cell as unknown as Cell, contextOf(copy), NEXT);
}

it.each<[string, Told, number]>([
  ['nothing is known of what was handed over', {}, NEXT],
  ['a copy of the time before that does not help', { copy: [[1, 6]], shard: [[1, 6]] }, NEXT],
  ['a copy with all events since', { copy: [[4, 9]] }, 4],
  ['a held copy with all events since', { copy: [[9, 9]], shard: [[3, 9]] }, 3],
  [
    'a hint has all since its first one',
    {
      shard: [[1, 4]],
      hint: [
        [6, 6],
        [8, 8],
      ],
    },
    6,
  ],
  [
    'of earlier runs a hint may be an older one',
    {
      hint: [
        [6, 6],
        [8, 8],
      ],
      first: 8,
    },
    8,
  ],
  ['a complete owner has them all', { shard: [[1, 4]], complete: true }, 1],
  [
    'but none for sure from before a gap, while somebody may know others',
    {
      shard: [
        [1, 4],
        [8, 9],
      ],
      complete: true,
      all: false,
    },
    8,
  ],
  ['without a gap it has all of them', { shard: [[1, 9]], complete: true, all: false }, 1],
])('%s', (_what, told, expected) => {
  expect(from(told)).toBe(expected);
});
