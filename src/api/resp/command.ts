import type { Log } from '../../ports/log.ts';
import type { NodeHandle } from '../../ports/node-handle.ts';
import { parseKey } from './arguments.ts';
import type { Keyspace } from './keyspace.ts';
import type { RespLimits } from './limits.ts';
import type { Reply } from './reply.ts';
import type { ScanCursors } from './scan-cursors.ts';
import type { ScanReadAhead } from './scan-read-ahead.ts';
import type { Session } from './session.ts';
import type { StrongKeyspace } from './strong/strong-keyspace.ts';
import type { Subscriptions } from './subscriptions.ts';

/** Redis' own names, as COMMAND INFO reports them. */
export type CommandFlag =
  | 'write'
  | 'readonly'
  | 'denyoom'
  | 'admin'
  | 'noscript'
  | 'loading'
  | 'stale'
  | 'fast'
  | 'pubsub'
  | 'no_auth'
  | 'allow_busy'
  | 'skip_slowlog';

export type CommandGroup = 'connection' | 'server' | 'generic' | 'string' | 'set' | 'hash' | 'pubsub' | 'transactions';

/** Where the keys are: first argument, last (negative: from the end), step. Null: the command names none. */
export type KeyPositions = readonly [first: number, last: number, step: number];

/** Figures since the start of the listener. */
export interface RespStats {
  connections: number;
  rejectedConnections: number;
  commands: number;
  slowClients: number;
  /** Reads and listings that asked too few owners: newer writes may be missing. No reply of Redis can say so. */
  incompleteReads: number;
}

/** What all connections of a listener share. */
export interface SharedServices {
  readonly node: NodeHandle;
  readonly cursors: ScanCursors;
  readonly readAhead: ScanReadAhead;
  readonly subscriptions: Subscriptions;
  readonly limits: RespLimits;
  readonly log: Log;
  /** Of Holdfast. */
  readonly version: string;
  /** The commands of each database. */
  readonly tables: readonly [CommandTable, CommandTable];
  /** Database 1. */
  readonly strong: StrongKeyspace;
  readonly stats: RespStats;
  readonly startedAtMs: number;
  port(): number;
  sessions(): Iterable<Session>;
}

/** What every command of a connection shares; `keyspace` is database 0. */
export interface RespServices extends SharedServices {
  readonly keyspace: Keyspace;
}

export interface CommandCall {
  readonly services: RespServices;
  readonly session: Session;
  /** All arguments; the first is the name. */
  readonly args: readonly Buffer[];
  /** The keys among them, checked. */
  readonly keys: readonly string[];
}

/** Failures of the node are thrown; what the client did wrong is answered with an `ErrorReply`. */
export type CommandHandler = (call: CommandCall) => Reply | Promise<Reply>;

export interface CommandSpec {
  /** Lower case; of a subcommand `container|name`. */
  readonly name: string;
  /** Number of arguments with the name; negative: at least. */
  readonly arity: number;
  readonly flags: readonly CommandFlag[];
  /** What it does to its keys; follows from the flags. */
  readonly access: 'read' | 'write';
  readonly keys: KeyPositions | null;
  /**
   * Runs alone on its connection: after everything before it, before everything behind it. For commands that see
   * all keys or change the connection itself.
   */
  readonly barrier: boolean;
  readonly group: CommandGroup;
  readonly summary: string;
  /** The Redis version that has had it first. */
  readonly since: string;
  readonly complexity: string;
  /** Beyond those that flags and group imply. */
  readonly categories: readonly string[];
  readonly subcommands: CommandTable | null;
  readonly handler: CommandHandler;
}

export type CommandTable = ReadonlyMap<string, CommandSpec>;

type Optional = 'keys' | 'barrier' | 'complexity' | 'categories' | 'subcommands';

/** A command with the usual defaults: no keys, no barrier, O(1). */
export function command(
  spec: Omit<CommandSpec, Optional | 'access'> & Partial<Pick<CommandSpec, Optional>>,
): CommandSpec {
  const access = spec.flags.includes('write') ? 'write' : 'read';
  return { access, keys: null, barrier: false, complexity: 'O(1)', categories: [], subcommands: null, ...spec };
}

/** By name, in lower and in upper case, so that the usual spellings are found without converting them. */
export function commandTable(specs: readonly CommandSpec[]): CommandTable {
  const table = new Map<string, CommandSpec>();
  for (const spec of specs) {
    const name = spec.name.slice(spec.name.indexOf('|') + 1);
    table.set(name, spec);
    table.set(name.toUpperCase(), spec);
  }
  return table;
}

export function lookUp(table: CommandTable, name: Buffer): CommandSpec | undefined {
  const text = name.toString('latin1', 0, COMMAND_NAME_BYTES_MAX + 1);
  return table.get(text) ?? table.get(text.toLowerCase());
}

/** No command has a longer name. */
const COMMAND_NAME_BYTES_MAX = 32;

export function hasArity(spec: CommandSpec, count: number): boolean {
  return spec.arity >= 0 ? count === spec.arity : count >= -spec.arity;
}

/** The keys among the arguments. Throws `bad-key`. */
export function keysOf(spec: CommandSpec, args: readonly Buffer[]): readonly string[] {
  if (spec.keys === null) return NO_KEYS;
  const [first, last, step] = spec.keys;
  const end = last < 0 ? args.length + last : last;
  const keys: string[] = [];
  for (let i = first; i <= end; i += step) keys.push(parseKey(args[i] as Buffer));
  return keys;
}

const NO_KEYS: readonly string[] = [];
