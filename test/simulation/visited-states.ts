import type { RegisterState } from './register-model.ts';

/**
 * Where a search has been: which required operations it had taken, and the state that they left. To come back there is in
 * vain with the same unknown writes used up, and with more of them all the more.
 */
export class VisitedStates {
  /** Counts of unknown writes by kind, none of which is at least another. */
  private readonly visits = new Map<string, Uint16Array[]>();

  /** How many of them were looked at. */
  compared = 0;

  /** False when it has been there before; notes the visit. */
  isNew(taken: Buffer, { version, value, expiresAtMs, isWritten }: RegisterState, spent: Uint16Array): boolean {
    const id = `${taken.toString('latin1')} ${isWritten} ${expiresAtMs} ${JSON.stringify([version, value])}`;
    const before = this.visits.get(id) ?? [];
    this.compared += before.length;
    if (before.some((other) => isAtMost(other, spent))) return false;
    this.visits.set(id, [...before.filter((other) => !isAtMost(spent, other)), spent]);
    return true;
  }
}

function isAtMost(less: Uint16Array, more: Uint16Array): boolean {
  return less.every((count, place) => count <= (more[place] as number));
}
