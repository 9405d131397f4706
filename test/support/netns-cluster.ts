import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';

const script = join(resolve(import.meta.dirname, '../..'), 'scripts/netns-cluster');

export interface NetnsNode {
  readonly node: number;
  readonly name: string;
  readonly zone: string | null;
  readonly ip: string;
  /** Base URL of the HTTP API, reachable from the test process. */
  readonly http: string;
  /** HOST:PORT of the Redis protocol. */
  readonly resp: string;
  readonly listen: string;
  readonly namespace: string;
  readonly pid: number | null;
  readonly dataDir: string;
  readonly log: string;
}

export interface NetnsStatus {
  readonly id: string;
  readonly subnet: string;
  readonly stateDir: string;
  readonly nodes: readonly NetnsNode[];
  readonly cuts: readonly { readonly from: number; readonly to: number }[];
  readonly lossPercent: number;
  readonly delayMs: number;
  readonly secretFile: string;
}

export interface NetnsOptions {
  readonly nodes: number;
  readonly zones?: number;
  readonly seeds?: 'on' | 'off';
  readonly mdns?: 'on' | 'off';
  /** Makes the network and starts no process. */
  readonly start?: boolean;
  /** Runs instead of a node; sees HF_NODE, HF_NAME, HF_ZONE, HF_IP and HF_DATA_DIR. */
  readonly command?: string;
  /** Further options of `holdfast start`. */
  readonly startOptions?: readonly string[];
}

/** Runs scripts/netns-cluster and returns whatever it did; never throws. */
export function runNetnsCluster(args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(script, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
}

/** Why tests in network namespaces cannot run here, or undefined where they can. */
export function netnsUnavailable(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const tool of ['ip', 'iptables-restore', 'flock', 'setsid']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed`;
  }
  const name = `hf-try-${process.pid}`;
  const added = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
  if (added.status !== 0) return `this machine makes no network namespaces: ${added.stderr.trim()}`;
  const rules = '*filter\n-A INPUT -m statistic --mode random --probability 0.5 -j DROP\nCOMMIT\n';
  const restored = spawnSync('ip', ['netns', 'exec', name, 'iptables-restore'], { encoding: 'utf8', input: rules });
  spawnSync('ip', ['netns', 'del', name]);
  return restored.status === 0 ? undefined : `iptables does not work here: ${restored.stderr.trim()}`;
}

/** A cluster made by scripts/netns-cluster under an id of its own; `down()` belongs in the test's last hook. */
export class NetnsCluster {
  readonly id: string;

  private constructor(id: string) {
    this.id = id;
  }

  static up(options: NetnsOptions): NetnsCluster {
    const cluster = new NetnsCluster(randomBytes(4).toString('hex'));
    const args = ['--nodes', String(options.nodes)];
    if (options.zones !== undefined) args.push('--zones', String(options.zones));
    if (options.seeds !== undefined) args.push('--seeds', options.seeds);
    if (options.mdns !== undefined) args.push('--mdns', options.mdns);
    if (options.start === false) args.push('--no-start');
    if (options.command !== undefined) args.push('--command', options.command);
    if (options.startOptions !== undefined) args.push('--', ...options.startOptions);
    cluster.run('up', ...args);
    return cluster;
  }

  partition(...groups: readonly (readonly number[])[]): void {
    this.run('partition', ...groups.map((group) => group.join(',')));
  }

  isolate(node: number): void {
    this.run('isolate', String(node));
  }

  /** Packets from `from` to `to` are lost; the other direction stays. */
  oneway(from: number, to: number): void {
    this.run('oneway', String(from), String(to));
  }

  loss(percent: number): void {
    this.run('loss', String(percent));
  }

  heal(): void {
    this.run('heal');
  }

  kill(node: number, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.run('kill', String(node), signal);
  }

  /** Starts a node again on its data and, for a real node, waits until it answers. */
  start(node: number): void {
    this.run('start', String(node));
  }

  /** Runs a command in the node's namespace and returns what it printed; throws when it fails. */
  exec(node: number, ...command: readonly string[]): string {
    return this.run('exec', String(node), ...command);
  }

  status(): NetnsStatus {
    return JSON.parse(this.run('status', '--json')) as NetnsStatus;
  }

  down(): void {
    this.run('down');
  }

  private run(verb: string, ...args: readonly string[]): string {
    const result = runNetnsCluster([verb, '--id', this.id, ...args]);
    if (result.status !== 0) {
      throw new Error(
        `netns-cluster ${verb} ${args.join(' ')}: ${result.stderr.trim() || `status ${String(result.status)}`}`,
      );
    }
    return result.stdout;
  }
}
