import { unreachable } from '../../lib/assert.ts';
import { type Ballot, sameBallot } from './ballot.ts';

export interface RegisterContent {
  readonly bytes: Uint8Array;
  readonly contentType: string;
  /** From then on it reads as absent; null: never. */
  readonly expiresAtMs: number | null;
}

export interface RegisterValue {
  /**
   * The ballot under which the change was proposed: its ETag. It stays the same when a later round accepts the value
   * again, and grows along the values that a register goes through.
   */
  readonly version: Ballot;
  /** The version that the change was made upon; of an absent key the floor of its shard. Below `version`. */
  readonly base: Ballot;
  /** Null: deleted (a tombstone). */
  readonly content: RegisterContent | null;
}

/** What must be so for a change to be made: If-None-Match: *, If-Match: *, If-Match with an ETag. */
export type Condition =
  | { readonly type: 'none' }
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'version'; readonly version: Ballot };

/** What a client would see of it. */
export interface Shown {
  readonly content: RegisterContent | null;
  /** Null where there is no content. */
  readonly version: Ballot | null;
}

const NOTHING: Shown = { content: null, version: null };

export function shown(value: RegisterValue | null, wallMs: number): Shown {
  if (value === null || value.content === null) return NOTHING;
  const { content, version } = value;
  return content.expiresAtMs !== null && content.expiresAtMs <= wallMs ? NOTHING : { content, version };
}

export function holds(condition: Condition, { version }: Shown): boolean {
  switch (condition.type) {
    case 'none':
      return true;
    case 'absent':
      return version === null;
    case 'present':
      return version !== null;
    case 'version':
      return sameBallot(version, condition.version);
    default:
      return unreachable(condition);
  }
}

const VALUE_OVERHEAD_BYTES = 200;

/** Estimated memory, for the accounting of caches. */
export function valueBytes(value: RegisterValue | null): number {
  if (value === null || value.content === null) return VALUE_OVERHEAD_BYTES;
  return VALUE_OVERHEAD_BYTES + value.content.bytes.length + value.content.contentType.length * 2;
}
