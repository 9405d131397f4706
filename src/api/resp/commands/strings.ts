import { parseValue } from '../arguments.ts';
import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { replyTooLarge, SYNTAX_ERROR, wrongArity } from '../errors.ts';
import { fanOut, stringOf, typeOf } from '../keyspace.ts';
import { REPLY_BYTES_MAX } from '../limits.ts';
import { ErrorReply, OK, type Reply } from '../reply.ts';
import type { ExpiryUnit } from './expiry-time.ts';
import { parseSetOptions, positiveExpiry } from './set-options.ts';

/** Strings. MSET is not atomic across keys: each key is written by itself, and a failure may leave some written. */
export const STRING_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'get',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Get the value of a key',
    since: '1.0.0',
    handler: handleGet,
  }),
  command({
    name: 'set',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Set the string value of a key',
    since: '1.0.0',
    handler: handleSet,
  }),
  command({
    name: 'setex',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Set the value and expiration of a key',
    since: '2.0.0',
    handler: (call) => setWithExpiry(call, 'setex', 'EX'),
  }),
  command({
    name: 'psetex',
    arity: 4,
    flags: ['write', 'denyoom'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Set the value and expiration in milliseconds of a key',
    since: '2.6.0',
    handler: (call) => setWithExpiry(call, 'psetex', 'PX'),
  }),
  command({
    name: 'setnx',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Set the value of a key, only if the key does not exist',
    since: '1.0.0',
    handler: handleSetnx,
  }),
  command({
    name: 'getset',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Set the string value of a key and return its old value',
    since: '1.0.0',
    handler: handleGetset,
  }),
  command({
    name: 'getdel',
    arity: 2,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Get the value of a key and delete the key',
    since: '6.2.0',
    handler: handleGetdel,
  }),
  command({
    name: 'mget',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: [1, -1, 1],
    group: 'string',
    summary: 'Get the values of all the given keys',
    since: '1.0.0',
    complexity: 'O(N) where N is the number of keys to retrieve.',
    handler: handleMget,
  }),
  command({
    name: 'mset',
    arity: -3,
    flags: ['write', 'denyoom'],
    keys: [1, -1, 2],
    group: 'string',
    summary: 'Set multiple keys to multiple values',
    since: '1.0.1',
    complexity: 'O(N) where N is the number of keys to set.',
    handler: handleMset,
  }),
  command({
    name: 'strlen',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Get the length of the value stored in a key',
    since: '2.2.0',
    handler: handleStrlen,
  }),
  command({
    name: 'append',
    arity: 3,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary: 'Append a value to a key',
    since: '2.0.0',
    handler: handleAppend,
  }),
];

function keyOf(call: CommandCall): string {
  return call.keys[0] as string;
}

async function handleGet(call: CommandCall): Promise<Reply> {
  return stringOf(await call.services.keyspace.read(keyOf(call)));
}

async function handleSet(call: CommandCall): Promise<Reply> {
  const { services, args } = call;
  const value = parseValue(args[2] as Buffer);
  if (args.length === 3) {
    await services.keyspace.put(keyOf(call), value, 0);
    return OK;
  }
  const options = parseSetOptions(args);
  if (options === null) return SYNTAX_ERROR;
  let expiresAtMs: number | 'keep' = options.keepsExpiry ? 'keep' : 0;
  if (options.expiry !== null) {
    const time = positiveExpiry('set', options.expiry.amount, options.expiry.unit, services.node.wallMs());
    if (time instanceof ErrorReply) return time;
    expiresAtMs = time;
  }
  if (options.returnsOld) await refuseOtherTypes(call);
  const { applied, before } = await services.keyspace.put(keyOf(call), value, expiresAtMs, options.onlyIf);
  if (options.returnsOld) return stringOf(before, 'maybe');
  return applied ? OK : null;
}

/**
 * For commands that replace the value and answer with the old one: without it a set or hash would be replaced before
 * the answer could say that it has no such answer.
 */
async function refuseOtherTypes(call: CommandCall): Promise<void> {
  stringOf(await call.services.keyspace.read(keyOf(call)));
}

async function setWithExpiry(call: CommandCall, name: string, unit: ExpiryUnit): Promise<Reply> {
  const { services, args } = call;
  const time = positiveExpiry(name, args[2] as Buffer, unit, services.node.wallMs());
  if (time instanceof ErrorReply) return time;
  await services.keyspace.put(keyOf(call), parseValue(args[3] as Buffer), time);
  return OK;
}

async function handleSetnx(call: CommandCall): Promise<Reply> {
  const { services, args } = call;
  const { applied } = await services.keyspace.put(keyOf(call), parseValue(args[2] as Buffer), 0, 'absent');
  return applied ? 1 : 0;
}

async function handleGetset(call: CommandCall): Promise<Reply> {
  const { services, args } = call;
  const value = parseValue(args[2] as Buffer);
  await refuseOtherTypes(call);
  return stringOf((await services.keyspace.put(keyOf(call), value, 0)).before, 'maybe');
}

async function handleGetdel(call: CommandCall): Promise<Reply> {
  await refuseOtherTypes(call);
  return stringOf((await call.services.keyspace.mutate(keyOf(call), { type: 'delete' })).before, 'maybe');
}

async function handleMget(call: CommandCall): Promise<Reply> {
  const counts = new Map<string, number>();
  for (const key of call.keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  let bytes = 0;
  const values = new Map<string, Uint8Array | null>();
  await fanOut([...counts], async ([key, count]) => {
    const entries = await call.services.keyspace.read(key);
    const value = typeOf(entries) === 'string' ? stringOf(entries) : null;
    bytes += (value?.length ?? 0) * count;
    if (bytes > REPLY_BYTES_MAX) {
      throw replyTooLarge('ask for fewer keys at a time');
    }
    values.set(key, value);
  });
  return call.keys.map((key) => values.get(key) ?? null);
}

async function handleMset(call: CommandCall): Promise<Reply> {
  const { services, args, keys } = call;
  if (args.length % 2 === 0) return wrongArity('mset');
  // A key that is named twice gets its last value.
  const values = new Map<string, Uint8Array>();
  for (const [i, key] of keys.entries()) values.set(key, parseValue(args[2 + 2 * i] as Buffer));
  await fanOut([...values], ([key, value]) => services.keyspace.put(key, value, 0));
  return OK;
}

async function handleStrlen(call: CommandCall): Promise<Reply> {
  return stringOf(await call.services.keyspace.read(keyOf(call)))?.length ?? 0;
}

async function handleAppend(call: CommandCall): Promise<Reply> {
  const value = parseValue(call.args[2] as Buffer);
  const { after } = await call.services.keyspace.mutate(keyOf(call), { type: 'append', value });
  return stringOf(after)?.length ?? 0;
}
