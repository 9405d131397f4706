import { Prng } from '../../../src/lib/prng.ts';
import { type Blocking, type Cell, type CellResult, PROTOCOLS, type Protocol, runCell } from './anomaly.ts';
import { measureCrash } from './crash-probe.ts';
import { median, type Scenario, type ScenarioOptions, type ScenarioReport, seconds, tableLines } from './scenario.ts';

/** The values of Lifeguard's experiments; D in all powers of two of its range. */
const CONCURRENT = [1, 4, 8, 12, 16, 20, 24, 28, 32];
const DURATIONS_MS = [128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768];
const INTERVALS_MS = [1, 4, 16, 64, 256, 1024, 4096, 16_384];
/** Not part of Lifeguard's experiment, and harder; see Blocking. */
const STALLED_CONCURRENT = [4, 16, 32];
const STALLED_DURATIONS_MS = [2048, 8192, 32_768];
const SIZE = 128;
/** What issue 3 asks for. */
const FALSE_POSITIVE_SHARE_MAX = 0.01;
const ALL_KNOW_MAX_MS = 7300;
const CRASH_RUNS = 21;

export interface Grid {
  readonly size: number;
  readonly cells: readonly Cell[];
  /** How long members are blocked again and again in each cell. */
  readonly activeMs: number;
  /** Members that crash at once, and how often each of it is tried. */
  readonly crashed: readonly number[];
  readonly crashRuns: number;
}

type Totals = Record<Protocol, { all: number; atHealthy: number }>;

/** All C and D in Lifeguard's way of blocking, and a few as stalled links; each with an interval drawn from the seed. */
function fullGrid(seed: number): Grid {
  const prng = new Prng(seed);
  const grid = (blocking: Blocking, concurrent: readonly number[], durations: readonly number[]): Cell[] =>
    concurrent.flatMap((count) =>
      durations.map((durationMs) => {
        const intervalMs = prng.pick(INTERVALS_MS) ?? 64;
        return { concurrent: count, durationMs, intervalMs, blocking };
      }),
    );
  const cells = [
    ...grid('blocked', CONCURRENT, DURATIONS_MS),
    ...grid('stalled', STALLED_CONCURRENT, STALLED_DURATIONS_MS),
  ];
  return { size: SIZE, cells, activeMs: 120_000, crashed: [1, 8, 32], crashRuns: CRASH_RUNS };
}

/** Runs both protocols through the cells of a grid. */
export function runGrid(grid: Grid, { seed, progress }: ScenarioOptions): ScenarioReport {
  const totals: Record<Blocking, Totals> = { blocked: noTotals(), stalled: noTotals() };
  const byConcurrency = new Map<string, Totals>();
  let simulatedMs = 0;
  grid.cells.forEach((cell, index) => {
    const key = `${cell.blocking} ${cell.concurrent}`;
    const row = byConcurrency.get(key) ?? noTotals();
    byConcurrency.set(key, row);
    for (const protocol of ['swim', 'holdfast'] as const) {
      const result = runCell(protocol, cell, seed + index, grid.size, grid.activeMs);
      simulatedMs += result.simulatedMs;
      for (const sums of [row, totals[cell.blocking]]) add(sums, protocol, result);
    }
    progress(
      `cell ${index + 1} of ${grid.cells.length}: ${cell.blocking}, C ${cell.concurrent}, D ${cell.durationMs} ms`,
    );
  });
  const lines = falsePositiveLines(byConcurrency, totals);
  const problems = falsePositiveProblems(totals.blocked);
  const crash = crashReport(grid, seed, progress);
  return {
    lines: [...lines, '', ...crash.lines],
    problems: [...problems, ...crash.problems],
    simulatedMs: simulatedMs + crash.simulatedMs,
  };
}

function falsePositiveLines(byConcurrency: ReadonlyMap<string, Totals>, totals: Record<Blocking, Totals>): string[] {
  const rows = [...byConcurrency].map(([key, row]) => [...key.split(' '), ...cellsOf(row)]);
  for (const blocking of ['blocked', 'stalled'] as const) rows.push([blocking, 'all', ...cellsOf(totals[blocking])]);
  rows.sort((a, b) => (a[0] === b[0] ? 0 : String(a[0]) < String(b[0]) ? -1 : 1));
  return tableLines(['anomaly', 'C', 'SWIM FP', 'Holdfast FP', 'SWIM FP-', 'Holdfast FP-', 'FP- of SWIM'], rows);
}

function cellsOf({ swim, holdfast }: Totals): (string | number)[] {
  const share = swim.atHealthy === 0 ? '' : `${((100 * holdfast.atHealthy) / swim.atHealthy).toFixed(2)} %`;
  return [swim.all, holdfast.all, swim.atHealthy, holdfast.atHealthy, share];
}

function falsePositiveProblems({ swim, holdfast }: Totals): string[] {
  if (holdfast.atHealthy <= FALSE_POSITIVE_SHARE_MAX * swim.atHealthy) return [];
  return [`lifeguard: ${holdfast.atHealthy} false positives at healthy members, with plain SWIM ${swim.atHealthy}`];
}

/** Members that are blocked for good, in an otherwise healthy cluster. */
function crashReport(grid: Grid, seed: number, progress: (text: string) => void): ScenarioReport {
  const rows: (string | number)[][] = [];
  const problems: string[] = [];
  let simulatedMs = 0;
  for (const concurrent of grid.crashed) {
    for (const protocol of ['swim', 'holdfast'] as const) {
      const first: number[] = [];
      const all: number[] = [];
      for (let run = 0; run < grid.crashRuns; run++) {
        const network = PROTOCOLS[protocol](seed + run, grid.size);
        network.run(15_000 + 37 * run);
        const victims = new Prng(seed + run).shuffle(network.ids()).slice(0, concurrent);
        const { firstMs, allMs } = measureCrash(network, victims, 'block', 60_000);
        first.push(Number.isNaN(firstMs) ? Number.POSITIVE_INFINITY : firstMs);
        all.push(Number.isNaN(allMs) ? Number.POSITIVE_INFINITY : allMs);
        simulatedMs += network.nowMs;
      }
      rows.push([concurrent, protocol, seconds(median(first)), seconds(median(all)), seconds(Math.max(...all))]);
      if (protocol === 'holdfast' && concurrent === 1 && median(all) > ALL_KNOW_MAX_MS) {
        problems.push(`lifeguard: until all know of a crash it takes ${seconds(median(all))} s in the median`);
      }
      progress(`crashes: C ${concurrent}, ${protocol}`);
    }
  }
  const header = ['crashed', 'protocol', 'median first s', 'median all s', 'worst all s'];
  return { lines: tableLines(header, rows), problems, simulatedMs };
}

function noTotals(): Totals {
  return { swim: { all: 0, atHealthy: 0 }, holdfast: { all: 0, atHealthy: 0 } };
}

function add(sums: Totals, protocol: Protocol, { falsePositives, atHealthy }: CellResult): void {
  sums[protocol].all += falsePositives;
  sums[protocol].atHealthy += atHealthy;
}

export const lifeguard: Scenario = {
  summary: "Lifeguard's experiment: members blocked again and again, beside plain SWIM (128 members; ten minutes)",
  run: (options) => runGrid({ ...fullGrid(options.seed), size: options.nodes ?? SIZE }, options),
};
