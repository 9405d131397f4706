import { failure, HoldfastError } from '../../../lib/failure.ts';
import { parseWord } from '../arguments.ts';
import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { failureReply, replyTooLarge } from '../errors.ts';
import { REPLY_BYTES_MAX } from '../limits.ts';
import { ErrorReply, NullArrayReply, OK, type Reply, replyBytes } from '../reply.ts';
import type { Session } from '../session.ts';
import { PLANS } from './handlers.ts';
import { look, type Outcome, type Step, unexpired } from './step.ts';
import { ONE_KEY, type QueuedCommand, Transaction } from './transaction.ts';

type Definition = Pick<CommandSpec, 'name' | 'arity' | 'summary' | 'since' | 'handler'> & Partial<CommandSpec>;

function transactional(definition: Definition): CommandSpec {
  const flags = ['noscript', 'loading', 'stale', 'fast', 'allow_busy'] as const;
  return command({ flags, barrier: true, group: 'transactions', ...definition });
}

/**
 * Transactions about a single key. WATCH remembers its version, the commands behind MULTI are run in memory upon what
 * EXEC reads, and what comes of them is written if the key has that version still: all of them in one step, or none.
 */
export const TRANSACTION_COMMANDS: readonly CommandSpec[] = [
  transactional({
    name: 'multi',
    arity: 1,
    summary: 'Mark the start of a transaction block',
    since: '1.2.0',
    handler: handleMulti,
  }),
  transactional({
    name: 'exec',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'skip_slowlog'],
    summary: 'Execute all commands issued after MULTI',
    since: '1.2.0',
    complexity: 'Depends on commands in the transaction',
    handler: handleExec,
  }),
  transactional({
    name: 'discard',
    arity: 1,
    summary: 'Discard all commands issued after MULTI',
    since: '2.0.0',
    handler: handleDiscard,
  }),
  transactional({
    name: 'watch',
    arity: -2,
    keys: [1, -1, 1],
    summary: 'Watch the given key to determine execution of the MULTI/EXEC block',
    since: '2.2.0',
    handler: handleWatch,
  }),
  transactional({
    name: 'unwatch',
    arity: 1,
    summary: 'Forget about the watched key',
    since: '2.2.0',
    handler: handleUnwatch,
  }),
];

/** Those that are not queued. */
const IMMEDIATE: ReadonlySet<string> = new Set(['multi', 'exec', 'discard', 'watch', 'quit', 'reset']);

/** True where the command was queued for EXEC. Throws for what cannot be part of a transaction. */
export function tryQueue(
  transaction: Transaction,
  { name }: CommandSpec,
  args: readonly Buffer[],
  keys: readonly string[],
  bytes: number,
): boolean {
  if (IMMEDIATE.has(name)) return false;
  if (PLANS[name] === undefined) {
    const reason = `'${name}' cannot be part of a transaction, which is about one key of database 1`;
    throw new HoldfastError(failure('not-supported', reason));
  }
  transaction.queue({ name, args, keys }, bytes);
  return true;
}

/** A command was refused on arrival, with this reply: EXEC will be, too, and is by now if it is the one. */
export function abortTransaction(session: Session, name: Buffer, reply: ErrorReply): ErrorReply {
  if (parseWord(name) !== 'EXEC') {
    session.transaction?.abort();
    return reply;
  }
  end(session);
  return new ErrorReply(`EXECABORT Transaction discarded because of: ${reply.text.replace(/^ERR /, '')}`);
}

function handleMulti({ session }: CommandCall): Reply {
  if (session.transaction !== null) return new ErrorReply('ERR MULTI calls can not be nested');
  session.transaction = new Transaction(session.watched);
  return OK;
}

async function handleWatch({ services, session, keys }: CommandCall): Promise<Reply> {
  if (session.transaction !== null) return new ErrorReply('ERR WATCH inside MULTI is not allowed');
  const key = keys[0] as string;
  const watchedKey = session.watched?.key ?? key;
  if (keys.some((each) => each !== watchedKey)) throw new HoldfastError(failure('not-supported', ONE_KEY));
  // The first look counts.
  session.watched ??= { key, version: (await services.strong.read(key)).version };
  return OK;
}

function handleUnwatch({ session }: CommandCall): Reply {
  session.watched = null;
  return OK;
}

function handleDiscard({ session }: CommandCall): Reply {
  if (session.transaction === null) return new ErrorReply('ERR DISCARD without MULTI');
  end(session);
  return OK;
}

async function handleExec(call: CommandCall): Promise<Reply> {
  const { services, session } = call;
  const { transaction, watched } = session;
  if (transaction === null) return new ErrorReply('ERR EXEC without MULTI');
  end(session);
  const { refusal, key, commands } = transaction;
  if (refusal !== null) return new ErrorReply(`EXECABORT Transaction discarded because ${refusal}`);
  if (key === null) return [];
  const step = inOne(commands.map((each) => stepOf(call, each)));
  if (watched === null) return await services.strong.change(key, step);
  return (await services.strong.changeFrom(key, watched.version, step)) ?? NULL_ARRAY;
}

const NULL_ARRAY = new NullArrayReply();

function end(session: Session): void {
  session.transaction = null;
  session.watched = null;
}

/** What is wrong with a command is its reply, and holds up no other, as in Redis. */
function stepOf({ services, session }: CommandCall, { name, args, keys }: QueuedCommand): Step {
  const plan = PLANS[name] as (typeof PLANS)[string];
  try {
    const step = plan({ services, session, args, keys });
    return step instanceof ErrorReply ? look(() => step) : step;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return look(() => failureReply(error.failure));
  }
}

function inOne(steps: readonly Step[]): Step {
  return (before, wallMs) => {
    let content = before;
    let bytes = 0;
    const replies = steps.map((step) => {
      const outcome = taken(step, content, wallMs);
      content = outcome.content === content ? content : unexpired(outcome.content, wallMs);
      bytes += replyBytes(outcome.reply);
      // Before anything is written.
      if (bytes > REPLY_BYTES_MAX) throw replyTooLarge('read less in one transaction');
      return outcome.reply;
    });
    return { reply: replies, content };
  };
}

function taken(step: Step, content: Parameters<Step>[0], wallMs: number): Outcome {
  try {
    return step(content, wallMs);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { reply: failureReply(error.failure), content };
  }
}
