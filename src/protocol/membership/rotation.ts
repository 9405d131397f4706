import type { Prng } from '../../lib/prng.ts';
import type { NodeId } from '../machine.ts';

/**
 * Shuffled round-robin (SWIM section 4.3): everyone has a turn before anyone has a second, which bounds the
 * time to detection. Members that join have their turn from the next round on.
 */
export class Rotation {
  private readonly prng: Prng;
  private order: NodeId[] = [];

  constructor(prng: Prng) {
    this.prng = prng;
  }

  /** The next member that is `eligible`, from a fresh shuffle of `candidates` when the round is over. */
  next(candidates: () => readonly NodeId[], eligible: (id: NodeId) => boolean): NodeId | undefined {
    const left = this.take(eligible);
    if (left !== undefined) return left;
    this.order = this.prng.shuffle([...candidates()]);
    return this.take(eligible);
  }

  private take(eligible: (id: NodeId) => boolean): NodeId | undefined {
    for (let id = this.order.pop(); id !== undefined; id = this.order.pop()) {
      if (eligible(id)) return id;
    }
    return undefined;
  }
}
