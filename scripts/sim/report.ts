import type { RunOptions, RunReport } from './run.ts';

const PROBLEMS_SHOWN = 20;

/** The command that repeats the run of a seed. */
export function replayOf(seed: number, { seconds, nodes, ring, buckets, salvage, strong, hub }: RunOptions): string {
  const others = `${nodes === undefined ? '' : ` --nodes ${nodes}`}${ring ? ' --ring' : ''}${buckets ? ' --buckets' : ''}${salvage ? ' --salvage' : ''}${strong ? ' --strong' : ''}${hub ? ' --hub' : ''}`;
  return `npm run sim -- --seed ${seed} --seconds ${seconds}${others}`;
}

export function tell({ schedule, problems, faults, writes, acks }: RunReport, options: { withFaults: boolean }): void {
  const { seed, nodes } = schedule;
  process.stdout.write(
    `seed ${seed}: ${nodes} nodes, ${faults.length} faults, ${acks} of ${writes} writes acknowledged, ${problems.length} problems\n`,
  );
  if (options.withFaults) for (const line of faults) process.stdout.write(`  ${line}\n`);
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) process.stdout.write(`  PROBLEM ${problem}\n`);
  if (problems.length > PROBLEMS_SHOWN) process.stdout.write(`  and ${problems.length - PROBLEMS_SHOWN} more\n`);
}

/** Problems begin with the name of the checker that found them. */
export function checkerOf(problem: string): string {
  return /^[a-z-]+/.exec(problem)?.[0] ?? problem;
}
