import type { NodeId } from '../../../src/protocol/machine.ts';
import type { MemberUpdate } from '../../../src/protocol/membership/message.ts';

interface Broadcast {
  readonly update: MemberUpdate;
  readonly order: number;
  sent: number;
}

/**
 * memberlist's TransmitLimitedQueue (queue.go): the least often sent first, among those the newest; newer news of
 * a member replaces older.
 */
export class Broadcasts {
  private readonly waiting = new Map<NodeId, Broadcast>();
  private order = 0;

  get isEmpty(): boolean {
    return this.waiting.size === 0;
  }

  add(update: MemberUpdate): void {
    this.waiting.set(update.id, { update, order: this.order++, sent: 0 });
  }

  /** Up to `max` updates, each counted as sent once; after `limit` sends it is done. */
  take(max: number, limit: number): MemberUpdate[] {
    if (this.isEmpty) return [];
    const taken = [...this.waiting.values()].sort((a, b) => a.sent - b.sent || b.order - a.order).slice(0, max);
    for (const broadcast of taken) {
      broadcast.sent += 1;
      if (broadcast.sent >= limit) this.waiting.delete(broadcast.update.id);
    }
    return taken.map(({ update }) => update);
  }
}
