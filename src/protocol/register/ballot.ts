/**
 * The number of a round, totally ordered. `proposer` names one run of one process (16 hex digits), so that a ballot
 * is never used twice although no proposer persists anything.
 */
export interface Ballot {
  /** At least 0. */
  readonly counter: number;
  readonly proposer: string;
}

/** Below every ballot of a round. */
export const NO_BALLOT: Ballot = { counter: 0, proposer: '' };

/** Negative where `a` is the lower one. */
export function compareBallots(a: Ballot, b: Ballot): number {
  if (a.counter !== b.counter) return a.counter - b.counter;
  return a.proposer < b.proposer ? -1 : a.proposer > b.proposer ? 1 : 0;
}

export function sameBallot(a: Ballot | null, b: Ballot | null): boolean {
  if (a === null || b === null) return a === b;
  return a.counter === b.counter && a.proposer === b.proposer;
}

export function laterBallot(a: Ballot, b: Ballot): Ballot {
  return compareBallots(a, b) < 0 ? b : a;
}

/** Hands out the ballots of one run, each above all it has seen. */
export class BallotClock {
  private readonly proposer: string;
  private counter = 0;

  constructor(proposer: string) {
    this.proposer = proposer;
  }

  next(): Ballot {
    return { counter: ++this.counter, proposer: this.proposer };
  }

  observe({ counter }: Ballot): void {
    this.counter = Math.max(this.counter, counter);
  }
}
