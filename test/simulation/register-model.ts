import type { Condition, RegisterOperation, Shown } from './register-operation.ts';

/** An operation that counts in a linearization. */
export interface Entry {
  /** Its place among the required or the unknown ones, in the order of invocation. */
  readonly index: number;
  readonly operation: RegisterOperation;
  /** False of a write whose outcome is unknown. */
  readonly isRequired: boolean;
  /** True of what has written, or may have. */
  readonly isWrite: boolean;
  readonly invokedMs: number;
  /** Infinity when nothing is known to have come after it. */
  readonly completedMs: number;
  /** The version that it has met, as far as it says so: shown to it, or the one that it replaced. */
  readonly met: string | null;
  /** The version that it made; null when it made none or an unknown one. */
  readonly made: string | null;
  /** Operations of the same client that completed in the very millisecond in which this one was invoked. */
  readonly after: readonly Entry[];
}

/** The state between two operations. */
export interface RegisterState {
  /** False before the first write. */
  readonly isWritten: boolean;
  readonly value: string | null;
  /** Infinity: never. */
  readonly expiresAtMs: number;
  /** Null before the first write, and of a write whose version nobody has seen yet. */
  readonly version: string | null;
}

export const EMPTY: RegisterState = {
  isWritten: false,
  value: null,
  expiresAtMs: Number.POSITIVE_INFINITY,
  version: null,
};

/** How often a version is met and made. */
interface Mentions {
  /** By operations that are in the linearization. */
  taken: number;
  /** The same, by required operations. */
  known: number;
  /** Meetings by required operations that are not yet in it. */
  awaited: number;
  isMade: boolean;
}

/**
 * A register with conditional writes, each of which makes a new version. A write of which the version is unknown has a
 * symbolic one, which the first to meet it binds. Knows which operations are in the linearization at hand, since a
 * version is never made twice.
 */
export class RegisterModel {
  private readonly mentions = new Map<string, Mentions>();
  readonly expiryUncertaintyMs: number;

  constructor(required: readonly Entry[], expiryUncertaintyMs: number) {
    this.expiryUncertaintyMs = expiryUncertaintyMs;
    for (const { met, made } of required) {
      if (met !== null) this.of(met).awaited++;
      if (made !== null) this.of(made).isMade = true;
    }
  }

  /** Notes that an operation is in the linearization from now on, or is not (-1). */
  note(entry: Entry, sign: 1 | -1): void {
    for (const version of [entry.made, entry.met]) {
      if (version === null) continue;
      const mentions = this.of(version);
      mentions.taken += sign;
      if (entry.isRequired) mentions.known += sign;
    }
    if (entry.met !== null && entry.isRequired) this.of(entry.met).awaited -= sign;
  }

  /**
   * The state after the operation, and null where its outcome cannot have come about; the very same state when it has
   * neither changed anything nor told anything new. It takes effect by `untilMs`, when the first answer of those came
   * that have not taken effect before.
   */
  apply(state: RegisterState, entry: Entry, untilMs: number): RegisterState | null {
    const { op, outcome } = entry.operation;
    if (outcome !== 'unknown' && (outcome.type === 'read' || outcome.type === 'condition-failed')) {
      if (outcome.type === 'condition-failed' && op.type !== 'get' && !this.fails(op.condition, outcome, state)) {
        return null;
      }
      return this.show(state, entry, outcome, untilMs);
    }
    if (op.type === 'get') return null;
    const met = this.meet(state, entry, op.condition, untilMs);
    if (met === null || !this.isReplaceable(met, entry)) return null;
    if (entry.made !== null && this.of(entry.made).taken > 0) return null;
    const isPut = op.type === 'put';
    return {
      isWritten: true,
      value: isPut ? op.value : null,
      expiresAtMs: (isPut ? op.expiresAtMs : null) ?? Number.POSITIVE_INFINITY,
      version: entry.made,
    };
  }

  /** False while someone is still to meet this version, which never comes back. */
  isReplaceable({ version }: RegisterState, by: Entry | null = null): boolean {
    if (version === null) return true;
    const own = by !== null && by.isRequired && by.met === version ? 1 : 0;
    return this.of(version).awaited === own;
  }

  /** Whether the version was replaced in whatever order the required operations were taken. */
  isOver(version: string, state: RegisterState): boolean {
    return version !== state.version && (this.mentions.get(version)?.known ?? 0) > 0;
  }

  /** Whether it may still turn out to be the version of a write whose outcome is unknown. */
  isFresh(version: string): boolean {
    const mentions = this.mentions.get(version);
    return mentions === undefined || (!mentions.isMade && mentions.taken === 0);
  }

  /** Whether a write whose outcome is known has made it. */
  isMade(version: string): boolean {
    return this.mentions.get(version)?.isMade === true;
  }

  private show(state: RegisterState, entry: Entry, { value, version }: Shown, untilMs: number): RegisterState | null {
    const fits =
      value === null ? this.mayBeAbsent(state, untilMs) : value === state.value && this.mayBeThere(state, entry);
    if (!fits) return null;
    return version === null ? state : this.bind(state, version);
  }

  private meet(state: RegisterState, entry: Entry, condition: Condition, untilMs: number): RegisterState | null {
    if (condition === 'none') return state;
    if (condition === 'absent') return this.mayBeAbsent(state, untilMs) ? state : null;
    if (!this.mayBeThere(state, entry)) return null;
    return condition === 'present' ? state : this.bind(state, condition.version);
  }

  /** Whether the condition fails on what was shown. A version that was not shown may be any that is not known otherwise. */
  private fails(condition: Condition, shown: Shown, state: RegisterState): boolean {
    if (condition === 'none') return false;
    if (condition === 'absent') return shown.value !== null;
    if (condition === 'present') return shown.value === null;
    return shown.value === null || (shown.version ?? state.version) !== condition.version;
  }

  private bind(state: RegisterState, version: string): RegisterState | null {
    if (state.version === version) return state;
    if (state.version !== null || !state.isWritten) return null;
    return this.isFresh(version) ? { ...state, version } : null;
  }

  /** Clocks that work out an expiry may differ, so that for a while a value may be shown or not, and that in turns. */
  private mayBeAbsent({ value, expiresAtMs }: RegisterState, untilMs: number): boolean {
    if (value === null) return true;
    return expiresAtMs !== Number.POSITIVE_INFINITY && untilMs >= expiresAtMs - this.expiryUncertaintyMs;
  }

  private mayBeThere({ value, expiresAtMs }: RegisterState, { invokedMs }: Entry): boolean {
    return value !== null && invokedMs <= expiresAtMs + this.expiryUncertaintyMs;
  }

  private of(version: string): Mentions {
    let mentions = this.mentions.get(version);
    if (mentions === undefined) {
      mentions = { taken: 0, known: 0, awaited: 0, isMade: false };
      this.mentions.set(version, mentions);
    }
    return mentions;
  }
}

/** The operations that have to be in a linearization, and the writes that may be in it, each in the order of invocation. */
export function entriesOf(operations: readonly RegisterOperation[]): {
  readonly required: readonly Entry[];
  readonly unknown: readonly Entry[];
} {
  const counted = operations.filter(({ op, outcome }) => {
    return outcome === 'unknown' ? op.type !== 'get' : outcome.type !== 'not-applied';
  });
  const inOrder = counted.toSorted((a, b) => a.invokedMs - b.invokedMs);
  const isUnknown = ({ outcome }: RegisterOperation): boolean => outcome === 'unknown';
  const counts = { required: 0, unknown: 0 };
  const recent = new Map<string, Entry[]>();
  const entries = inOrder.map((operation) => {
    const before = (recent.get(operation.client) ?? []).filter(({ completedMs }) => completedMs >= operation.invokedMs);
    const entry = entryOf(operation, counts[isUnknown(operation) ? 'unknown' : 'required']++, before);
    if (entry.isRequired) recent.set(operation.client, [...before, entry]);
    return entry;
  });
  return {
    required: entries.filter(({ isRequired }) => isRequired),
    unknown: entries.filter(({ isRequired }) => !isRequired),
  };
}

function entryOf(operation: RegisterOperation, index: number, before: readonly Entry[]): Entry {
  const { op, outcome, invokedMs } = operation;
  const isRequired = outcome !== 'unknown';
  const replaced = op.type === 'get' || typeof op.condition === 'string' ? null : op.condition.version;
  return {
    index,
    operation,
    isRequired,
    isWrite: outcome === 'unknown' || outcome.type === 'written',
    invokedMs,
    // No answer: it may take effect long after the client has given up on it.
    completedMs: (isRequired ? operation.completedMs : null) ?? Number.POSITIVE_INFINITY,
    met: isRequired && 'value' in outcome ? outcome.version : replaced,
    made: isRequired && 'version' in outcome && outcome.type === 'written' ? outcome.version : null,
    after: before.filter(({ completedMs }) => completedMs === invokedMs),
  };
}
