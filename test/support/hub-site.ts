import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { HubProcess } from './hub-process.ts';
import { LocalCluster, type LocalNodeProcess, type Place, placesIn } from './local-cluster.ts';
import { NetnsCluster } from './netns-cluster.ts';
import { PostgresServer } from './postgres-server.ts';
import { until } from './until.ts';

const SITE = 'hall-2';
/** The first one of a server. */
const DATABASE = 'd1';
const TOKEN = 'token';
const CONNECT_TIMEOUT_MS = 300_000;
/** A restore takes locks in another order than the hub does, so that the database may end it in favour of the hub. */
const RESTORE_ATTEMPTS = 10;
/** Counting takes the database time that it should have for the hub. */
const COUNT_SHARE = 0.1;
const COUNT_PAUSE_MS_MIN = 20;

interface UplinkJson {
  readonly connected: boolean;
  readonly carrying: boolean;
}

export interface HubSiteOptions {
  readonly nodes: number;
  /** Further environment of every node. */
  readonly env?: Readonly<Record<string, string>>;
  /** The database syncs what it commits; default: false. */
  readonly isSyncing?: boolean;
}

/** The hub has the processor where the site leaves it: otherwise it would take away what another machine would not. */
const AS_ELSEWHERE = ['chrt', '--idle', '0'];

/** The network, and the database. */
class Ground {
  readonly network: NetnsCluster;
  readonly directory: string;
  /** A URL that serves in every namespace. */
  readonly database: string;
  readonly client: Client;
  private readonly server: PostgresServer;

  private constructor(network: NetnsCluster, server: PostgresServer) {
    this.network = network;
    this.server = server;
    this.directory = mkdtempSync(join(tmpdir(), 'hf-hub-site-'));
    this.database = server.socketUrl(DATABASE);
    this.client = new Client({ connectionString: this.database });
  }

  static async lay(places: number, isSyncing: boolean): Promise<Ground> {
    const network = NetnsCluster.up({ nodes: places, start: false });
    try {
      withoutOffload(network);
      const server = await PostgresServer.start({ launcher: AS_ELSEWHERE, isSyncing });
      const ground = new Ground(network, server);
      await server.createDatabase();
      await ground.client.connect();
      return ground;
    } catch (error) {
      network.down();
      throw error;
    }
  }

  dump(): void {
    this.server.dump(DATABASE, join(this.directory, 'dump'));
  }

  restore(): void {
    this.server.restore(DATABASE, join(this.directory, 'dump'));
  }

  async leave(): Promise<void> {
    await this.client.end();
    await this.server.dispose();
    this.network.down();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Each packet as long as a wire takes it: the kernel would hand on larger ones as long as it stays within one machine. */
function withoutOffload(network: NetnsCluster): void {
  for (const { namespace } of network.status().nodes) {
    execFileSync('ip', ['-n', namespace, 'link', 'set', 'eth0', 'gso_max_segs', '1']);
  }
}

/**
 * A site and its hub, each process in a network namespace of its own, on one bridge. The hub's data is in PostgreSQL, which it
 * reaches through the file system: nothing but the uplink passes its interface, as long as nobody asks its HTTP API.
 */
export class HubSite {
  readonly hub: HubProcess;
  readonly cluster: LocalCluster;
  private readonly ground: Ground;

  private constructor(ground: Ground, hub: HubProcess, cluster: LocalCluster) {
    this.ground = ground;
    this.hub = hub;
    this.cluster = cluster;
  }

  /** Makes the network and the database; starts no node, and no hub. */
  static async create({ nodes, env = {}, isSyncing = false }: HubSiteOptions): Promise<HubSite> {
    const ground = await Ground.lay(nodes + 1, isSyncing);
    const { directory, database } = ground;
    const places = placesIn(ground.network);
    const { host, launcher } = places[nodes] as Place;
    const place = { host, launcher: [...AS_ELSEWHERE, ...launcher] };
    const hub = await HubProcess.create({ name: 'hub', directory, database, place });
    const uplink = { HOLDFAST_HUB: hub.listen, HOLDFAST_HUB_TOKEN_FILE: join(directory, TOKEN) };
    const cluster = await LocalCluster.create({ nodes, places, env: { ...uplink, ...env } });
    return new HubSite(ground, hub, cluster);
  }

  /** Starts the processes, and waits until the site has formed and is connected. */
  async start(): Promise<void> {
    await this.hub.start();
    writeFileSync(join(this.ground.directory, TOKEN), await this.hub.addSite(SITE), { mode: 0o600 });
    await this.cluster.startAll();
    await this.untilConnected(true);
  }

  /** From now on no packet passes between the hub and the site, and nobody is told. */
  cut(): void {
    this.ground.network.isolate(this.hubSeat);
  }

  mend(): void {
    this.ground.network.heal();
  }

  /** Ethernet frames that have passed the hub's interface in either direction, with all that is in them. */
  wireBytes(): number {
    const counters = ['rx_bytes', 'tx_bytes'].map((name) => `/sys/class/net/eth0/statistics/${name}`);
    const lines = this.ground.network
      .exec(this.hubSeat, 'cat', ...counters)
      .trim()
      .split('\n');
    return lines.reduce((sum, line) => sum + Number(line), 0);
  }

  /** All nodes say so. */
  async untilConnected(isConnected: boolean): Promise<void> {
    await until(
      isConnected ? 'the site is connected' : 'the site has noticed that the hub is away',
      async () => (await this.uplinks()).every(({ connected }) => connected === isConnected),
      CONNECT_TIMEOUT_MS,
      50,
    );
  }

  /** The node that has the session. */
  async carrier(): Promise<LocalNodeProcess> {
    let found: LocalNodeProcess | undefined;
    await until(
      'a node has the session',
      async () => {
        const uplinks = await this.uplinks();
        found = this.cluster.nodes[uplinks.findIndex(({ carrying }) => carrying)];
        return found !== undefined;
      },
      CONNECT_TIMEOUT_MS,
    );
    return found as LocalNodeProcess;
  }

  /** Keys of a bucket that begin so, as the database shows them. */
  async count(bucket: string, prefix: string): Promise<number> {
    const { rows } = await this.ground.client.query<{ count: string }>(
      'select count(*) from holdfast_value where site = $1 and bucket = $2 and key like $3',
      [SITE, bucket, `${prefix}%`],
    );
    return Number(rows[0]?.count);
  }

  /**
   * Counts until the condition is met, and returns when it was. `sinceMs`: when the last count began that was the first one's.
   * `performance.now()`.
   */
  async untilCount(
    { bucket, prefix, timeoutMs }: { readonly bucket: string; readonly prefix: string; readonly timeoutMs: number },
    isMet: (count: number) => boolean,
  ): Promise<{ readonly sinceMs: number; readonly atMs: number; readonly count: number }> {
    let first: number | null = null;
    let sinceMs = 0;
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const fromMs = performance.now();
      const count = await this.count(bucket, prefix);
      const atMs = performance.now();
      first ??= count;
      if (count === first) sinceMs = fromMs;
      if (isMet(count)) return { sinceMs, atMs, count };
      if (atMs > deadlineMs) throw new Error(`the hub has ${count} keys ${prefix}… after ${timeoutMs} ms`);
      await delay(Math.max(COUNT_PAUSE_MS_MIN, (atMs - fromMs) / COUNT_SHARE));
    }
  }

  /** All that the database shows of the site: values by `bucket/key`. */
  async values(): Promise<Map<string, Buffer>> {
    const { rows } = await this.ground.client.query<{ name: string; value: Buffer }>(
      "select bucket || '/' || key as name, value from holdfast_value where site = $1",
      [SITE],
    );
    const values = new Map(rows.map(({ name, value }) => [name, value]));
    if (values.size !== rows.length) throw new Error(`${rows.length - values.size} keys are in the view twice`);
    return values;
  }

  /** Writes down what is in the database. */
  dump(): void {
    this.ground.dump();
  }

  /** Brings the database back to the dump, under the hub that uses it. */
  restore(): void {
    for (let attempt = 1; ; attempt++) {
      try {
        this.ground.restore();
        return;
      } catch (error) {
        if (attempt === RESTORE_ATTEMPTS || !String(error).includes('deadlock')) throw error;
      }
    }
  }

  logs(): string {
    return `--- hub (exit ${this.hub.exit ?? '-'})\n${this.hub.logTail()}\n${this.cluster.logs()}`;
  }

  /** Kills what still runs, and removes all files. */
  async close(): Promise<void> {
    await this.cluster.close();
    await this.hub.kill();
    this.hub.close();
    await this.ground.leave();
  }

  private get hubSeat(): number {
    return this.cluster.nodes.length + 1;
  }

  /** What each node says of its way to the hub; of one that does not answer nothing. */
  private async uplinks(): Promise<UplinkJson[]> {
    const none = { connected: false, carrying: false };
    return await Promise.all(this.cluster.nodes.map(({ http }) => http.json<UplinkJson>('/v1/hub').catch(() => none)));
  }
}
