import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { expiryOf } from '../keyspace.ts';
import { ErrorReply, type Reply } from '../reply.ts';
import { holds, parseExpire } from './expire-options.ts';
import { type ExpiryUnit, roundToSeconds } from './expiry-time.ts';

/**
 * Expiry, by the wall clock of the node that is asked. The conditions NX, XX, GT and LT are checked against a quorum
 * read just before the write, not in one step with it.
 */
export const EXPIRY_COMMANDS: readonly CommandSpec[] = [
  setter('expire', 'EX', '1.0.0', "Set a key's time to live in seconds"),
  setter('pexpire', 'PX', '2.6.0', "Set a key's time to live in milliseconds"),
  setter('expireat', 'EXAT', '1.2.0', 'Set the expiration for a key as a UNIX timestamp'),
  setter('pexpireat', 'PXAT', '2.6.0', 'Set the expiration for a key as a UNIX timestamp specified in milliseconds'),
  reader('ttl', '1.0.0', 'Get the time to live for a key in seconds', (at, now) => roundToSeconds(at - now)),
  reader('pttl', '2.6.0', 'Get the time to live for a key in milliseconds', (at, now) => Math.max(0, at - now)),
  reader('expiretime', '7.0.0', 'Get the expiration Unix timestamp for a key', (at) => roundToSeconds(at)),
  reader('pexpiretime', '7.0.0', 'Get the expiration Unix timestamp for a key in milliseconds', (at) => at),
  command({
    name: 'persist',
    arity: 2,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    summary: 'Remove the expiration from a key',
    since: '2.2.0',
    handler: handlePersist,
  }),
];

const ABSENT = -2;
const NEVER = -1;

function reader(name: string, since: string, summary: string, shown: (expiresAtMs: number, nowMs: number) => number) {
  return command({
    name,
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    summary,
    since,
    handler: async ({ services, keys }) => {
      const entries = await services.keyspace.read(keys[0] as string);
      if (entries.length === 0) return ABSENT;
      const expiresAtMs = expiryOf(entries);
      return expiresAtMs === 0 ? NEVER : shown(expiresAtMs, Math.floor(services.node.wallMs()));
    },
  });
}

function setter(name: string, unit: ExpiryUnit, since: string, summary: string): CommandSpec {
  return command({
    name,
    arity: -3,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    summary,
    since,
    handler: (call) => handleExpire(call, name, unit),
  });
}

async function handleExpire(call: CommandCall, name: string, unit: ExpiryUnit): Promise<Reply> {
  const { services, args, keys } = call;
  const parsed = parseExpire(args, name, unit, services.node.wallMs());
  if (parsed instanceof ErrorReply) return parsed;
  const { expiresAtMs, conditions } = parsed;
  const key = keys[0] as string;
  if (conditions.size > 0) {
    const entries = await services.keyspace.read(key);
    if (entries.length === 0 || !holds(conditions, expiryOf(entries), expiresAtMs)) return 0;
  }
  // A time that has passed deletes the key; 0 would mean never.
  const wanted = Math.max(1, expiresAtMs);
  return (await services.keyspace.mutate(key, { type: 'expire', expiresAtMs: wanted })).applied ? 1 : 0;
}

async function handlePersist(call: CommandCall): Promise<Reply> {
  const { before } = await call.services.keyspace.mutate(call.keys[0] as string, { type: 'expire', expiresAtMs: 0 });
  return expiryOf(before) === 0 ? 0 : 1;
}
