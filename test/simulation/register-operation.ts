/** On what the state of the register has to be for a write to take effect. */
export type Condition = 'none' | 'absent' | 'present' | { readonly version: string };

export type RegisterOp =
  | { readonly type: 'get' }
  | {
      readonly type: 'put';
      readonly value: string;
      readonly condition: Condition;
      /** When the value goes by itself; null or left out: never. */
      readonly expiresAtMs?: number | null;
    }
  | { readonly type: 'delete'; readonly condition: Condition };

/** What a client was shown of the register. The version is null where it was not shown, as it may be of no value. */
export interface Shown {
  readonly value: string | null;
  readonly version: string | null;
}

export type Outcome =
  /** Never learnt: a write may take effect at any time after it was invoked, or never. */
  | 'unknown'
  | ({ readonly type: 'read' } & Shown)
  | { readonly type: 'written'; readonly version: string }
  | ({ readonly type: 'condition-failed' } & Shown)
  /** Surely had no effect. */
  | { readonly type: 'not-applied' };

/** What a client asked of one register and was told. All times are by one clock that never goes back. */
export interface RegisterOperation {
  readonly id: number;
  readonly client: string;
  readonly invokedMs: number;
  /** Null when no answer ever came. */
  readonly completedMs: number | null;
  readonly op: RegisterOp;
  readonly outcome: Outcome;
}

export function shownText({ value, version }: Shown): string {
  const text = value === null ? 'nothing' : JSON.stringify(value);
  return version === null ? text : `${text} at ${version}`;
}

export function operationText({ id, client, invokedMs, completedMs, op, outcome }: RegisterOperation): string {
  return `#${id} ${client} ${invokedMs}..${completedMs ?? ''} ms: ${opText(op)} -> ${outcomeText(outcome)}`;
}

function opText(op: RegisterOp): string {
  if (op.type === 'get') return 'get';
  const { condition } = op;
  const text = op.type === 'put' ? `put ${JSON.stringify(op.value)}` : 'delete';
  const expiry = op.type === 'put' && typeof op.expiresAtMs === 'number' ? ` until ${op.expiresAtMs} ms` : '';
  if (condition === 'none') return text + expiry;
  return `${text}${expiry} if ${typeof condition === 'string' ? condition : `at ${condition.version}`}`;
}

function outcomeText(outcome: Outcome): string {
  if (outcome === 'unknown') return 'unknown';
  switch (outcome.type) {
    case 'read':
      return shownText(outcome);
    case 'written':
      return `written at ${outcome.version}`;
    case 'condition-failed':
      return `condition failed on ${shownText(outcome)}`;
    case 'not-applied':
      return 'not applied';
  }
}
