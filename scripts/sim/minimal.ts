import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { minimiseSchedule } from '../../test/simulation/minimise-schedule.ts';
import { faultText, type Schedule } from '../../test/simulation/schedule.ts';
import { FAIR_WEATHER, type Weather } from '../../test/simulation/weather.ts';
import { checkerOf } from './report.ts';
import { type RunReport, run } from './run.ts';

/** The search ends after this time, or after this many runs of the original, whichever is later. */
const SEARCH_MS = 60_000;

/** Looks for the smallest schedule with a problem of the same checker, and tells it. */
export function minimiseAndTell({ schedule, problems }: RunReport): Schedule {
  const checker = checkerOf(problems[0] ?? '');
  const endMs = performance.now() + SEARCH_MS;
  const {
    schedule: minimal,
    runs,
    isMinimal,
  } = minimiseSchedule(
    schedule,
    (candidate) => run(candidate).problems.some((problem) => checkerOf(problem) === checker),
    () => performance.now() > endMs,
  );
  const file = join(tmpdir(), `holdfast-sim-${schedule.seed}.json`);
  writeFileSync(file, `${JSON.stringify(minimal, null, 2)}\n`);
  const complete = isMinimal ? '' : ', not complete: the time was up';
  process.stdout.write(`  the smallest schedule found with a problem of "${checker}" (${runs} runs${complete}):\n`);
  for (const line of scheduleLines(minimal)) process.stdout.write(`    ${line}\n`);
  process.stdout.write(`  replay it: npm run sim -- --schedule ${file}\n`);
  return minimal;
}

function scheduleLines(schedule: Schedule): string[] {
  const { nodes, zones, late, weather, calmMs, safetyMs, events } = schedule;
  const terms = (Object.keys(FAIR_WEATHER) as (keyof Weather)[]).filter((term) => weather[term] !== FAIR_WEATHER[term]);
  const told = terms.map((term) => `${term} ${weather[term]}`).join(', ');
  return [
    `${nodes} nodes in ${zones} zones, late: ${late.length === 0 ? 'none' : late.map((node) => `n${node + 1}`).join(', ')}`,
    `weather: ${told === '' ? 'fair' : told}; clients from ${calmMs} ms, for ${safetyMs} ms`,
    ...events.map(({ atMs, fault }) => `${(atMs / 1000).toFixed(1)} s  ${faultText(fault)}`),
  ];
}
