import { readFileSync } from 'node:fs';
import type { Schedule } from '../../test/simulation/schedule.ts';
import { Trace, wordsOf } from '../../test/simulation/trace.ts';
import { minimiseAndTell } from './minimal.ts';
import { SimUsageError, type SingleOptions } from './options.ts';
import { replayOf, tell } from './report.ts';
import { run, scheduleOf } from './run.ts';

/** Lines of the trace of a run that failed. */
const TRACE_LINES = 120;

/** One run, told in full. Returns the exit status. */
export function runSingle(options: SingleOptions): number {
  const { seed, minimise, schedule: file } = options;
  const schedule = file === undefined ? scheduleOf(seed, options) : scheduleIn(file);
  const report = run(schedule);
  tell(report, { withFaults: true });
  const { simulatedMs, elapsedMs } = report;
  const replay = file === undefined ? replayOf(seed, options) : `npm run sim -- --schedule ${file}`;
  if (report.problems.length === 0) {
    const speed = `${Math.round(simulatedMs / elapsedMs)}x real time`;
    process.stdout.write(
      `all held: ${Math.round(simulatedMs / 1000)} simulated s in ${(elapsedMs / 1000).toFixed(2)} s (${speed})\n`,
    );
    return 0;
  }
  const shown = minimise ? minimiseAndTell(report) : schedule;
  printTrace(shown);
  process.stdout.write(`  replay: ${replay}\n`);
  return 1;
}

/** Runs it once more, watched. */
function printTrace(schedule: Schedule): void {
  const trace = new Trace();
  const { problems } = run(schedule, [trace]);
  const words = wordsOf(problems);
  process.stdout.write(`  trace of ${words.join(', ')} and all faults, the last ${TRACE_LINES} lines:\n`);
  for (const line of trace.lines({ words, lines: TRACE_LINES })) process.stdout.write(`    ${line}\n`);
}

function scheduleIn(file: string): Schedule {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Schedule;
  } catch (error) {
    throw new SimUsageError(`--schedule ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
