import type { NodeId } from '../machine.ts';

/**
 * Who accepts for a shard. One group in a stable ring; while the ring changes, two: those of the old ring, then those of
 * the new one. Every phase of a round needs a strict majority of every group.
 *
 * The integrator guarantees: one epoch means the same groups everywhere; it never goes back on a node, across restarts
 * neither; [A] is followed by [A] or [A, B], and [A, B] by [B] or [A]; the step to [B] is made when a majority of B has
 * caught up.
 */
export interface RegisterPlacement {
  /** The epoch of the ring. */
  readonly epoch: number;
  readonly groups: readonly (readonly NodeId[])[];
  /**
   * The epoch under which the first group was the only one, and since when it has been the first all the while. A node that
   * has not seen the epochs in between need not copy the shard again, and where that is true of most acceptors nobody could
   * any more: a catalog had better know. Absent: no more is known than follows from `epoch`.
   */
  readonly since?: number;
  /**
   * Where that is the very first epoch: those of the first group whose disk is the one of then. Whoever of them has heard of no
   * epoch before has accepted nothing yet, as at the founding. Absent: nobody.
   */
  readonly founders?: readonly NodeId[];
  /**
   * The placement before, where a majority of its acceptors was lost for good, as an operator has decided. The first group is
   * what is left of them, maybe nobody. What these hold, each by itself, is all that there is of what was chosen until then:
   * every phase needs all of them, whatever their copies were worth among the others. There are two groups then, even if
   * they are the same nodes: in the second one, only who has copied from all of the first knows what it should.
   */
  readonly remainsOf?: RegisterPlacement;
}

export function sinceOf({ epoch, groups, since }: RegisterPlacement): number {
  // Before there were two groups, the first was the only one.
  return Math.min(since ?? epoch, groups.length === 1 ? epoch : epoch - 1);
}

export function majorityOf(group: readonly NodeId[]): number {
  return Math.floor(group.length / 2) + 1;
}

/** All acceptors, each once, in the order of the groups. */
export function acceptorsOf({ groups }: RegisterPlacement): NodeId[] {
  return [...new Set(groups.flat())];
}

export function sameGroup(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((node) => b.includes(node));
}

/** Of how many of the first group the copies show together all that it has chosen. */
export function sourcesOf({ groups, remainsOf }: RegisterPlacement): number {
  const [first = []] = groups;
  return remainsOf === undefined ? first.length - majorityOf(first) + 1 : first.length;
}

/** True where the nodes that fulfil the condition are a strict majority of every group, or all that is left of the first. */
export function isQuorum({ groups, remainsOf }: RegisterPlacement, has: (node: NodeId) => boolean): boolean {
  // Nobody is no quorum.
  if (groups.length === 0) return false;
  return groups.every((group, i) => {
    const needed = i === 0 && remainsOf !== undefined ? group.length : majorityOf(group);
    return group.filter(has).length >= needed;
  });
}
