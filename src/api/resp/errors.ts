import { failure, HoldfastError } from '../../lib/failure.ts';
import type { Failure } from '../../ports/node-handle.ts';
import { REPLY_BYTES_MAX } from './limits.ts';
import { ErrorReply } from './reply.ts';

export const SYNTAX_ERROR = new ErrorReply('ERR syntax error');
export const NOT_AN_INTEGER = new ErrorReply('ERR value is not an integer or out of range');

/** Counters are exact within the safe integers only, so they overflow earlier than Redis' 64 bits. */
export const COUNTER_OVERFLOW = new ErrorReply(
  'ERR increment or decrement would overflow (counters range from -9007199254740991 to 9007199254740991)',
);

export function wrongArity(command: string): ErrorReply {
  return new ErrorReply(`ERR wrong number of arguments for '${command}' command`);
}

export function invalidExpireTime(command: string): ErrorReply {
  return new ErrorReply(`ERR invalid expire time in '${command}' command`);
}

export function wrongSubcommandArity(command: string, subcommand: Buffer): ErrorReply {
  return new ErrorReply(
    `ERR unknown subcommand or wrong number of arguments for '${echo(subcommand)}'. Try ${command.toUpperCase()} HELP.`,
  );
}

export function unknownSubcommand(command: string, subcommand: Buffer): ErrorReply {
  return new ErrorReply(`ERR unknown subcommand '${echo(subcommand)}'. Try ${command.toUpperCase()} HELP.`);
}

export function notWhileSubscribed(command: string): ErrorReply {
  const allowed = '(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET';
  return new ErrorReply(`ERR Can't execute '${command}': only ${allowed} are allowed in this context`);
}

/** `advice`: what to do instead. */
export function replyTooLarge(advice: string): HoldfastError {
  return new HoldfastError(failure('batch-too-large', `a reply is at most ${REPLY_BYTES_MAX} bytes; ${advice}`));
}

/** How much of what a client sent an error repeats; as in Redis. */
const ECHOED_BYTES_MAX = 128;

/** What a client sent, as far as an error repeats it. */
export function echo(bytes: Buffer | undefined, bytesMax = ECHOED_BYTES_MAX): string {
  return bytes?.toString('latin1', 0, bytesMax) ?? '';
}

export function unknownCommand(args: readonly Buffer[]): ErrorReply {
  let shown = '';
  for (const arg of args.slice(1)) {
    if (shown.length >= ECHOED_BYTES_MAX) break;
    shown += `'${echo(arg, ECHOED_BYTES_MAX - shown.length)}' `;
  }
  return new ErrorReply(`ERR unknown command '${echo(args[0])}', with args beginning with: ${shown}`);
}

/**
 * What a failed request answers. The code in front is one that Redis clients know:
 *
 * | failure | code | what clients do |
 * |---|---|---|
 * | `quorum-unavailable`, `shutting-down` | `CLUSTERDOWN` | cluster clients wait and retry; others raise a typed error |
 * | `island-refused` | `NOREPLICAS` | not retried: Redis' own answer to writes where too few replicas are connected |
 * | `not-ready` | `LOADING` | clients wait until the node has loaded (also `loading:1` in INFO) |
 * | `too-many-requests` | `TRYAGAIN` | retried after a pause |
 * | `disk-full` | `MISCONF` | not retried: Redis' own answer to writes that it cannot put on disk; reads go on |
 * | `unauthorized` | `NOAUTH` | not retried |
 * | `wrong-type` | `WRONGTYPE` | not retried |
 * | anything else | `ERR` | not retried |
 *
 * A write that may have taken effect all the same says so: retrying an INCR would then count twice.
 */
export function failureReply(reason: Failure): ErrorReply {
  const doubt = reason.stateChanged === 'maybe' ? ' (the write may have taken effect)' : '';
  // Commands have no levels.
  const message = reason.message.replace('ask for less with w=one', 'write it over HTTP with ?w=one');
  const text = reason.code === 'wrong-type' ? WRONG_TYPE : `${replyCode(reason.code)} ${message}`;
  return new ErrorReply(Buffer.from(`${text}${doubt}`).toString('latin1'));
}

const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';

function replyCode(code: Failure['code']): string {
  switch (code) {
    case 'quorum-unavailable':
    case 'shutting-down':
      return 'CLUSTERDOWN';
    case 'island-refused':
      return 'NOREPLICAS';
    case 'not-ready':
      return 'LOADING';
    case 'too-many-requests':
      return 'TRYAGAIN';
    case 'disk-full':
      return 'MISCONF';
    case 'unauthorized':
      return 'NOAUTH';
    default:
      return 'ERR';
  }
}
