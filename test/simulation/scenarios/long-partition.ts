import { MembershipNetwork } from '../../support/membership-network.ts';
import { type Scenario, type ScenarioOptions, type ScenarioReport, seconds, tableLines } from './scenario.ts';

const HOUR_MS = 3_600_000;
/** What issue 3 asks for. */
const COMPLETE_MAX_MS = 30_000;

export interface Split {
  readonly size: number;
  /** Members on the smaller side. */
  readonly smaller: number;
  readonly hours: number;
}

const SPLITS: readonly Split[] = [
  { size: 2, smaller: 1, hours: 24 },
  { size: 3, smaller: 1, hours: 24 },
  { size: 5, smaller: 2, hours: 24 },
  { size: 10, smaller: 1, hours: 24 },
  { size: 10, smaller: 5, hours: 24 },
  { size: 32, smaller: 3, hours: 24 },
  { size: 128, smaller: 64, hours: 2 },
];

/** Cuts the cluster in two, silently, and heals the cut; nobody helps the sides to find each other. */
export function runSplits(splits: readonly Split[], { seed, progress }: ScenarioOptions): ScenarioReport {
  const rows: number[][] = [];
  const problems: string[] = [];
  let simulatedMs = 0;
  for (const { size, smaller, hours } of splits) {
    const network = new MembershipNetwork({ seed });
    const ids = network.formCluster(size);
    network.onChange = () => false;
    network.run(15_000);
    const side = ids.slice(0, smaller);
    const others = ids.slice(smaller);
    network.partition(side);
    network.run(hours * HOUR_MS);
    const name = `${size} members, ${smaller} cut off for ${hours} h`;
    const isSplit = network.allSee(side, others, 'dead') && network.allSee(others, side, 'dead');
    if (!isSplit) problems.push(`long-partition: the sides do not hold each other dead (${name})`);
    const startMs = network.nowMs;
    network.heal();
    while (!network.isConverged() && network.nowMs - startMs < 10 * COMPLETE_MAX_MS) network.run(100);
    const tookMs = network.nowMs - startMs;
    if (tookMs > COMPLETE_MAX_MS)
      problems.push(`long-partition: views were complete after ${tookMs / 1000} s (${name})`);
    rows.push([size, smaller, hours, seconds(tookMs)]);
    simulatedMs += network.nowMs;
    progress(name);
  }
  return { lines: tableLines(['members', 'cut off', 'for h', 'complete after s'], rows), problems, simulatedMs };
}

export const longPartition: Scenario = {
  summary: 'a cut of 24 hours heals by itself, with complete views within 30 s',
  run: (options) =>
    runSplits(
      SPLITS.filter(({ size }) => (options.nodes ?? size) === size),
      options,
    ),
};
