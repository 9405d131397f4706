import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { ShardCover, SyncAck } from './message.ts';

/** Ranges of contexts in one message, about: it stays far below what a frame can hold. */
const RANGES_MAX = 16_384;

/** What one peer is to be told at the end of the turn. */
interface Gathered {
  /** Under which all the contexts were covered. */
  ring: number;
  covers: ShardCover[];
  ranges: number;
  acks: SyncAck[];
}

/**
 * Gathers what a turn has to say of single shards: a message names its actors once, however many shards it speaks of.
 * Nothing is said before it is synced.
 */
export class SyncOutbox {
  private readonly core: ReplicationCore;
  private readonly gathered = new Map<NodeId, Gathered>();

  constructor(core: ReplicationCore) {
    this.core = core;
  }

  tell(to: NodeId, cover: ShardCover): void {
    const ring = this.core.ring.digest;
    this.core.journal.afterTurn(() => {
      const gathered = this.of(to);
      if (gathered.ring !== ring || gathered.ranges > RANGES_MAX) this.sendCovers(to, gathered);
      gathered.ring = ring;
      gathered.covers.push(cover);
      gathered.ranges += cover.context.rangeCount + 1;
    });
  }

  acknowledge(to: NodeId, ack: SyncAck): void {
    this.core.journal.afterTurn(() => {
      const { acks } = this.of(to);
      acks.push(ack);
      // Nearly all are empty; one that names keys is large.
      if (ack.unnamed.length > 0) this.core.send(to, { type: 'sync-ack', acks: acks.splice(0) });
    });
  }

  /** To be called at the end of each turn. */
  flush(): void {
    if (this.gathered.size === 0) return;
    for (const [to, gathered] of this.gathered) {
      if (gathered.acks.length > 0) this.core.send(to, { type: 'sync-ack', acks: gathered.acks });
      this.sendCovers(to, gathered);
    }
    this.gathered.clear();
  }

  private of(to: NodeId): Gathered {
    let gathered = this.gathered.get(to);
    if (gathered === undefined) {
      gathered = { ring: this.core.ring.digest, covers: [], ranges: 0, acks: [] };
      this.gathered.set(to, gathered);
    }
    return gathered;
  }

  private sendCovers(to: NodeId, gathered: Gathered): void {
    const { ring, covers } = gathered;
    if (covers.length === 0) return;
    this.core.send(to, { type: 'sync-context', ring, covers });
    gathered.covers = [];
    gathered.ranges = 0;
  }
}
