import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from './wait.ts';

const LOG_TAIL_BYTES = 16 * 1024;
const LOG_TAIL_LINES = 15;
const STOP_GRACE_MS = 3000;

export interface NodeProcessOptions {
  readonly name: string;
  /** Working directory, log and data of the node. */
  readonly directory: string;
  /** The whole command line. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** How long it may take to leave. */
  readonly stopGraceMs?: number;
  /** It ended without being told to; `how`: `exit status 1`, `SIGSEGV`, or why it could not be started. */
  readonly onUnexpectedEnd: (how: string) => void;
}

/** One node of the demo as an operating system process; can be started again after it has ended. */
export class NodeProcess {
  private readonly options: NodeProcessOptions;
  private child: ChildProcess | null = null;
  private ended: Promise<void> = Promise.resolve();
  private isEnding = false;

  constructor(options: NodeProcessOptions) {
    this.options = options;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
  }

  get isRunning(): boolean {
    return this.child !== null && !this.isEnding;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  start(): void {
    if (this.child !== null) throw new Error(`${this.options.name} runs already`);
    const { command, directory, env } = this.options;
    const [file = '', ...args] = command;
    const log = openSync(this.logFile, 'a', 0o600);
    try {
      // A group of its own: Ctrl-C on the terminal is for the demo, which then ends its nodes in order.
      const child = spawn(file, args, { cwd: directory, env, detached: true, stdio: ['ignore', log, log] });
      this.child = child;
      this.isEnding = false;
      this.ended = new Promise((resolve) => {
        const end = (how: string): void => {
          if (this.child === null) return;
          const unexpected = !this.isEnding;
          this.child = null;
          resolve();
          if (unexpected) this.options.onUnexpectedEnd(how);
        };
        child.once('error', (error) => end(messageOf(error)));
        child.once('exit', (status, signal) => end(signal ?? `exit status ${String(status)}`));
      });
    } finally {
      closeSync(log);
    }
  }

  /** Ends it at once, as a power cut would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.isEnding = true;
    this.child?.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it leave the cluster; kills it when that takes too long. */
  async stop(): Promise<void> {
    if (this.child === null) return;
    this.isEnding = true;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child?.kill('SIGKILL'), this.options.stopGraceMs ?? STOP_GRACE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /** For the last moment of a failing process, when nothing can be awaited any more. */
  killNow(): void {
    this.child?.kill('SIGKILL');
  }

  /** The last lines of its log. */
  async logTail(): Promise<string[]> {
    const file = await open(this.logFile).catch(() => null);
    if (file === null) return [];
    try {
      const { size } = await file.stat();
      const length = Math.min(size, LOG_TAIL_BYTES);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    } finally {
      await file.close();
    }
  }

  private get logFile(): string {
    return join(this.options.directory, 'log');
  }
}
