import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DemoProcess, flags } from './demo-process.ts';
import { NodeClient } from './node-client.ts';
import { freePorts } from './ports.ts';
import type { DemoServer } from './server.ts';
import type { DemoError } from './wait.ts';

const SEEDS = 2;

export interface DemoNode extends DemoServer {
  readonly client: NodeClient;
}

export interface ClusterOptions {
  readonly nodes: number;
  readonly directory: string;
  /** Runs holdfast. */
  readonly program: readonly string[];
  readonly mdns: boolean;
  /** Where the hub is, and the token for it. */
  readonly uplink: { readonly address: string; readonly tokenFile: string };
  /** A node ended that was not told to. */
  readonly onLost: (error: DemoError) => void;
}

/** The nodes of the demo: real processes with directories and ports of their own and one fresh secret. */
export class DemoCluster {
  readonly nodes: readonly DemoNode[];

  private constructor(nodes: readonly DemoNode[]) {
    this.nodes = nodes;
  }

  /** Prepares the nodes; none runs yet. */
  static async create(options: ClusterOptions): Promise<DemoCluster> {
    const { directory, nodes: count, uplink, onLost } = options;
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
        ...flags({ hub: uplink.address, 'hub-token-file': uplink.tokenFile }),
        ...flags({ mdns: options.mdns ? 'on' : 'off', 'log-format': 'pretty' }),
        ...(options.mdns ? [] : seeds.slice(0, SEEDS).flatMap((peer) => ['--seed', peer.listen])),
      ];
      const process = new DemoProcess({ name, directory: join(directory, name), command, onLost });
      return { name, client: new NodeClient(`http://${http}`), process };
    });
    return new DemoCluster(nodes);
  }

  get pids(): number[] {
    return this.nodes.flatMap(({ process }) => process.pid ?? []);
  }

  /** Ends all processes and resolves when they are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ process }) => process.stop()));
  }

  killNow(): void {
    for (const { process } of this.nodes) process.killNow();
  }
}
