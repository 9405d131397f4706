import {
  type CommandCall,
  type CommandSpec,
  type CommandTable,
  command,
  commandTable,
  hasArity,
  keysOf,
  lookUp,
} from '../command.ts';
import { SYNTAX_ERROR } from '../errors.ts';
import { ErrorReply, MapReply, type Reply, SetReply, SimpleReply } from '../reply.ts';
import { helpOf } from './container.ts';

const FLAGS = ['loading', 'stale'] as const;

const SUBCOMMANDS: readonly CommandSpec[] = [
  subcommand('count', 2, '2.8.13', 'Get total number of Redis commands', (call) => specsOf(tableOf(call)).length),
  subcommand('info', -2, '2.8.13', 'Get array of specific Redis command details, or all.', handleInfo),
  subcommand('docs', -2, '7.0.0', 'Get array of specific Redis command documentation', handleDocs),
  subcommand('list', -2, '7.0.0', 'Get an array of Redis command names', handleList),
  subcommand('getkeys', -4, '2.8.13', 'Extract keys given a full Redis command', handleGetkeys),
  subcommand('help', 2, '5.0.0', 'Show helpful text about the different subcommands', () =>
    helpOf('command', SUBCOMMANDS),
  ),
];

/** What the server can do, for clients that ask (`redis-cli` for its hints, cluster clients for key positions). */
export const COMMAND_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'command',
    arity: -1,
    flags: FLAGS,
    group: 'server',
    categories: ['@connection'],
    summary: 'Get array of Redis command details',
    since: '2.8.13',
    complexity: 'O(N) where N is the total number of Redis commands',
    subcommands: commandTable(SUBCOMMANDS),
    handler: (call) => specsOf(tableOf(call)).map(infoOf),
  }),
];

function subcommand(
  name: string,
  arity: number,
  since: string,
  summary: string,
  handler: (call: CommandCall) => Reply,
): CommandSpec {
  const full = `command|${name}`;
  return command({
    name: full,
    arity,
    flags: FLAGS,
    group: 'server',
    categories: ['@connection'],
    summary,
    since,
    handler,
  });
}

/** Those of the selected database. */
function tableOf({ services, session }: CommandCall): CommandTable {
  return services.tables[session.database];
}

/** Each command once, though the table knows it under two spellings. */
function specsOf(table: CommandTable): CommandSpec[] {
  return [...new Set(table.values())];
}

function find(table: CommandTable, name: Buffer): CommandSpec | undefined {
  const bar = name.indexOf('|');
  if (bar === -1) return lookUp(table, name);
  const subcommands = lookUp(table, name.subarray(0, bar))?.subcommands;
  return subcommands ? lookUp(subcommands, name.subarray(bar + 1)) : undefined;
}

function handleInfo(call: CommandCall): Reply {
  const table = tableOf(call);
  if (call.args.length === 2) return specsOf(table).map(infoOf);
  return call.args.slice(2).map((name) => {
    const spec = find(table, name);
    return spec === undefined ? null : infoOf(spec);
  });
}

/** Name, arity, flags, first key, last key, step, ACL categories, tips, key specifications, subcommands. */
function infoOf(spec: CommandSpec): Reply {
  const [first, last, step] = spec.keys ?? [0, 0, 0];
  const set = (items: readonly string[]) => new SetReply(items.map((item) => new SimpleReply(item)));
  const subcommands = new SetReply(specsOf(spec.subcommands ?? new Map()).map(infoOf));
  const none = new SetReply([]);
  return [spec.name, spec.arity, set(spec.flags), first, last, step, set(categoriesOf(spec)), none, none, subcommands];
}

/** In Redis' order. */
const CATEGORIES = [
  '@keyspace',
  '@read',
  '@write',
  '@set',
  '@hash',
  '@string',
  '@pubsub',
  '@admin',
  '@fast',
  '@slow',
  '@dangerous',
  '@connection',
  '@transaction',
];

function categoriesOf(spec: CommandSpec): readonly string[] {
  const set = new Set<string>(spec.categories);
  // WAIT is among the generic commands and is about the connection.
  if (spec.group === 'generic' && !set.has('@connection')) set.add('@keyspace');
  if (spec.group === 'string' || spec.group === 'set' || spec.group === 'hash') set.add(`@${spec.group}`);
  if (spec.group === 'connection' && spec.subcommands === null) set.add('@connection');
  if (spec.group === 'transactions') set.add('@transaction');
  if (spec.flags.includes('pubsub')) set.add('@pubsub');
  if (spec.flags.includes('readonly')) set.add('@read');
  if (spec.flags.includes('write')) set.add('@write');
  if (spec.flags.includes('admin')) set.add('@admin').add('@dangerous');
  set.add(spec.flags.includes('fast') ? '@fast' : '@slow');
  return CATEGORIES.filter((category) => set.has(category));
}

function handleDocs(call: CommandCall): Reply {
  const table = tableOf(call);
  const asked = call.args.slice(2).map((name) => find(table, name));
  const specs = call.args.length === 2 ? specsOf(table) : asked.filter((spec) => spec !== undefined);
  return new MapReply(specs.map((spec) => [spec.name, docsOf(spec)]));
}

function docsOf(spec: CommandSpec): Reply {
  const pairs: [Reply, Reply][] = [
    ['summary', spec.summary],
    ['since', spec.since],
    ['group', spec.group],
    ['complexity', spec.complexity],
  ];
  if (spec.subcommands !== null) {
    pairs.push(['subcommands', new MapReply(specsOf(spec.subcommands).map((sub) => [sub.name, docsOf(sub)]))]);
  }
  return new MapReply(pairs);
}

const INVALID_COMMAND = new ErrorReply('ERR Invalid command specified');
const INVALID_COUNT = new ErrorReply('ERR Invalid number of arguments specified for command');
const NO_KEYS = new ErrorReply('ERR The command has no key arguments');

function handleGetkeys(call: CommandCall): Reply {
  const asked = call.args.slice(2);
  const spec = lookUp(tableOf(call), asked[0] as Buffer);
  if (spec === undefined) return INVALID_COMMAND;
  if (spec.keys === null) return NO_KEYS;
  return hasArity(spec, asked.length) ? keysOf(spec, asked) : INVALID_COUNT;
}

/** Without filters: ours would have nothing to filter by. */
function handleList(call: CommandCall): Reply {
  if (call.args.length > 2) return SYNTAX_ERROR;
  return specsOf(tableOf(call)).map((spec) => spec.name);
}
