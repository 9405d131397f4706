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

/** True where the nodes that fulfil the condition are a strict majority of every group. */
export function isQuorum({ groups }: RegisterPlacement, has: (node: NodeId) => boolean): boolean {
  // Nobody is no quorum.
  return groups.length > 0 && groups.every((group) => group.filter(has).length >= majorityOf(group));
}
