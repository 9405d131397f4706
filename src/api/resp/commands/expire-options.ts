import { parseInteger, parseWord } from '../arguments.ts';
import { echo, invalidExpireTime, NOT_AN_INTEGER } from '../errors.ts';
import { ErrorReply } from '../reply.ts';
import { type ExpiryUnit, expiryAt } from './expiry-time.ts';

export interface ExpireOptions {
  /** Unix ms; may have passed. */
  readonly expiresAtMs: number;
  readonly conditions: ReadonlySet<Condition>;
}

/** The arguments of EXPIRE and its kin. */
export function parseExpire(
  args: readonly Buffer[],
  name: string,
  unit: ExpiryUnit,
  wallMs: number,
): ExpireOptions | ErrorReply {
  const conditions = parseConditions(args.slice(3));
  if (conditions instanceof ErrorReply) return conditions;
  const amount = parseInteger(args[2] as Buffer);
  if (amount === null) return NOT_AN_INTEGER;
  const expiresAtMs = expiryAt(amount, unit, wallMs);
  return expiresAtMs === null ? invalidExpireTime(name) : { expiresAtMs, conditions };
}

type Condition = 'NX' | 'XX' | 'GT' | 'LT';

function parseConditions(args: readonly Buffer[]): ReadonlySet<Condition> | ErrorReply {
  const conditions = new Set<Condition>();
  for (const arg of args) {
    const word = parseWord(arg);
    if (word !== 'NX' && word !== 'XX' && word !== 'GT' && word !== 'LT') {
      return new ErrorReply(`ERR Unsupported option ${echo(arg)}`);
    }
    conditions.add(word);
  }
  if (conditions.has('NX') && conditions.size > 1) {
    return new ErrorReply('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (conditions.has('GT') && conditions.has('LT')) {
    return new ErrorReply('ERR GT and LT options at the same time are not compatible');
  }
  return conditions;
}

/** A key without expiry (0) counts as one that expires after all others. */
export function holds(conditions: ReadonlySet<Condition>, currentMs: number, wantedMs: number): boolean {
  if (conditions.has('NX') && currentMs !== 0) return false;
  if (conditions.has('XX') && currentMs === 0) return false;
  if (conditions.has('GT') && (currentMs === 0 || wantedMs <= currentMs)) return false;
  return !(conditions.has('LT') && currentMs !== 0 && wantedMs >= currentMs);
}
