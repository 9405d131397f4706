import { assert } from './assert.ts';

/**
 * Persist before send. Collects the writes of a turn into one batch and holds back whatever must not be
 * said before they are synced. Ids count up by one and are confirmed in order.
 */
export class Journal<Write> {
  private readonly waiting = new Map<number, (() => void)[]>();
  private writes: Write[] = [];
  private turnCallbacks: (() => void)[] = [];
  private lastId = 0;
  private durableId = 0;

  /** The id that writes of the current turn will carry. */
  get turnId(): number {
    return this.lastId + 1;
  }

  /** The last batch that holds anything written up to now, in this turn and before. */
  get latestId(): number {
    return this.writes.length > 0 ? this.turnId : this.lastId;
  }

  /** Batches that are not synced yet. */
  get pending(): number {
    return this.lastId - this.durableId;
  }

  isDurable(id: number): boolean {
    return id <= this.durableId;
  }

  /** Returns the id of the batch. */
  write(write: Write): number {
    this.writes.push(write);
    return this.turnId;
  }

  /** Calls back once everything written up to now, in this turn and before, is synced; at the end of the turn if it is. */
  afterTurn(callback: () => void): void {
    this.turnCallbacks.push(callback);
  }

  /** Calls back once the batch `id` is synced, at once if it is. */
  whenDurable(id: number, callback: () => void): void {
    if (id <= this.durableId) {
      callback();
    } else if (id > this.lastId) {
      this.turnCallbacks.push(callback);
    } else {
      this.defer(id, [callback]);
    }
  }

  /**
   * Ends the turn: hands its batch to `persist`. When nothing was written and nothing is pending, what waited
   * for the turn runs now; it may write again, which makes one more batch. `complete` adds what a batch must not
   * be without.
   */
  flush(persist: (id: number, writes: readonly Write[]) => void, complete: () => void = nothing): void {
    for (complete(); this.writes.length > 0 || this.turnCallbacks.length > 0; complete()) {
      const callbacks = this.turnCallbacks;
      this.turnCallbacks = [];
      if (this.writes.length === 0) {
        if (this.pending > 0) this.defer(this.lastId, callbacks);
        else for (const callback of callbacks) callback();
        continue;
      }
      const id = ++this.lastId;
      const writes = this.writes;
      this.writes = [];
      if (callbacks.length > 0) this.defer(id, callbacks);
      persist(id, writes);
    }
  }

  handlePersisted(id: number): void {
    assert(id <= this.lastId, 'a batch is confirmed after it was handed out');
    while (this.durableId < id) {
      const done = ++this.durableId;
      const callbacks = this.waiting.get(done);
      if (callbacks === undefined) continue;
      this.waiting.delete(done);
      for (const callback of callbacks) callback();
    }
  }

  private defer(id: number, callbacks: (() => void)[]): void {
    const list = this.waiting.get(id);
    if (list === undefined) this.waiting.set(id, callbacks);
    else list.push(...callbacks);
  }
}

function nothing(): void {}
