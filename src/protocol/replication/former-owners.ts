import type { NodeId } from '../machine.ts';
import type { Placement } from './placement.ts';

/** More than two changes of the ring back nobody's copy is complete. */
const FORMERS_MAX = 8;
const NOBODY: readonly NodeId[] = [];

/**
 * Who owned which shard before the ring changed. While a new owner takes a shard over, it and a former owner are one
 * place of the quorum together: the former has what was, the new one gets what is.
 */
export class FormerOwners {
  private readonly byShard = new Map<number, NodeId[]>();
  /** Those of whom it is known that their copies, if they still hold any, have no vote. */
  private readonly silent = new Map<number, Set<NodeId>>();

  /** Whoever may hold something that others do not. */
  of(shard: number): readonly NodeId[] {
    return this.byShard.get(shard) ?? NOBODY;
  }

  /** Whose copies may count. */
  voting(shard: number): readonly NodeId[] {
    const silent = this.silent.get(shard);
    return silent === undefined ? this.of(shard) : this.of(shard).filter((node) => !silent.has(node));
  }

  handleRing(before: Placement, ring: Placement): void {
    this.silent.clear();
    for (const shard of ring.shardIds()) {
      const owners = ring.owners(shard);
      const formers = new Set([...before.owners(shard), ...this.of(shard)]);
      for (const owner of owners) formers.delete(owner);
      if (formers.size === 0) this.byShard.delete(shard);
      else this.byShard.set(shard, [...formers].slice(0, FORMERS_MAX));
    }
  }

  /** It has let go of the shard. */
  forget(shard: number, node: NodeId): void {
    const left = this.of(shard).filter((former) => former !== node);
    if (left.length === 0) this.byShard.delete(shard);
    else this.byShard.set(shard, left);
  }

  /** Its answer does not count. It may hold the shard all the same. */
  silence(shard: number, node: NodeId): void {
    if (!this.of(shard).includes(node)) return;
    const silent = this.silent.get(shard);
    if (silent === undefined) this.silent.set(shard, new Set([node]));
    else silent.add(node);
  }
}
