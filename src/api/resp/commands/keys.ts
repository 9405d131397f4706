import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { fanOut, typeOf } from '../keyspace.ts';
import { type Reply, SimpleReply } from '../reply.ts';

/** Keys, whatever they hold. A failure of DEL may leave some of several keys deleted. */
export const KEY_COMMANDS: readonly CommandSpec[] = [
  command({
    name: 'del',
    arity: -2,
    flags: ['write'],
    keys: [1, -1, 1],
    group: 'generic',
    summary: 'Delete a key',
    since: '1.0.0',
    complexity: 'O(N) where N is the number of keys that will be removed.',
    handler: handleDel,
  }),
  command({
    name: 'unlink',
    arity: -2,
    flags: ['write', 'fast'],
    keys: [1, -1, 1],
    group: 'generic',
    summary: 'Delete a key; the same as DEL',
    since: '4.0.0',
    complexity: 'O(N) where N is the number of keys that will be removed.',
    handler: handleDel,
  }),
  command({
    name: 'exists',
    arity: -2,
    flags: ['readonly', 'fast'],
    keys: [1, -1, 1],
    group: 'generic',
    summary: 'Determine if a key exists',
    since: '1.0.0',
    complexity: 'O(N) where N is the number of keys to check.',
    handler: handleExists,
  }),
  command({
    name: 'type',
    arity: 2,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    group: 'generic',
    summary: 'Determine the type stored at key',
    since: '1.0.0',
    handler: handleType,
  }),
];

async function handleDel(call: CommandCall): Promise<Reply> {
  const replies = await fanOut([...new Set(call.keys)], (key) =>
    call.services.keyspace.mutate(key, { type: 'delete' }),
  );
  return replies.filter((reply) => reply.before.length > 0).length;
}

/** A key that is named twice counts twice, as in Redis. */
async function handleExists(call: CommandCall): Promise<Reply> {
  const present = new Set<string>();
  await fanOut([...new Set(call.keys)], async (key) => {
    if ((await call.services.keyspace.read(key)).length > 0) present.add(key);
  });
  return call.keys.filter((key) => present.has(key)).length;
}

async function handleType(call: CommandCall): Promise<Reply> {
  return new SimpleReply(typeOf(await call.services.keyspace.read(call.keys[0] as string)));
}
