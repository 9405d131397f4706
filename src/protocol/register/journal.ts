import { assert } from '../../lib/assert.ts';
import type { RegisterWrite } from './record.ts';

/**
 * Persist before send. Collects the writes of a turn into one batch and holds back whatever must not be
 * said before they are synced. Ids count up by one and are confirmed in order.
 */
export class Journal {
  private readonly waiting = new Map<number, (() => void)[]>();
  private writes: RegisterWrite[] = [];
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
  write(write: RegisterWrite): number {
    this.writes.push(write);
    return this.turnId;
  }

  /** Calls back once the batch `id` is synced, at once if it is. */
  whenDurable(id: number, callback: () => void): void {
    if (id <= this.durableId) {
      callback();
      return;
    }
    const list = this.waiting.get(id);
    if (list === undefined) this.waiting.set(id, [callback]);
    else list.push(callback);
  }

  /** Ends the turn: hands its batch to `persist`. */
  flush(persist: (id: number, writes: readonly RegisterWrite[]) => void): void {
    if (this.writes.length === 0) return;
    const { writes } = this;
    this.writes = [];
    persist(++this.lastId, writes);
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
}
