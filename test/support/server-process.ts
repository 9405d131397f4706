import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HttpClient } from './http-client.ts';
import { until } from './until.ts';

const root = resolve(import.meta.dirname, '../..');
export const MAIN = join(root, 'src/main.ts');
/** As `scripts/holdfast` has it. */
const COMPILED = join(root, 'node_modules/.cache/compiled');

export const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const LOG_LINES = 40;

/** How a process ended. */
export type Exit = number | NodeJS.Signals;

/** The environment of a child: this process's own settings for tests must not reach it. */
export function childEnvironment(extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, LANG } = process.env;
  const environment = { PATH, HOME, TMPDIR, LANG, NODE_COMPILE_CACHE: COMPILED, ...extra };
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined));
}

export interface ServerProcessOptions {
  readonly name: string;
  /** Its working directory, and where its log is. */
  readonly directory: string;
  /** Command that starts the process; empty: on this machine itself. */
  readonly launcher: readonly string[];
  /** Where its HTTP API is. */
  readonly api: string;
  readonly arguments: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** A node or hub in a process of its own. Keeps its log over restarts. */
export class ServerProcess {
  readonly name: string;
  readonly http: HttpClient;
  readonly logFile: string;
  private readonly options: ServerProcessOptions;
  private child: ChildProcess | null = null;
  private ended: Promise<Exit> = Promise.resolve(0);
  private lastExit: Exit | null = null;

  constructor(options: ServerProcessOptions) {
    this.options = options;
    this.name = options.name;
    this.logFile = join(options.directory, `${options.name}.log`);
    this.http = new HttpClient(options.api);
  }

  get running(): boolean {
    return this.child !== null;
  }

  /** How the process ended last; null before that. */
  get exit(): Exit | null {
    return this.lastExit;
  }

  /** Those of `holdfast`. */
  get arguments(): readonly string[] {
    return this.options.arguments;
  }

  get environment(): Readonly<Record<string, string>> {
    return this.options.env;
  }

  /** Starts the process without waiting for it. */
  spawn(): void {
    if (this.child !== null) throw new Error(`${this.name} runs already`);
    const log = openSync(this.logFile, 'a');
    const [program = '', ...args] = [...this.options.launcher, process.execPath, MAIN, ...this.arguments];
    const child = spawn(program, args, {
      cwd: this.options.directory,
      env: childEnvironment(this.options.env),
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.child = child;
    this.lastExit = null;
    this.ended = new Promise((done) => {
      child.on('close', (code, signal) => {
        if (this.child === child) this.child = null;
        this.lastExit = signal ?? code ?? -1;
        done(this.lastExit);
      });
    });
  }

  /** Starts and waits until it serves. */
  async start(): Promise<void> {
    this.spawn();
    await this.untilReady();
  }

  async untilReady(): Promise<void> {
    await until(
      `${this.name} is ready`,
      async () => {
        if (!this.running) throw new Error(`${this.name} ended with ${this.lastExit}: ${this.logTail(5)}`);
        return await this.http.send('GET', '/readyz', { timeoutMs: 2000 }).then(
          ({ status }) => status === 200,
          () => false,
        );
      },
      START_TIMEOUT_MS,
    );
  }

  signal(signal: NodeJS.Signals): void {
    this.child?.kill(signal);
  }

  /** Ends the process with a signal and waits until it is gone. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.signal(signal);
    const timer = setTimeout(() => this.signal('SIGKILL'), STOP_TIMEOUT_MS);
    const exit = await this.ended;
    clearTimeout(timer);
    return exit;
  }

  /** Says goodbye and ends. */
  stop(): Promise<Exit> {
    return this.kill('SIGTERM');
  }

  logTail(lines = LOG_LINES): string {
    try {
      return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '(no log)';
    }
  }

  close(): void {
    this.http.close();
  }
}
