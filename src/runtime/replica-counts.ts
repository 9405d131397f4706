import type { NodeId } from '../protocol/machine.ts';
import { isReachable, type Member } from '../protocol/membership/member.ts';

const PREFIX = 'replicas=';

/** What a node says of its `tuning.replicas`, among its capabilities: nodes of other versions pass it on unread. */
export function replicasCapability(replicas: number): string {
  return `${PREFIX}${replicas}`;
}

/** Notices members that are configured with another number of copies; each is told once for each number. */
export class ReplicaCounts {
  private readonly own: number;
  private readonly told = new Map<NodeId, number>();

  constructor(own: number) {
    this.own = own;
  }

  /** The member's number where it differs from the own one and was not told yet, else null. */
  differenceOf({ id, state, profile }: Pick<Member, 'id' | 'state' | 'profile'>): number | null {
    const said = profile.capabilities.find((capability) => capability.startsWith(PREFIX));
    const replicas = Number(said?.slice(PREFIX.length) ?? this.own);
    if (!isReachable(state) || !Number.isSafeInteger(replicas)) return null;
    if (replicas === this.own) {
      this.told.delete(id);
      return null;
    }
    if (this.told.get(id) === replicas) return null;
    this.told.set(id, replicas);
    return replicas;
  }
}
