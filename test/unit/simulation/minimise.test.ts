import { describe, expect, test } from 'vitest';
import { ddmin } from '../../simulation/minimise.ts';
import { minimiseSchedule } from '../../simulation/minimise-schedule.ts';
import type { Schedule } from '../../simulation/schedule.ts';
import { FAIR_WEATHER } from '../../simulation/weather.ts';

const numbers = Array.from({ length: 100 }, (_, index) => index);

describe('ddmin', () => {
  test('finds the one item that matters', () => {
    expect(ddmin(numbers, (part) => part.includes(37))).toEqual([37]);
  });

  test('finds items far apart, in order, and in far fewer tries than there are parts', () => {
    let tries = 0;
    const fails = (part: readonly number[]): boolean => {
      tries++;
      return [3, 50, 97].every((item) => part.includes(item));
    };
    expect(ddmin(numbers, fails)).toEqual([3, 50, 97]);
    expect(tries).toBeLessThan(200);
  });

  test('the result is 1-minimal: nothing in it can be left out', () => {
    const fails = (part: readonly number[]): boolean => part.filter((item) => item % 10 === 0).length >= 4;
    const minimal = ddmin(numbers, fails);
    expect(minimal).toHaveLength(4);
    for (const item of minimal) expect(fails(minimal.filter((other) => other !== item))).toBe(false);
  });

  test('keeps everything where everything matters, and nothing where nothing does', () => {
    expect(ddmin([1, 2, 3], (part) => part.length === 3)).toEqual([1, 2, 3]);
    expect(ddmin([1, 2, 3], () => true)).toHaveLength(0);
  });

  test('gives the best so far when the time is up', () => {
    let tries = 0;
    const minimal = ddmin(
      numbers,
      (part) => {
        tries++;
        return part.includes(37);
      },
      () => tries >= 3,
    );
    expect(minimal).toContain(37);
    expect(minimal.length).toBeLessThan(100);
  });
});

describe('minimiseSchedule', () => {
  const schedule: Schedule = {
    seed: 1,
    nodes: 6,
    zones: 2,
    late: [5],
    discovery: true,
    redial: true,
    outAfterMs: 0,
    strong: false,
    hub: null,
    weather: { ...FAIR_WEATHER, loss: 0.1, syncMaxMs: 300 },
    opIntervalMs: 20,
    calmMs: 1000,
    safetyMs: 60_000,
    events: [
      { atMs: 2000, fault: { type: 'crash', node: 1, downMs: 100, torn: 0 } },
      {
        atMs: 3000,
        fault: {
          type: 'partition',
          groups: [
            [0, 1],
            [2, 3, 4, 5],
          ],
          forMs: 500,
        },
      },
      { atMs: 4000, fault: { type: 'start', node: 5 } },
      { atMs: 5000, fault: { type: 'pause', node: 4, forMs: 1000 } },
    ],
  };

  test('leaves what the failure needs: one fault, one term of the weather, as few nodes as it names', () => {
    const fails = ({ events, weather, nodes }: Schedule): boolean =>
      weather.loss > 0 && nodes >= 3 && events.some(({ fault }) => fault.type === 'partition');
    const { schedule: minimal, isMinimal } = minimiseSchedule(schedule, fails, () => false);
    expect(isMinimal).toBe(true);
    expect(minimal).toEqual({
      ...schedule,
      nodes: 3,
      zones: 1,
      late: [],
      weather: { ...FAIR_WEATHER, loss: 0.1 },
      safetyMs: 3000,
      events: [{ atMs: 3000, fault: { type: 'partition', groups: [[0, 1], [2]], forMs: 500 } }],
    });
  });

  test('never returns a schedule that does not fail', () => {
    let tries = 0;
    const fails = (candidate: Schedule): boolean => {
      tries++;
      return candidate.events.length === 4;
    };
    const result = minimiseSchedule(schedule, fails, () => tries > 10);
    expect(result.schedule.events).toEqual(schedule.events);
  });
});
