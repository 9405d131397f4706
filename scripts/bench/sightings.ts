/** What a member says of another. */
export type SeenState = 'alive' | 'suspect' | 'dead' | 'left';

export interface Sighting {
  /** When this process received it, as `performance.now()`. */
  readonly atMs: number;
  readonly observer: string;
  readonly subject: string;
  readonly state: SeenState;
}

/** What the members of a cluster said of each other, as it arrived here. */
export class Sightings {
  readonly all: Sighting[] = [];
  private readonly views = new Map<string, Map<string, SeenState>>();

  add(observer: string, subject: string, state: SeenState): void {
    this.all.push({ atMs: performance.now(), observer, subject, state });
    const view = this.views.get(observer) ?? new Map<string, SeenState>();
    this.views.set(observer, view.set(subject, state));
  }

  /** The observer starts anew and has seen nothing. */
  forget(observer: string): void {
    this.views.delete(observer);
  }

  /** Whether each of these sees each other one alive, as far as it told. */
  isComplete(names: readonly string[]): boolean {
    return names.every((observer) => {
      const view = this.views.get(observer);
      return names.every((subject) => subject === observer || view?.get(subject) === 'alive');
    });
  }

  /** Whether none of these holds the subject to be there. */
  isGone(observers: readonly string[], subject: string): boolean {
    return observers.every((observer) => {
      const state = this.views.get(observer)?.get(subject);
      return state === 'dead' || state === 'left';
    });
  }

  /** When the last of the observers said this of the subject for the first time since `fromMs`; null: not all did. */
  lastMs(fromMs: number, observers: readonly string[], subject: string, state: SeenState): number | null {
    const first = new Map<string, number>();
    for (const seen of this.all) {
      const isMeant = seen.atMs >= fromMs && seen.subject === subject && seen.state === state;
      if (isMeant && !first.has(seen.observer)) first.set(seen.observer, seen.atMs);
    }
    const times = observers.map((observer) => first.get(observer) ?? Number.POSITIVE_INFINITY);
    const last = Math.max(...times);
    return Number.isFinite(last) ? last : null;
  }
}
