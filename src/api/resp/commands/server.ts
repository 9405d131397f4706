import { VALUE_BYTES_MAX } from '../../../ports/node-handle.ts';
import { type CommandCall, type CommandSpec, command, commandTable } from '../command.ts';
import { Glob } from '../glob.ts';
import { MapReply, type Reply } from '../reply.ts';
import { container, helpOf } from './container.ts';
import { handleInfo } from './info.ts';

const CONFIG_SUBCOMMANDS: readonly CommandSpec[] = [
  command({
    name: 'config|get',
    arity: -3,
    flags: ['admin', 'noscript', 'loading', 'stale'],
    group: 'server',
    summary: 'Get the values of configuration parameters',
    since: '2.0.0',
    complexity: 'O(N) when N is the number of configuration parameters provided',
    handler: handleConfigGet,
  }),
  command({
    name: 'config|help',
    arity: 2,
    flags: ['loading', 'stale'],
    group: 'server',
    summary: 'Show helpful text about the different subcommands',
    since: '5.0.0',
    handler: () => helpOf('config', CONFIG_SUBCOMMANDS),
  }),
];

/** The server. CONFIG shows, in Redis' words, what clients and tools ask for; there is nothing to set. */
export const SERVER_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'info',
    arity: -1,
    flags: ['loading', 'stale'],
    group: 'server',
    categories: ['@dangerous'],
    summary: 'Get information and statistics about the server',
    since: '1.0.0',
    handler: handleInfo,
  }),
  container(
    'config',
    'server',
    '2.0.0',
    'A container for server configuration commands',
    commandTable(CONFIG_SUBCOMMANDS),
  ),
];

/** Every acknowledged write is synced to disk, which Redis calls an append-only file synced always. */
function handleConfigGet({ services, args }: CommandCall): Reply {
  const parameters: readonly (readonly [string, string])[] = [
    ['appendfsync', 'always'],
    ['appendonly', 'yes'],
    ['databases', String(services.tables.length)],
    ['maxclients', String(services.limits.clientsMax)],
    ['maxmemory', '0'],
    ['maxmemory-policy', 'noeviction'],
    ['port', String(services.port())],
    ['proto-max-bulk-len', String(VALUE_BYTES_MAX)],
    ['save', ''],
    ['timeout', '0'],
  ];
  const globs = args.slice(2).map((arg) => new Glob(Buffer.from(arg.toString('latin1').toLowerCase())));
  return new MapReply(parameters.filter(([name]) => globs.some((glob) => glob.matches(name))));
}
