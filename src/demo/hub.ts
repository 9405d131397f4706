import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DemoProcess, flags } from './demo-process.ts';
import { HubClient } from './hub-client.ts';
import { freePorts } from './ports.ts';
import { type DemoServer, startServer } from './server.ts';
import { TcpForwarder } from './tcp-forwarder.ts';
import type { DemoError } from './wait.ts';

export interface HubOptions {
  readonly directory: string;
  /** Runs holdfast. */
  readonly program: readonly string[];
  /** It ended and was not told to. */
  readonly onLost: (error: DemoError) => void;
}

/** The hub of the demo: a real process with a store of its own, and the cable to it, which can be cut. */
export class DemoHub implements DemoServer {
  readonly name = 'hub';
  readonly client: HubClient;
  readonly process: DemoProcess;
  readonly cable: TcpForwarder;
  /** What the nodes are told: the near end of the cable, and where the token will be. */
  readonly uplink: { readonly address: string; readonly tokenFile: string };

  private constructor({ directory, program, onLost }: HubOptions, ports: readonly number[]) {
    const [cablePort = 0, port = 0, httpPort = 0] = ports;
    const http = `127.0.0.1:${httpPort}`;
    const own = join(directory, this.name);
    const listen = `/ip4/127.0.0.1/tcp/${port}`;
    const values = { 'data-dir': join(own, 'data'), name: this.name, listen, http, 'log-format': 'pretty' };
    const command = [...program, 'hub', ...flags(values)];
    this.client = new HubClient(`http://${http}`);
    this.process = new DemoProcess({ name: this.name, directory: own, command, onLost });
    this.cable = new TcpForwarder(cablePort, port);
    this.uplink = { address: `/ip4/127.0.0.1/tcp/${cablePort}`, tokenFile: join(directory, 'token') };
  }

  /** Prepares it; it does not run yet. */
  static async create(options: HubOptions): Promise<DemoHub> {
    return new DemoHub(options, await freePorts(3));
  }

  /** Starts it, adds the site and plugs the cable in; the nodes can start then. */
  async start(signal: AbortSignal): Promise<void> {
    await startServer(this, signal);
    await this.cable.mend();
    writeFileSync(this.uplink.tokenFile, `${await this.client.addSite()}\n`, { mode: 0o600 });
  }

  get pids(): number[] {
    return this.process.pid === undefined ? [] : [this.process.pid];
  }

  /** Ends it and resolves when it is gone. */
  async stop(): Promise<void> {
    await this.process.stop();
    this.cable.cut();
  }
}
