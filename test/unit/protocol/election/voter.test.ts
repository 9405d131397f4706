import { beforeEach, describe, expect, test } from 'vitest';
import { NO_VOTE, type VoteRecord } from '../../../../src/protocol/election/options.ts';
import { type LeaderClaim, Voter } from '../../../../src/protocol/election/voter.ts';

const LEASE_MS = 1000;

let written: VoteRecord[];

beforeEach(() => {
  written = [];
});

function voterWith(vote = NO_VOTE, freeFromMs = 0): Voter {
  return new Voter(vote, LEASE_MS, freeFromMs, (next) => void written.push(next));
}

function at(monoMs: number): { monoMs: number; wallMs: number } {
  return { monoMs, wallMs: monoMs };
}

function claim(leader: string, term: number): LeaderClaim {
  return { leader, term, quorate: true, votes: 2, view: 3 };
}

describe('a voter', () => {
  test('speaks of its vote once that is on the disk', () => {
    const voter = voterWith();
    let granted = 0;
    voter.grant(claim('a', 1), false, at(0), () => granted++);
    expect(written).toEqual([{ term: 1, votedFor: 'a', boundTo: 'a' }]);
    expect(granted).toBe(0);
    voter.handlePersisted({ term: 1, votedFor: 'a', boundTo: 'a' }, at(5));
    expect(granted).toBe(1);
    // A renewal writes nothing.
    voter.grant(claim('a', 1), true, at(10), () => granted++);
    expect([granted, written.length]).toEqual([2, 1]);
  });

  test('speaks of a lease once the disk says whom it binds to, also where the term was there before', () => {
    const voter = voterWith({ term: 1, votedFor: 'b', boundTo: 'b' });
    let granted = 0;
    voter.fence('a', 2, at(0), () => undefined);
    voter.grant(claim('a', 2), true, at(0), () => granted++);
    const [token, grant] = written as [VoteRecord, VoteRecord];
    expect([token.boundTo, grant.boundTo]).toEqual(['b', 'a']);
    voter.handlePersisted(token, at(1));
    expect(granted).toBe(0);
    voter.handlePersisted(grant, at(2));
    expect(granted).toBe(1);
  });

  test('grants one lease at a time, for as long as it lasts', () => {
    const voter = voterWith();
    voter.grant(claim('a', 1), true, at(0), () => undefined);
    expect(voter.isFree('b', 2, at(LEASE_MS - 1))).toBe(false);
    expect(voter.isFree('a', 2, at(LEASE_MS - 1))).toBe(true);
    expect(voter.isFree('b', 2, at(LEASE_MS))).toBe(true);
  });

  test('votes once a term', () => {
    const voter = voterWith({ term: 4, votedFor: 'a', boundTo: 'a' });
    expect(voter.isFree('b', 4, at(0))).toBe(false);
    expect(voter.isFree('a', 4, at(0))).toBe(true);
    expect(voter.isFree('a', 3, at(0))).toBe(false);
    expect(voter.isFree('b', 5, at(0))).toBe(true);
  });

  test('that starts again grants nothing to others for as long as a forgotten lease could last', () => {
    const voter = voterWith({ term: 4, votedFor: 'a', boundTo: 'a' }, LEASE_MS);
    expect(voter.isFree('b', 5, at(LEASE_MS - 1))).toBe(false);
    expect(voter.isFree('a', 5, at(LEASE_MS - 1))).toBe(true);
    expect(voter.isFree('b', 5, at(LEASE_MS))).toBe(true);
  });

  test('is free once the leader gives its lease back, but not by the word of an older term', () => {
    const voter = voterWith();
    voter.grant(claim('a', 3), true, at(0), () => undefined);
    expect(voter.release('a', 2)).toBe(false);
    expect(voter.isFree('b', 4, at(1))).toBe(false);
    expect(voter.release('b', 3)).toBe(false);
    expect(voter.release('a', 3)).toBe(true);
    expect(voter.isFree('b', 4, at(1))).toBe(true);
  });

  test('holds nobody for the leader who has only been voted for', () => {
    const voter = voterWith();
    voter.grant(claim('a', 1), false, at(0), () => undefined);
    expect(voter.leader(1)).toBe(null);
    voter.grant(claim('a', 1), true, at(1), () => undefined);
    expect(voter.leader(2)?.news).toEqual(claim('a', 1));
  });

  test('takes no token that is older than one it has taken, nor one of another leader of that term', () => {
    const voter = voterWith();
    const fence = (leader: string, term: number): boolean | undefined => {
      let answer: boolean | undefined;
      voter.fence(leader, term, at(0), (accepted) => {
        answer = accepted;
      });
      const last = written.at(-1);
      if (last !== undefined) voter.handlePersisted(last, at(0));
      return answer;
    };
    expect(fence('a', 7)).toBe(true);
    expect(fence('a', 7)).toBe(true);
    expect(fence('b', 7)).toBe(false);
    expect(fence('a', 6)).toBe(false);
    expect(fence('b', 8)).toBe(true);
    expect(written).toEqual([
      { term: 7, votedFor: 'a', boundTo: null },
      { term: 8, votedFor: 'b', boundTo: null },
    ]);
  });
});
