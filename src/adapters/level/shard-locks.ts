/** A lock is held that had to be asked for before one that is held already: the holder has to begin anew. */
export class LockOrderError extends Error {
  override readonly name = 'LockOrderError';
  /** What it was asked for. */
  readonly shards: readonly number[];

  constructor(shards: readonly number[]) {
    super('a lower lock than one that is held is held by somebody else');
    this.shards = shards;
  }
}

/**
 * Locks that are taken in ascending order, so that nobody waits in a circle. Who turns out to need a lower one than it holds takes
 * it where it is free, and begins anew with all of them where it is not.
 */
export class ShardLocks {
  /** Those that wait, by the lock that they wait for; in the order of their calls. */
  readonly #waiting = new Map<number, (() => void)[]>();

  holder(): ShardLockHolder {
    return new ShardLockHolder(this.#waiting);
  }
}

export class ShardLockHolder {
  readonly #waiting: Map<number, (() => void)[]>;
  readonly #held = new Set<number>();
  #highest = -1;

  constructor(waiting: Map<number, (() => void)[]>) {
    this.#waiting = waiting;
  }

  get held(): ReadonlySet<number> {
    return this.#held;
  }

  /** Throws a LockOrderError. */
  async take(shards: Iterable<number>): Promise<void> {
    const missing = [...new Set(shards)].filter((shard) => !this.#held.has(shard)).sort((a, b) => a - b);
    for (const shard of missing) {
      const queue = this.#waiting.get(shard);
      if (queue === undefined) {
        this.#waiting.set(shard, []);
      } else {
        if (shard < this.#highest) throw new LockOrderError(missing);
        await new Promise<void>((resolve) => {
          queue.push(resolve);
        });
      }
      this.#held.add(shard);
      this.#highest = Math.max(this.#highest, shard);
    }
  }

  release(): void {
    for (const shard of this.#held) {
      const next = this.#waiting.get(shard)?.shift();
      // The lock passes on without being free in between.
      if (next === undefined) this.#waiting.delete(shard);
      else next();
    }
    this.#held.clear();
    this.#highest = -1;
  }
}
