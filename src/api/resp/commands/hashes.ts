import { HoldfastError } from '../../../lib/failure.ts';
import { collectionSize, type Entries, readField, readMap } from '../../../ports/node-handle.ts';
import { parseInteger, parseValue } from '../arguments.ts';
import { type CommandCall, type CommandFlag, type CommandSpec, command } from '../command.ts';
import { COUNTER_OVERFLOW, NOT_AN_INTEGER, replyTooLarge, wrongArity } from '../errors.ts';
import { collectionOf } from '../keyspace.ts';
import { REPLY_BYTES_MAX } from '../limits.ts';
import { ErrorReply, MapReply, OK, type Reply } from '../reply.ts';
import { parseCursor, parseScanOptions } from './scan-options.ts';

const WRITE: readonly CommandFlag[] = ['write', 'denyoom', 'fast'];

/**
 * Hashes. Each field is a register of its own: of concurrent writes the latest prevails, and HINCRBYs add up. An HSET
 * of a field outlives a concurrent HDEL of it. HSETNX is decided on a quorum read: two at once may both succeed, and
 * the later one prevails.
 */
export const HASH_COMMANDS: readonly CommandSpec[] = [
  hash('hset', -4, WRITE, '2.0.0', 'Set the string value of a hash field', (call) => put(call, 'hset')),
  hash('hmset', -4, WRITE, '2.0.0', 'Set multiple hash fields to multiple values', async (call) => {
    const reply = await put(call, 'hmset');
    return typeof reply === 'number' ? OK : reply;
  }),
  hash('hsetnx', 4, WRITE, '2.0.0', 'Set the value of a hash field, only if the field does not exist', handleHsetnx),
  hash('hdel', -3, ['write', 'fast'], '2.0.0', 'Delete one or more hash fields', handleHdel),
  hash('hincrby', 4, WRITE, '2.0.0', 'Increment the integer value of a hash field by the given number', handleHincrby),
  reader('hget', 3, ['fast'], 'Get the value of a hash field', (entries, [field]) =>
    readField(entries, field as Buffer),
  ),
  reader('hmget', -3, ['fast'], 'Get the values of all the given hash fields', (entries, fields) =>
    valuesOf(entries, fields),
  ),
  reader('hexists', 3, ['fast'], 'Determine if a hash field exists', (entries, [field]) =>
    readField(entries, field as Buffer) === null ? 0 : 1,
  ),
  reader(
    'hstrlen',
    3,
    ['fast'],
    'Get the length of the value of a hash field',
    (entries, [field]) => readField(entries, field as Buffer)?.length ?? 0,
  ),
  reader('hlen', 2, ['fast'], 'Get the number of fields in a hash', collectionSize),
  reader('hkeys', 2, [], 'Get all the fields in a hash', (entries) => readMap(entries).map(({ field }) => field)),
  reader('hvals', 2, [], 'Get all the values in a hash', (entries) => readMap(entries).map(({ value }) => value)),
  reader(
    'hgetall',
    2,
    [],
    'Get all the fields and values in a hash',
    (entries) => new MapReply(readMap(entries).map(({ field, value }) => [field, value])),
  ),
  hash('hscan', -3, ['readonly'], '2.8.0', 'Incrementally iterate hash fields and associated values', handleHscan),
];

function hash(
  name: string,
  arity: number,
  flags: readonly CommandFlag[],
  since: string,
  summary: string,
  handler: (call: CommandCall) => Promise<Reply>,
): CommandSpec {
  const complexity = 'O(N) where N is the number of fields.';
  return command({ name, arity, flags, keys: [1, 1, 1], group: 'hash', summary, since, complexity, handler });
}

/** `answer` is given the hash and the arguments behind its key. */
function reader(
  name: string,
  arity: number,
  flags: readonly 'fast'[],
  summary: string,
  answer: (entries: Entries, args: readonly Buffer[]) => Reply,
): CommandSpec {
  const since = name === 'hstrlen' ? '3.2.0' : '2.0.0';
  return hash(name, arity, ['readonly', ...flags], since, summary, async (call) =>
    answer(await hashOf(call), call.args.slice(2)),
  );
}

async function hashOf({ services, keys }: CommandCall): Promise<Entries> {
  return collectionOf(await services.keyspace.read(keys[0] as string), 'map');
}

/** One pass over the hash, however many fields are asked for. */
function valuesOf(entries: Entries, fields: readonly Buffer[]): Reply {
  const values = new Map(readMap(entries).map(({ field, value }) => [nameOf(field), value]));
  const found = fields.map((field) => values.get(nameOf(field)) ?? null);
  let bytes = 0;
  for (const value of found) bytes += value?.length ?? 0;
  if (bytes > REPLY_BYTES_MAX) throw replyTooLarge('ask for fewer fields at a time');
  return found;
}

function nameOf(field: Uint8Array): string {
  return Buffer.from(field.buffer, field.byteOffset, field.length).toString('latin1');
}

/** Answers how many of the fields are new. */
async function put({ services, keys, args }: CommandCall, name: string): Promise<Reply> {
  if (args.length % 2 !== 0) return wrongArity(name);
  const fields = [];
  for (let i = 2; i < args.length; i += 2) {
    fields.push({ field: parseValue(args[i] as Buffer), value: parseValue(args[i + 1] as Buffer) });
  }
  const { before, after } = await services.keyspace.mutate(keys[0] as string, {
    type: 'put-fields',
    fields,
    onlyIf: null,
  });
  return collectionSize(after) - collectionSize(before);
}

async function handleHsetnx({ services, keys, args }: CommandCall): Promise<Reply> {
  const fields = [{ field: parseValue(args[2] as Buffer), value: parseValue(args[3] as Buffer) }];
  const mutation = { type: 'put-fields', fields, onlyIf: 'absent' } as const;
  const { applied } = await services.keyspace.mutate(keys[0] as string, mutation);
  return applied ? 1 : 0;
}

async function handleHdel({ services, keys, args }: CommandCall): Promise<Reply> {
  const fields = args.slice(2).map(parseValue);
  const { before, after } = await services.keyspace.mutate(keys[0] as string, { type: 'remove-fields', fields });
  return collectionSize(before) - collectionSize(after);
}

const NOT_A_HASH_INTEGER = new ErrorReply('ERR hash value is not an integer');

async function handleHincrby({ services, keys, args }: CommandCall): Promise<Reply> {
  const field = parseValue(args[2] as Buffer);
  const by = parseInteger(args[3] as Buffer);
  if (by === null) return NOT_AN_INTEGER;
  if (!Number.isSafeInteger(by)) return COUNTER_OVERFLOW;
  try {
    const { after } = await services.keyspace.mutate(keys[0] as string, { type: 'increment-field', field, by });
    return Number(Buffer.from(readField(after, field) ?? []).toString('latin1'));
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'not-a-number') return NOT_A_HASH_INTEGER;
    if (error instanceof HoldfastError && error.code === 'bad-value') return COUNTER_OVERFLOW;
    throw error;
  }
}

/** All at once, as SSCAN. */
async function handleHscan(call: CommandCall): Promise<Reply> {
  const cursor = parseCursor(call.args[2] as Buffer);
  if (cursor instanceof ErrorReply) return cursor;
  const fields = readMap(await hashOf(call));
  if (fields.length === 0) return ['0', []];
  const options = parseScanOptions(call.args.slice(3), false);
  if (options instanceof ErrorReply) return options;
  const shown = fields.filter(({ field }) => options.glob?.matches(field) !== false);
  return ['0', shown.flatMap(({ field, value }) => [field, value])];
}
