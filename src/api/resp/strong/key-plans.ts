import { holds, parseExpire } from '../commands/expire-options.ts';
import { type ExpiryUnit, roundToSeconds } from '../commands/expiry-time.ts';
import { ErrorReply, SimpleReply } from '../reply.ts';
import type { Plan, Plans } from './plan.ts';
import { look, type Step } from './step.ts';

const STRING = new SimpleReply('string');
const NONE = new SimpleReply('none');
const ABSENT = -2;
const NEVER = -1;

/** What the commands of keys and of expiry do with one key. The conditions of EXPIRE are part of the step. */
export const KEY_PLANS: Plans = {
  del: () => deleting,
  unlink: () => deleting,
  exists: ({ keys }) => look((content) => (content === null ? 0 : keys.length)),
  type: () => look((content) => (content === null ? NONE : STRING)),
  ttl: telling((at, now) => roundToSeconds(at - now)),
  pttl: telling((at, now) => Math.max(0, at - now)),
  expiretime: telling((at) => roundToSeconds(at)),
  pexpiretime: telling((at) => at),
  expire: expiring('expire', 'EX'),
  pexpire: expiring('pexpire', 'PX'),
  expireat: expiring('expireat', 'EXAT'),
  pexpireat: expiring('pexpireat', 'PXAT'),
  persist: () => persisting,
};

const deleting: Step = (content) => ({ reply: content === null ? 0 : 1, content: null });

const persisting: Step = (content) =>
  content === null || content.expiresAtMs === null
    ? { reply: 0, content }
    : { reply: 1, content: { ...content, expiresAtMs: null } };

function telling(shown: (expiresAtMs: number, nowMs: number) => number): Plan {
  return () =>
    look((content, wallMs) => {
      if (content === null) return ABSENT;
      return content.expiresAtMs === null ? NEVER : shown(content.expiresAtMs, Math.floor(wallMs));
    });
}

/** A time that has passed deletes the key. */
function expiring(name: string, unit: ExpiryUnit): Plan {
  return ({ services, args }) => {
    const parsed = parseExpire(args, name, unit, services.node.wallMs());
    if (parsed instanceof ErrorReply) return parsed;
    const { conditions, expiresAtMs } = parsed;
    return (content) =>
      content === null || !holds(conditions, content.expiresAtMs ?? 0, expiresAtMs)
        ? { reply: 0, content }
        : { reply: 1, content: { ...content, expiresAtMs } };
  };
}
