import type { RegisterContent } from '../../../ports/node-handle.ts';
import type { Reply } from '../reply.ts';

/** What a key of database 1 holds; null: nothing. */
export type Content = RegisterContent | null;

export interface Outcome {
  readonly reply: Reply;
  /** The very content that it was given: nothing is written. */
  readonly content: Content;
}

/**
 * What a command makes of the content of its key. It is run again upon newer content where somebody else was faster, so
 * it does nothing else. Throws a HoldfastError for what cannot be stored.
 */
export type Step = (content: Content, wallMs: number) => Outcome;

/** A step that only looks. */
export function look(replyTo: (content: Content, wallMs: number) => Reply): Step {
  return (content, wallMs) => ({ reply: replyTo(content, wallMs), content });
}

/** Null where its time has passed. */
export function unexpired(content: Content, wallMs: number): Content {
  const expiresAtMs = content?.expiresAtMs ?? null;
  return expiresAtMs !== null && expiresAtMs <= wallMs ? null : content;
}
