/**
 * `npm run sim -- [options]`: simulated clusters under faults, thousands of schedules at a time. Exit status 1: something
 * that must hold did not; 2: the command was wrong.
 */
import { optionsOf, SimUsageError, USAGE } from './sim/options.ts';

/** What a shell says of a program that SIGPIPE has ended: of a run that nobody has read to its end, it is not told how it went. */
const EXIT_PIPE_CLOSED = 141;

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT_PIPE_CLOSED);
});

try {
  const options = optionsOf(process.argv.slice(2));
  if (options.mode === 'help') process.stdout.write(`${USAGE}\n`);
  else if (options.mode === 'scenario')
    process.exitCode = await (await import('./sim/scenario.ts')).runScenario(options);
  else if (options.mode === 'single') process.exitCode = (await import('./sim/single.ts')).runSingle(options);
  else process.exitCode = await (await import('./sim/many.ts')).runMany(options);
} catch (error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (!(error instanceof SimUsageError) && !code.startsWith('ERR_PARSE_ARGS')) throw error;
  process.stderr.write(`sim: ${error instanceof Error ? error.message : ''}\n\n${USAGE}\n`);
  process.exitCode = 2;
}
