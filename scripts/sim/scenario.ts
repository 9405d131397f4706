import { type ScenarioRunOptions, SimUsageError } from './options.ts';

/** Runs a named scenario, or lists them. Returns the exit status. */
export async function runScenario({ name, seed, nodes }: ScenarioRunOptions): Promise<number> {
  const { SCENARIOS } = await import('../../test/simulation/scenarios/index.ts');
  if (name === 'list') {
    const width = Math.max(...Object.keys(SCENARIOS).map(({ length }) => length));
    for (const [key, { summary }] of Object.entries(SCENARIOS))
      process.stdout.write(`${key.padEnd(width)}  ${summary}\n`);
    return 0;
  }
  const scenario = Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
  if (scenario === undefined) throw new SimUsageError(`there is no scenario "${name}"; --scenario list names them`);
  const startedMs = performance.now();
  const { lines, problems, simulatedMs } = scenario.run({
    seed,
    ...(nodes === undefined ? {} : { nodes }),
    progress: (text) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
  for (const line of lines) process.stdout.write(`${line}\n`);
  for (const problem of problems) process.stdout.write(`PROBLEM ${problem}\n`);
  const elapsedMs = performance.now() - startedMs;
  process.stdout.write(
    `${name}: ${problems.length} problems, ${Math.round(simulatedMs / 1000)} simulated s in ${(elapsedMs / 1000).toFixed(1)} s\n`,
  );
  if (problems.length > 0) {
    process.stdout.write(
      `replay: npm run sim -- --scenario ${name} --seed ${seed}${nodes === undefined ? '' : ` --nodes ${nodes}`}\n`,
    );
  }
  return problems.length > 0 ? 1 : 0;
}
