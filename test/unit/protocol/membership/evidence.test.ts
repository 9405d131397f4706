import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../../src/protocol/membership/evidence.ts';
import { judge } from '../../../../src/protocol/membership/evidence.ts';
import type { MemberState } from '../../../../src/protocol/membership/member.ts';
import { type MemberRecord, UNKNOWN_HEALTH } from '../../../../src/protocol/membership/member-table.ts';
import type { MemberUpdate } from '../../../../src/protocol/membership/message.ts';
import { MEMBERSHIP_LIMITS } from '../../../../src/protocol/membership/message.ts';
import { profileOf } from '../../../support/membership-network.ts';
import { signed } from '../../../support/test-claims.ts';

const profile = profileOf('x');

function record(state: MemberState, incarnation: number): MemberRecord {
  const member = { id: 'x', state, incarnation, profile, sinceMs: 0, ...UNKNOWN_HEALTH } as const;
  const alive = signed({ state: 'alive', id: 'x', incarnation, profile });
  return { member, claim: update(state, incarnation), alive, rtts: [], misses: 0, idHash: 1, changedMs: 0 };
}

function update(state: MemberState, incarnation: number): MemberUpdate {
  if (state === 'alive') return signed({ state, id: 'x', incarnation, profile });
  if (state === 'left') return signed({ state, id: 'x', incarnation });
  return signed({ state, id: 'x', incarnation, from: 'a' });
}

describe('judge', () => {
  // Known at incarnation 5; claims at 4, 5 and 6, by gossip from a third member.
  const table: readonly [MemberState, MemberState, Verdict, Verdict, Verdict][] = [
    ['alive', 'alive', 'stale', 'ignored', 'alive'],
    ['alive', 'suspect', 'stale', 'suspect', 'suspect'],
    ['alive', 'dead', 'stale', 'dead', 'dead'],
    ['alive', 'left', 'stale', 'left', 'left'],
    ['suspect', 'alive', 'stale', 'stale', 'alive'],
    ['suspect', 'suspect', 'stale', 'confirmation', 'suspect'],
    ['suspect', 'dead', 'stale', 'dead', 'dead'],
    ['suspect', 'left', 'stale', 'left', 'left'],
    ['dead', 'alive', 'stale', 'stale', 'alive'],
    ['dead', 'suspect', 'stale', 'ignored', 'suspect'],
    ['dead', 'dead', 'stale', 'ignored', 'dead'],
    ['dead', 'left', 'stale', 'left', 'left'],
    ['left', 'alive', 'stale', 'stale', 'alive'],
    ['left', 'suspect', 'stale', 'ignored', 'ignored'],
    ['left', 'dead', 'stale', 'ignored', 'ignored'],
    ['left', 'left', 'stale', 'ignored', 'left'],
  ];
  for (const [known, claimed, lower, equal, higher] of table) {
    it(`${known} is told ${claimed}`, () => {
      const verdicts = [4, 5, 6].map((incarnation) => judge(record(known, 5), update(claimed, incarnation), 'gossip'));
      expect(verdicts).toEqual([lower, equal, higher]);
    });
  }

  it('takes a death told in a push-pull as ground for suspicion only', () => {
    expect(judge(record('alive', 5), update('dead', 5), 'push-pull')).toBe('suspect');
    expect(judge(record('suspect', 5), update('dead', 5), 'push-pull')).toBe('confirmation');
    expect(judge(record('suspect', 5), update('dead', 6), 'push-pull')).toBe('suspect');
    expect(judge(record('dead', 5), update('dead', 6), 'push-pull')).toBe('dead');
  });

  it('ignores an accusation far beyond what its subject ever said', () => {
    const lead = MEMBERSHIP_LIMITS.accusationLeadMax;
    expect(judge(record('alive', 5), update('dead', 5 + lead), 'gossip')).toBe('dead');
    expect(judge(record('alive', 5), update('dead', 6 + lead), 'gossip')).toBe('ignored');
    expect(judge(record('alive', 5), update('alive', 6 + lead), 'gossip')).toBe('alive');
  });

  it('ignores accusations and leaves of members it could not even dial', () => {
    expect(judge(undefined, update('alive', 1), 'gossip')).toBe('alive');
    expect(judge(undefined, update('suspect', 1), 'gossip')).toBe('ignored');
    expect(judge(undefined, update('dead', 1), 'push-pull')).toBe('ignored');
    expect(judge(undefined, update('left', 1), 'gossip')).toBe('ignored');
    const alive = signed({ state: 'alive', id: 'x', incarnation: 1, profile });
    const introduced = { ...signed({ state: 'dead', id: 'x', incarnation: 1, from: 'a' }), alive };
    expect(judge(undefined, introduced, 'push-pull')).toBe('dead');
  });

  it('takes the missing profile of an incarnation that only an accusation had told', () => {
    const known = { ...record('suspect', 5), alive: record('alive', 3).alive };
    expect(judge(known, update('alive', 5), 'gossip')).toBe('profile');
  });
});
