import { parseInteger, parseWord } from '../arguments.ts';
import { type CommandCall, type CommandFlag, type CommandSpec, command, commandTable } from '../command.ts';
import { echo, SYNTAX_ERROR } from '../errors.ts';
import { ErrorReply, OK, type Reply, VerbatimReply } from '../reply.ts';
import { isSubscribed, type Session } from '../session.ts';
import { BAD_CLIENT_NAME, parseClientName } from './connection.ts';
import { container, helpOf } from './container.ts';

const LOCAL: readonly CommandFlag[] = ['noscript', 'loading', 'stale'];
const ADMIN: readonly CommandFlag[] = ['admin', ...LOCAL];

function subcommand(
  name: string,
  arity: number,
  flags: readonly CommandFlag[],
  since: string,
  summary: string,
  handler: (call: CommandCall) => Reply,
): CommandSpec {
  return command({ name: `client|${name}`, arity, flags, group: 'connection', summary, since, handler });
}

const SUBCOMMANDS: readonly CommandSpec[] = [
  subcommand('id', 2, LOCAL, '5.0.0', 'Returns the client ID for the current connection', (call) => call.session.id),
  subcommand('setname', 3, LOCAL, '2.6.9', 'Set the current connection name', handleSetname),
  subcommand('getname', 2, LOCAL, '2.6.9', 'Get the current connection name', (call) => call.session.name || null),
  subcommand('setinfo', 4, LOCAL, '7.2.0', 'Set client or connection specific info', handleSetinfo),
  subcommand('info', 2, LOCAL, '6.2.0', 'Returns information about the current client connection.', handleInfo),
  subcommand('list', -2, ADMIN, '2.4.0', 'Get the list of client connections', handleList),
  subcommand('no-evict', 3, ADMIN, '7.0.0', 'Set client eviction mode for the current connection', handleNoEvict),
  subcommand('help', 2, ['loading', 'stale'], '5.0.0', 'Show helpful text about the different subcommands', () =>
    helpOf('client', SUBCOMMANDS),
  ),
];

export const CLIENT_COMMANDS: readonly CommandSpec[] = [
  container('client', 'connection', '2.4.0', 'A container for client connection commands', commandTable(SUBCOMMANDS)),
];

function handleSetname({ session, args }: CommandCall): Reply {
  const name = parseClientName(args[2] as Buffer);
  if (name === null) return BAD_CLIENT_NAME;
  session.name = name;
  return OK;
}

function handleSetinfo({ session, args }: CommandCall): Reply {
  const option = parseWord(args[2]);
  const value = parseClientName(args[3] as Buffer);
  const shown = echo(args[2]);
  if (option !== 'LIB-NAME' && option !== 'LIB-VER') return new ErrorReply(`ERR Unrecognized option '${shown}'`);
  if (value === null) {
    return new ErrorReply(`ERR ${shown} cannot contain spaces, newlines or special characters.`);
  }
  if (option === 'LIB-NAME') session.libraryName = value;
  else session.libraryVersion = value;
  return OK;
}

/** Nothing is ever evicted here. */
function handleNoEvict({ session, args }: CommandCall): Reply {
  const word = parseWord(args[2]);
  if (word !== 'ON' && word !== 'OFF') return SYNTAX_ERROR;
  session.noEvict = word === 'ON';
  return OK;
}

function handleInfo({ session }: CommandCall): Reply {
  return new VerbatimReply(`${sessionLine(session)}\n`);
}

/** `CLIENT LIST [TYPE normal|…] [ID id…]`. */
function handleList({ services, args }: CommandCall): Reply {
  let sessions = [...services.sessions()];
  const option = parseWord(args[2]);
  if (option === 'TYPE' && args.length === 4) {
    const type = echo(args[3]);
    if (!/^(?:normal|master|replica|slave|pubsub)$/i.test(type)) {
      return new ErrorReply(`ERR Unknown client type '${type}'`);
    }
    sessions = sessions.filter((session) => clientType(session) === type.toLowerCase());
  } else if (option === 'ID' && args.length > 3) {
    const ids = args.slice(3).map(parseInteger);
    if (ids.includes(null)) return new ErrorReply('ERR Invalid client ID');
    sessions = sessions.filter((session) => ids.includes(session.id));
  } else if (args.length > 2) {
    return SYNTAX_ERROR;
  }
  return new VerbatimReply(sessions.map((session) => `${sessionLine(session)}\n`).join(''));
}

function clientType(session: Session): 'normal' | 'pubsub' {
  return isSubscribed(session) ? 'pubsub' : 'normal';
}

function flagsOf(session: Session): string {
  const flags = `${isSubscribed(session) ? 'P' : ''}${session.transaction === null ? '' : 'x'}${session.noEvict ? 'e' : ''}`;
  return flags === '' ? 'N' : flags;
}

function sessionLine(session: Session): string {
  const nowMs = performance.now();
  const seconds = (sinceMs: number) => Math.floor((nowMs - sinceMs) / 1000);
  return [
    `id=${session.id}`,
    `addr=${session.address}`,
    `laddr=${session.localAddress}`,
    `name=${session.name}`,
    `age=${seconds(session.openedAtMs)}`,
    `idle=${seconds(session.lastActiveAtMs)}`,
    `flags=${flagsOf(session)}`,
    `db=${session.database}`,
    `sub=${session.channels.size}`,
    `psub=${session.patterns.size}`,
    `multi=${session.transaction?.commands.length ?? -1}`,
    `cmd=${session.lastCommand}`,
    'user=default',
    `lib-name=${session.libraryName}`,
    `lib-ver=${session.libraryVersion}`,
    `resp=${session.version}`,
  ].join(' ');
}
