import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A child process that prints one JSON object a line. */
export interface JsonChild {
  readonly process: ChildProcess;
  readonly events: Record<string, unknown>[];
  /** Exit status, or the signal's name; null while it runs. */
  exit: number | NodeJS.Signals | null;
  readonly errors: string[];
  kill(): Promise<void>;
}

export function spawnJson(command: string, args: readonly string[]): JsonChild {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = Promise.withResolvers<void>();
  const result: JsonChild = {
    process: child,
    events: [],
    exit: null,
    errors: [],
    async kill() {
      child.kill('SIGKILL');
      await closed.promise;
    },
  };
  child.on('close', (code, signal) => {
    result.exit = signal ?? code;
    closed.resolve();
  });
  child.on('error', (error) => result.errors.push(error.message));
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{')) result.events.push(JSON.parse(line) as Record<string, unknown>);
  });
  createInterface({ input: child.stderr }).on('line', (line) => result.errors.push(line));
  return result;
}
