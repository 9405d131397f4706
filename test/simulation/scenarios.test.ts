import { describe, expect, it } from 'vitest';
import type { Cell } from './scenarios/anomaly.ts';
import { runCity } from './scenarios/city.ts';
import { runCrashes } from './scenarios/crash.ts';
import { runIdle } from './scenarios/idle.ts';
import { SCENARIOS } from './scenarios/index.ts';
import { runGrid } from './scenarios/lifeguard.ts';
import { runSplits } from './scenarios/long-partition.ts';
import { runLoss } from './scenarios/loss.ts';
import { runPauses } from './scenarios/pause.ts';
import type { ScenarioReport } from './scenarios/scenario.ts';

const MINUTE_MS = 60_000;
const options = { seed: 1, progress: () => {} };

/** The table goes into the message, so that a failure shows its figures. */
function expectNoProblems({ problems, lines }: ScenarioReport): void {
  expect(problems, lines.join('\n')).toEqual([]);
}

/** Short versions of the scenarios of `npm run sim -- --scenario NAME`. */
describe('membership in the simulator', () => {
  it('blocked members cause next to no false positives, where plain SWIM has hundreds; a crash is known in 7.3 s', () => {
    const cells: Cell[] = [{ concurrent: 16, durationMs: 16_384, intervalMs: 64, blocking: 'blocked' }];
    const report = runGrid({ size: 128, cells, activeMs: 60_000, crashed: [1], crashRuns: 3 }, options);
    expectNoProblems(report);
    const total = report.lines.find((line) => line.startsWith('blocked  all'));
    const swimAtHealthy = Number(total?.split(/\s+/)[4]);
    expect(swimAtHealthy, total).toBeGreaterThan(100);
  });

  it('nobody is declared dead at 20 % loss for ten minutes, nor at 50 % for half a minute', () => {
    expectNoProblems(
      runLoss(
        [
          { size: 10, lossRate: 0.2, forMs: 10 * MINUTE_MS, runs: 1 },
          { size: 3, lossRate: 0.5, forMs: 30_000, runs: 10 },
          { size: 10, lossRate: 0.5, forMs: 30_000, runs: 10 },
          { size: 32, lossRate: 0.5, forMs: 30_000, runs: 1 },
        ],
        options,
      ),
    );
  });

  it('a partition of two hours heals by itself within 30 s', () => {
    expectNoProblems(
      runSplits(
        [
          { size: 2, smaller: 1, hours: 24 },
          { size: 10, smaller: 3, hours: 2 },
          { size: 70, smaller: 20, hours: 0.05 },
        ],
        options,
      ),
    );
  });

  it('traffic at rest stays below 2 kB a second and is flat from 128 members on', () => {
    expectNoProblems(runIdle([10, 128, 300], MINUTE_MS, options));
  });

  it('a killed member of ten is known in one second, a silent one in 4.5', () => {
    expectNoProblems(
      runCrashes(
        [
          { size: 10, runs: 31 },
          { size: 128, runs: 2 },
        ],
        options,
      ),
    );
  });

  it('a city of three layers lives through crashes, a cut backbone and a power cut', () => {
    const plan = { districts: 3, neighbourhoods: 2, cameras: 10, sensors: 5 };
    expectNoProblems(runCity(plan, { restMs: MINUTE_MS, cutMs: 5 * MINUTE_MS, darkMs: MINUTE_MS }, options));
  });

  it('a stopped and a busy process get no third one declared dead', () => {
    expectNoProblems(runPauses([{ size: 10, runs: 20 }], options));
  });

  it('has a summary for each scenario', () => {
    for (const [name, { summary }] of Object.entries(SCENARIOS)) expect(summary.length, name).toBeGreaterThan(20);
  });
});
