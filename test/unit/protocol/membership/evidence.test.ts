import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../../src/protocol/membership/evidence.ts';
import { judge } from '../../../../src/protocol/membership/evidence.ts';
import type { MemberState } from '../../../../src/protocol/membership/member.ts';
import type { MemberRecord } from '../../../../src/protocol/membership/member-table.ts';
import type { MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { profileOf } from '../../../support/membership-network.ts';

const profile = profileOf('x');

function record(state: MemberState, incarnation: number): MemberRecord {
  const member = { id: 'x', state, incarnation, profile, sinceMs: 0, rttMs: null, health: 'healthy' } as const;
  return { member, profileIncarnation: incarnation, confirmed: true, accuser: 'a', misses: 0, idHash: 1 };
}

function update(state: MemberState, incarnation: number): MemberUpdate {
  if (state === 'alive') return { state, id: 'x', incarnation, profile };
  if (state === 'left') return { state, id: 'x', incarnation };
  return { state, id: 'x', incarnation, from: 'a' };
}

describe('judge', () => {
  // Known at incarnation 5; claims at 4, 5 and 6, by gossip from a third member.
  const table: readonly [MemberState, MemberState, Verdict, Verdict, Verdict][] = [
    ['alive', 'alive', 'stale', 'ignored', 'alive'],
    ['alive', 'suspect', 'stale', 'suspect', 'suspect'],
    ['alive', 'dead', 'stale', 'dead', 'dead'],
    ['alive', 'left', 'stale', 'stale', 'left'],
    ['suspect', 'alive', 'stale', 'stale', 'alive'],
    ['suspect', 'suspect', 'stale', 'confirmation', 'suspect'],
    ['suspect', 'dead', 'stale', 'dead', 'dead'],
    ['suspect', 'left', 'stale', 'stale', 'left'],
    ['dead', 'alive', 'stale', 'stale', 'alive'],
    ['dead', 'suspect', 'stale', 'ignored', 'suspect'],
    ['dead', 'dead', 'stale', 'ignored', 'dead'],
    ['dead', 'left', 'stale', 'stale', 'left'],
    ['left', 'alive', 'stale', 'stale', 'alive'],
    ['left', 'suspect', 'stale', 'ignored', 'suspect'],
    ['left', 'dead', 'stale', 'ignored', 'dead'],
    ['left', 'left', 'stale', 'ignored', 'left'],
  ];
  for (const [known, claimed, lower, equal, higher] of table) {
    it(`${known} is told ${claimed}`, () => {
      const verdicts = [4, 5, 6].map((incarnation) =>
        judge(record(known, 5), update(claimed, incarnation), 'b', 'gossip'),
      );
      expect(verdicts).toEqual([lower, equal, higher]);
    });
  }

  it('takes a death told in a push-pull as ground for suspicion only', () => {
    expect(judge(record('alive', 5), update('dead', 5), 'b', 'push-pull')).toBe('suspect');
    expect(judge(record('suspect', 5), update('dead', 5), 'b', 'push-pull')).toBe('confirmation');
    expect(judge(record('suspect', 5), update('dead', 6), 'b', 'push-pull')).toBe('suspect');
    expect(judge(record('dead', 5), update('dead', 6), 'b', 'push-pull')).toBe('dead');
  });

  it('believes a leave at a known incarnation only from the member itself', () => {
    expect(judge(record('suspect', 5), update('left', 5), 'b', 'gossip')).toBe('stale');
    expect(judge(record('suspect', 5), update('left', 5), 'x', 'gossip')).toBe('left');
  });

  it('ignores accusations and leaves of members it could not even dial', () => {
    expect(judge(undefined, update('alive', 1), 'b', 'gossip')).toBe('alive');
    expect(judge(undefined, update('suspect', 1), 'b', 'gossip')).toBe('ignored');
    expect(judge(undefined, update('dead', 1), 'b', 'push-pull')).toBe('ignored');
    expect(judge(undefined, update('left', 1), 'b', 'gossip')).toBe('ignored');
    expect(judge(undefined, { state: 'dead', id: 'x', incarnation: 1, from: 'a', profile }, 'b', 'push-pull')).toBe(
      'dead',
    );
  });

  it('takes the missing profile of an incarnation that only an accusation had told', () => {
    const known = { ...record('suspect', 5), profileIncarnation: 3 };
    expect(judge(known, update('alive', 5), 'b', 'gossip')).toBe('profile');
  });
});
