import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { CommandError, run } from './command.ts';

const root = resolve(import.meta.dirname, '../..');

/** Its containers, network and volumes stay apart from those of `docker compose up` in this folder. */
const PROJECT = 'holdfast-check';
const SITE_NETWORK = `${PROJECT}_site`;
const QUERY_TIMEOUT_MS = 60_000;
const COMPOSE_TIMEOUT_MS = 180_000;
const BUILD_TIMEOUT_MS = 600_000;

/** Runs in a container: sends the requests that are on its standard input to the node or hub beside it. */
const ASK = `
let input = '';
for await (const chunk of process.stdin) input += chunk;
const { port, requests } = JSON.parse(input);
const answers = [];
for (const { path, ...init } of requests) {
  const response = await fetch('http://127.0.0.1:' + port + path, { ...init, signal: AbortSignal.timeout(8000) });
  answers.push({ status: response.status, text: await response.text() });
}
process.stdout.write(JSON.stringify(answers));
`;

export const NODES = ['node1', 'node2', 'node3', 'node4', 'node5'] as const;
export type NodeService = (typeof NODES)[number];
/** Those that go on running: a token is made once. */
export const SERVICES = [...NODES, 'hub', 'database'] as const;
export type Service = (typeof SERVICES)[number];

/** The site that docker-compose.yml adds to its hub. */
export const SITE = 'workshop';

export interface Request {
  readonly path: string;
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export interface ContainerState {
  readonly service: string;
  readonly running: boolean;
  readonly health: string;
  readonly exitCode: number;
  /** Unix ms. */
  readonly startedMs: number;
  /** `NAME=value` */
  readonly environment: readonly string[];
}

interface Inspected {
  readonly Config: { readonly Env: readonly string[]; readonly Labels: Readonly<Record<string, string>> };
  readonly State: {
    readonly Running: boolean;
    readonly ExitCode: number;
    readonly StartedAt: string;
    readonly Health?: { readonly Status: string };
  };
}

/** What docker-compose.yml describes, as a Compose project of its own, with a fresh secret. */
export class ComposeCluster {
  private readonly compose: readonly string[];
  private readonly env: NodeJS.ProcessEnv;
  private readonly signal: AbortSignal;
  private readonly ids = new Map<Service, string>();

  private constructor(compose: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.compose = compose;
    this.env = env;
    this.signal = signal;
  }

  /** Throws when there is no Docker engine or no Compose. Starts nothing. */
  static async connect(signal: AbortSignal): Promise<ComposeCluster> {
    const options = { timeoutMs: QUERY_TIMEOUT_MS, signal };
    await run(['docker', 'version', '--format', '{{.Server.Version}}'], options);
    const compose = await run(['docker', 'compose', 'version'], options).then(
      () => ['docker', 'compose'],
      () => ['docker-compose'],
    );
    await run([...compose, 'version'], options);
    const fresh = (): string => randomBytes(32).toString('hex');
    const env = { ...process.env, HOLDFAST_SECRET: fresh(), POSTGRES_PASSWORD: fresh() };
    return new ComposeCluster(compose, env, signal);
  }

  /** The same project for another signal: to clean up when the first one is aborted. */
  with(signal: AbortSignal): ComposeCluster {
    return new ComposeCluster(this.compose, this.env, signal);
  }

  async build(): Promise<void> {
    await this.runCompose(['build'], BUILD_TIMEOUT_MS);
  }

  async up(): Promise<void> {
    await this.runCompose(['up', '-d', '--no-build']);
    const format = '{{.ID}} {{.Label "com.docker.compose.service"}}';
    const listed = lines(await this.docker(['ps', '-a', '--format', format, ...ofProject()]));
    const ids = new Map(listed.map((line) => line.split(' ').reverse() as [string, string]));
    for (const service of SERVICES) {
      const id = ids.get(service);
      if (id === undefined) throw new CommandError(`there is no container of ${service}`);
      this.ids.set(service, id);
    }
  }

  async stop(): Promise<void> {
    await this.runCompose(['stop']);
  }

  async down(): Promise<void> {
    await this.runCompose(['down']);
    this.ids.clear();
  }

  async downWithVolumes(): Promise<void> {
    await this.runCompose(['down', '-v', '--remove-orphans']);
    this.ids.clear();
  }

  async kill(service: Service): Promise<void> {
    await this.runCompose(['kill', '-s', 'SIGKILL', service]);
  }

  async start(service: Service): Promise<void> {
    await this.runCompose(['start', service]);
  }

  async containers(): Promise<ContainerState[]> {
    const inspected = JSON.parse(await this.docker(['inspect', ...this.ids.values()])) as readonly Inspected[];
    return inspected.map(({ Config, State }) => ({
      service: Config.Labels['com.docker.compose.service'] ?? '',
      running: State.Running,
      health: State.Health?.Status ?? 'none',
      exitCode: State.ExitCode,
      startedMs: Date.parse(State.StartedAt),
      environment: Config.Env,
    }));
  }

  /** Sends requests in the container of a node or hub, one after the other; a path alone is read. */
  async ask(service: NodeService | 'hub', requests: readonly (string | Request)[]): Promise<Answer[]> {
    const command = ['exec', '-i', this.idOf(service), 'node', '--input-type=module', '-e', ASK];
    const input = {
      port: service === 'hub' ? 7580 : 7480,
      requests: requests.map((request) => (typeof request === 'string' ? { path: request } : request)),
    };
    return JSON.parse(await this.docker(command, JSON.stringify(input))) as Answer[];
  }

  /** Runs the command line of the image in the container of a node or hub. */
  holdfast(service: NodeService | 'hub', args: readonly string[]): Promise<string> {
    return this.docker(['exec', this.idOf(service), 'node', '/app/holdfast.mjs', ...args]);
  }

  /** What a query of the hub's database gives, each row as a JSON document. */
  async rows<R>(query: string): Promise<R[]> {
    const psql = ['psql', '--username', 'holdfast', '--no-align', '--tuples-only', '--quiet', '--no-psqlrc'];
    const command = ['exec', '-i', this.idOf('database'), ...psql];
    return lines(await this.docker(command, `select to_json(r) from (${query}) r`)).map(
      (line) => JSON.parse(line) as R,
    );
  }

  /** The hub keeps its way to the database. */
  async cutHub(): Promise<void> {
    await this.docker(['network', 'disconnect', SITE_NETWORK, this.idOf('hub')]);
  }

  async reconnectHub(): Promise<void> {
    await this.docker(['network', 'connect', '--alias', 'hub', SITE_NETWORK, this.idOf('hub')]);
  }

  /** The last lines of every container's log. */
  logs(): Promise<string> {
    return this.runCompose(['logs', '--no-color', '--tail', '30']);
  }

  /** Names of volumes; they outlive the containers. */
  async volumes(): Promise<string[]> {
    return lines(await this.docker(['volume', 'ls', '-q', ...ofProject()]));
  }

  /** Everything of the project that exists. */
  async leftovers(): Promise<string[]> {
    const containers = await this.docker(['ps', '-a', '--format', '{{.Names}}', ...ofProject()]);
    const networks = await this.docker(['network', 'ls', '--format', '{{.Name}}', ...ofProject()]);
    return [...lines(containers), ...lines(networks), ...(await this.volumes())];
  }

  private idOf(service: Service): string {
    const id = this.ids.get(service);
    if (id === undefined) throw new Error(`${service} is not up`);
    return id;
  }

  private runCompose(args: readonly string[], timeoutMs = COMPOSE_TIMEOUT_MS): Promise<string> {
    const file = join(root, 'docker-compose.yml');
    const command = [...this.compose, '-p', PROJECT, '-f', file, ...args];
    return run(command, { timeoutMs, signal: this.signal, env: this.env, cwd: root });
  }

  private docker(args: readonly string[], input = ''): Promise<string> {
    return run(['docker', ...args], { timeoutMs: QUERY_TIMEOUT_MS, signal: this.signal, input });
  }
}

function ofProject(): string[] {
  return ['--filter', `label=com.docker.compose.project=${PROJECT}`];
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
