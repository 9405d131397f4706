/** What a cluster costs that nobody uses: processor, memory and traffic of each node after it has formed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { machineLine, median, processCost, whole } from './figures.ts';
import { type HoldfastNode, SOURCES, startNodes } from './holdfast.ts';
import { Processes } from './processes.ts';
import { numberOption } from './usage.ts';

/** After the last node was seen, for what joining sets off. */
const SETTLE_MS = 5_000;

interface Sample {
  readonly atMs: number;
  readonly cpuMs: number;
  readonly residentBytes: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

interface Row {
  readonly node: string;
  /** Of one processor. */
  readonly cpuPercent: number;
  readonly residentBytes: number;
  /** Frames on all lanes, before encryption. */
  readonly sentBytesPerSecond: number;
  readonly receivedBytesPerSecond: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '30' },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
    },
  });
  const seconds = numberOption('seconds', values.seconds, 1, 3600);
  const count = Math.floor(numberOption('nodes', values.nodes, 1, 100));
  const directory = await mkdtemp(join(values.directory, 'holdfast-bench-'));
  const processes = new Processes();
  const loadAverageBefore = loadavg();
  try {
    process.stderr.write(`${machineLine()}\nstarting ${count} nodes\n`);
    const nodes = await startNodes({ processes, directory }, count, {
      file: resolve(values.program),
      nodeArguments: [],
    });
    await delay(SETTLE_MS);
    process.stderr.write(`measuring for ${seconds} s\n`);
    const before = await Promise.all(nodes.map(sample));
    await delay(seconds * 1000);
    await processes.assertRunning();
    const after = await Promise.all(nodes.map(sample));
    const rows = nodes.map((node, i) => rowOf(node, before[i] as Sample, after[i] as Sample));
    const report = { nodes: count, seconds, loadAverageBefore, loadAverageAfter: loadavg(), rows };
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${table(rows, seconds)}\n${machineLine()}\n`);
  } finally {
    await processes.stopAll();
    await rm(directory, { recursive: true, force: true });
  }
}

async function sample(node: HoldfastNode): Promise<Sample> {
  const metrics = await (await fetch(`${node.url}/metrics`)).text();
  const cost = await processCost(node.pid);
  return {
    atMs: performance.now(),
    cpuMs: cost?.cpuMs ?? Number.NaN,
    residentBytes: cost?.residentBytes ?? Number.NaN,
    sentBytes: sumOf(metrics, 'bytes_sent_total'),
    receivedBytes: sumOf(metrics, 'bytes_received_total'),
  };
}

/** A counter of the transport over all lanes. */
function sumOf(metrics: string, counter: string): number {
  const lines = metrics.matchAll(new RegExp(`^holdfast_transport_total\\{what="${counter}_[a-z]+"\\} (\\d+)$`, 'gm'));
  let sum = 0;
  for (const [, value] of lines) sum += Number(value);
  return sum;
}

function rowOf(node: HoldfastNode, before: Sample, after: Sample): Row {
  const elapsedMs = after.atMs - before.atMs;
  return {
    node: node.name,
    cpuPercent: ((after.cpuMs - before.cpuMs) / elapsedMs) * 100,
    residentBytes: after.residentBytes,
    sentBytesPerSecond: ((after.sentBytes - before.sentBytes) * 1000) / elapsedMs,
    receivedBytesPerSecond: ((after.receivedBytes - before.receivedBytes) * 1000) / elapsedMs,
  };
}

function table(rows: readonly Row[], seconds: number): string {
  const output = new Table({
    head: [`idle for ${seconds} s`, 'CPU %', 'RSS MB', 'sent B/s', 'received B/s'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const middle: Row = {
    node: 'median',
    cpuPercent: median(rows.map(({ cpuPercent }) => cpuPercent)),
    residentBytes: median(rows.map(({ residentBytes }) => residentBytes)),
    sentBytesPerSecond: median(rows.map(({ sentBytesPerSecond }) => sentBytesPerSecond)),
    receivedBytesPerSecond: median(rows.map(({ receivedBytesPerSecond }) => receivedBytesPerSecond)),
  };
  for (const row of [...rows, middle]) {
    output.push([
      row.node,
      row.cpuPercent.toFixed(2),
      (row.residentBytes / 1e6).toFixed(0),
      whole(row.sentBytesPerSecond),
      whole(row.receivedBytesPerSecond),
    ]);
  }
  return output.toString();
}
