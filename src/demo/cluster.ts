import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { NodeClient } from './node-client.ts';
import { NodeProcess } from './node-process.ts';
import { DemoError, waitUntil } from './wait.ts';

/** Below the range from which systems take the ports of outgoing connections. */
const PORT_MIN = 20_000;
const PORT_RANGE = 10_000;
const PORT_TRIES_MAX = 1000;
const SEEDS = 2;
const READY_TIMEOUT_MS = 30_000;
const READY_POLL_MS = 20;

export interface DemoNode {
  readonly name: string;
  readonly client: NodeClient;
  readonly process: NodeProcess;
}

export interface ClusterOptions {
  readonly nodes: number;
  readonly directory: string;
  /** Runs holdfast. */
  readonly program: readonly string[];
  readonly mdns: boolean;
  /** A node ended that was not told to. */
  readonly onNodeLost: (error: DemoError) => void;
}

/** The nodes of the demo: real processes with directories and ports of their own and one fresh secret. */
export class DemoCluster {
  readonly nodes: readonly DemoNode[];

  private constructor(nodes: readonly DemoNode[]) {
    this.nodes = nodes;
  }

  /** Prepares the nodes; none runs yet. */
  static async create(options: ClusterOptions): Promise<DemoCluster> {
    const { directory, nodes: count } = options;
    const secretFile = join(directory, 'secret');
    writeFileSync(secretFile, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
    const ports = await freePorts(count * 2);
    const peers = Array.from({ length: count }, (_, index) => ({
      name: `n${index + 1}`,
      listen: `/ip4/127.0.0.1/tcp/${String(ports[index * 2])}`,
      http: `127.0.0.1:${String(ports[index * 2 + 1])}`,
    }));
    const nodes = peers.map(({ name, listen, http }) => {
      const seeds = peers.slice(0, SEEDS + 1).filter((peer) => peer.name !== name);
      const command = [
        ...options.program,
        'start',
        ...flags({ 'data-dir': 'data', name, 'secret-file': secretFile, listen, http, resp: 'off' }),
        ...flags({ mdns: options.mdns ? 'on' : 'off', 'log-format': 'pretty' }),
        ...(options.mdns ? [] : seeds.slice(0, SEEDS).flatMap((peer) => ['--seed', peer.listen])),
      ];
      const process = new NodeProcess({
        name,
        directory: join(directory, name),
        command,
        env: nodeEnvironment(),
        onUnexpectedEnd: (how) => void reportLoss(name, how, process, options.onNodeLost),
      });
      return { name, client: new NodeClient(`http://${http}`), process };
    });
    return new DemoCluster(nodes);
  }

  get pids(): number[] {
    return this.nodes.flatMap(({ process }) => process.pid ?? []);
  }

  /** Starts a node and resolves when it serves. */
  async start(node: DemoNode, signal: AbortSignal): Promise<void> {
    node.process.start();
    await waitUntil(`${node.name} answers on ${node.client.api}/readyz`, () => node.client.isReady(), {
      timeoutMs: READY_TIMEOUT_MS,
      intervalMs: READY_POLL_MS,
      signal,
    });
  }

  /** Ends all processes and resolves when they are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ process }) => process.stop()));
  }

  killNow(): void {
    for (const { process } of this.nodes) process.killNow();
  }
}

async function reportLoss(
  name: string,
  how: string,
  process: NodeProcess,
  report: (error: DemoError) => void,
): Promise<void> {
  const tail = await process.logTail();
  const log = tail.length === 0 ? ' and logged nothing' : `; the end of its log:\n  ${tail.join('\n  ')}`;
  report(new DemoError(`${name} ended on its own (${how})${log}`));
}

function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, value]);
}

/** The user's own settings of a node must not leak into the demo's. */
function nodeEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_') && name !== 'NODE_CHANNEL_FD'),
  );
}

/** Ports of 127.0.0.1 on which nothing listens now. */
async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  let candidate = PORT_MIN + (randomBytes(2).readUInt16BE() % (PORT_RANGE - PORT_TRIES_MAX));
  for (let tries = 0; ports.length < count; tries++, candidate++) {
    if (tries >= PORT_TRIES_MAX) throw new DemoError(`no ${count} free ports on 127.0.0.1 near ${candidate}`);
    if (await isFree(candidate)) ports.push(candidate);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
