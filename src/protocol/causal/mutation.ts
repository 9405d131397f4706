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
  | { readonly type: 'increment'; readonly by: number };
