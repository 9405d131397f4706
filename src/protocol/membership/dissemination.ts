import type { NodeId } from '../machine.ts';
import type { MemberUpdate } from './message.ts';
import { MEMBERSHIP_LIMITS } from './message.ts';

interface Rumour {
  readonly update: MemberUpdate;
  sent: number;
}

/**
 * News that still has to be told: SWIM's piggyback buffer. The least often sent goes first; each leaves the
 * buffer after its budget of sends. Newer news of a member replaces older, except that accusations of
 * different accusers stand side by side, because each of them counts.
 */
export class Dissemination {
  private readonly rumours = new Map<NodeId, Rumour[]>();
  private count = 0;

  get isEmpty(): boolean {
    return this.count === 0;
  }

  /** `sentBefore`: counts as sent so often already; what can wait for a push-pull is sent less. */
  enqueue(update: MemberUpdate, sentBefore = 0): void {
    const others = (this.rumours.get(update.id) ?? []).filter((rumour) => isBeside(rumour.update, update));
    this.discard(update.id);
    if (this.count >= MEMBERSHIP_LIMITS.disseminationMax) this.evict();
    others.push({ update, sent: sentBefore });
    this.rumours.set(update.id, others);
    this.count += others.length;
  }

  /** Nothing more is told of this member. */
  discard(id: NodeId): void {
    this.count -= this.rumours.get(id)?.length ?? 0;
    this.rumours.delete(id);
  }

  /** Up to `max` updates, each counted as sent once; those that reach `budget` sends leave the buffer. */
  select(max: number, budget: number): MemberUpdate[] {
    if (this.count === 0) return [];
    const candidates = [...this.rumours.values()].flat();
    // The sort is stable: among equals, the longest waiting goes first.
    candidates.sort((a, b) => a.sent - b.sent);
    const selected = candidates.slice(0, max);
    for (const rumour of selected) {
      rumour.sent += 1;
      if (rumour.sent >= budget) this.remove(rumour);
    }
    return selected.map((rumour) => rumour.update);
  }

  private remove(rumour: Rumour): void {
    const rest = (this.rumours.get(rumour.update.id) ?? []).filter((other) => other !== rumour);
    if (rest.length === 0) this.rumours.delete(rumour.update.id);
    else this.rumours.set(rumour.update.id, rest);
    this.count -= 1;
  }

  private evict(): void {
    let most: Rumour | undefined;
    for (const list of this.rumours.values()) {
      for (const rumour of list) if (most === undefined || rumour.sent > most.sent) most = rumour;
    }
    if (most !== undefined) this.remove(most);
  }
}

/** True when an older rumour stays beside the newer one: another accuser's suspicion of the same incarnation. */
function isBeside(older: MemberUpdate, newer: MemberUpdate): boolean {
  return (
    older.state === 'suspect' &&
    newer.state === 'suspect' &&
    older.incarnation === newer.incarnation &&
    older.from !== newer.from
  );
}
