import { parseValue } from '../arguments.ts';
import type { CommandCall, CommandHandler, CommandSpec } from '../command.ts';
import { replyTooLarge, wrongArity } from '../errors.ts';
import { fanOut } from '../keyspace.ts';
import { REPLY_BYTES_MAX } from '../limits.ts';
import { ErrorReply, OK, type Reply } from '../reply.ts';
import { KEY_PLANS } from './key-plans.ts';
import type { Plan, Plans } from './plan.ts';
import { answerOf, bytesOf, contentOf, STRING_PLANS, stepOf, WRITES, type Write } from './string-plans.ts';

/** What each command of database 1 does with one key. */
export const PLANS: Plans = { ...STRING_PLANS, ...KEY_PLANS };

/** Commands on several keys: each key by itself, so that a failure may leave some of them done. */
const FANNED_OUT: Readonly<Record<string, CommandHandler>> = {
  del: handleDel,
  unlink: handleDel,
  exists: handleExists,
  mget: handleMget,
  mset: handleMset,
};

/** Undefined where database 1 has no such command about keys. */
export function strongHandlerOf({ name, access }: CommandSpec): CommandHandler | undefined {
  const fannedOut = FANNED_OUT[name];
  if (fannedOut !== undefined) return fannedOut;
  const parse = WRITES[name];
  if (parse !== undefined) return (call) => handleWrite(call, parse(call));
  const plan = PLANS[name];
  return plan === undefined ? undefined : (call) => handlePlan(call, plan, access);
}

function handlePlan(call: CommandCall, plan: Plan, access: 'read' | 'write'): Reply | Promise<Reply> {
  const step = plan(call);
  if (step instanceof ErrorReply) return step;
  const { strong } = call.services;
  const key = call.keys[0] as string;
  return access === 'read' ? strong.look(key, step) : strong.change(key, step);
}

/** One conditional request, unless something of the value before has to be known. */
async function handleWrite({ services, keys }: CommandCall, write: Write | ErrorReply): Promise<Reply> {
  if (write instanceof ErrorReply) return write;
  const { value, expiresAtMs, onlyIf, answers } = write;
  const key = keys[0] as string;
  if (answers === 'before' || expiresAtMs === 'keep') return await services.strong.change(key, stepOf(write));
  return answerOf(write, await services.strong.put(key, contentOf(value, expiresAtMs), onlyIf ?? 'none'), null);
}

async function handleDel({ services, keys }: CommandCall): Promise<Reply> {
  const deleted = await fanOut([...new Set(keys)], (key) => services.strong.delete(key));
  return deleted.filter((wasThere) => wasThere).length;
}

/** A key that is named twice counts twice, as in Redis. */
async function handleExists({ services, keys }: CommandCall): Promise<Reply> {
  const present = new Set<string>();
  await fanOut([...new Set(keys)], async (key) => {
    if ((await services.strong.read(key)).content !== null) present.add(key);
  });
  return keys.filter((key) => present.has(key)).length;
}

async function handleMget({ services, keys }: CommandCall): Promise<Reply> {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  let bytes = 0;
  const values = new Map<string, Uint8Array | null>();
  await fanOut([...counts], async ([key, count]) => {
    const value = bytesOf((await services.strong.read(key)).content);
    bytes += (value?.length ?? 0) * count;
    if (bytes > REPLY_BYTES_MAX) throw replyTooLarge('ask for fewer keys at a time');
    values.set(key, value);
  });
  return keys.map((key) => values.get(key) ?? null);
}

async function handleMset({ services, args, keys }: CommandCall): Promise<Reply> {
  if (args.length % 2 === 0) return wrongArity('mset');
  // A key that is named twice gets its last value.
  const values = new Map<string, Uint8Array>();
  for (const [i, key] of keys.entries()) values.set(key, parseValue(args[2 + 2 * i] as Buffer));
  await fanOut([...values], ([key, value]) => services.strong.put(key, contentOf(value, null), 'none'));
  return OK;
}
