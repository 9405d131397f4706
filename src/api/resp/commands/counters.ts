import { HoldfastError } from '../../../lib/failure.ts';
import { readCounter } from '../../../ports/node-handle.ts';
import { parseInteger } from '../arguments.ts';
import { type CommandCall, type CommandSpec, command } from '../command.ts';
import { COUNTER_OVERFLOW, NOT_AN_INTEGER } from '../errors.ts';
import { ErrorReply, type Reply } from '../reply.ts';

/**
 * Counters. Concurrent increments on both sides of a partition add up when it heals. The reply is the value as the
 * coordinator saw it: two clients that increment at different nodes at once may be told the same number.
 */
export const COUNTER_COMMANDS: readonly CommandSpec[] = [
  counter('incr', 2, 'Increment the integer value of a key by one', () => 1),
  counter('decr', 2, 'Decrement the integer value of a key by one', () => -1),
  counter('incrby', 3, 'Increment the integer value of a key by the given amount', (call) => amountOf(call, 1)),
  counter('decrby', 3, 'Decrement the integer value of a key by the given number', (call) => amountOf(call, -1)),
];

function counter(
  name: string,
  arity: number,
  summary: string,
  step: (call: CommandCall) => number | ErrorReply,
): CommandSpec {
  return command({
    name,
    arity,
    flags: ['write', 'denyoom', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    summary,
    since: '1.0.0',
    handler: async (call) => {
      const by = step(call);
      return by instanceof ErrorReply ? by : await increment(call, by);
    },
  });
}

export function amountOf(call: CommandCall, sign: 1 | -1): number | ErrorReply {
  const amount = parseInteger(call.args[2] as Buffer);
  if (amount === null) return NOT_AN_INTEGER;
  return Number.isSafeInteger(amount) ? 0 + sign * amount : COUNTER_OVERFLOW;
}

async function increment(call: CommandCall, by: number): Promise<Reply> {
  try {
    const { after } = await call.services.keyspace.mutate(call.keys[0] as string, { type: 'increment', by });
    const total = readCounter(after);
    return typeof total === 'number' ? total : COUNTER_OVERFLOW;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'not-a-number') return NOT_AN_INTEGER;
    if (error instanceof HoldfastError && error.code === 'bad-value') return COUNTER_OVERFLOW;
    throw error;
  }
}
