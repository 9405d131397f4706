import { join } from 'node:path';
import { freePorts, type Place, runHoldfast } from './local-cluster.ts';
import { ServerProcess } from './server-process.ts';

export interface HubProcessOptions {
  readonly name: string;
  readonly directory: string;
  /** Null: the embedded store. */
  readonly database?: string | null;
  /** Default: on loopback. */
  readonly place?: Place;
  readonly extraArgs?: readonly string[];
}

/** A hub in a process of its own. Keeps its ports, data and log over restarts. */
export class HubProcess extends ServerProcess {
  readonly api: string;
  /** A multiaddr without peer id. */
  readonly listen: string;

  private constructor(options: HubProcessOptions, ports: readonly [p2p: number, http: number]) {
    const { name, directory, database = null, extraArgs = [], place = { host: '127.0.0.1', launcher: [] } } = options;
    const [p2pPort, httpPort] = ports;
    const listen = `/ip4/${place.host}/tcp/${p2pPort}`;
    const api = `http://${place.host}:${httpPort}`;
    const flags = Object.entries({
      'data-dir': join(directory, name),
      name,
      listen,
      http: `${place.host}:${httpPort}`,
      'log-format': 'json',
    }).flatMap(([flag, value]) => [`--${flag}`, value]);
    const env: Record<string, string> = database === null ? {} : { HOLDFAST_DATABASE: database };
    super({ name, directory, launcher: place.launcher, api, arguments: ['hub', ...flags, ...extraArgs], env });
    this.api = api;
    this.listen = listen;
  }

  /** Chooses its ports; starts nothing. */
  static async create(options: HubProcessOptions): Promise<HubProcess> {
    const [p2p = 0, http = 0] = await freePorts(2);
    return new HubProcess(options, [p2p, http]);
  }

  /** A multiaddr with peer id. */
  async address(): Promise<string> {
    const { addresses } = await this.http.json<{ addresses: readonly string[] }>('/v1/status');
    const [first] = addresses;
    if (first === undefined) throw new Error(`${this.name} listens nowhere`);
    return first;
  }

  /** Adds a site by the command line; its token. */
  async addSite(name: string): Promise<string> {
    const { exit, stdout, stderr } = await runHoldfast(['site', 'add', name, '--api', this.api]);
    if (exit !== 0) throw new Error(`site add: ${stderr}`);
    return stdout.trim();
  }
}
