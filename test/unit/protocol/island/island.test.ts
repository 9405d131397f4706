import { expect, test } from 'vitest';
import { Island, type Surroundings } from '../../../../src/protocol/island/island.ts';

const START_MS = 10_000;
const RECOVERY_MS = 3000;

function of(members: number, reachable: number, uplink: Surroundings['uplink'] = 'none'): Surroundings {
  return { members, reachable, uplink };
}

test('without a majority of the ring a node is on an island at once', () => {
  const island = new Island(0);
  expect(island.handle(of(4, 3), START_MS)).toBe(null);
  expect(island.handle(of(4, 2), START_MS)).toEqual({
    type: 'level-changed',
    level: 'island',
    previous: 'connected',
    ...of(4, 2),
  });
  expect(island.handle(of(4, 1), START_MS)).toBe(null);
});

test('a better level counts once it has held for a while', () => {
  const island = new Island(0);
  island.handle(of(3, 1), START_MS);
  expect(island.handle(of(3, 2), START_MS + 100)).toBe(null);
  expect(island.nextDeadline()).toBe(START_MS + 100 + RECOVERY_MS);
  // Lost again: the time begins anew.
  island.handle(of(3, 1), START_MS + 2000);
  expect(island.nextDeadline()).toBe(undefined);
  island.handle(of(3, 3), START_MS + 4000);
  expect(island.handleTimeout(START_MS + 4000 + RECOVERY_MS - 1)).toBe(null);
  expect(island.handleTimeout(START_MS + 4000 + RECOVERY_MS)).toMatchObject({ level: 'connected', previous: 'island' });
  expect(island.sinceMs).toBe(START_MS + 4000 + RECOVERY_MS);
});

test('a node that starts does not wait when it finds the others', () => {
  const island = new Island(0);
  expect(island.handle(of(3, 1), 10)).toMatchObject({ level: 'island' });
  expect(island.handle(of(3, 2), 500)).toMatchObject({ level: 'connected' });
});

test('a lost uplink degrades what has a majority', () => {
  const island = new Island(0);
  expect(island.handle(of(3, 3, 'down'), START_MS)).toMatchObject({ level: 'degraded', previous: 'connected' });
  expect(island.handle(of(3, 1, 'down'), START_MS)).toMatchObject({ level: 'island', previous: 'degraded' });
  island.handle(of(3, 3, 'down'), START_MS);
  // Better still: that has to hold as well.
  island.handle(of(3, 3, 'up'), START_MS + 1000);
  expect(island.handleTimeout(START_MS + RECOVERY_MS)).toBe(null);
  expect(island.handleTimeout(START_MS + 1000 + RECOVERY_MS)).toMatchObject({ level: 'connected' });
});
