import { failure, HoldfastError } from '../../../lib/failure.ts';
import type { Ballot } from '../../../ports/node-handle.ts';
import { TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX } from '../limits.ts';

/** A key that WATCH has named, as it was then. */
export interface Watched {
  readonly key: string;
  /** Null: absent. */
  readonly version: Ballot | null;
}

export interface QueuedCommand {
  readonly name: string;
  readonly args: readonly Buffer[];
  readonly keys: readonly string[];
}

/** The commands between MULTI and EXEC. They are about one key: it is what one conditional write can change. */
export class Transaction {
  readonly commands: QueuedCommand[] = [];
  private bytes = 0;
  private chosenKey: string | null;
  private reason: string | null = null;

  constructor(watched: Watched | null) {
    this.chosenKey = watched?.key ?? null;
  }

  /** Null while no command has named one. */
  get key(): string | null {
    return this.chosenKey;
  }

  /** Why EXEC is to refuse; null: it is not. */
  get refusal(): string | null {
    return this.reason;
  }

  /** Throws for what does not fit, and is aborted by it. `bytes`: of the request. */
  queue({ name, args, keys }: QueuedCommand, bytes: number): void {
    this.chosenKey ??= keys[0] as string;
    if (keys.some((key) => key !== this.chosenKey)) this.refuse('not-supported', ONE_KEY);
    if (this.commands.length === TRANSACTION_COMMANDS_MAX || this.bytes + bytes > TRANSACTION_BYTES_MAX) {
      this.refuse('batch-too-large', TOO_LARGE);
    }
    if (this.reason !== null) return;
    this.bytes += bytes;
    // Copies, so that they do not keep the network's chunks alive.
    this.commands.push({ name, args: args.map((arg) => Buffer.from(arg)), keys });
  }

  /** A command was refused; EXEC will be, too. */
  abort(reason = 'of previous errors.'): void {
    this.reason ??= reason;
    this.commands.length = 0;
    this.bytes = 0;
  }

  private refuse(code: 'not-supported' | 'batch-too-large', reason: string): never {
    this.abort(`of: ${reason}`);
    throw new HoldfastError(failure(code, reason));
  }
}

export const ONE_KEY = 'a transaction on database 1 is about one key, watched or written, and this names another';
const TOO_LARGE = `a transaction has at most ${TRANSACTION_COMMANDS_MAX} commands of ${TRANSACTION_BYTES_MAX} bytes`;
