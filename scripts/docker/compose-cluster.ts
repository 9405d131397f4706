import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { CommandError, run } from './command.ts';

const root = resolve(import.meta.dirname, '../..');

/** Its containers, network and volumes stay apart from those of `docker compose up` in this folder. */
const PROJECT = 'holdfast-check';
const QUERY_TIMEOUT_MS = 60_000;
const COMPOSE_TIMEOUT_MS = 180_000;
const BUILD_TIMEOUT_MS = 600_000;

/** Runs in a container: fetches the paths that are on its standard input from the node beside it. */
const ASK = `
let input = '';
for await (const chunk of process.stdin) input += chunk;
const answers = [];
for (const path of JSON.parse(input)) {
  const response = await fetch('http://127.0.0.1:7480' + path, { signal: AbortSignal.timeout(8000) });
  answers.push({ status: response.status, text: await response.text() });
}
process.stdout.write(JSON.stringify(answers));
`;

export const SERVICES = ['node1', 'node2', 'node3', 'node4', 'node5'] as const;
export type Service = (typeof SERVICES)[number];

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

/** The five nodes of docker-compose.yml as a Compose project of its own, with a fresh secret. */
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
    const env = { ...process.env, HOLDFAST_SECRET: randomBytes(32).toString('hex') };
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

  /** GET requests in the node's own container, one after the other. */
  async ask(service: Service, paths: readonly string[]): Promise<Answer[]> {
    const command = ['exec', '-i', this.idOf(service), 'node', '--input-type=module', '-e', ASK];
    return JSON.parse(await this.docker(command, JSON.stringify(paths))) as Answer[];
  }

  /** Runs the command line of the image in the node's container. */
  holdfast(service: Service, args: readonly string[]): Promise<string> {
    return this.docker(['exec', this.idOf(service), 'node', '/app/holdfast.mjs', ...args]);
  }

  /** The last lines of every node's log. */
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
