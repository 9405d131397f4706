/**
 * How fast a backlog goes up: the nodes of a site are connected to a hub, which is then stopped while they take writes, and
 * started again. Everything is on loopback. No other system is measured beside it: what replicates a cluster's data to another
 * place does so from one log or one server, and not from several nodes that have written apart from each other.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { drawWrites, putAll, sizesOf } from '../../test/support/batches.ts';
import { HttpClient } from '../../test/support/http-client.ts';
import { POSTGRES_MISSING, PostgresServer } from '../../test/support/postgres-server.ts';
import { cpuMsOf, diskWarning, machineLine, whole } from './figures.ts';
import { placeNodes, SOURCES, untilFormed } from './holdfast.ts';
import { freePorts, Processes, type Started } from './processes.ts';
import { type Ground, LOOPBACK } from './system.ts';
import { BenchUsageError, numberOption } from './usage.ts';

const STORES = ['embedded', 'postgres'] as const;
type Store = (typeof STORES)[number];

const SITE = 'bench';
const BUCKET = 'default';
const TIMEOUT_MS = 600_000;

interface Options {
  readonly json: boolean;
  readonly keys: number;
  readonly nodes: number;
  readonly stores: readonly Store[];
  readonly directory: string;
  readonly file: string;
  readonly nodeArguments: readonly string[];
}

interface Row {
  readonly store: Store;
  readonly keys: number;
  /** From the session to the moment when no node knows of anything that the hub lacks. */
  readonly drainSeconds: number;
  readonly writesPerSecond: number;
  /** Of the hub without its database, and of all nodes together; null where it is not known. */
  readonly hubCpuMicroseconds: number | null;
  readonly siteCpuMicroseconds: number | null;
  /** Of the session in both directions, encrypted, for each byte of the compressed keys and values. */
  readonly wirePerCompressedByte: number;
}

interface Hub {
  readonly client: HttpClient;
  readonly listen: string;
  readonly start: () => Promise<Started>;
}

export async function run(args: string[]): Promise<void> {
  const options = readOptions(args);
  const loadAverageBefore = loadavg();
  process.stderr.write(`${machineLine()}\n`);
  const warning = await diskWarning(options.directory);
  if (warning !== null) process.stderr.write(`${warning}\n`);
  const rows: Row[] = [];
  for (const store of options.stores) {
    if (store === 'postgres' && POSTGRES_MISSING !== null) process.stderr.write(`${POSTGRES_MISSING}\n`);
    else rows.push(await measureStore(store, options));
  }
  const { keys, nodes } = options;
  const report = { keys, nodes, loadAverageBefore, loadAverageAfter: loadavg(), rows };
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : `${table(rows)}\n${machineLine()}\n`);
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      keys: { type: 'string', default: '20000' },
      nodes: { type: 'string', default: '3' },
      only: { type: 'string', default: STORES.join() },
      directory: { type: 'string', default: tmpdir() },
      program: { type: 'string', default: SOURCES },
      'cpu-prof': { type: 'string' },
    },
  });
  const only = values.only.split(',');
  const unknown = only.filter((word) => !STORES.some((store) => store === word));
  if (unknown.length > 0) throw new BenchUsageError(`--only does not know ${unknown.join(', ')}`);
  const profiles = values['cpu-prof'];
  return {
    json: values.json,
    keys: Math.floor(numberOption('keys', values.keys, 100, 1_000_000)),
    nodes: Math.floor(numberOption('nodes', values.nodes, 1, 20)),
    stores: STORES.filter((store) => only.includes(store)),
    directory: values.directory,
    file: resolve(values.program),
    nodeArguments: profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profiles)}`],
  };
}

async function measureStore(store: Store, options: Options): Promise<Row> {
  const directory = await mkdtemp(join(options.directory, 'holdfast-bench-'));
  const processes = new Processes();
  const server = store === 'postgres' ? await PostgresServer.start() : null;
  try {
    const database = (await server?.createDatabase()) ?? null;
    return { store, ...(await measure({ processes, directory }, options, database)) };
  } finally {
    await processes.stopAll();
    await server?.dispose();
    await rm(directory, { recursive: true, force: true });
  }
}

async function measure(ground: Ground, options: Options, database: string | null): Promise<Omit<Row, 'store'>> {
  const { processes } = ground;
  const { file, nodeArguments, keys } = options;
  const hub = await placeHub(ground, options, database);
  let running = await hub.start();
  const added = await hub.client.send('POST', '/v1/sites', { body: JSON.stringify({ name: SITE }) });
  const env = { HOLDFAST_HUB: hub.listen, HOLDFAST_HUB_TOKEN: (JSON.parse(added.text) as { token: string }).token };
  const placed = await placeNodes(ground, options.nodes, { file, nodeArguments, env });
  const pids = placed.map(({ start }) => start().pid);
  await untilFormed(processes, placed);
  const clients = placed.map(({ url }) => new HttpClient(url));
  try {
    const states = (): Promise<UplinkJson[]> =>
      Promise.all(clients.map((client) => client.json<UplinkJson>('/v1/hub')));
    const until = async (what: string, isMet: (states: readonly UplinkJson[]) => boolean): Promise<number> => {
      await processes.waitUntil(what, TIMEOUT_MS, async () => isMet(await states()));
      return performance.now();
    };
    await until('the site is connected', (all) => all.every(({ connected }) => connected));
    await processes.kill(running);
    const writes = drawWrites('backlog/', keys);
    await putAll(
      placed.map(({ url }) => url),
      BUCKET,
      writes,
    );
    running = await hub.start();
    const upMs = await until('the site is connected again', (all) => all.some(({ connected }) => connected));
    const before = await Promise.all([cpuMsOf([running.pid]), cpuMsOf(pids)]);
    const isLevel = ({ connected, backlog }: UplinkJson): boolean => connected && backlog.events === 0;
    const drainedMs = (await until('the hub lacks nothing', (all) => all.every(isLevel))) - upMs;
    const after = await Promise.all([cpuMsOf([running.pid]), cpuMsOf(pids)]);
    const found = await hub.client.json<{ keys: number }>(`/v1/sites/${SITE}`);
    if (found.keys !== keys) throw new Error(`the hub has ${found.keys} of ${keys} keys`);
    const [hubCpuMicroseconds = null, siteCpuMicroseconds = null] = after.map((ms, i) => {
      const from = before[i] ?? null;
      return ms === null || from === null ? null : ((ms - from) * 1000) / keys;
    });
    return {
      keys,
      drainSeconds: drainedMs / 1000,
      writesPerSecond: (keys * 1000) / drainedMs,
      hubCpuMicroseconds,
      siteCpuMicroseconds,
      wirePerCompressedByte: (await hub.client.metric('holdfast_hub_bytes_total')) / sizesOf(writes).compressedBytes,
    };
  } finally {
    for (const client of [...clients, hub.client]) client.close();
  }
}

interface UplinkJson {
  readonly connected: boolean;
  readonly backlog: { readonly events: number };
}

async function placeHub(
  { processes, directory }: Ground,
  { file, nodeArguments }: Options,
  database: string | null,
): Promise<Hub> {
  const [port, httpPort] = await freePorts(2);
  const listen = `/ip4/${LOOPBACK}/tcp/${String(port)}`;
  const client = new HttpClient(`http://${LOOPBACK}:${String(httpPort)}`);
  const home = join(directory, 'hub');
  await mkdir(home);
  const args = [...nodeArguments, file, 'hub', '--data-dir', join(home, 'data'), '--name', 'hub', '--listen', listen];
  args.push('--http', `${LOOPBACK}:${String(httpPort)}`, '--log-format', 'json');
  const env = database === null ? {} : { HOLDFAST_DATABASE: database };
  const start = async (): Promise<Started> => {
    const started = processes.start('holdfast hub', process.execPath, args, join(home, 'log'), env);
    const isReady = async (): Promise<boolean> => (await client.send('GET', '/readyz')).status === 200;
    await processes.waitUntil('the hub', TIMEOUT_MS, isReady);
    return started;
  };
  return { client, listen, start };
}

function table(rows: readonly Row[]): string {
  const output = new Table({
    head: [
      'hub on',
      'writes',
      'drained in',
      'writes/s',
      'hub CPU µs/write',
      'site CPU µs/write',
      'wire B/compressed B',
    ],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const orNothing = (value: number | null): string => (value === null ? '-' : whole(value));
  for (const row of rows) {
    output.push([
      row.store,
      whole(row.keys),
      `${row.drainSeconds.toFixed(2)} s`,
      whole(row.writesPerSecond),
      orNothing(row.hubCpuMicroseconds),
      orNothing(row.siteCpuMicroseconds),
      row.wirePerCompressedByte.toFixed(2),
    ]);
  }
  return output.toString();
}
