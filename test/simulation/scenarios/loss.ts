import { MembershipNetwork } from '../../support/membership-network.ts';
import { type Scenario, type ScenarioOptions, type ScenarioReport, tableLines } from './scenario.ts';

const HOUR_MS = 3_600_000;

export interface LossCase {
  readonly size: number;
  readonly lossRate: number;
  readonly forMs: number;
  readonly runs: number;
}

/**
 * Messages are lost one by one, without the retransmission that TCP adds: harsher than a network that loses as many
 * packets. "Known again" must hold as well: whoever suspects at the end sees everybody alive a minute later.
 */
const CASES: readonly LossCase[] = [
  { size: 3, lossRate: 0.2, forMs: HOUR_MS, runs: 5 },
  { size: 10, lossRate: 0.2, forMs: HOUR_MS, runs: 5 },
  { size: 128, lossRate: 0.2, forMs: HOUR_MS, runs: 1 },
  { size: 3, lossRate: 0.5, forMs: 30_000, runs: 50 },
  { size: 10, lossRate: 0.5, forMs: 30_000, runs: 50 },
  { size: 128, lossRate: 0.5, forMs: 30_000, runs: 10 },
];

export function runLoss(cases: readonly LossCase[], { seed, progress }: ScenarioOptions): ScenarioReport {
  const rows: (string | number)[][] = [];
  const problems: string[] = [];
  let simulatedMs = 0;
  for (const { size, lossRate, forMs, runs } of cases) {
    const [deaths, suspicions, unsettled] = [[0], [0], [0]] as [[number], [number], [number]];
    for (let run = 0; run < runs; run++) {
      const network = new MembershipNetwork({ seed: seed + run });
      network.formCluster(size);
      network.run(15_000);
      network.onChange = ({ state }) => {
        if (state === 'dead') deaths[0] += 1;
        if (state === 'suspect') suspicions[0] += 1;
        return false;
      };
      network.lossRate = lossRate;
      network.run(forMs);
      network.lossRate = 0;
      network.run(60_000);
      if (!network.isConverged()) unsettled[0] += 1;
      simulatedMs += network.nowMs;
      progress(`${size} members, ${lossRate * 100} % loss: run ${run + 1} of ${runs}`);
    }
    rows.push([size, `${lossRate * 100} %`, forMs / 1000, runs, suspicions[0], deaths[0]]);
    const text = `${size} members at ${lossRate * 100} % loss for ${forMs / 1000} s`;
    if (deaths[0] > 0) problems.push(`loss: ${deaths[0]} false deaths among ${text}`);
    if (unsettled[0] > 0)
      problems.push(`loss: ${unsettled[0]} of ${runs} runs do not see all alive afterwards: ${text}`);
  }
  const header = ['members', 'loss', 'for s', 'runs', 'suspicions', 'false deaths'];
  return { lines: tableLines(header, rows), problems, simulatedMs };
}

export const loss: Scenario = {
  summary: '20 % of all messages lost for an hour, 50 % for 30 s: nobody is declared dead',
  run: (options) => runLoss(options.nodes === undefined ? CASES : casesOf(options.nodes), options),
};

/** The prepared cases of this size, or some like them. */
function casesOf(size: number): readonly LossCase[] {
  const prepared = CASES.filter((one) => one.size === size);
  if (prepared.length > 0) return prepared;
  return [
    { size, lossRate: 0.2, forMs: HOUR_MS, runs: 1 },
    { size, lossRate: 0.5, forMs: 30_000, runs: 10 },
  ];
}
