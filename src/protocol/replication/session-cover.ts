import { failure } from '../../lib/failure.ts';
import { CausalContext } from '../causal/context.ts';
import type { LocalCopy } from './replica.ts';
import type { SessionContext } from './request.ts';

export const SESSION_UNAVAILABLE = failure(
  'session-unavailable',
  'no node that can be reached has all that the Holdfast-Context has seen; restore the links between the nodes and retry, or read without it',
);

/** What of a copy counts for sessions. */
type KnownCopy = Omit<LocalCopy, 'standing'>;

/**
 * Whether copies together have applied all that a session has seen. That something is superseded is not enough to know:
 * what it had replaced may still be there. But what was bare when the session saw it has only to be there, or replaced: all
 * else that it has seen is as it was beside it, or has been replaced by events that are among what must be applied.
 */
export function coversSession(
  copies: readonly KnownCopy[],
  { context, bare }: SessionContext,
  applied = knownTo(copies).context,
): boolean {
  if (bare.isEmpty) return applied.covers(context);
  if (!applied.covers(context.without(bare))) return false;
  const there = applied.clone();
  for (const copy of copies) {
    there.union(copy.context);
    there.union(copy.bare);
  }
  return there.covers(bare);
}

/** What a copy says to have applied, but for what it shows ahead of its event. Not to be modified. */
export function appliedIn({ context, past, bare }: Omit<KnownCopy, 'entries'>): CausalContext {
  const counted = bare.isEmpty ? context : context.without(bare);
  return past === null ? counted : counted.without(past);
}

/** What copies have applied together, and what is bare in all of them that know of it. */
export function knownTo(copies: readonly KnownCopy[]): SessionContext {
  const applied = new CausalContext();
  const bare = new CausalContext();
  for (const copy of copies) {
    applied.union(appliedIn(copy));
    // What is shown ahead of its event, or on a damaged disk, may have replaced more than the copy says.
    for (const { dot } of copy.entries) if (copy.past?.has(dot) !== true && !copy.bare.has(dot)) applied.add(dot);
    bare.union(copy.bare);
  }
  if (bare.isEmpty) return { context: applied, bare };
  const open = new CausalContext();
  for (const { past } of copies) if (past !== null) open.union(past);
  return { context: applied, bare: bare.without(applied).without(open) };
}
