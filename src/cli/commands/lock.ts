import type { Command } from 'commander';
import { type ChildCommand, signalStatus } from '../child-command.ts';
import type { CliContext } from '../context.ts';
import { CliError, CommandEnded } from '../errors.ts';
import { HeldLock } from '../held-lock.ts';
import { durationOf, examples } from '../options.ts';
import { openSession, type Session } from '../session.ts';
import { printable } from '../text.ts';

const TTL_MS_DEFAULT = 30_000;
const TTL_MS_MAX = 3_600_000;
const WAIT_MS_MAX = 86_400_000;
/** Between SIGTERM and SIGKILL, where the lock is lost. */
const GRACE_MS = 5000;
const ABOUT = `
Renews the lock while the command runs, and releases it at its end. The command finds the fencing token in
HOLDFAST_LOCK_TOKEN and the name in HOLDFAST_LOCK_NAME: what it writes to should refuse a token below the highest it
has seen. SIGINT and SIGTERM are passed on. The exit status is that of the command, 128 and the number of the signal
that ended it, or 1 where the lock was not got in time or was lost; then the command is stopped.
Durations: 500ms, 30s, 5m, 1h; a number alone is seconds.`;

interface LockOptions {
  readonly ttl?: number;
  readonly wait?: number;
  readonly owner?: string;
}

export function addLockCommand(program: Command, context: CliContext): void {
  program
    .command('lock')
    .description('run a command while holding a lock')
    .usage('[options] <name> -- <command> [arg...]')
    .argument('<name>', 'name of the lock, 1 to 256 characters')
    .argument('<command...>', 'the command with its arguments, after --')
    .option('--ttl <duration>', 'how long the lock outlives this process (default: 30s)', durationOf(1000, TTL_MS_MAX))
    .option('--wait <duration>', 'wait for so long where it is held (default: 0)', durationOf(0, WAIT_MS_MAX))
    .option('--owner <text>', "what others see as its holder (default: this machine's name and the process id)")
    .addHelpText('after', ABOUT)
    .addHelpText(
      'after',
      examples(
        'holdfast lock backup -- /usr/local/bin/backup --all',
        "holdfast lock deploy --ttl 1m --wait 10s -- sh -c './deploy --token $HOLDFAST_LOCK_TOKEN'",
      ),
    )
    .action(async (name: string, words: readonly string[], options: LockOptions, command: Command) => {
      const { ttl: ttlMs = TTL_MS_DEFAULT, wait: waitMs = 0 } = options;
      const owner = options.owner ?? `${context.hostName}:${process.pid}`;
      const status = await runLocked(openSession(command, context), { name, owner, ttlMs, waitMs }, words);
      if (status !== 0) throw new CommandEnded(status);
    });
}

/** The exit status. */
async function runLocked(
  session: Session,
  wish: Parameters<typeof HeldLock.acquire>[1],
  words: readonly string[],
): Promise<number> {
  const { context } = session;
  const signals = new SignalRelay(context);
  try {
    const lock = await signals.untilFirst((signal) => HeldLock.acquire(session, wish, signal));
    const env = { ...context.env, HOLDFAST_LOCK_NAME: wish.name, HOLDFAST_LOCK_TOKEN: String(lock.token) };
    const [file = '', ...args] = words;
    const child = context.spawn(file, args, env);
    signals.passTo(child);
    return await whileHeld(session, lock, child, file);
  } finally {
    signals.end();
  }
}

async function whileHeld(session: Session, lock: HeldLock, child: ChildCommand, file: string): Promise<number> {
  const over = new AbortController();
  const ended = child.ended.catch((cause: unknown) => cannotRun(file, cause)).finally(() => over.abort());
  const [end, lost] = await Promise.all([ended, keepOrStop(session, lock, child, over.signal)]);
  if (lost !== null) throw lost;
  await lock.release();
  if (typeof end === 'number') return end;
  throw end;
}

/** Null where the command ended first. */
async function keepOrStop(
  { context, terminal }: Session,
  lock: HeldLock,
  child: ChildCommand,
  over: AbortSignal,
): Promise<CliError | null> {
  const lost = await lock.keep(over);
  if (lost === null) return null;
  terminal.note('the lock is lost; stopping the command');
  child.kill('SIGTERM');
  await context.sleep(GRACE_MS, over);
  if (!over.aborted) child.kill('SIGKILL');
  return lost;
}

function cannotRun(file: string, cause: unknown): CliError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const why = code === 'ENOENT' ? 'there is no such command' : cause instanceof Error ? cause.message : String(cause);
  return new CliError(`cannot run ${printable(file)}: ${why} — name a command that can be run after --`, 'failed', {
    cause,
  });
}

/** What signals do to this process: they end the wait for the lock, and are passed to the command after it. */
class SignalRelay {
  private readonly release: () => void;
  private readonly isForeground: boolean;
  private readonly waiting = new AbortController();
  private first: NodeJS.Signals | null = null;
  private child: ChildCommand | null = null;

  constructor(context: CliContext) {
    this.isForeground = context.isTTY || ('isTTY' in context.stdin && context.stdin.isTTY === true);
    this.release = context.onInterrupt((signal) => this.handle(signal));
  }

  /** Throws the end of this process where a signal comes first. */
  async untilFirst<T>(wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await wait(this.waiting.signal);
    } catch (error) {
      throw this.first === null ? error : new CommandEnded(signalStatus(this.first));
    }
  }

  passTo(child: ChildCommand): void {
    this.child = child;
    // It came with the answer.
    if (this.first !== null) child.kill(this.first);
  }

  end(): void {
    this.release();
  }

  private handle(signal: NodeJS.Signals): void {
    // A terminal sends Ctrl-C to the command as well, and many commands take a second one for a demand to end at once.
    if (this.child !== null && signal === 'SIGINT' && this.isForeground) return;
    this.first ??= signal;
    this.child?.kill(signal);
    this.waiting.abort();
  }
}
