import { describe, expect, test } from 'vitest';
import { runSwarm } from './swarm.ts';

const SEEDS = Array.from({ length: 80 }, (_, index) => index + 1);
const SAFETY_SECONDS = 30;

describe('a swarm under faults converges and loses nothing', () => {
  test.each(SEEDS)('seed %i', (seed) => {
    const { problems, faults, history, schedule, strong } = runSwarm(seed, SAFETY_SECONDS * 1000);
    const replay = `npm run sim -- --seed ${seed} --seconds ${SAFETY_SECONDS}`;
    const message = [`seed ${seed}`, ...problems, '', 'faults:', ...faults, '', `replay: ${replay}`].join('\n');
    expect(problems, message).toEqual([]);
    // A run in which the clients got nothing done would prove nothing.
    expect(history.acks, message).toBeGreaterThan(0);
    expect(history.counters.size, message).toBeGreaterThan(0);
    expect(strong.written > 0, message).toBe(schedule.strong);
  });

  test('one seed decides the whole run', () => {
    const [first, second] = [runSwarm(7, 5000), runSwarm(7, 5000)];
    expect(second.faults).toEqual(first.faults);
    expect(second.simulatedMs).toBe(first.simulatedMs);
    expect([...second.history.acknowledged]).toEqual([...first.history.acknowledged]);
    expect(second.history).toMatchObject({ acks: first.history.acks, failures: first.history.failures });
  });
});
