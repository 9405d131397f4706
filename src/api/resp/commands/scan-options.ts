import { parseInteger, parseWord } from '../arguments.ts';
import { NOT_AN_INTEGER, SYNTAX_ERROR } from '../errors.ts';
import { Glob } from '../glob.ts';
import { ErrorReply } from '../reply.ts';

const COUNT_DEFAULT = 10;
const CURSOR_MAX = 2n ** 64n - 1n;
const INVALID_CURSOR = new ErrorReply('ERR invalid cursor');

export interface ScanOptions {
  readonly glob: Glob | null;
  readonly count: number;
  /** Lower case; null: every type. */
  readonly type: string | null;
}

/** Decimal digits, as clients got them from us. */
export function parseCursor(arg: Buffer): string | ErrorReply {
  const cursor = arg.toString('latin1', 0, 21);
  return /^[0-9]{1,20}$/.test(cursor) && BigInt(cursor) <= CURSOR_MAX ? cursor : INVALID_CURSOR;
}

/** `[MATCH pattern] [COUNT n] [TYPE type]`; TYPE of keys only. */
export function parseScanOptions(args: readonly Buffer[], takesType: boolean): ScanOptions | ErrorReply {
  let glob: Glob | null = null;
  let count = COUNT_DEFAULT;
  let type: string | null = null;
  for (let i = 0; i < args.length; i += 2) {
    const value = args[i + 1];
    if (value === undefined) return SYNTAX_ERROR;
    const word = parseWord(args[i]);
    if (word === 'MATCH') {
      glob = new Glob(value);
    } else if (word === 'COUNT') {
      const parsed = parseInteger(value);
      if (parsed === null) return NOT_AN_INTEGER;
      if (parsed < 1) return SYNTAX_ERROR;
      count = parsed;
    } else if (word === 'TYPE' && takesType) {
      type = value.toString('latin1').toLowerCase();
    } else {
      return SYNTAX_ERROR;
    }
  }
  return { glob, count, type };
}
