import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const STOP_GRACE_MS = 5_000;
const POLL_MS = 50;
const LOG_TAIL_CHARACTERS = 1_000;

/** One process that a bench started; its output goes to a file. */
export interface Started {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
}

/** The processes of a bench, all stopped at its end by their ids. */
export class Processes {
  readonly #children: { readonly started: Started; readonly child: ChildProcess; exited: boolean }[] = [];
  readonly #onSignal: () => void;

  constructor() {
    this.#onSignal = () => {
      for (const { child } of this.#children) child.kill('SIGKILL');
      process.exit(130);
    };
    process.once('SIGINT', this.#onSignal);
    process.once('SIGTERM', this.#onSignal);
  }

  start(name: string, command: string, args: readonly string[], logFile: string, env: NodeJS.ProcessEnv = {}): Started {
    const output = openSync(logFile, 'a');
    const child = spawn(command, args, { stdio: ['ignore', output, output], env: { ...process.env, ...env } });
    closeSync(output);
    // A spawn that failed has no id; its error comes later and is told by `assertRunning`.
    const started = { name, pid: child.pid ?? -1, logFile };
    const entry = { started, child, exited: false };
    child.once('error', () => {
      entry.exited = true;
    });
    child.once('exit', () => {
      entry.exited = true;
    });
    this.#children.push(entry);
    return started;
  }

  /** Kills one of them; that it has ended is no failure then. */
  async kill({ pid }: Started): Promise<void> {
    const index = this.#children.findIndex(({ started }) => started.pid === pid);
    const [entry] = index < 0 ? [] : this.#children.splice(index, 1);
    if (entry === undefined || entry.exited) throw new Error(`process ${pid} does not run`);
    const ended = once(entry.child, 'exit');
    entry.child.kill('SIGKILL');
    await ended;
  }

  /** Polls until `isReady` answers true; fails when a process has ended or time is up. */
  async waitUntil(what: string, timeoutMs: number, isReady: () => Promise<boolean>): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!(await isReady().catch(() => false))) {
      await this.assertRunning();
      if (performance.now() > deadlineMs) throw new Error(`${what}: not ready within ${timeoutMs / 1000} s`);
      await delay(POLL_MS);
    }
  }

  async assertRunning(): Promise<void> {
    const ended = this.#children.find(({ exited }) => exited);
    if (ended === undefined) return;
    const log = await readFile(ended.started.logFile, 'utf8').catch(() => '');
    throw new Error(`${ended.started.name} has ended; the end of its output:\n${log.slice(-LOG_TAIL_CHARACTERS)}`);
  }

  async stopAll(): Promise<void> {
    for (const { child, exited } of this.#children) if (!exited) child.kill('SIGTERM');
    const deadlineMs = performance.now() + STOP_GRACE_MS;
    while (this.#children.some(({ exited }) => !exited) && performance.now() < deadlineMs) await delay(POLL_MS);
    for (const { child, exited } of this.#children) if (!exited) child.kill('SIGKILL');
    while (this.#children.some(({ exited }) => !exited)) await delay(POLL_MS);
    process.off('SIGINT', this.#onSignal);
    process.off('SIGTERM', this.#onSignal);
  }
}

export function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

/** Ports on 127.0.0.1 that nobody uses now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, listen));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function listen(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
