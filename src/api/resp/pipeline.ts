import { failure, HoldfastError } from '../../lib/failure.ts';
import { VALUE_BYTES_MAX } from '../../ports/node-handle.ts';
import { NOT_READY } from '../not-ready.ts';
import { type CommandSpec, type CommandTable, hasArity, keysOf, lookUp, type RespServices } from './command.ts';
import { failureReply, notWhileSubscribed, unknownCommand, unknownSubcommand, wrongArity } from './errors.ts';
import { type KeyJob, KeyLocks } from './key-locks.ts';
import { ARGUMENTS_MAX, COMMAND_BYTES_MAX } from './limits.ts';
import type { Request } from './parser.ts';
import { ErrorReply, type Reply, replyBytes, SimpleReply } from './reply.ts';
import { isSubscribed, type Session } from './session.ts';
import { abortTransaction, tryQueue } from './strong/transaction-commands.ts';
import type { ReplyWriter } from './writer.ts';

/** One command from its arrival until its reply is written. */
interface Slot extends KeyJob {
  readonly args: readonly Buffer[];
  readonly bytes: number;
  /** Null when it was answered at once. */
  readonly spec: CommandSpec | null;
  /** Its keys as given; `keys` has each once. */
  readonly allKeys: readonly string[];
  /** Undefined until there is one. */
  reply: Reply | undefined;
  next: Slot | null;
}

const NO_KEYS: readonly string[] = [];
const QUEUED = new SimpleReply('QUEUED');

const TOO_LARGE = failure(
  'batch-too-large',
  `a command is at most ${COMMAND_BYTES_MAX} bytes in ${ARGUMENTS_MAX} arguments, a value at most ${VALUE_BYTES_MAX} bytes`,
);

/** What a RESP2 client may send while it is subscribed. */
const SUBSCRIBER_COMMANDS: ReadonlySet<string> = new Set([
  'subscribe',
  'psubscribe',
  'unsubscribe',
  'punsubscribe',
  'ping',
  'quit',
  'reset',
]);

/** What a key's reply is taken to weigh before anything is known. */
const REPLY_BYTES_GUESS = 256 * 1024;
const REPLY_BYTES_FADE = 7 / 8;

/**
 * The commands of one connection: started in the order of arrival as far as their keys allow, many at once, and
 * answered in the order of arrival. Commands that share a key run one after the other unless both only read; a
 * barrier command runs alone.
 */
export class Pipeline {
  private readonly services: RespServices;
  private readonly session: Session;
  private readonly writer: ReplyWriter;
  private readonly handleReplies: () => void;
  private readonly locks = new KeyLocks<Slot>();

  private head: Slot | null = null;
  private tail: Slot | null = null;
  /** Keys (or keyless commands) and request bytes of everything between arrival and reply. */
  private weight = 0;
  private bytes = 0;
  /** Commands without a result, not counting the barrier. */
  private running = 0;
  private barrier: Slot | null = null;
  /** Largest recent reply per key, fading: large values shrink the window before their replies pile up. */
  private replyBytes = REPLY_BYTES_GUESS;

  /** `handleReplies` is called whenever something was written to `writer`. */
  constructor(services: RespServices, session: Session, writer: ReplyWriter, handleReplies: () => void) {
    this.services = services;
    this.session = session;
    this.writer = writer;
    this.handleReplies = handleReplies;
  }

  get isIdle(): boolean {
    return this.head === null;
  }

  get canAccept(): boolean {
    const { inFlightMax, inFlightBytesMax } = this.services.limits;
    if (this.barrier !== null || this.session.quitting || this.bytes >= inFlightBytesMax) return false;
    return this.weight < Math.min(inFlightMax, Math.max(1, inFlightBytesMax / this.replyBytes));
  }

  /** Takes a command; only while `canAccept`. */
  accept(request: Request): void {
    this.services.stats.commands++;
    const slot = this.prepare(request);
    if (this.session.transaction !== null && slot.reply instanceof ErrorReply) {
      slot.reply = abortTransaction(this.session, request.args[0] as Buffer, slot.reply);
    }
    this.append(slot);
    if (slot.reply !== undefined) {
      this.writeReplies();
    } else if (slot.spec?.barrier === true) {
      this.barrier = slot;
      if (this.running === 0) this.start(slot);
    } else {
      this.running++;
      if (slot.keys.length === 0 || this.locks.acquire(slot)) this.start(slot);
    }
  }

  /** Puts a reply in line that belongs to no command. */
  answer(reply: Reply): void {
    this.append(slotOf([], 0, null, NO_KEYS, reply));
    this.writeReplies();
  }

  private append(slot: Slot): void {
    if (this.tail === null) this.head = slot;
    else this.tail.next = slot;
    this.tail = slot;
    this.weight += weightOf(slot);
    this.bytes += slot.bytes;
  }

  private prepare(request: Request): Slot {
    const { args, bytes } = request;
    try {
      if (request.tooLarge) throw new HoldfastError(TOO_LARGE);
      const spec = resolve(this.services.tables[this.session.database], args);
      if (spec instanceof ErrorReply) {
        this.services.node.countRefusal('resp', 'bad-request');
        return slotOf(args, bytes, null, NO_KEYS, spec);
      }
      this.session.lastCommand = spec.name;
      if (this.session.version === 2 && isSubscribed(this.session) && !SUBSCRIBER_COMMANDS.has(spec.name)) {
        return slotOf(args, bytes, null, NO_KEYS, notWhileSubscribed(spec.name));
      }
      if (!this.services.node.ready && !spec.flags.includes('loading')) throw new HoldfastError(NOT_READY);
      const keys = keysOf(spec, args);
      const { transaction } = this.session;
      const isQueued = transaction !== null && tryQueue(transaction, spec, args, keys, bytes);
      return isQueued ? slotOf(args, bytes, null, NO_KEYS, QUEUED) : slotOf(args, bytes, spec, keys, undefined);
    } catch (error) {
      return slotOf(args, bytes, null, NO_KEYS, this.replyOf(error));
    }
  }

  private start(slot: Slot): void {
    const { services, session } = this;
    const { args, allKeys: keys } = slot;
    const spec = slot.spec as CommandSpec;
    let result: Reply | Promise<Reply>;
    try {
      result = spec.handler({ services, session, args, keys });
    } catch (error) {
      result = this.replyOf(error);
    }
    if (!(result instanceof Promise)) {
      this.finish(slot, result);
      return;
    }
    result.then(
      (reply) => this.finish(slot, reply),
      (error: unknown) => this.finish(slot, this.replyOf(error)),
    );
  }

  private finish(slot: Slot, reply: Reply): void {
    slot.reply = reply;
    this.writeReplies();
    if (slot === this.barrier) {
      this.barrier = null;
      return;
    }
    this.running--;
    if (slot.keys.length > 0) for (const next of this.locks.release(slot)) this.start(next);
    if (this.running === 0 && this.barrier !== null) this.start(this.barrier);
  }

  /** Writes what is ready at the head of the line. */
  private writeReplies(): void {
    let written = false;
    while (this.head !== null && this.head.reply !== undefined) {
      const slot = this.head;
      const reply = slot.reply as Reply;
      this.writer.write(reply, this.session.version);
      this.replyBytes = Math.max(replyBytes(reply) / weightOf(slot), this.replyBytes * REPLY_BYTES_FADE);
      this.weight -= weightOf(slot);
      this.bytes -= slot.bytes;
      this.head = slot.next;
      written = true;
    }
    if (this.head === null) this.tail = null;
    if (written) this.handleReplies();
  }

  private replyOf(error: unknown): ErrorReply {
    const { node, log } = this.services;
    if (error instanceof HoldfastError) {
      node.countRefusal('resp', error.code);
      return failureReply(error.failure);
    }
    node.countRefusal('resp', 'internal');
    const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error('a Redis command failed unexpectedly', { command: this.session.lastCommand, cause });
    return new ErrorReply('ERR internal error; the log of the node says more');
  }
}

function slotOf(
  args: readonly Buffer[],
  bytes: number,
  spec: CommandSpec | null,
  allKeys: readonly string[],
  reply: Reply | undefined,
): Slot {
  const keys = allKeys.length > 1 ? [...new Set(allKeys)] : allKeys;
  return { args, bytes, spec, allKeys, keys, access: spec?.access ?? 'read', blockers: 0, reply, next: null };
}

/** The command or subcommand, or why there is none. */
function resolve(table: CommandTable, args: readonly Buffer[]): CommandSpec | ErrorReply {
  const spec = lookUp(table, args[0] as Buffer);
  if (spec === undefined) return unknownCommand(args);
  if (!hasArity(spec, args.length)) return wrongArity(spec.name);
  if (spec.subcommands === null || args.length === 1) return spec;
  const subcommand = lookUp(spec.subcommands, args[1] as Buffer);
  if (subcommand === undefined) return unknownSubcommand(spec.name, args[1] as Buffer);
  return hasArity(subcommand, args.length) ? subcommand : wrongArity(subcommand.name);
}

function weightOf(slot: Slot): number {
  return slot.keys.length || 1;
}
