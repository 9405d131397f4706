import { describe, expect, test } from 'vitest';
import { drawSchedule } from './schedule.ts';
import { runSchedule } from './swarm.ts';

const SEEDS = Array.from({ length: 30 }, (_, index) => index + 1);
const SAFETY_SECONDS = 12;

describe('a site and its hub agree after faults of both', () => {
  test.each(SEEDS)('seed %i', (seed) => {
    const schedule = drawSchedule(seed, { safetyMs: SAFETY_SECONDS * 1000, hub: true });
    const { problems, faults, hub } = runSchedule(schedule);
    const replay = `npm run sim -- --seed ${seed} --seconds ${SAFETY_SECONDS} --hub`;
    const message = [`seed ${seed}`, ...problems, '', 'faults:', ...faults, '', `replay: ${replay}`].join('\n');
    expect(problems, message).toEqual([]);
    // A run in which nothing went up would prove nothing.
    expect(hub.requests, message).toBeGreaterThan(0);
    expect(hub.keys, message).toBeGreaterThan(0);
    expect(hub.sessionReads, message).toBeGreaterThan(0);
  });
});
