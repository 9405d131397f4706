import { spawn } from 'node:child_process';
import { constants } from 'node:os';

export interface ChildCommand {
  /** Its exit status; 128 and the number of the signal where one ended it. Rejects where it could not be started. */
  readonly ended: Promise<number>;
  /** Does nothing once it has ended. */
  kill(signal: NodeJS.Signals): void;
}

/** Runs a command with the standard input and outputs of this process. */
export function spawnCommand(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ChildCommand {
  const child = spawn(file, args, { stdio: 'inherit', env });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? signalStatus(signal ?? 'SIGKILL')));
  });
  return { ended, kill: (signal) => void child.kill(signal) };
}

/** The exit status by which shells tell of a signal. */
export function signalStatus(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
