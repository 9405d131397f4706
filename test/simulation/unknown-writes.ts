import type { Entry, RegisterModel, RegisterState } from './register-model.ts';
import type { Condition, RegisterOp } from './register-operation.ts';

/** Which unknown writes may take effect again and again: not so, but what is impossible even then is found out sooner. */
export type Endless = 'all' | 'unseen' | 'none';

/** Unknown writes that differ in nothing that anyone could see: it is enough to try one of them. */
export interface Alike {
  readonly entries: readonly Entry[];
  readonly op: Exclude<RegisterOp, { readonly type: 'get' }>;
  readonly isEndless: boolean;
  /** Its place in a count of such groups. */
  readonly place: number;
  /** The place instead of it once nobody is to see the value any more. */
  readonly plainPlace: number;
}

/** Writes whose outcome is unknown, by what they may be needed for. */
export class UnknownWrites {
  private readonly model: RegisterModel;
  private readonly groupOf: Alike[] = [];
  private readonly puts: readonly Alike[];
  /** Those that can leave nothing: deletes, and puts that expire. */
  private readonly endings: readonly Alike[];
  /** How many operations that are not yet taken show the value, and may have been shown it by an unknown write. */
  private readonly awaited = new Map<string, number>();
  /** The value shown with a version. */
  private readonly values = new Map<string, string>();
  private readonly isExpiring: boolean;
  private places = 0;

  constructor(model: RegisterModel, required: readonly Entry[], unknown: readonly Entry[], endless: Endless) {
    this.model = model;
    for (const entry of required) {
      const value = this.shownBy(entry);
      if (value === null) continue;
      this.awaited.set(value, (this.awaited.get(value) ?? 0) + 1);
      if (entry.met !== null) this.values.set(entry.met, value);
    }
    const groups = this.grouped(unknown, endless);
    for (const group of groups) for (const { index } of group.entries) this.groupOf[index] = group;
    this.puts = groups.filter(({ op }) => op.type === 'put');
    this.isExpiring = this.puts.some(({ op }) => expiryOf(op) !== null);
    this.endings = groups.filter(({ op }) => op.type === 'delete' || typeof op.expiresAtMs === 'number');
  }

  /** Notes that a required operation is taken from now on, or is not (-1). */
  note(entry: Entry, sign: 1 | -1): void {
    const value = this.shownBy(entry);
    if (value !== null) this.awaited.set(value, (this.awaited.get(value) as number) - sign);
  }

  /** Those that may have left what the operation has met, if all of it was over by that time. */
  before({ met, operation: { op, outcome } }: Entry, untilMs: number): readonly Alike[] {
    if (met !== null && !this.model.isFresh(met)) return [];
    if (outcome !== 'unknown' && 'value' in outcome) {
      return outcome.value === null ? this.endingsBy(untilMs) : this.putsOf(outcome.value);
    }
    if (op.type === 'get' || op.condition === 'none') return [];
    if (op.condition === 'absent') return this.endingsBy(untilMs);
    const value = met === null ? undefined : this.values.get(met);
    return value === undefined ? this.puts : this.putsOf(value);
  }

  isEndless({ index }: Entry): boolean {
    return (this.groupOf[index] as Alike).isEndless;
  }

  /**
   * Whether it is no worse to use up `a` on the state than `b`, as what `a` could be needed for later `b` can do as well,
   * and what `b` would leave is left by `a` too, seen by nobody, or can still be had.
   */
  isCheaper(a: Alike, b: Alike, { state, goal }: { readonly state: RegisterState; readonly goal: Entry }): boolean {
    const isOpen = b.isEndless && b.op.condition === 'none' && goal.met === null;
    if (!goal.isWrite && !isOpen && !leavesSame(a.op, b.op)) return false;
    // What has replaced this version cannot be needed any more, nor can anything else that would replace it.
    if (typeof a.op.condition === 'object') return a.op.condition.version === state.version;
    if (a.isEndless) return true;
    const isConditionMet = b.op.condition === 'none' || textOf(a.op.condition) === textOf(b.op.condition);
    return isConditionMet && a.op.type === b.op.type && expiryOf(a.op) === expiryOf(b.op) && this.isWorthLess(a, b);
  }

  /** Whether the state that the unknown write needs would do for the goal, so that the write is not needed for it. */
  isNeedOf(goal: Entry, { operation: { op } }: Entry): boolean {
    if (op.type === 'get') return false;
    const need = needOf(goal);
    // What was there for the write may have expired before the goal.
    return need === op.condition && (need === 'absent' || (need === 'present' && !this.isExpiring));
  }

  /** How many of each group are used up, without those that could never be used any more anyway. */
  spent(used: readonly Entry[], state: RegisterState): Uint16Array {
    const counts = new Uint16Array(this.places);
    for (const { index, met } of used) {
      if (met !== null && this.model.isOver(met, state)) continue;
      const { op, place, plainPlace } = this.groupOf[index] as Alike;
      const at = this.isAwaited(op) ? place : plainPlace;
      counts[at] = (counts[at] as number) + 1;
    }
    return counts;
  }

  private isWorthLess({ op: a }: Alike, { op: b }: Alike): boolean {
    return !this.isAwaited(a) || (a.type === 'put' && b.type === 'put' && a.value === b.value);
  }

  private isAwaited(op: RegisterOp): boolean {
    return op.type === 'put' && (this.awaited.get(op.value) ?? 0) > 0;
  }

  private endingsBy(untilMs: number): Alike[] {
    return this.endings.filter(({ op }) => (expiryOf(op) ?? 0) - this.model.expiryUncertaintyMs <= untilMs);
  }

  private putsOf(value: string): Alike[] {
    return this.puts.filter(({ op }) => op.type === 'put' && op.value === value);
  }

  /** Null where it was shown nothing, or what a write of known outcome has left. */
  private shownBy({ met, operation: { outcome } }: Entry): string | null {
    if (outcome === 'unknown' || !('value' in outcome)) return null;
    return met !== null && this.model.isMade(met) ? null : outcome.value;
  }

  private grouped(unknown: readonly Entry[], endless: Endless): Alike[] {
    const places = new Map<string, number>();
    const placeOf = (id: string): number => {
      const place = places.get(id) ?? this.places++;
      places.set(id, place);
      return place;
    };
    const groups = Map.groupBy(unknown, ({ operation: { op } }) => idOf(op, this.isAwaited(op)));
    return [...groups].map(([id, entries]) => {
      const op = (entries[0] as Entry).operation.op as Alike['op'];
      // Which versions are gone would no longer follow from what was taken.
      const isVersioned = typeof op.condition === 'object';
      const isEndless = !isVersioned && (endless === 'all' || (endless === 'unseen' && !this.isAwaited(op)));
      return { entries, op, isEndless, place: placeOf(id), plainPlace: placeOf(idOf(op, false)) };
    });
  }
}

function idOf(op: RegisterOp, isSeen: boolean): string {
  if (op.type === 'get') return '';
  const value = op.type === 'put' && isSeen ? op.value : null;
  return JSON.stringify([op.type, value, textOf(op.condition), expiryOf(op)]);
}

function leavesSame(a: RegisterOp, b: RegisterOp): boolean {
  if (a.type !== 'put' || b.type !== 'put') return a.type === b.type;
  return a.value === b.value && expiryOf(a) === expiryOf(b);
}

function textOf(condition: Condition): string {
  return typeof condition === 'string' ? condition : `at ${condition.version}`;
}

function expiryOf(op: RegisterOp): number | null {
  return op.type === 'put' ? (op.expiresAtMs ?? null) : null;
}

/** What the register has to be for the operation, if that is all there is to it. */
function needOf({ met, operation: { op, outcome } }: Entry): Condition | null {
  if (outcome !== 'unknown' && 'value' in outcome) return outcome.value === null && met === null ? 'absent' : null;
  return op.type === 'get' ? null : op.condition;
}
