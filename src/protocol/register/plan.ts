import { unreachable } from '../../lib/assert.ts';
import { type Ballot, compareBallots, laterBallot, NO_BALLOT, sameBallot } from './ballot.ts';
import type { Report } from './message.ts';
import type { Accepted } from './record.ts';
import type { AppliedReply, ChangeRequest, NotAppliedReply } from './request.ts';
import { holds, type RegisterContent, type RegisterValue, shown } from './value.ts';

/** What the reports of a quorum come to. */
export interface Finding {
  /** The value accepted under the highest ballot. */
  readonly latest: RegisterValue | null;
  /** Its version; where there is none the highest floor: a key that had got any further would show it, or was erased. */
  readonly reached: Ballot;
  /** True where the whole quorum has accepted the same, so that it is chosen; or all have nothing. */
  readonly isChosen: boolean;
}

export function findingOf(reports: readonly Report[]): Finding {
  let latest: Accepted | null = null;
  let floor = NO_BALLOT;
  for (const { accepted, floor: own } of reports) {
    floor = laterBallot(floor, own);
    if (accepted !== null && (latest === null || compareBallots(latest.ballot, accepted.ballot) < 0)) latest = accepted;
  }
  const ballot = latest?.ballot ?? null;
  const isChosen = reports.every(
    ({ accepted }) => sameBallot(accepted?.ballot ?? null, ballot) && accepted?.copied !== true,
  );
  return { latest: latest?.value ?? null, reached: latest?.value.version ?? floor, isChosen };
}

/** What becomes of a change, given the latest value. */
export type Plan =
  | { readonly type: 'write'; readonly content: RegisterContent | null }
  | { readonly type: 'keep'; readonly reply: AppliedReply | NotAppliedReply };

export function planOf(request: ChangeRequest, latest: RegisterValue | null, wallMs: number): Plan {
  const current = shown(latest, wallMs);
  if (!holds(request.condition, current)) {
    return { type: 'keep', reply: { type: 'strong-change', applied: false, ...current } };
  }
  switch (request.type) {
    case 'strong-put':
      return { type: 'write', content: request.content };
    case 'strong-delete':
      if (current.content !== null) return { type: 'write', content: null };
      return { type: 'keep', reply: { type: 'strong-change', applied: true, version: null } };
    default:
      return unreachable(request);
  }
}

/** What has become of the ballots under which this same change was proposed before. */
export type Fate =
  /** None of them is part of what led to the latest value: the change may be proposed again. */
  | { readonly type: 'not-made' }
  /** The latest value is the change, or was made upon it: once that value is chosen, so was the change. */
  | { readonly type: 'made'; readonly version: Ballot }
  | { readonly type: 'unknown' };

/**
 * Versions grow along the values that a register goes through, each made upon the one before (`base`). So a value whose
 * version is below an attempt was not made upon it, nor was one whose base is; and one with a base above it may have been,
 * by way of values that nobody remembers.
 */
export function fateOf(attempts: readonly Ballot[], { latest, reached }: Finding): Fate {
  const [first] = attempts;
  if (first === undefined || compareBallots(reached, first) < 0) return { type: 'not-made' };
  if (latest === null) return { type: 'unknown' };
  for (const version of attempts) {
    if (sameBallot(version, latest.version) || sameBallot(version, latest.base)) return { type: 'made', version };
  }
  return compareBallots(latest.base, first) < 0 ? { type: 'not-made' } : { type: 'unknown' };
}
