import { expect, test } from 'vitest';
import { Grants } from '../../../../src/protocol/election/grants.ts';
import { Lease } from '../../../../src/protocol/election/lease.ts';

const RELIED_MS = 100;
const VIEW = ['a', 'b', 'c'];

function leaseOf(term: number, ...voters: string[]): Lease {
  const grants = new Grants(RELIED_MS);
  grants.ask(1, 0);
  for (const voter of voters) grants.add(voter, 1);
  return new Lease(term, grants, RELIED_MS);
}

test('a lease lasts from when it was asked for, as long as a majority has granted it', () => {
  const lease = leaseOf(1, 'a');
  expect(lease.untilMs(VIEW)).toBe(Number.NEGATIVE_INFINITY);
  lease.ask(2, 50);
  lease.add('b', 2);
  expect(lease.untilMs(VIEW)).toBe(RELIED_MS);
  lease.add('a', 2);
  expect(lease.untilMs(VIEW)).toBe(50 + RELIED_MS);
  // An answer to an older question takes nothing back, one to a question that was never asked is none.
  lease.add('a', 1);
  lease.add('c', 99);
  expect(lease.untilMs(VIEW)).toBe(50 + RELIED_MS);
  expect(lease.votes(VIEW, 50 + RELIED_MS - 1)).toBe(2);
});

test('four members need three', () => {
  expect(leaseOf(1, 'a', 'b').untilMs([...VIEW, 'd'])).toBe(Number.NEGATIVE_INFINITY);
  expect(leaseOf(1, 'a', 'b', 'c').untilMs([...VIEW, 'd'])).toBe(RELIED_MS);
});

test('a lease goes over to a later term once majorities have granted that', () => {
  const lease = leaseOf(1, 'a', 'b');
  lease.raise(5);
  expect([lease.term, lease.askedTerm]).toEqual([1, 5]);
  lease.ask(2, 10);
  lease.add('a', 2);
  lease.settle([VIEW, VIEW], 20);
  expect(lease.term).toBe(1);
  lease.add('b', 2);
  lease.settle([VIEW, ['x', 'y', 'z']], 20);
  expect(lease.term).toBe(1);
  lease.settle([VIEW, VIEW], 20);
  expect([lease.term, lease.untilMs(VIEW)]).toEqual([5, 10 + RELIED_MS]);
  // Never back.
  lease.raise(4);
  expect(lease.askedTerm).toBe(5);
});
