import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeStatus } from '../../src/ports/node-handle.ts';
import { NetnsCluster } from './netns-cluster.ts';
import { childEnvironment, type Exit, MAIN, ServerProcess, START_TIMEOUT_MS } from './server-process.ts';
import { until } from './until.ts';

/** Below the range from which Linux takes ports for outgoing connections: a stopped node finds its own free again. */
const PORT_MIN = 15_000;
const PORT_MAX = 32_000;
const JOIN_TIMEOUT_MS = 90_000;

export interface NodeStatusJson {
  readonly name: string;
  readonly peerId: string;
  readonly bootEpoch: number;
  readonly level: string;
  readonly members: { readonly alive: number; readonly suspect: number; readonly dead: number; readonly left: number };
  readonly shards: NodeStatus['shards'];
  readonly hints: { readonly records: number; readonly bytes: number; readonly dropped: number };
}

export interface FinishedProcess {
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ports that nothing listens on; each is handed out once by this process. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    if (handedOut.has(port) || !(await isFree(port))) continue;
    handedOut.add(port);
    ports.push(port);
  }
  return ports;
}

const handedOut = new Set<number>();

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

/** Runs a command of the program that ends by itself. */
export async function runHoldfast(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = tmpdir(),
): Promise<FinishedProcess> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: childEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS);
  const exit = await new Promise<Exit>((done) => {
    child.on('close', (code, signal) => done(signal ?? code ?? -1));
  });
  clearTimeout(timer);
  return { exit, stdout: stdout(), stderr: stderr() };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

/** Where a process runs. */
export interface Place {
  /** IPv4 address on which it listens. */
  readonly host: string;
  /** Command that starts the process there; empty: on this machine itself. */
  readonly launcher: readonly string[];
}

export interface LocalNodeOptions {
  readonly name: string;
  readonly place: Place;
  readonly directory: string;
  readonly ports: readonly [p2p: number, http: number, resp: number];
  readonly seeds: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly extraArgs: readonly string[];
}

/** One node in a process of its own. Keeps its ports, data and log over restarts. */
export class LocalNodeProcess extends ServerProcess {
  readonly dataDir: string;
  readonly listen: string;
  readonly p2pPort: number;
  readonly httpPort: number;
  readonly respPort: number;

  constructor(options: LocalNodeOptions) {
    const { name, directory, place, env, seeds, extraArgs } = options;
    const [p2pPort, httpPort, respPort] = options.ports;
    const dataDir = join(directory, name);
    const listen = `/ip4/${place.host}/tcp/${p2pPort}`;
    const flags = Object.entries({
      'data-dir': dataDir,
      name,
      listen,
      mdns: 'off',
      http: `${place.host}:${httpPort}`,
      resp: `${place.host}:${respPort}`,
      'log-format': 'json',
    }).flatMap(([flag, value]) => [`--${flag}`, value]);
    super({
      name,
      directory,
      launcher: place.launcher,
      api: `http://${place.host}:${httpPort}`,
      arguments: ['start', ...flags, ...seeds.flatMap((seed) => ['--seed', seed]), ...extraArgs],
      env,
    });
    this.dataDir = dataDir;
    this.listen = listen;
    this.p2pPort = p2pPort;
    this.httpPort = httpPort;
    this.respPort = respPort;
  }

  status(): Promise<NodeStatusJson> {
    return this.http.json<NodeStatusJson>('/v1/status');
  }
}

export interface LocalClusterOptions {
  readonly nodes: number;
  /** Further environment of every node, such as HOLDFAST_ANTI_ENTROPY_INTERVAL_MS. */
  readonly env?: Readonly<Record<string, string>>;
  readonly extraArgs?: readonly string[];
  /** Each node in a network namespace of its own (root on Linux) instead of all on loopback. */
  readonly namespaces?: boolean;
  /** Where each node runs, in a network that is the caller's. */
  readonly places?: readonly Place[];
}

/** Real nodes that find each other by seeds. `close` belongs in the test's last hook. */
export class LocalCluster {
  readonly directory: string;
  readonly secret: string;
  readonly nodes: readonly LocalNodeProcess[];
  private readonly network: NetnsCluster | null;

  private constructor(
    directory: string,
    secret: string,
    nodes: readonly LocalNodeProcess[],
    network: NetnsCluster | null,
  ) {
    this.directory = directory;
    this.secret = secret;
    this.nodes = nodes;
    this.network = network;
  }

  /** Chooses ports and directories, and makes the network; starts nothing. */
  static async create(options: LocalClusterOptions): Promise<LocalCluster> {
    const secret = randomBytes(32).toString('hex');
    const ports = await freePorts(options.nodes * 3);
    const network = options.namespaces === true ? NetnsCluster.up({ nodes: options.nodes, start: false }) : null;
    const directory = mkdtempSync(join(tmpdir(), 'hf-cluster-'));
    const places = options.places ?? (network === null ? loopbackPlaces(options.nodes) : placesIn(network));
    const seeds = places.slice(0, 3).map(({ host }, i) => `/ip4/${host}/tcp/${ports[i * 3]}`);
    const nodes = Array.from({ length: options.nodes }, (_, i) => {
      const [p2p = 0, http = 0, resp = 0] = ports.slice(i * 3);
      return new LocalNodeProcess({
        name: `n${i + 1}`,
        place: places[i] as Place,
        directory,
        ports: [p2p, http, resp],
        seeds: seeds.filter((_seed, j) => j !== i),
        env: { HOLDFAST_SECRET: secret, ...options.env },
        extraArgs: options.extraArgs ?? [],
      });
    });
    return new LocalCluster(directory, secret, nodes, network);
  }

  /** Starts all nodes and waits until each sees all and holds its shards whole. */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const cluster = await LocalCluster.create(options);
    try {
      await cluster.startAll();
    } catch (error) {
      const text = cluster.logs();
      await cluster.close();
      throw new Error(`${String(error)}\n${text}`, { cause: error });
    }
    return cluster;
  }

  node(number: number): LocalNodeProcess {
    const node = this.nodes[number - 1];
    if (node === undefined) throw new Error(`the cluster has no node ${number}`);
    return node;
  }

  async startAll(): Promise<void> {
    for (const node of this.nodes) if (!node.running) node.spawn();
    await Promise.all(this.nodes.map((node) => node.untilReady()));
    await this.untilComplete();
  }

  /** Every running node sees exactly the running ones alive, and holds all its shards whole. */
  async untilComplete(timeoutMs = JOIN_TIMEOUT_MS): Promise<void> {
    const running = this.nodes.filter((node) => node.running);
    let last = '';
    const isComplete = async (): Promise<boolean> => {
      const statuses = await Promise.all(running.map((node) => node.status()));
      last = JSON.stringify(statuses.map(({ name, members, shards }) => ({ name, members, shards })));
      return statuses.every(
        ({ members, shards }) =>
          members.alive === running.length &&
          members.suspect === 0 &&
          shards.owned > 0 &&
          shards.complete === shards.owned &&
          shards.transferring === 0,
      );
    };
    try {
      await until('all views and shards complete', () => isComplete().catch(() => false), timeoutMs);
    } catch (error) {
      throw new Error(`${String(error)}; last seen: ${last}`, { cause: error });
    }
  }

  /** Sends the signal to all running nodes at once and waits until they are gone. */
  async killAll(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await Promise.all(this.nodes.filter((node) => node.running).map((node) => node.kill(signal)));
  }

  /** The last lines of every node's log. */
  logs(): string {
    return this.nodes.map((node) => `--- ${node.name} (exit ${node.exit ?? '-'})\n${node.logTail()}`).join('\n');
  }

  /** Kills what still runs and removes all files. */
  async close(): Promise<void> {
    await this.killAll();
    for (const node of this.nodes) node.close();
    this.network?.down();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function loopbackPlaces(count: number): Place[] {
  return Array.from({ length: count }, () => ({ host: '127.0.0.1', launcher: [] }));
}

/** One in each namespace, in their order. */
export function placesIn(network: NetnsCluster): Place[] {
  return network.status().nodes.map(({ ip, namespace }) => ({
    host: ip,
    // It becomes the process, so that signals reach it.
    launcher: ['ip', 'netns', 'exec', namespace],
  }));
}
