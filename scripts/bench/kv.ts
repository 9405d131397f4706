/**
 * Puts and gets of a three-node cluster on loopback, every node a process of its own with a real disk, beside other
 * systems under the same load. Figures of one run compare; figures of two machines, or of two moments of a machine
 * that others use, do not.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { startEtcd } from './etcd.ts';
import { bytesWrittenBy, cpuMsOf, diskWarning, machineLine, median, whole } from './figures.ts';
import { type Program, SOURCES, startHoldfast } from './holdfast.ts';
import { drive, type Measured } from './load.ts';
import { startNats } from './nats.ts';
import { isInstalled, Processes } from './processes.ts';
import { startRedis } from './redis.ts';
import { keyText, randomBelow, randomValue, VALUE_BYTES } from './samples.ts';
import { type Ground, type Operation, SYSTEM_NAMES, type System, type SystemName } from './system.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const CONNECTIONS = 64;
const KEYS = 100_000;
const FILL_MS_MAX = 180_000;
const WARM_UP_MS = 1_000;
/** Between two measurements, so that what one leaves behind does not weigh on the next. */
const PAUSE_MS = 500;

const KINDS = ['put', 'get-quorum', 'get-one'] as const;
const PROTOCOLS = ['http', 'resp', 'nats'] as const;

interface Options {
  readonly json: boolean;
  readonly seconds: number;
  readonly rounds: number;
  readonly only: ReadonlySet<string>;
  readonly directory: string;
  readonly program: Program;
}

interface Round extends Measured {
  /** Of all processes of the system together; null where it is not known. */
  readonly cpuMicrosecondsPerOperation: number | null;
  /** By the disks of all nodes, for each byte of keys and values that each of them had to keep; null for gets. */
  readonly bytesWrittenPerByte: number | null;
}

interface Row {
  readonly system: SystemName;
  readonly operation: string;
  readonly kind: Operation['kind'];
  readonly protocol: Operation['protocol'];
  /** Medians over the rounds. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosecondsPerOperation: number | null;
  readonly bytesWrittenPerByte: number | null;
  readonly failed: number;
  /** (highest - lowest) / median of `perSecond` over the rounds. */
  readonly spread: number;
}

interface Report {
  readonly connections: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly loadAverageBefore: readonly number[];
  readonly loadAverageAfter: readonly number[];
  readonly rows: readonly (Row & { readonly ratios: Readonly<Record<string, number>> })[];
  readonly skipped: readonly string[];
}

export async function run(args: string[]): Promise<void> {
  const options = readOptions(args);
  const directory = await mkdtemp(join(options.directory, 'holdfast-bench-'));
  const processes = new Processes();
  const loadAverageBefore = loadavg();
  try {
    for (const line of [machineLine(), await diskWarning(directory)]) if (line !== null) note(line);
    const { systems, skipped } = await startSystems(options, processes, directory);
    for (const reason of skipped) note(reason);
    for (const system of systems) await fill(system);
    const rows = await measure(systems, options);
    const report: Report = {
      connections: CONNECTIONS,
      keys: KEYS,
      valueBytes: VALUE_BYTES,
      seconds: options.seconds,
      rounds: options.rounds,
      loadAverageBefore,
      loadAverageAfter: loadavg(),
      rows: rows.map((row) => ({ ...row, ratios: row.system === 'holdfast' ? ratiosOf(row, rows) : {} })),
      skipped,
    };
    process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${table(report)}\n`);
    note(machineLine());
  } finally {
    await processes.stopAll();
    await rm(directory, { recursive: true, force: true });
  }
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
      'cpu-prof': { type: 'string' },
    },
  });
  const only = values.only.split(',').filter((word) => word !== '');
  const words: readonly string[] = [...SYSTEM_NAMES, ...KINDS, ...PROTOCOLS];
  const wrong = only.find((word) => !words.includes(word));
  if (wrong !== undefined) throw new BenchUsageError(`--only knows no ${wrong}; it takes ${words.join(', ')}`);
  const profiles = values['cpu-prof'];
  const profiling = profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profiles)}`];
  return {
    json: values.json,
    seconds: numberOption('seconds', values.seconds, 0.5, 600),
    rounds: numberOption('rounds', values.rounds, 1, 100),
    only: new Set(only),
    directory: values.directory,
    program: { file: resolve(values.program), nodeArguments: profiling },
  };
}

/** True when `word` is asked for: by name, or because nothing of its group is. */
function isWanted(only: ReadonlySet<string>, group: readonly string[], word: string): boolean {
  return only.has(word) || !group.some((other) => only.has(other));
}

/** Progress, for a person who waits. */
function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function startSystems(
  { only, program }: Options,
  processes: Processes,
  directory: string,
): Promise<{ systems: System[]; skipped: string[] }> {
  const starts: Record<SystemName, (ground: Ground) => Promise<System>> = {
    holdfast: (ground) => startHoldfast(ground, program, { nodes: 3, bucket: 'default' }),
    etcd: startEtcd,
    nats: startNats,
    redis: startRedis,
  };
  const systems: System[] = [];
  const skipped: string[] = [];
  for (const name of SYSTEM_NAMES.filter((word) => isWanted(only, SYSTEM_NAMES, word))) {
    const peer = PEERS[name];
    if (peer !== undefined && !isInstalled(peer.command)) {
      skipped.push(`${name} is left out: there is no ${peer.command} here; apt-get install ${peer.package}`);
      continue;
    }
    note(`starting ${name}`);
    const home = join(directory, name);
    await mkdir(home);
    systems.push(await starts[name]({ processes, directory: home }));
  }
  return { systems, skipped };
}

const PEERS: Partial<Record<SystemName, { readonly command: string; readonly package: string }>> = {
  etcd: { command: 'etcd', package: 'etcd-server' },
  nats: { command: 'nats-server', package: 'nats-server' },
  redis: { command: 'redis-server', package: 'redis-server' },
};

/** Writes every key once, which warms the system up as well. */
async function fill(system: System): Promise<void> {
  const put = system.operations.find(({ kind }) => kind === 'put');
  if (put === undefined) return;
  let next = 0;
  const { done, failed, seconds } = await drive({
    targets: put.targets,
    connections: CONNECTIONS,
    dialect: put.dialect,
    request: (connection) => (next === KEYS ? null : put.request(keyText(next++), randomValue(), connection)),
    durationMs: FILL_MS_MAX,
  });
  note(`filled ${system.name}: ${whole(done)} keys in ${seconds.toFixed(1)} s, ${failed} failed`);
  if (done < KEYS) throw new Error(`${system.name} holds ${done} of ${KEYS} keys; gets would meet absent ones`);
}

/** Each round measures everything once, so that a change of the machine's mood meets all systems. */
async function measure(systems: readonly System[], { only, seconds, rounds }: Options): Promise<Row[]> {
  const cases = systems.flatMap((system) =>
    system.operations
      .filter(({ kind, protocol }) => isWanted(only, KINDS, kind) && isWanted(only, PROTOCOLS, protocol))
      .map((operation) => ({ system, operation, rounds: [] as Round[] })),
  );
  for (const { system, operation } of cases) await load(system, operation, WARM_UP_MS);
  for (let i = 1; i <= rounds; i++) {
    for (const { system, operation, rounds: measured } of cases) {
      await delay(PAUSE_MS);
      const round = await load(system, operation, seconds * 1000);
      measured.push(round);
      note(`round ${i}, ${system.name}, ${operation.title}: ${whole(round.perSecond)}/s`);
      if (round.firstFailure !== null) note(`${round.failed} failed; the first answer: ${round.firstFailure}`);
    }
  }
  return cases.map(({ system, operation, rounds: measured }) => rowOf(system, operation, measured));
}

async function load(system: System, operation: Operation, durationMs: number): Promise<Round> {
  const cpuBeforeMs = await cpuMsOf(system.pids);
  const writtenBefore = await bytesWrittenBy(system.pids);
  const measured = await drive({
    targets: operation.targets,
    connections: CONNECTIONS,
    dialect: operation.dialect,
    request: (connection) => operation.request(keyText(randomBelow(KEYS)), randomValue(), connection),
    durationMs,
  });
  const cpuAfterMs = await cpuMsOf(system.pids);
  const writtenAfter = await bytesWrittenBy(system.pids);
  // Every node of these clusters keeps every key.
  const kept = measured.done * (keyText(0).length + VALUE_BYTES) * system.pids.length;
  const isPut = operation.kind === 'put' && writtenBefore !== null && writtenAfter !== null && kept > 0;
  const isKnown = cpuBeforeMs !== null && cpuAfterMs !== null && measured.done > 0;
  return {
    ...measured,
    bytesWrittenPerByte: isPut ? (writtenAfter - writtenBefore) / kept : null,
    cpuMicrosecondsPerOperation: isKnown ? ((cpuAfterMs - cpuBeforeMs) * 1000) / measured.done : null,
  };
}

function rowOf(system: System, operation: Operation, rounds: readonly Round[]): Row {
  const rates = rounds.map(({ perSecond }) => perSecond);
  const written = rounds.map(({ bytesWrittenPerByte }) => bytesWrittenPerByte);
  const cpu = rounds.map(({ cpuMicrosecondsPerOperation }) => cpuMicrosecondsPerOperation);
  return {
    system: system.name,
    operation: operation.title,
    kind: operation.kind,
    protocol: operation.protocol,
    perSecond: median(rates),
    p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
    cpuMicrosecondsPerOperation: cpu.every((value) => value !== null) ? median(cpu) : null,
    bytesWrittenPerByte: written.every((value) => value !== null) ? median(written) : null,
    failed: rounds.reduce((sum, { failed }) => sum + failed, 0),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
  };
}

/** Throughput over that of each other system at the same kind of request. */
function ratiosOf(row: Row, rows: readonly Row[]): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const other of rows) {
    // One server has no quorum: all its gets are alike.
    const isComparable =
      other.kind === row.kind || (other.system === 'redis' && (other.kind === 'put') === (row.kind === 'put'));
    if (other.system !== 'holdfast' && isComparable) ratios[other.system] = row.perSecond / other.perSecond;
  }
  return ratios;
}

function table(report: Report): string {
  const others = SYSTEM_NAMES.filter(
    (name) => name !== 'holdfast' && report.rows.some(({ system }) => system === name),
  );
  const output = new Table({
    head: [
      'system',
      'operation',
      'ops/s',
      'spread',
      'p50 ms',
      'p99 ms',
      'CPU us/op',
      'written/put',
      'failed',
      ...others.map((name) => `/ ${name}`),
    ],
    colAligns: [
      'left',
      'left',
      'right',
      'right',
      'right',
      'right',
      'right',
      'right',
      'right',
      ...others.map(() => 'right' as const),
    ],
    style: { head: [], border: [] },
  });
  for (const row of report.rows) {
    output.push([
      row.system,
      row.operation,
      whole(row.perSecond),
      `${whole(row.spread * 100)} %`,
      row.p50Ms.toFixed(1),
      row.p99Ms.toFixed(1),
      row.cpuMicrosecondsPerOperation?.toFixed(0) ?? '',
      row.bytesWrittenPerByte?.toFixed(1) ?? '',
      String(row.failed),
      ...others.map((name) => row.ratios[name]?.toFixed(2) ?? ''),
    ]);
  }
  const { connections, valueBytes, keys, rounds, seconds } = report;
  const title = `${connections} connections, ${valueBytes}-byte values, ${whole(keys)} keys, medians of ${rounds} rounds of ${seconds} s`;
  return `${title}\n${output.toString()}`;
}
