import { parseInteger, parseWord } from '../arguments.ts';
import { type CommandCall, type CommandFlag, type CommandSpec, command } from '../command.ts';
import { echo, NOT_AN_INTEGER, SYNTAX_ERROR, wrongArity } from '../errors.ts';
import { ErrorReply, MapReply, OK, type Reply, SimpleReply } from '../reply.ts';
import { isSubscribed } from '../session.ts';

const PONG = new SimpleReply('PONG');
const RESET = new SimpleReply('RESET');
const ALWAYS: readonly CommandFlag[] = ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy'];

/** The Redis version whose behaviour clients may expect. */
export const REDIS_VERSION = '7.0.15';

/** The connection itself. There are two databases, and no password: AUTH answers as Redis without one does. */
export const CONNECTION_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'ping',
    arity: -1,
    flags: ['fast'],
    group: 'connection',
    summary: 'Ping the server',
    since: '1.0.0',
    handler: handlePing,
  }),
  command({
    name: 'echo',
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    group: 'connection',
    summary: 'Echo the given string',
    since: '1.0.0',
    handler: ({ args }) => args[1] as Buffer,
  }),
  command({
    name: 'hello',
    arity: -1,
    flags: ALWAYS,
    barrier: true,
    group: 'connection',
    summary: 'Handshake with Redis',
    since: '6.0.0',
    handler: handleHello,
  }),
  command({
    name: 'auth',
    arity: -2,
    flags: ALWAYS,
    barrier: true,
    group: 'connection',
    summary: 'Authenticate to the server',
    since: '1.0.0',
    handler: handleAuth,
  }),
  command({
    name: 'select',
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    barrier: true,
    group: 'connection',
    summary: 'Change the selected database for the current connection',
    since: '1.0.0',
    handler: handleSelect,
  }),
  command({
    name: 'quit',
    arity: -1,
    flags: ALWAYS,
    barrier: true,
    group: 'connection',
    summary: 'Close the connection',
    since: '1.0.0',
    handler: handleQuit,
  }),
  command({
    name: 'reset',
    arity: 1,
    flags: ALWAYS,
    barrier: true,
    group: 'connection',
    summary: 'Reset the connection',
    since: '6.2.0',
    handler: handleReset,
  }),
];

/** To a RESP2 subscriber in the form of a message, so that it can be told from one. */
function handlePing({ session, args }: CommandCall): Reply {
  if (args.length > 2) return wrongArity('ping');
  if (session.version === 2 && isSubscribed(session)) return ['pong', args[1] ?? ''];
  return args[1] ?? PONG;
}

/** `HELLO [2|3 [AUTH user password] [SETNAME name]]`; nothing changes when any part is wrong. */
function handleHello({ session, args }: CommandCall): Reply {
  let version = session.version;
  let name: string | null = null;
  if (args[1] !== undefined) {
    const asked = parseInteger(args[1]);
    if (asked === null) return new ErrorReply('ERR Protocol version is not an integer or out of range');
    if (asked !== 2 && asked !== 3) return new ErrorReply('NOPROTO unsupported protocol version');
    version = asked;
  }
  for (let i = 2; i < args.length; i++) {
    const option = parseWord(args[i]);
    const left = args.length - i - 1;
    if (option === 'AUTH' && left >= 2) {
      if (!isDefaultUser(args[i + 1] as Buffer)) return WRONG_PASSWORD;
      i += 2;
    } else if (option === 'SETNAME' && left >= 1) {
      name = parseClientName(args[i + 1] as Buffer);
      if (name === null) return BAD_CLIENT_NAME;
      i += 1;
    } else {
      return new ErrorReply(`ERR Syntax error in HELLO option '${echo(args[i])}'`);
    }
  }
  session.version = version;
  if (name !== null) session.name = name;
  return new MapReply([
    ['server', 'redis'],
    ['version', REDIS_VERSION],
    ['proto', version],
    ['id', session.id],
    ['mode', 'standalone'],
    ['role', 'master'],
    ['modules', []],
  ]);
}

const WRONG_PASSWORD = new ErrorReply('WRONGPASS invalid username-password pair or user is disabled.');
const NO_PASSWORD = new ErrorReply(
  'ERR AUTH <password> called without any password configured for the default user. ' +
    'Are you sure your configuration is correct?',
);

/** Without a password configured, Redis' user `default` is let in with any. */
function handleAuth({ args }: CommandCall): Reply {
  if (args.length > 3) return SYNTAX_ERROR;
  if (args.length === 2) return NO_PASSWORD;
  return isDefaultUser(args[1] as Buffer) ? OK : WRONG_PASSWORD;
}

function isDefaultUser(name: Buffer): boolean {
  return name.toString('latin1') === 'default';
}

function handleSelect({ session, args }: CommandCall): Reply {
  const index = parseInteger(args[1] as Buffer);
  if (index === null) return NOT_AN_INTEGER;
  if (index !== 0 && index !== 1) return new ErrorReply('ERR DB index is out of range');
  session.database = index;
  return OK;
}

function handleQuit({ session }: CommandCall): Reply {
  session.quitting = true;
  return OK;
}

function handleReset({ services, session }: CommandCall): Reply {
  services.subscriptions.removeAll(session);
  session.version = 2;
  session.name = '';
  session.noEvict = false;
  session.database = 0;
  session.transaction = null;
  session.watched = null;
  return RESET;
}

export const BAD_CLIENT_NAME = new ErrorReply(
  'ERR Client names cannot contain spaces, newlines or special characters.',
);

/** Printable ASCII without blanks; null when it is not. At most 256 characters. */
export function parseClientName(bytes: Buffer): string | null {
  const name = bytes.toString('latin1');
  return /^[!-~]{0,256}$/.test(name) ? name : null;
}
