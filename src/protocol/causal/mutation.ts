/** What a client asks of one key. Evaluated by the coordinator against its own replica of the key. */
export type Mutation =
  | {
      readonly type: 'put';
      readonly value: Uint8Array;
      readonly contentType: string;
      /** Unix ms; 0 is never; 'keep' takes over the expiry of the value replaced. */
      readonly expiresAtMs: number | 'keep';
      /** Write only where the key is absent or present now; otherwise `applied` is false. */
      readonly onlyIf: 'absent' | 'present' | null;
    }
  | { readonly type: 'delete' }
  /** Changes the expiry and keeps the value; `applied` is false for an absent key. */
  | { readonly type: 'expire'; readonly expiresAtMs: number }
  /** Appends bytes to the register (an absent key is empty), as read-modify-write. */
  | { readonly type: 'append'; readonly value: Uint8Array }
  /** Adds to the counter; a register that holds a decimal integer is its starting point. */
  | { readonly type: 'increment'; readonly by: number }
  | CollectionMutation;

/**
 * Changes of a set or a map, by member or field: bytes of any kind, duplicates count once. The key is absent before its
 * first and after its last member or field. On a key of another type they fail with `wrong-type`.
 */
export type CollectionMutation =
  /** The members are in the set from now on, whatever removes ran concurrently. */
  | { readonly type: 'add'; readonly members: readonly Uint8Array[] }
  /** Takes out what it has seen; `applied` is false where none of the members was there. */
  | { readonly type: 'remove'; readonly members: readonly Uint8Array[] }
  /**
   * Of a field that is named twice the last value counts. `onlyIf` 'absent': only where none of the fields is there
   * now, whatever the client has seen; otherwise `applied` is false.
   */
  | { readonly type: 'put-fields'; readonly fields: readonly MapField[]; readonly onlyIf: 'absent' | null }
  | { readonly type: 'remove-fields'; readonly fields: readonly Uint8Array[] }
  /** Adds to the counter in a field, as `increment` does to that of a key. */
  | { readonly type: 'increment-field'; readonly field: Uint8Array; readonly by: number };

export interface MapField {
  readonly field: Uint8Array;
  readonly value: Uint8Array;
}
