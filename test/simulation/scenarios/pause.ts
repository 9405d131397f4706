import { MembershipNetwork } from '../../support/membership-network.ts';
import { type Scenario, type ScenarioOptions, type ScenarioReport, tableLines } from './scenario.ts';

const STOPPED_MS = 20_000;
/** A busy loop: the event loop gets a turn now and then. */
const BUSY_MS = 900;
const BREATH_MS = 5;

export interface PauseCase {
  readonly size: number;
  readonly runs: number;
}

const CASES: readonly PauseCase[] = [
  { size: 3, runs: 100 },
  { size: 10, runs: 100 },
];

/** One member stopped (SIGSTOP) for 20 s, another in a busy loop meanwhile: no third one may be declared dead. */
export function runPauses(cases: readonly PauseCase[], { seed, progress }: ScenarioOptions): ScenarioReport {
  const rows: number[][] = [];
  const problems: string[] = [];
  let simulatedMs = 0;
  for (const { size, runs } of cases) {
    const sums = { third: 0, busy: 0, stopped: 0 };
    for (let run = 0; run < runs; run++) {
      const network = new MembershipNetwork({ seed: seed + run });
      const [stopped, busy] = network.formCluster(size) as [string, string];
      network.run(15_000 + 37 * run);
      network.onChange = ({ id, state }) => {
        if (state === 'dead') sums[id === stopped ? 'stopped' : id === busy ? 'busy' : 'third'] += 1;
        return false;
      };
      const endMs = network.nowMs + STOPPED_MS;
      network.pause(stopped, STOPPED_MS);
      while (network.nowMs < endMs) {
        network.pause(busy, BUSY_MS);
        network.run(BUSY_MS + BREATH_MS);
      }
      network.run(30_000);
      if (!network.isConverged())
        problems.push(`pause: not everybody is back in all views (${size} members, seed ${seed + run})`);
      simulatedMs += network.nowMs;
      progress(`${size} members: run ${run + 1} of ${runs}`);
    }
    rows.push([size, runs, sums.stopped, sums.busy, sums.third]);
    if (sums.third > 0) problems.push(`pause: ${sums.third} times a third member of ${size} was declared dead`);
  }
  const header = ['members', 'runs', 'deaths of the stopped', 'of the busy', 'of third ones'];
  return { lines: tableLines(header, rows), problems, simulatedMs };
}

export const pause: Scenario = {
  summary: 'one member stopped for 20 s, a busy loop in another: no third one is ever declared dead',
  run: (options) =>
    runPauses(
      CASES.filter(({ size }) => (options.nodes ?? size) === size),
      options,
    ),
};
