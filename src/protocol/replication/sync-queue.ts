import type { CausalContext } from '../causal/context.ts';
import type { NodeId } from '../machine.ts';
import type { Shard } from './shard-table.ts';

export interface Wanted {
  readonly shard: Shard;
  /** What the peer covers of it. */
  readonly context: CausalContext;
}

/** Shards of which each peer wants what it misses, in the order in which it asked. */
export class SyncQueue {
  private readonly wanted = new Map<NodeId, Map<Shard, Wanted>>();

  /** Who asks again keeps its place. */
  add(peer: NodeId, wanted: Wanted): void {
    const ofPeer = this.wanted.get(peer) ?? new Map<Shard, Wanted>();
    this.wanted.set(peer, ofPeer.set(wanted.shard, wanted));
  }

  has(peer: NodeId): boolean {
    return this.wanted.has(peer);
  }

  /** The next one of the peer. */
  take(peer: NodeId): Wanted | undefined {
    for (const wanted of this.wanted.get(peer)?.values() ?? []) {
      this.remove(peer, wanted.shard);
      return wanted;
    }
    return undefined;
  }

  forgetPeer(peer: NodeId): void {
    this.wanted.delete(peer);
  }

  forgetWhere(isGone: (peer: NodeId, shard: Shard) => boolean): void {
    for (const [peer, shards] of this.wanted) {
      for (const shard of shards.keys()) if (isGone(peer, shard)) this.remove(peer, shard);
    }
  }

  private remove(peer: NodeId, shard: Shard): void {
    const shards = this.wanted.get(peer);
    if (shards?.delete(shard) === true && shards.size === 0) this.wanted.delete(peer);
  }
}
