import { describe, expect, test } from 'vitest';
import { checkLinearizability } from '../../simulation/linearizability.ts';
import type { Outcome, RegisterOp, RegisterOperation } from '../../simulation/register-operation.ts';
import { atomicHistory } from '../../support/atomic-register.ts';

type Times = readonly [invokedMs: number, completedMs: number | null];
type Line = readonly [client: string, times: Times, op: RegisterOp, outcome: Outcome];

/** The operations of a history, with ids from 1 on. */
function history(...list: readonly Line[]): RegisterOperation[] {
  return list.map(([client, [invokedMs, completedMs], op, outcome], place) => {
    return { id: place + 1, client, invokedMs, completedMs, op, outcome };
  });
}

const get: RegisterOp = { type: 'get' };
const remove: RegisterOp = { type: 'delete', condition: 'none' };
const put = (value: string, expiresAtMs: number | null = null): RegisterOp => {
  return { type: 'put', value, condition: 'none', expiresAtMs };
};
const create = (value: string): RegisterOp => ({ type: 'put', value, condition: 'absent' });
const replace = (version: string, value: string): RegisterOp => ({ type: 'put', value, condition: { version } });
const written = (version: string): Outcome => ({ type: 'written', version });
const failed = (value: string | null, version: string | null = null): Outcome => {
  return { type: 'condition-failed', value, version };
};
const read = (value: string | null, version: string | null = null): Outcome => ({ type: 'read', value, version });
const wrote = (value: string, version: string, times: Times): Line => {
  return ['w', times, put(value), written(version)];
};

function verdict(...list: readonly Line[]): string {
  return checkLinearizability(history(...list))?.type ?? 'linearizable';
}

describe('what is linearizable', () => {
  test('nothing, and reads of nothing', () => {
    expect(verdict()).toBe('linearizable');
    expect(verdict(['a', [0, 1], get, read(null)])).toBe('linearizable');
  });

  test('reads that meet a write under way may see it or not, in this order', () => {
    expect(
      verdict(
        ['w', [0, 9], put('x'), written('v1')],
        ['a', [1, 2], get, read(null)],
        ['b', [3, 4], get, read('x', 'v1')],
      ),
    ).toBe('linearizable');
  });

  test('of two writes at once any may be the last', () => {
    const writes: readonly Line[] = [wrote('x', 'v1', [0, 9]), ['u', [0, 9], put('y'), written('v2')]];
    expect(verdict(...writes, ['a', [10, 11], get, read('x', 'v1')])).toBe('linearizable');
    expect(verdict(...writes, ['a', [10, 11], get, read('y', 'v2')])).toBe('linearizable');
  });

  test('one of two that replace the same version fails, and is shown the other', () => {
    expect(
      verdict(
        wrote('x', 'v1', [0, 1]),
        ['a', [2, 9], replace('v1', 'y'), written('v2')],
        ['b', [2, 9], replace('v1', 'z'), failed('y', 'v2')],
      ),
    ).toBe('linearizable');
  });

  test('an unknown write is never seen, or is seen late and then stays', () => {
    const writes: readonly Line[] = [wrote('x', 'v1', [0, 1]), ['u', [2, null], put('y'), 'unknown']];
    expect(verdict(...writes, ['a', [50, 51], get, read('x', 'v1')])).toBe('linearizable');
    expect(
      verdict(
        ...writes,
        ['a', [50, 51], get, read('x', 'v1')],
        ['a', [52, 53], get, read('y', 'v7')],
        ['b', [54, 55], get, read('y', 'v7')],
        ['b', [56, 57], replace('v7', 'z'), written('v8')],
      ),
    ).toBe('linearizable');
  });

  test('an unknown delete makes way for a write, and an unknown write for one that replaces it', () => {
    expect(
      verdict(
        wrote('x', 'v1', [0, 1]),
        ['u', [2, null], remove, 'unknown'],
        ['t', [2, null], create('y'), 'unknown'],
        ['a', [9, 10], get, read('y', 'v3')],
      ),
    ).toBe('linearizable');
  });

  test('a value that has expired, and one that some clocks still have', () => {
    const list: readonly Line[] = [
      ['w', [0, 1], put('x', 100), written('v1')],
      ['a', [95, 96], get, read(null)],
      ['b', [104, 105], get, read('x', 'v1')],
      ['c', [111, 112], create('y'), written('v2')],
    ];
    expect(checkLinearizability(history(...list), { expiryUncertaintyMs: 10 })).toBeNull();
    expect(checkLinearizability(history(...list), { expiryUncertaintyMs: 2 })?.untilMs).toBe(96);
    const late: Line = ['d', [120, 121], get, read('x', 'v1')];
    expect(checkLinearizability(history(...list.slice(0, 3), late), { expiryUncertaintyMs: 10 })?.untilMs).toBe(121);
  });
});

describe('what is not linearizable', () => {
  const cases: readonly (readonly [string, readonly Line[]])[] = [
    [
      'a stale read after a write',
      [wrote('x', 'v1', [0, 1]), wrote('y', 'v2', [2, 3]), ['a', [4, 5], get, read('x', 'v1')]],
    ],
    [
      'a stale read in the millisecond in which the same client was told of its write',
      [wrote('x', 'v1', [0, 1]), ['w', [1, 1], get, read(null)]],
    ],
    [
      'an update lost to another of the same version',
      [
        wrote('x', 'v1', [0, 1]),
        ['a', [2, 9], replace('v1', 'y'), written('v2')],
        ['b', [2, 9], replace('v1', 'z'), written('v3')],
      ],
    ],
    ['a value that nobody wrote', [wrote('x', 'v1', [0, 1]), ['a', [2, 3], get, read('z', 'v2')]]],
    ['a value with the version of another', [wrote('x', 'v1', [0, 1]), ['a', [2, 3], get, read('x', 'v2')]]],
    ['a version made twice', [wrote('x', 'v1', [0, 1]), ['u', [0, 9], put('y'), written('v1')]]],
    [
      'a write that comes back after a delete',
      [
        wrote('x', 'v1', [0, 1]),
        ['u', [2, 3], remove, written('v2')],
        ['a', [4, 5], get, read(null)],
        ['b', [6, 7], get, read('x', 'v1')],
      ],
    ],
    [
      'a read that goes back in time behind that of another client',
      [
        wrote('x', 'v1', [0, 1]),
        wrote('y', 'v2', [2, 20]),
        ['a', [3, 4], get, read('y', 'v2')],
        ['b', [5, 6], get, read('x', 'v1')],
      ],
    ],
    [
      'an unknown write that was seen and is gone',
      [
        wrote('x', 'v1', [0, 1]),
        ['u', [2, null], put('y'), 'unknown'],
        ['a', [4, 5], get, read('y', 'v2')],
        ['b', [6, 7], get, read('x', 'v1')],
      ],
    ],
    [
      'an unknown write seen under two versions',
      [
        ['u', [0, null], put('y'), 'unknown'],
        ['a', [4, 5], get, read('y', 'v2')],
        ['b', [6, 7], get, read('y', 'v3')],
      ],
    ],
    [
      'a write not applied that is seen',
      [
        ['u', [0, 1], put('y'), { type: 'not-applied' }],
        ['a', [2, 3], get, read('y', 'v1')],
      ],
    ],
    [
      'a failed write that is seen',
      [wrote('x', 'v1', [0, 1]), ['u', [2, 3], create('y'), failed('x', 'v1')], ['a', [4, 5], get, read('y', 'v2')]],
    ],
    ['a condition that fails although it holds', [['u', [0, 1], create('y'), failed(null)]]],
    [
      'a write to what is there that needs it absent',
      [wrote('x', 'v1', [0, 1]), ['u', [2, 3], create('y'), written('v2')]],
    ],
  ];

  test.each(cases)('%s', (_, list) => {
    expect(verdict(...list)).toBe('not-linearizable');
  });
});

describe('the report', () => {
  test('ends with the first answer that cannot be explained', () => {
    const finding = checkLinearizability(
      history(
        wrote('x', 'v1', [0, 1]),
        wrote('y', 'v2', [2, 3]),
        ['a', [4, 5], get, read('x', 'v1')],
        ['b', [4, 9], get, read('z', 'v9')],
        ['b', [10, 11], get, read('y', 'v2')],
      ),
    );
    expect(finding?.untilMs).toBe(5);
    expect(finding?.operations.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
    expect(finding?.lines).toEqual([
      'not linearizable: of 5 operations the first 4 cannot be explained, up to',
      '  #3 a 4..5 ms: get -> "x" at v1',
      'the longest order that explains its answers has 1 operations:',
      '  #1 w 0..1 ms: put "x" -> written at v1',
      'which leaves "x" at v1; next would come one of',
      '  #2 w 2..3 ms: put "y" -> written at v2',
    ]);
  });

  test('says that the search was given up', () => {
    const load = { seed: 1, operations: 500, clients: 10, unknownShare: 0.1, values: null };
    expect(checkLinearizability(atomicHistory(load), { stepLimit: 100 })?.type).toBe('undecided');
  });
});

describe('long histories take few steps', () => {
  // Of about 200 writes the outcome is unknown. Time would depend on the machine; steps do not.
  const load = { operations: 2000, clients: 10, unknownShare: 0.2 };

  test.each([
    [1, null],
    [2, null],
    [3, 3],
  ])('seed %i, values %o', (seed, values) => {
    const operations = atomicHistory({ ...load, seed, values });
    expect(checkLinearizability(operations, { stepLimit: 30_000 })).toBeNull();
    const reads = operations.filter(
      ({ outcome }) => outcome !== 'unknown' && 'value' in outcome && outcome.value !== null,
    );
    const [early, late] = [reads[300], reads[600]] as [RegisterOperation, RegisterOperation];
    const wrong = operations.map((each) => (each === late ? { ...late, op: get, outcome: early.outcome } : each));
    expect(checkLinearizability(wrong, { stepLimit: 300_000 })?.untilMs).toBe(late.completedMs);
  });
});
