import { CausalContext } from '../causal/context.ts';
import { type Entries, sizeOf } from '../causal/entry.ts';
import { joinEntries } from '../causal/join.ts';

const OVERHEAD_BYTES = 400;

/** A key's state as one replica knows it, or several together. */
export interface KeyState {
  readonly bucket: string;
  readonly key: string;
  readonly shard: number;
  readonly entries: Entries;
  /** The events whose effects the entries show. */
  readonly context: CausalContext;
  /** Further dots of the key that are known to be superseded; null: none. */
  readonly past: CausalContext | null;
}

export function idOf({ bucket, key }: Pick<KeyState, 'bucket' | 'key'>): string {
  return `${bucket}\0${key}`;
}

/** What it takes to keep a state in memory, about. */
export function bytesOf(state: KeyState): number {
  const { entries, context, past } = state;
  return (
    OVERHEAD_BYTES + idOf(state).length * 2 + sizeOf(entries) + (context.rangeCount + (past?.rangeCount ?? 0)) * 16
  );
}

/** Joins two states of a key as replicas join them; `changed` where the second has something new. */
export function joinStates(known: KeyState, state: KeyState): { readonly joined: KeyState; readonly changed: boolean } {
  const { entries, changed } = joinEntries(
    known.entries,
    (dot) => known.context.has(dot) || known.past?.has(dot) === true,
    state.entries,
    (dot) => state.context.has(dot) || state.past?.has(dot) === true,
  );
  const context = known.context.clone();
  context.union(state.context);
  const past = joinPasts(known.past, state.past, context);
  return { joined: { ...state, entries, context, past }, changed };
}

function joinPasts(a: CausalContext | null, b: CausalContext | null, context: CausalContext): CausalContext | null {
  if (a === null && b === null) return null;
  const past = new CausalContext();
  if (a !== null) past.union(a);
  if (b !== null) past.union(b);
  const left = past.without(context);
  return left.isEmpty ? null : left;
}
