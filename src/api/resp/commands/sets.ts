import { hasMember, readSet } from '../../../ports/node-handle.ts';
import { parseValue } from '../arguments.ts';
import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { collectionOf } from '../keyspace.ts';
import { ErrorReply, type Reply, SetReply } from '../reply.ts';
import { parseCursor, parseScanOptions } from './scan-options.ts';

/**
 * Sets. Of an SADD and an SREM of one member that run concurrently, the SADD prevails. The counts in replies are
 * those of the coordinator.
 */
export const SET_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'sadd',
    arity: -3,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    group: 'set',
    summary: 'Add one or more members to a set',
    since: '1.0.0',
    complexity: 'O(N) where N is the number of members.',
    handler: handleSadd,
  }),
  command({
    name: 'srem',
    arity: -3,
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'set',
    summary: 'Remove one or more members from a set',
    since: '1.0.0',
    complexity: 'O(N) where N is the number of members.',
    handler: handleSrem,
  }),
  reader('smembers', 2, [], '1.0.0', 'Get all the members in a set', (members) => new SetReply(members.all)),
  reader('scard', 2, ['fast'], '1.0.0', 'Get the number of members in a set', (members) => members.all.length),
  reader('sismember', 3, ['fast'], '1.0.0', 'Determine if a given value is a member of a set', (members, [member]) =>
    members.has(member as Buffer),
  ),
  reader(
    'smismember',
    -3,
    ['fast'],
    '6.2.0',
    'Returns the membership associated with the given elements for a set',
    (members, asked) => asked.map((member) => members.has(member)),
  ),
  command({
    name: 'sscan',
    arity: -3,
    flags: ['readonly'],
    keys: [1, 1, 1],
    group: 'set',
    summary: 'Incrementally iterate Set elements',
    since: '2.8.0',
    complexity: 'O(N), where N is the number of elements: everything is in the first answer.',
    handler: handleSscan,
  }),
];

interface Members {
  readonly all: readonly Uint8Array[];
  has(member: Buffer): 0 | 1;
}

/** `answer` is given the set and the arguments behind its key. */
function reader(
  name: string,
  arity: number,
  flags: readonly 'fast'[],
  since: string,
  summary: string,
  answer: (members: Members, args: readonly Buffer[]) => Reply,
): CommandSpec {
  return command({
    name,
    arity,
    flags: ['readonly', ...flags],
    keys: [1, 1, 1],
    group: 'set',
    summary,
    since,
    handler: async (call) => answer(await membersOf(call), call.args.slice(2)),
  });
}

async function membersOf({ services, keys }: CommandCall): Promise<Members> {
  const entries = collectionOf(await services.keyspace.read(keys[0] as string), 'set');
  return {
    get all() {
      return readSet(entries);
    },
    has: (member) => (hasMember(entries, member) ? 1 : 0),
  };
}

async function handleSadd({ services, keys, args }: CommandCall): Promise<Reply> {
  const members = args.slice(2).map(parseValue);
  const { before, after } = await services.keyspace.mutate(keys[0] as string, { type: 'add', members });
  return readSet(after).length - readSet(before).length;
}

async function handleSrem({ services, keys, args }: CommandCall): Promise<Reply> {
  const members = args.slice(2).map(parseValue);
  const { before, after } = await services.keyspace.mutate(keys[0] as string, { type: 'remove', members });
  return readSet(before).length - readSet(after).length;
}

/** All at once: a set is read whole and is small enough for one answer. Redis does so with small ones. */
async function handleSscan(call: CommandCall): Promise<Reply> {
  const cursor = parseCursor(call.args[2] as Buffer);
  if (cursor instanceof ErrorReply) return cursor;
  const { all } = await membersOf(call);
  if (all.length === 0) return ['0', []];
  const options = parseScanOptions(call.args.slice(3), false);
  if (options instanceof ErrorReply) return options;
  return ['0', all.filter((member) => options.glob?.matches(member) !== false)];
}
