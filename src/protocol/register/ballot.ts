/**
 * The number of a round, totally ordered. `proposer` names one run of one process (16 hex digits), so that a ballot
 * is never used twice although no proposer persists anything.
 */
export interface Ballot {
  /** 0 to `COUNTER_MAX`. */
  readonly counter: number;
  readonly proposer: string;
}

/** Below every ballot of a round. */
export const NO_BALLOT: Ballot = { counter: 0, proposer: '' };

/** What comes from a peer is not above it (checked by its codec): a proposer that went beyond it would run out of numbers. */
export const COUNTER_MAX = 2 ** 52;

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

/** As clients see it, in ETags. */
export function ballotText({ counter, proposer }: Ballot): string {
  return `${counter}-${proposer}`;
}

/** Exactly what `ballotText` writes of the ballot of a round; null for any other text. */
export function parseBallot(text: string): Ballot | null {
  const [, digits = '', proposer = ''] = /^([1-9][0-9]{0,15})-([0-9a-f]{16})$/.exec(text) ?? [];
  const counter = Number(digits);
  return counter >= 1 && counter <= COUNTER_MAX ? { counter, proposer } : null;
}
