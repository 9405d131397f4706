import { hostname } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { HubConfig } from '../config/hub-config.ts';
import type { NodeConfig } from '../config/node-config.ts';
import { type ChildCommand, spawnCommand } from './child-command.ts';

export interface DemoOptions {
  readonly nodes: number;
  /** True: a live view; false: plain lines. */
  readonly tty: boolean;
  /** How long the steady part of the story lasts; null: as the story has it. */
  readonly seconds: number | null;
  /** Leave the nodes' directories in place afterwards. */
  readonly keep: boolean;
}

/** Everything that the command line touches outside itself, so that tests can run it in their own process. */
export interface CliContext {
  readonly version: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Whether standard output is a terminal. */
  readonly isTTY: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly hostName: string;
  readonly fetch: typeof globalThis.fetch;
  /** Wall clock, Unix ms. */
  now(): number;
  /** For durations. */
  monotonicMs(): number;
  /** Resolves after `delayMs`, or as soon as the signal is aborted. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>;
  /** Calls back on SIGINT and SIGTERM instead of ending the process; returns a function that undoes it. */
  onInterrupt(listener: (signal: NodeJS.Signals) => void): () => void;
  /** Starts a command with the standard input and outputs of this process. */
  spawn(file: string, args: readonly string[], env: CliContext['env']): ChildCommand;
  /** Runs the node until it is told to stop. */
  startNode(config: NodeConfig): Promise<void>;
  /** Runs the hub until it is told to stop. */
  startHub(config: HubConfig): Promise<void>;
  runDemo(options: DemoOptions): Promise<void>;
}

/** What only the composition root knows. */
export type CliParts = Pick<CliContext, 'version' | 'startNode' | 'startHub' | 'runDemo'>;

/** The context of a real process. */
export function processContext(parts: CliParts): CliContext {
  return {
    ...parts,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    isTTY: process.stdout.isTTY === true,
    env: process.env,
    cwd: process.cwd(),
    hostName: hostname(),
    fetch: globalThis.fetch,
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (delayMs, signal) => delay(delayMs, undefined, { signal }).catch(() => undefined),
    onInterrupt: (listener) => {
      process.on('SIGINT', listener);
      process.on('SIGTERM', listener);
      return () => {
        process.off('SIGINT', listener);
        process.off('SIGTERM', listener);
      };
    },
    spawn: spawnCommand,
  };
}
