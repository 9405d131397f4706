import type { NodeInput } from '../protocol/node/effect.ts';

/** All that was handed over up to `id` is synced. */
export type Confirmation = Extract<NodeInput, { readonly type: 'persisted' | 'register-persisted' }>;

/**
 * Ids of a kind are confirmed in order, and one confirms all before it: a group commit is one input of each kind, not
 * hundreds.
 */
export function addConfirmation(inbox: NodeInput[], input: Confirmation): void {
  const last = inbox.at(-1)?.type;
  const isBehindOther = last !== input.type && (last === 'persisted' || last === 'register-persisted');
  const at = inbox.length - (isBehindOther ? 2 : 1);
  if (inbox[at]?.type === input.type) inbox.splice(at, 1);
  inbox.push(input);
}
