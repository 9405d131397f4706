import { describe, expect, it } from 'vitest';
import { fateOf, findingOf, planOf } from '../../../../src/protocol/register/plan.ts';
import type { ChangeRequest } from '../../../../src/protocol/register/request.ts';
import { ballotOf, valueOf } from '../../../support/lone-acceptor.ts';
import { deleteOf, putOf } from '../../../support/register-clients.ts';

const none = (floor = 0) => ({ accepted: null, floor: ballotOf(floor) });
const has = (counter: number, copied = false) => ({
  accepted: { ballot: ballotOf(counter), value: valueOf(ballotOf(counter), `v${counter}`), copied },
  floor: ballotOf(0),
});

describe('what a quorum reports', () => {
  it('is chosen where all have accepted the same, and only then', () => {
    expect(findingOf([has(3), has(3)])).toMatchObject({ isChosen: true, reached: ballotOf(3) });
    expect(findingOf([none(2), none(4)])).toMatchObject({ isChosen: true, latest: null, reached: ballotOf(4) });
    expect(findingOf([has(3), has(5)])).toMatchObject({ isChosen: false, reached: ballotOf(5) });
    expect(findingOf([has(3), none()])).toMatchObject({ isChosen: false, reached: ballotOf(3) });
    expect(findingOf([has(3), has(3, true)])).toMatchObject({ isChosen: false, reached: ballotOf(3) });
  });
});

describe('a change', () => {
  const request = (each: unknown) => each as ChangeRequest;

  it('is made where its condition holds', () => {
    const value = valueOf(ballotOf(3), 'x');
    const version = { type: 'version', version: ballotOf(3) } as const;
    const other = { type: 'version', version: ballotOf(4) } as const;
    expect(planOf(request(putOf('k', 'y')), value, 0)).toMatchObject({ type: 'write' });
    expect(planOf(request(putOf('k', 'y', version)), value, 0)).toMatchObject({ type: 'write' });
    expect(planOf(request(putOf('k', 'y', other)), value, 0)).toMatchObject({
      reply: { applied: false, version: ballotOf(3) },
    });
    expect(planOf(request(putOf('k', 'y', { type: 'absent' })), value, 0)).toMatchObject({ reply: { applied: false } });
    expect(planOf(request(putOf('k', 'y', { type: 'present' })), null, 0)).toMatchObject({
      reply: { applied: false, content: null, version: null },
    });
    expect(planOf(request(deleteOf('k')), value, 0)).toEqual({ type: 'write', content: null });
    expect(planOf(request(deleteOf('k')), null, 0)).toMatchObject({ reply: { applied: true, version: null } });
  });

  it('finds an expired value absent', () => {
    const value = valueOf(ballotOf(3), 'x');
    const expiring = { ...value, content: { bytes: new Uint8Array(1), contentType: '', expiresAtMs: 100 } };
    const create = request(putOf('k', 'y', { type: 'absent' }));
    expect(planOf(create, expiring, 99)).toMatchObject({ type: 'keep' });
    expect(planOf(create, expiring, 100)).toMatchObject({ type: 'write' });
    expect(planOf(create, valueOf(ballotOf(3), null), 0)).toMatchObject({ type: 'write' });
  });
});

describe('the fate of earlier attempts', () => {
  const on = (version: number, base: number) => ({
    latest: valueOf(ballotOf(version), 'x', ballotOf(base)),
    reached: ballotOf(version),
    isChosen: false,
  });
  const attempts = [ballotOf(5), ballotOf(8)];

  it('is settled by the latest value, or by the one that it was made upon', () => {
    expect(fateOf([], on(9, 9))).toEqual({ type: 'not-made' });
    expect(fateOf(attempts, on(4, 3))).toEqual({ type: 'not-made' });
    expect(fateOf(attempts, on(5, 4))).toEqual({ type: 'made', version: ballotOf(5) });
    expect(fateOf(attempts, on(8, 4))).toEqual({ type: 'made', version: ballotOf(8) });
    expect(fateOf(attempts, on(9, 5))).toEqual({ type: 'made', version: ballotOf(5) });
    expect(fateOf(attempts, on(9, 4))).toEqual({ type: 'not-made' });
  });

  it('is unknown behind a value that nobody remembers', () => {
    expect(fateOf(attempts, on(9, 6))).toEqual({ type: 'unknown' });
    expect(fateOf(attempts, { latest: null, reached: ballotOf(6), isChosen: true })).toEqual({ type: 'unknown' });
    expect(fateOf(attempts, { latest: null, reached: ballotOf(4), isChosen: true })).toEqual({ type: 'not-made' });
  });
});
