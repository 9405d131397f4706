import { Prng } from '../../../src/lib/prng.ts';
import { MembershipNetwork } from '../../support/membership-network.ts';
import { measureCrash } from './crash-probe.ts';
import { median, type Scenario, type ScenarioOptions, type ScenarioReport, seconds, tableLines } from './scenario.ts';

/** For ten members; larger clusters have no limit of their own. */
const LIMITS_MS: Readonly<Record<'kill' | 'block', number>> = { kill: 1000, block: 4500 };
const LIMITED_SIZE = 10;
const WITHIN_MS = 60_000;

export interface CrashCase {
  readonly size: number;
  readonly runs: number;
}

const CASES: readonly CrashCase[] = [
  { size: 10, runs: 101 },
  { size: 128, runs: 21 },
  { size: 1555, runs: 5 },
];

/** How long it takes until all know of a crash: with the connections closed (a killed process), and silent. */
export function runCrashes(cases: readonly CrashCase[], { seed, progress }: ScenarioOptions): ScenarioReport {
  const rows: (string | number)[][] = [];
  const problems: string[] = [];
  let simulatedMs = 0;
  for (const { size, runs } of cases) {
    for (const how of ['kill', 'block'] as const) {
      const first: number[] = [];
      const all: number[] = [];
      let wrong = 0;
      for (let run = 0; run < runs; run++) {
        const network = new MembershipNetwork({ seed: seed + run });
        const ids = network.formCluster(size);
        network.onChange = () => false;
        network.run(15_000 + 37 * run);
        const victim = new Prng(seed + run).pick(ids) as string;
        const { firstMs, allMs, falsePositives } = measureCrash(network, [victim], how, WITHIN_MS);
        first.push(firstMs);
        all.push(Number.isNaN(allMs) ? Number.POSITIVE_INFINITY : allMs);
        wrong += falsePositives;
        simulatedMs += network.nowMs;
        progress(`${size} members, ${how}: run ${run + 1} of ${runs}`);
      }
      const worst = Math.max(...all);
      const name = how === 'kill' ? 'killed' : 'silent';
      rows.push([size, name, runs, seconds(median(first)), seconds(median(all)), seconds(worst)]);
      if (worst > WITHIN_MS) problems.push(`crash: not all of ${size} members know of a ${name} one`);
      if (size === LIMITED_SIZE && worst > LIMITS_MS[how])
        problems.push(`crash: ${seconds(worst)} s until all ${size} know of a ${name} one`);
      if (wrong > 0) problems.push(`crash: ${wrong} others were declared dead at ${size} members (${name})`);
    }
  }
  const header = ['members', 'crash', 'runs', 'median first s', 'median all s', 'worst all s'];
  return { lines: tableLines(header, rows), problems, simulatedMs };
}

export const crash: Scenario = {
  summary: 'time until all know of a crash, killed and silent, from 10 to 1,555 members',
  run: (options) => {
    const { nodes } = options;
    if (nodes === undefined) return runCrashes(CASES, options);
    return runCrashes(
      [CASES.find(({ size }) => size === nodes) ?? { size: nodes, runs: nodes > 2000 ? 1 : 5 }],
      options,
    );
  },
};
