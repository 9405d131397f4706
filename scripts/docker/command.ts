import { spawn } from 'node:child_process';

const ERROR_LINES = 15;

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** A command that could not be started, failed or took too long; the message ends with what it printed last. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Runs a command and resolves with its standard output. Throws the signal's reason when that is aborted meanwhile. */
export async function run(command: readonly string[], options: CommandOptions): Promise<string> {
  const { timeoutMs, signal, input = '', env, cwd } = options;
  const [file = '', ...args] = command;
  const timeout = AbortSignal.timeout(timeoutMs);
  signal.throwIfAborted();
  // A group of its own: Ctrl-C on the terminal is for the check, which then ends what it started.
  const child = spawn(file, args, { env, cwd, detached: true, signal: AbortSignal.any([signal, timeout]) });
  let failure = '';
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.on('error', (error) => {
    failure = error.message;
  });
  // It may end before it has read everything; its status says how.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const status = await new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  signal.throwIfAborted();
  if (status === 0) return stdout;
  const cause = timeout.aborted
    ? `took more than ${timeoutMs / 1000} s`
    : failure || `ended with status ${String(status)}`;
  const tail = `${stdout}\n${stderr}`.trim().split('\n').slice(-ERROR_LINES).join('\n  ');
  throw new CommandError(`${command.slice(0, 6).join(' ')} ${cause}${tail === '' ? '' : `:\n  ${tail}`}`);
}
