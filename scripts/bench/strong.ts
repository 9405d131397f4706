/**
 * Strong keys of a cluster on loopback beside etcd, every node a process of its own with a real disk: throughput and
 * latency, and what clients of the other nodes notice when the leader is killed. Strong keys have no leader; the one
 * that is killed is the cluster's, so that both systems lose the node which costs them most.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { etcdElectorate, holdfastElectorate } from './electorate.ts';
import { startEtcd } from './etcd.ts';
import { Failover } from './failover.ts';
import { cpuMsOf, diskWarning, machineLine, median, whole } from './figures.ts';
import { type Program, SOURCES, startHoldfast } from './holdfast.ts';
import { drive, type Measured } from './load.ts';
import { chart, type Outage, watchOutage } from './outage.ts';
import { isInstalled, Processes } from './processes.ts';
import { keyText, randomBelow, randomValue, VALUE_BYTES } from './samples.ts';
import type { Ground, Operation, System } from './system.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const SYSTEMS = ['holdfast', 'etcd'] as const;
type Name = (typeof SYSTEMS)[number];

const WORDS = [...SYSTEMS, 'load', 'kill'] as const;
const KEYS = 10_000;
const FILL_CONNECTIONS = 64;
const FILLS_MAX = 5;
const FILL_MS_MAX = 120_000;
const WARM_UP_MS = 1_000;
const PAUSE_MS = 500;
/** An outage longer than this is one. */
const SILENCE_MS_MAX = 1_000;

interface Options {
  readonly json: boolean;
  readonly nodes: number;
  readonly connections: readonly number[];
  readonly seconds: number;
  readonly rounds: number;
  readonly does: (word: (typeof WORDS)[number]) => boolean;
  readonly directory: string;
  readonly program: Program;
}

interface Row {
  readonly system: Name;
  readonly operation: string;
  readonly kind: Operation['kind'];
  readonly protocol: Operation['protocol'];
  readonly connections: number;
  /** Medians over the rounds. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all processes of the system together; null where it is not known. */
  readonly cpuMicrosecondsPerOperation: number | null;
  readonly failed: number;
  /** (highest - lowest) / median of `perSecond` over the rounds. */
  readonly spread: number;
}

interface Kills {
  readonly system: Name;
  readonly nodes: number;
  readonly rounds: readonly Outage[];
}

type Make<T> = (ground: Ground) => Promise<T>;

export async function run(args: string[]): Promise<void> {
  const options = readOptions(args);
  note(machineLine());
  const warning = await diskWarning(options.directory);
  if (warning !== null) note(warning);
  const hasEtcd = options.does('etcd') && isInstalled('etcd');
  if (options.does('etcd') && !hasEtcd) note('etcd is not installed: without it (Debian: etcd-server)');
  const names = SYSTEMS.filter((name) => options.does(name) && (name !== 'etcd' || hasEtcd));
  const rows = options.does('load') ? await measureLoad(names, options) : [];
  const kills: Kills[] = [];
  for (const name of options.does('kill') ? names : []) kills.push(await measureKills(name, options));
  const { nodes, connections, seconds, rounds } = options;
  if (options.json) {
    const plan = { nodes, connections, seconds, rounds, keys: KEYS, valueBytes: VALUE_BYTES };
    process.stdout.write(`${JSON.stringify({ ...plan, rows: rows.map(withRatio(rows)), kills })}\n`);
  } else {
    process.stdout.write([...loadTable(rows, options), ...killTables(kills), machineLine(), ''].join('\n'));
  }
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      nodes: { type: 'string', default: '3' },
      connections: { type: 'string', default: '1,16,64' },
      seconds: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: '' },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
    },
  });
  const only = values.only.split(',').filter((word) => word !== '');
  const unknown = only.find((word) => !WORDS.some((name) => name === word));
  if (unknown !== undefined) throw new BenchUsageError(`--only knows no ${unknown}; it takes ${WORDS.join(', ')}`);
  const does: Options['does'] = (word) => {
    const group = WORDS.filter(
      (other) => SYSTEMS.some((name) => name === other) === SYSTEMS.some((name) => name === word),
    );
    return only.includes(word) || !group.some((other) => only.includes(other));
  };
  return {
    json: values.json,
    nodes: Math.floor(numberOption('nodes', values.nodes, 3, 20)),
    connections: values.connections.split(',').map((text) => Math.floor(numberOption('connections', text, 1, 1000))),
    seconds: numberOption('seconds', values.seconds, 0.5, 600),
    rounds: Math.floor(numberOption('rounds', values.rounds, 1, 100)),
    does,
    directory: values.directory,
    program: { file: resolve(values.program), nodeArguments: [] },
  };
}

/** Gives each a directory of its own, and leaves nothing of it behind. */
async function onGround<T>(base: string, use: Make<T>): Promise<T> {
  const directory = await mkdtemp(join(base, 'holdfast-bench-'));
  const processes = new Processes();
  try {
    return await use({ processes, directory });
  } finally {
    await processes.stopAll();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureLoad(names: readonly Name[], options: Options): Promise<Row[]> {
  const starts: Record<Name, Make<System>> = {
    holdfast: (ground) => startHoldfast(ground, options.program, { nodes: options.nodes, bucket: 'strong' }),
    etcd: startEtcd,
  };
  return await onGround(options.directory, async ({ processes, directory }) => {
    const systems: System[] = [];
    for (const name of names) {
      note(`starting ${name}`);
      const home = join(directory, name);
      await mkdir(home);
      systems.push(await starts[name]({ processes, directory: home }));
    }
    for (const system of systems) await fill(system);
    return await measureRounds(systems, options);
  });
}

/** Writes every key, which warms the system up as well; all of them again where some writes failed. */
async function fill(system: System): Promise<void> {
  const put = system.operations.find(({ kind, protocol }) => kind === 'put' && protocol === 'http') as Operation;
  for (let pass = 1; pass <= FILLS_MAX; pass++) {
    let next = 0;
    const { done, failed, seconds, firstFailure } = await drive({
      targets: put.targets,
      connections: FILL_CONNECTIONS,
      dialect: put.dialect,
      request: (connection) => (next === KEYS ? null : put.request(keyText(next++), randomValue(), connection)),
      durationMs: FILL_MS_MAX,
    });
    note(`filled ${system.name}: ${whole(done)} keys in ${seconds.toFixed(1)} s, ${failed} failed`);
    if (done === KEYS) return;
    note(`the first answer that failed: ${firstFailure ?? 'none, it took too long'}`);
  }
  throw new Error(`${system.name} does not take all of ${KEYS} keys; gets would meet absent ones`);
}

/** Each round measures everything once, so that a change of the machine's mood meets both systems. */
async function measureRounds(systems: readonly System[], { connections, seconds, rounds }: Options): Promise<Row[]> {
  const cases = connections.flatMap((count) =>
    systems.flatMap((system) =>
      system.operations
        .filter(({ kind }) => kind !== 'get-one')
        .map((operation) => ({ system, operation, count, measured: [] as Sample[] })),
    ),
  );
  for (const { system, operation } of cases) await load(system, operation, FILL_CONNECTIONS, WARM_UP_MS);
  for (let i = 1; i <= rounds; i++) {
    for (const { system, operation, count, measured } of cases) {
      await delay(PAUSE_MS);
      const sample = await load(system, operation, count, seconds * 1000);
      measured.push(sample);
      note(`round ${i}, ${system.name}, ${operation.title}, ${count} connections: ${whole(sample.perSecond)}/s`);
      if (sample.firstFailure !== null) note(`${sample.failed} failed; the first answer: ${sample.firstFailure}`);
    }
  }
  return cases.map(({ system, operation, count, measured }) => {
    const rates = measured.map(({ perSecond }) => perSecond);
    const cpu = measured.map(({ cpuMicrosecondsPerOperation }) => cpuMicrosecondsPerOperation);
    return {
      system: system.name as Name,
      operation: operation.title,
      kind: operation.kind,
      protocol: operation.protocol,
      connections: count,
      perSecond: median(rates),
      p50Ms: median(measured.map(({ p50Ms }) => p50Ms)),
      p99Ms: median(measured.map(({ p99Ms }) => p99Ms)),
      cpuMicrosecondsPerOperation: cpu.every((value) => value !== null) ? median(cpu) : null,
      failed: measured.reduce((sum, { failed }) => sum + failed, 0),
      spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    };
  });
}

interface Sample extends Measured {
  readonly cpuMicrosecondsPerOperation: number | null;
}

async function load(system: System, operation: Operation, connections: number, durationMs: number): Promise<Sample> {
  const beforeMs = await cpuMsOf(system.pids);
  const measured = await drive({
    targets: operation.targets,
    connections,
    dialect: operation.dialect,
    request: (connection) => operation.request(keyText(randomBelow(KEYS)), randomValue(), connection),
    durationMs,
  });
  const afterMs = await cpuMsOf(system.pids);
  const isKnown = beforeMs !== null && afterMs !== null && measured.done > 0;
  return { ...measured, cpuMicrosecondsPerOperation: isKnown ? ((afterMs - beforeMs) * 1000) / measured.done : null };
}

async function measureKills(name: Name, { nodes, rounds, directory, program }: Options): Promise<Kills> {
  return await onGround(directory, async (ground) => {
    const electorate =
      name === 'etcd' ? await etcdElectorate(ground) : await holdfastElectorate(ground, nodes, program, 'strong');
    note(`${name}: starting ${electorate.voters.length} nodes`);
    const failover = new Failover(electorate, ground.processes);
    await failover.start();
    const outages: Outage[] = [];
    for (let round = 1; round <= rounds; round++) {
      const outage = await failover.killLeaderDuring(watchOutage);
      outages.push(outage);
      note(`${name} ${round}: at most ${whole(outage.silenceMs)} ms without a write, ${outage.failed} failed`);
    }
    return { system: name, nodes: electorate.voters.length, rounds: outages };
  });
}

function withRatio(rows: readonly Row[]): (row: Row) => Row & { readonly ratio: number | null } {
  return (row) => {
    const { kind, connections, system } = row;
    const other = rows.find((each) => each.system === 'etcd' && each.kind === kind && each.connections === connections);
    return { ...row, ratio: system === 'etcd' || other === undefined ? null : row.perSecond / other.perSecond };
  };
}

/** Empty where nothing was measured. */
function loadTable(rows: readonly Row[], { nodes, rounds, seconds }: Options): string[] {
  if (rows.length === 0) return [];
  const right = 'right' as const;
  const output = new Table({
    head: [
      'connections',
      'system',
      'operation',
      'ops/s',
      'spread',
      'p50 ms',
      'p99 ms',
      'CPU us/op',
      'failed',
      '/ etcd',
    ],
    colAligns: [right, 'left', 'left', right, right, right, right, right, right, right],
    style: { head: [], border: [] },
  });
  for (const row of rows.map(withRatio(rows))) {
    output.push([
      row.connections,
      row.system,
      row.operation,
      whole(row.perSecond),
      `${whole(row.spread * 100)} %`,
      row.p50Ms.toFixed(1),
      row.p99Ms.toFixed(1),
      row.cpuMicrosecondsPerOperation?.toFixed(0) ?? '',
      row.failed,
      row.ratio?.toFixed(2) ?? '',
    ]);
  }
  const title = `${nodes} nodes of holdfast, ${VALUE_BYTES}-byte values, ${whole(KEYS)} keys, medians of ${rounds} rounds of ${seconds} s`;
  return [title, output.toString()];
}

function killTables(kills: readonly Kills[]): string[] {
  return kills.flatMap(({ system, nodes, rounds }) => {
    const silences = rounds.map(({ silenceMs }) => silenceMs);
    const worst = rounds[silences.indexOf(Math.max(...silences))] as Outage;
    const whether = worst.silenceMs < SILENCE_MS_MAX ? 'never for a second' : 'longer than a second';
    return [
      `\n${system}, ${nodes} nodes, SIGKILL of the leader, writes at the others; stopped ${whether}: ` +
        `median ${whole(median(silences))} ms, worst of ${rounds.length} ${whole(worst.silenceMs)} ms:`,
      ...chart(worst),
    ];
  });
}

/** Progress, for a person who waits. */
function note(text: string): void {
  process.stderr.write(`${text}\n`);
}
