/** Takes the place of operations that are over, so that what they hold is let go of. */
const GONE = { ended: true } as const;

/**
 * Deadlines of many operations that all wait equally long: a queue in order of time, with no timer handles
 * and nothing to cancel. An operation that ended early is skipped when its turn comes.
 */
export class DeadlineQueue<T extends { readonly ended: boolean }> {
  private readonly delayMs: number;
  private readonly items: { readonly atMs: number; item: T | typeof GONE }[] = [];
  private head = 0;

  constructor(delayMs: number) {
    this.delayMs = delayMs;
  }

  push(item: T, nowMs: number): void {
    this.items.push({ atMs: nowMs + this.delayMs, item });
  }

  /** The next operation whose deadline has passed, undefined when there is none. */
  pop(nowMs: number): T | undefined {
    this.skipEnded();
    const first = this.items[this.head];
    if (first === undefined || first.atMs > nowMs || first.item === GONE) return undefined;
    const { item } = first;
    first.item = GONE;
    this.head++;
    return item as T;
  }

  next(): number | undefined {
    this.skipEnded();
    return this.items[this.head]?.atMs;
  }

  private skipEnded(): void {
    for (let first = this.items[this.head]; first?.item.ended === true; first = this.items[this.head]) {
      first.item = GONE;
      this.head++;
    }
    // Compacting in large steps keeps the cost of a push constant on average.
    if (this.head > 1024 && this.head * 2 > this.items.length) {
      this.items.splice(0, this.head);
      this.head = 0;
    }
  }
}

/** The earlier of two deadlines, either of which may be absent. */
export function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
