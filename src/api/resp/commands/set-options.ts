import { parseInteger, parseWord } from '../arguments.ts';
import { invalidExpireTime, NOT_AN_INTEGER } from '../errors.ts';
import type { ErrorReply } from '../reply.ts';
import { type ExpiryUnit, expiryAt } from './expiry-time.ts';

export interface SetOptions {
  onlyIf: 'absent' | 'present' | null;
  returnsOld: boolean;
  keepsExpiry: boolean;
  expiry: { readonly unit: ExpiryUnit; readonly amount: Buffer } | null;
}

/** Null on a syntax error: options that are unknown, contradict each other or lack their argument. */
export function parseSetOptions(args: readonly Buffer[]): SetOptions | null {
  const options: SetOptions = { onlyIf: null, returnsOld: false, keepsExpiry: false, expiry: null };
  for (let i = 3; i < args.length; i++) {
    const word = parseWord(args[i]);
    switch (word) {
      case 'NX':
      case 'XX': {
        const onlyIf = word === 'NX' ? 'absent' : 'present';
        if (options.onlyIf !== null && options.onlyIf !== onlyIf) return null;
        options.onlyIf = onlyIf;
        break;
      }
      case 'GET':
        options.returnsOld = true;
        break;
      case 'KEEPTTL':
        if (options.expiry !== null) return null;
        options.keepsExpiry = true;
        break;
      case 'EX':
      case 'PX':
      case 'EXAT':
      case 'PXAT': {
        const amount = args[++i];
        if (amount === undefined || options.keepsExpiry || options.expiry !== null) return null;
        options.expiry = { unit: word, amount };
        break;
      }
      default:
        return null;
    }
  }
  return options;
}

/** Unix ms of the expiry that `name` is to set. */
export function positiveExpiry(name: string, amount: Buffer, unit: ExpiryUnit, wallMs: number): number | ErrorReply {
  const parsed = parseInteger(amount);
  if (parsed === null) return NOT_AN_INTEGER;
  const time = parsed > 0 ? expiryAt(parsed, unit, wallMs) : null;
  return time ?? invalidExpireTime(name);
}
