import { describe, expect, it } from 'vitest';
import { Dissemination } from '../../../../src/protocol/membership/dissemination.ts';
import type { MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { MEMBERSHIP_LIMITS } from '../../../../src/protocol/membership/message.ts';
import { signed } from '../../../support/test-claims.ts';

const suspect = (id: string, from: string, incarnation = 1): MemberUpdate =>
  signed({
    state: 'suspect',
    id,
    incarnation,
    from,
  });
const dead = (id: string, incarnation = 1): MemberUpdate => signed({ state: 'dead', id, incarnation, from: 'z' });

describe('Dissemination', () => {
  it('sends each update as often as its budget allows, the least often sent first', () => {
    const dissemination = new Dissemination();
    dissemination.enqueue(dead('a'));
    dissemination.enqueue(dead('b'));
    const sent: string[] = [];
    while (!dissemination.isEmpty) for (const update of dissemination.select(1, 3)) sent.push(update.id);
    expect(sent).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
    expect(dissemination.select(1, 3)).toEqual([]);
  });

  it('keeps accusations of different accusers side by side, until newer news replace them all', () => {
    const dissemination = new Dissemination();
    dissemination.enqueue(suspect('x', 'a'));
    dissemination.enqueue(suspect('x', 'b'));
    dissemination.enqueue(suspect('x', 'b'));
    expect(dissemination.select(10, 9)).toEqual([suspect('x', 'a'), suspect('x', 'b')]);
    dissemination.enqueue(suspect('x', 'c', 2));
    expect(dissemination.select(10, 9)).toEqual([suspect('x', 'c', 2)]);
    dissemination.enqueue(dead('x', 2));
    expect(dissemination.select(10, 9)).toEqual([dead('x', 2)]);
    dissemination.discard('x');
    expect(dissemination.isEmpty).toBe(true);
  });

  it('keeps its limit by dropping what was sent most often', () => {
    const dissemination = new Dissemination();
    dissemination.enqueue(dead('worn'));
    dissemination.select(1, 9);
    for (let i = 0; i < MEMBERSHIP_LIMITS.disseminationMax; i++) dissemination.enqueue(dead(`n${i}`));
    const ids = dissemination.select(MEMBERSHIP_LIMITS.disseminationMax + 1, 9).map((update) => update.id);
    expect(ids).toHaveLength(MEMBERSHIP_LIMITS.disseminationMax);
    expect(ids).not.toContain('worn');
  });
});
