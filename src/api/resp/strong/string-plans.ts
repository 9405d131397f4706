import { failure, HoldfastError } from '../../../lib/failure.ts';
import { type RegisterContent, VALUE_BYTES_MAX } from '../../../ports/node-handle.ts';
import { parseInteger, parseValue } from '../arguments.ts';
import type { CommandCall } from '../command.ts';
import { amountOf } from '../commands/counters.ts';
import { parseSetOptions, positiveExpiry } from '../commands/set-options.ts';
import { COUNTER_OVERFLOW, NOT_AN_INTEGER, SYNTAX_ERROR, wrongArity } from '../errors.ts';
import { ErrorReply, OK, type Reply } from '../reply.ts';
import type { Plan, Plans } from './plan.ts';
import { type Content, look, type Step } from './step.ts';

/** What SET and its kin are to write. */
export interface Write {
  readonly value: Uint8Array;
  /** Unix ms; null: never. */
  readonly expiresAtMs: number | null | 'keep';
  readonly onlyIf: 'absent' | 'present' | null;
  /** OK or nil; 1 or 0; the value before. */
  readonly answers: 'status' | 'number' | 'before';
}

type WriteParser = (call: CommandCall) => Write | ErrorReply;

/** Commands that write a value they were given. */
export const WRITES: Readonly<Record<string, WriteParser>> = {
  set: parseSet,
  setex: (call) => parseSetex(call, 'setex', 'EX'),
  psetex: (call) => parseSetex(call, 'psetex', 'PX'),
  setnx: ({ args }) => writeOf(args[2] as Buffer, { onlyIf: 'absent', answers: 'number' }),
  getset: ({ args }) => writeOf(args[2] as Buffer, { answers: 'before' }),
};

/** What each command of strings does with its one key, without regard to other keys that it may name. */
export const STRING_PLANS: Plans = {
  ...Object.fromEntries(Object.entries(WRITES).map(([name, parse]) => [name, writing(parse)])),
  get: () => look(bytesOf),
  getdel: () => (content) => ({ reply: bytesOf(content), content: null }),
  mget: ({ keys }) => look((content) => keys.map(() => bytesOf(content))),
  mset: planMset,
  strlen: () => look((content) => content?.bytes.length ?? 0),
  append: ({ args }) => appending(args[2] as Buffer),
  incr: () => adding(1),
  decr: () => adding(-1),
  incrby: (call) => addingAmount(amountOf(call, 1)),
  decrby: (call) => addingAmount(amountOf(call, -1)),
};

const CONTENT_TYPE = 'application/octet-stream';
const COUNTER_CONTENT_TYPE = 'text/plain';

export function bytesOf(content: Content): Uint8Array | null {
  return content?.bytes ?? null;
}

export function contentOf(bytes: Uint8Array, expiresAtMs: number | null): RegisterContent {
  return { bytes, contentType: CONTENT_TYPE, expiresAtMs };
}

export function answerOf({ answers }: Write, applied: boolean, before: Content): Reply {
  switch (answers) {
    case 'status':
      return applied ? OK : null;
    case 'number':
      return applied ? 1 : 0;
    case 'before':
      return bytesOf(before);
  }
}

export function stepOf(write: Write): Step {
  const { value, expiresAtMs, onlyIf } = write;
  return (before) => {
    const applies = onlyIf === null || (onlyIf === 'present') === (before !== null);
    const reply = answerOf(write, applies, before);
    const time = expiresAtMs === 'keep' ? (before?.expiresAtMs ?? null) : expiresAtMs;
    return { reply, content: applies ? contentOf(value, time) : before };
  };
}

function writing(parse: WriteParser): Plan {
  return (call) => {
    const write = parse(call);
    return write instanceof ErrorReply ? write : stepOf(write);
  };
}

function writeOf(value: Buffer, options: Partial<Omit<Write, 'value'>>): Write {
  return { value: parseValue(value), expiresAtMs: null, onlyIf: null, answers: 'status', ...options };
}

function parseSet({ services, args }: CommandCall): Write | ErrorReply {
  const value = args[2] as Buffer;
  if (args.length === 3) return writeOf(value, {});
  const options = parseSetOptions(args);
  if (options === null) return SYNTAX_ERROR;
  const { expiry, onlyIf } = options;
  let expiresAtMs: number | null | 'keep' = options.keepsExpiry ? 'keep' : null;
  if (expiry !== null) {
    const time = positiveExpiry('set', expiry.amount, expiry.unit, services.node.wallMs());
    if (time instanceof ErrorReply) return time;
    expiresAtMs = time;
  }
  return writeOf(value, { expiresAtMs, onlyIf, answers: options.returnsOld ? 'before' : 'status' });
}

function parseSetex({ services, args }: CommandCall, name: string, unit: 'EX' | 'PX'): Write | ErrorReply {
  const time = positiveExpiry(name, args[2] as Buffer, unit, services.node.wallMs());
  return time instanceof ErrorReply ? time : writeOf(args[3] as Buffer, { expiresAtMs: time });
}

/** A key that is named twice gets its last value. */
function planMset({ args }: CommandCall): Step | ErrorReply {
  return args.length % 2 === 0 ? wrongArity('mset') : stepOf(writeOf(args.at(-1) as Buffer, {}));
}

function appending(value: Buffer): Step {
  return (before) => {
    const old = before?.bytes ?? NO_BYTES;
    const length = old.length + value.length;
    if (before !== null && value.length === 0) return { reply: length, content: before };
    if (length > VALUE_BYTES_MAX) {
      throw new HoldfastError(failure('value-too-large', `a value is at most ${VALUE_BYTES_MAX} bytes, not ${length}`));
    }
    const bytes = new Uint8Array(length);
    bytes.set(old);
    bytes.set(value, old.length);
    return { reply: length, content: { ...(before ?? contentOf(NO_BYTES, null)), bytes } };
  };
}

const NO_BYTES = new Uint8Array();

function addingAmount(by: number | ErrorReply): Step | ErrorReply {
  return by instanceof ErrorReply ? by : adding(by);
}

/** The number is stored as its decimal digits. */
function adding(by: number): Step {
  return (before) => {
    const count = before === null ? 0 : parseInteger(Buffer.from(before.bytes));
    if (count === null || !Number.isSafeInteger(count)) return { reply: NOT_AN_INTEGER, content: before };
    const total = count + by;
    if (!Number.isSafeInteger(total)) return { reply: COUNTER_OVERFLOW, content: before };
    const bytes = new Uint8Array(Buffer.from(String(total)));
    const { contentType, expiresAtMs } = before ?? { contentType: COUNTER_CONTENT_TYPE, expiresAtMs: null };
    return { reply: total, content: { bytes, contentType, expiresAtMs } };
  };
}
