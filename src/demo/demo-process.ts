import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DemoError, messageOf } from './wait.ts';

const LOG_TAIL_BYTES = 16 * 1024;
const LOG_TAIL_LINES = 15;
const STOP_GRACE_MS = 3000;

export interface DemoProcessOptions {
  readonly name: string;
  /** Its working directory, log and data. */
  readonly directory: string;
  /** The whole command line. */
  readonly command: readonly string[];
  /** How long it may take to end in order. */
  readonly stopGraceMs?: number;
  /** It ended without being told to, or could not be started. */
  readonly onLost: (error: DemoError) => void;
}

/** A node of the demo, or its hub, as an operating system process; can be started again after it has ended. */
export class DemoProcess {
  private readonly options: DemoProcessOptions;
  private child: ChildProcess | null = null;
  private ended: Promise<void> = Promise.resolve();
  private isEnding = false;

  constructor(options: DemoProcessOptions) {
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
    const { command, directory } = this.options;
    const [file = '', ...args] = command;
    const log = openSync(this.logFile, 'a', 0o600);
    try {
      // A group of its own: Ctrl-C on the terminal is for the demo, which then ends all in order.
      const child = spawn(file, args, {
        cwd: directory,
        env: cleanEnvironment(),
        detached: true,
        stdio: ['ignore', log, log],
      });
      this.child = child;
      this.isEnding = false;
      this.ended = new Promise((resolve) => {
        const end = (how: string): void => {
          if (this.child === null) return;
          const unexpected = !this.isEnding;
          this.child = null;
          resolve();
          if (unexpected) void this.reportLoss(how);
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

  /** Lets it end in order; kills it when that takes too long. */
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

  /** The last lines of its log; empty where it logged nothing. */
  async logTail(): Promise<string[]> {
    const file = await open(this.logFile).catch(() => null);
    if (file === null) return [];
    try {
      const { size } = await file.stat();
      const length = Math.min(size, LOG_TAIL_BYTES);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      const text = buffer.toString('utf8').trimEnd();
      return text === '' ? [] : text.split('\n').slice(-LOG_TAIL_LINES);
    } finally {
      await file.close();
    }
  }

  private async reportLoss(how: string): Promise<void> {
    const tail = await this.logTail();
    const log = tail.length === 0 ? ' and logged nothing' : `; the end of its log:\n  ${tail.join('\n  ')}`;
    this.options.onLost(new DemoError(`${this.options.name} ended on its own (${how})${log}`));
  }

  private get logFile(): string {
    return join(this.options.directory, 'log');
  }
}

/** The user's own settings of a node or hub must not leak into the demo's. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_') && name !== 'NODE_CHANNEL_FD'),
  );
}

/** `--name value` for each. */
export function flags(values: Readonly<Record<string, string>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => [`--${name}`, value]);
}
