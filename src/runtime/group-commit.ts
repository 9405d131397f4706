import type { Clock } from '../ports/clock.ts';
import { type Storage, StorageError, type StorageRange, type StorageWrite } from '../ports/storage.ts';
import type { RegisterWrite } from '../protocol/register/record.ts';
import type { RecordWrite, ShardRecord } from '../protocol/replication/record.ts';
import { storageWrite } from '../wire/record.ts';

/** Between two tries of a commit that the disk refused. */
const RETRY_DELAY_MS = 500;
/** Tries of a commit that fails for another reason than a full disk; then the process gives up. */
const TRIES_MAX = 10;

export interface GroupCommitHooks {
  /** A batch failed and will be tried again; nothing of it was acknowledged. */
  readonly onRefused: (error: StorageError) => void;
  readonly onRecovered: () => void;
  /** The disk does not take writes any more: the node cannot go on. */
  readonly onFatal: (error: Error) => void;
}

interface Batch {
  readonly writes: StorageWrite[];
  readonly shards: Map<number, ShardRecord>;
  readonly clears: { readonly ranges: readonly StorageRange[]; readonly done: () => void }[];
  readonly done: (() => void)[];
}

/**
 * One synced batch at a time: while it is under way, everything persisted meanwhile gathers for the next one.
 * The slower the disk, the larger the batches. A shard's record is encoded once a batch, when it closes.
 */
export class GroupCommit {
  private readonly storage: Storage;
  private readonly clock: Clock;
  private readonly hooks: GroupCommitHooks;
  private gathering = emptyBatch();
  /** Closed batches, each ended by a clear. */
  private readonly waiting: Batch[] = [];
  private running: Promise<void> | null = null;
  private refused = false;
  /** The disk is given up: nothing is committed any more. */
  private failed = false;

  constructor(storage: Storage, clock: Clock, hooks: GroupCommitHooks) {
    this.storage = storage;
    this.clock = clock;
    this.hooks = hooks;
  }

  /** Adds records to the next batch; `done` is called once they are synced, in the order of the calls. */
  add(writes: readonly (RecordWrite | RegisterWrite)[], done: () => void): void {
    const { gathering } = this;
    for (const write of writes) {
      if (write.table === 'shard' && write.value !== null) gathering.shards.set(write.shard, write.value);
      else gathering.writes.push(storageWrite(write));
    }
    gathering.done.push(done);
  }

  addRaw(write: StorageWrite, done: () => void): void {
    this.gathering.writes.push(write);
    this.gathering.done.push(done);
  }

  /** Deletes ranges once everything added before is synced, and before anything added later is. */
  clear(ranges: readonly StorageRange[], done: () => void): void {
    // The contexts go on changing; this batch must not claim events of a later one.
    closeShards(this.gathering);
    // What is added from now on must not be in a batch that is applied before the ranges are deleted.
    this.gathering.clears.push({ ranges, done });
    this.waiting.push(this.gathering);
    this.gathering = emptyBatch();
  }

  /** Starts the next batch unless one is under way. Called at the end of every turn. */
  flush(): void {
    if (this.running !== null || this.failed) return;
    let batch = this.waiting.shift();
    if (batch === undefined) {
      if (isEmpty(this.gathering)) return;
      batch = this.gathering;
      this.gathering = emptyBatch();
    }
    closeShards(batch);
    this.running = this.run(batch)
      .then(() => {
        this.running = null;
        this.flush();
      })
      .catch((error: unknown) => {
        this.running = null;
        this.failed = true;
        this.hooks.onFatal(error instanceof Error ? error : new Error(String(error)));
      });
  }

  /** Resolves when nothing is left to be synced. */
  async drain(): Promise<void> {
    this.flush();
    while (this.running !== null) await this.running;
  }

  private async run(batch: Batch): Promise<void> {
    if (batch.writes.length > 0) await this.commit(batch.writes);
    for (const done of batch.done) done();
    for (const { ranges, done } of batch.clears) {
      for (const range of ranges) await this.storage.clear(range);
      done();
    }
  }

  private async commit(writes: readonly StorageWrite[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.storage.commit(writes);
        if (this.refused) this.hooks.onRecovered();
        this.refused = false;
        return;
      } catch (error) {
        // A full disk may get space back; a broken one does not heal.
        if (!(error instanceof StorageError) || (error.code !== 'disk-full' && attempt >= TRIES_MAX)) throw error;
        if (!this.refused) this.hooks.onRefused(error);
        this.refused = true;
        await new Promise<void>((resolve) => this.clock.after(RETRY_DELAY_MS, resolve));
      }
    }
  }
}

/** Encodes the shard records as they are now. */
function closeShards(batch: Batch): void {
  for (const [shard, value] of batch.shards) batch.writes.push(storageWrite({ table: 'shard', shard, value }));
  batch.shards.clear();
}

function emptyBatch(): Batch {
  return { writes: [], shards: new Map(), clears: [], done: [] };
}

function isEmpty(batch: Batch): boolean {
  return batch.writes.length === 0 && batch.shards.size === 0 && batch.clears.length === 0 && batch.done.length === 0;
}
