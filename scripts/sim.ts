import { parseArgs } from 'node:util';
import { runSwarm, type SwarmReport } from '../test/simulation/swarm.ts';

/** `npm run sim -- [--seeds N] [--seed S] [--seconds T]`: swarm simulation; a failing seed is printed with its replay. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    seconds: { type: 'string', default: '60' },
  },
});

const first = values.seed === undefined ? 1 : Number(values.seed);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const safetyMs = Number(values.seconds) * 1000;
if (![first, count, safetyMs].every((value) => Number.isFinite(value) && value > 0)) {
  process.stderr.write('sim: --seeds, --seed and --seconds take a positive number\n');
  process.exit(2);
}

const startedMs = performance.now();
let simulatedMs = 0;
let writes = 0;
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const report = run(seed);
  simulatedMs += report.simulatedMs;
  writes += report.history.acks;
  if (report.problems.length > 0) failed++;
  if (process.stderr.isTTY) process.stderr.write(`\r${seed - first + 1}/${count} seeds, ${failed} failed `);
}
const elapsedMs = performance.now() - startedMs;
process.stdout.write(
  `\n${count} seeds, ${failed} failed, ${writes} acknowledged writes, ${Math.round(simulatedMs / 1000)} simulated s in ${(elapsedMs / 1000).toFixed(1)} s (${Math.round(simulatedMs / elapsedMs)}x real time)\n`,
);
process.exitCode = failed > 0 ? 1 : 0;

function run(seed: number): SwarmReport {
  const report = runSwarm(seed, safetyMs);
  if (report.problems.length > 0 || count === 1) {
    const { history } = report;
    process.stdout.write(
      `\nseed ${seed}: ${report.problems.length} problems; ${history.writes} writes, ${history.acks} acknowledged\n`,
    );
    for (const line of report.faults) process.stdout.write(`  ${line}\n`);
    for (const problem of report.problems.slice(0, 20)) process.stdout.write(`  PROBLEM ${problem}\n`);
    if (report.problems.length > 0)
      process.stdout.write(`  replay: npm run sim -- --seed ${seed} --seconds ${safetyMs / 1000}\n`);
  }
  return report;
}
