import type { Prng } from './prng.ts';

/**
 * Shuffled round-robin (SWIM section 4.3): everyone has a turn before anyone has a second, which bounds the
 * time until a turn. Who joins has a turn from the next round on.
 */
export class Rotation {
  private readonly prng: Prng;
  private order: string[] = [];

  constructor(prng: Prng) {
    this.prng = prng;
  }

  /** The next one that is `eligible`, from a fresh shuffle of `candidates` when the round is over. */
  next(candidates: () => Iterable<string>, eligible: (id: string) => boolean): string | undefined {
    const left = this.take(eligible);
    if (left !== undefined) return left;
    this.order = this.prng.shuffle([...candidates()]);
    return this.take(eligible);
  }

  private take(eligible: (id: string) => boolean): string | undefined {
    for (let id = this.order.pop(); id !== undefined; id = this.order.pop()) {
      if (eligible(id)) return id;
    }
    return undefined;
  }
}
