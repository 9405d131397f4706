import type { NodeId } from '../machine.ts';

/** A member, as far as it matters for who should lead. */
export interface Contender {
  readonly id: NodeId;
  /** Resource score in [0, 1]. */
  readonly score: number;
  /** Answers this node late, or fails its requests. */
  readonly degraded: boolean;
}

/** Scores that differ by less are equal: everybody must come to the same order, and news of scores take their time. */
const SCORE_STEP = 0.1;

/** Who should stand first: members of the ring, healthy ones, those with free resources; ids break ties. */
export function compareContenders(a: Contender, b: Contender, voters: ReadonlySet<NodeId>): number {
  return (
    Number(voters.has(b.id)) - Number(voters.has(a.id)) ||
    Number(a.degraded) - Number(b.degraded) ||
    steps(b) - steps(a) ||
    (a.id < b.id ? -1 : 1)
  );
}

function steps({ score }: Contender): number {
  return Math.floor(score / SCORE_STEP + 1e-9);
}
