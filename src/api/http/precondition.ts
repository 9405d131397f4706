import type { IncomingHttpHeaders } from 'node:http';
import { failure, HoldfastError } from '../../lib/failure.ts';
import { type Condition, parseBallot } from '../../ports/node-handle.ts';

/** `never`: it names a version that no value can have. */
export type Precondition = Condition | { readonly type: 'never' };

/** What a write says of the value that it is to replace, in the form of the headers of these names. */
export interface Conditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

const ENTITY_TAG = /^(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"$/;

export function conditionsOf(headers: IncomingHttpHeaders): Conditions {
  return { ifMatch: headers['if-match'], ifNoneMatch: headers['if-none-match'] };
}

/** Of a write to a strong bucket (RFC 9110, 13.1). Throws `bad-request`. */
export function preconditionOf({ ifMatch, ifNoneMatch }: Conditions): Precondition {
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw refusal('If-Match and If-None-Match cannot hold at once; send one of them');
  }
  if (ifNoneMatch !== undefined) return absence(ifNoneMatch);
  return ifMatch === undefined ? { type: 'none' } : match(ifMatch);
}

/** Of a write to an eventual bucket: a condition that was silently ignored would lose writes. Throws `not-supported`. */
export function refuseConditions({ ifMatch, ifNoneMatch }: Conditions): void {
  if (ifMatch === undefined && ifNoneMatch === undefined) return;
  throw new HoldfastError(
    failure(
      'not-supported',
      'an eventual bucket has no conditional writes; use a strong bucket, or leave out If-Match and If-None-Match',
    ),
  );
}

function absence(text: string): Precondition {
  if (text.trim() === '*') return { type: 'absent' };
  throw refusal('the If-None-Match of a write must be *; to replace a version that you have read, use If-Match');
}

function match(text: string): Precondition {
  const tag = text.trim();
  if (tag === '*') return { type: 'present' };
  if (!ENTITY_TAG.test(tag)) throw refusal('If-Match must be one ETag as it was received, with its quotes, or *');
  // Weak tags never match here (RFC 9110, 13.1.1), and those that no strong bucket has given out cannot.
  const version = tag.startsWith('W/') ? null : parseBallot(tag.slice(1, -1));
  return version === null ? { type: 'never' } : { type: 'version', version };
}

function refusal(message: string): HoldfastError {
  return new HoldfastError(failure('bad-request', message));
}
