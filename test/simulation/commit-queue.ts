import type { RegisterWrite } from '../../src/protocol/register/record.ts';
import type { RecordClear, RecordWrite, ShardRecord } from '../../src/protocol/replication/record.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** Between two tries of a commit that the disk refused; as in `src/runtime/group-commit.ts`. */
const RETRY_DELAY_MS = 500;

interface Batch {
  readonly writes: (RecordWrite | RegisterWrite)[];
  readonly changes: (() => void)[];
  readonly shards: Map<number, ShardRecord>;
  readonly done: (() => void)[];
  clear: { readonly range: RecordClear; readonly done: () => void } | null;
}

export interface CommitQueueOptions {
  readonly disk: VirtualDisk;
  /** Draws the duration of one sync. */
  readonly syncMs: () => number;
  /** The disk has no room: a commit fails. */
  readonly isFull: () => boolean;
  /** Runs after a time, at the disk. */
  readonly after: (delayMs: number, run: () => void) => void;
  /** Runs in the process, as soon as it runs at all. */
  readonly deliver: (run: () => void) => void;
  readonly onRefused: () => void;
  readonly onRecovered: () => void;
}

/**
 * The group commit of the runtime on a virtual disk: one synced batch at a time, applied whole or not at all; what is
 * persisted meanwhile forms the next. The record of a shard is taken as it is when its batch closes.
 */
export class CommitQueue {
  private readonly options: CommitQueueOptions;
  private gathering = emptyBatch();
  /** Closed batches, each ended by a clear. */
  private readonly waiting: Batch[] = [];
  private running: { readonly batch: Batch; applied: boolean } | null = null;
  private refused = false;
  private dead = false;

  constructor(options: CommitQueueOptions) {
    this.options = options;
  }

  get idle(): boolean {
    return this.running === null && this.waiting.length === 0 && isEmpty(this.gathering);
  }

  add(writes: readonly (RecordWrite | RegisterWrite)[], done: () => void): void {
    const { gathering } = this;
    for (const write of writes) {
      if (write.table === 'shard' && write.value !== null) gathering.shards.set(write.shard, write.value);
      else gathering.writes.push(write);
    }
    gathering.done.push(done);
  }

  /** A change of the node's own records (incarnation, catalog, address book). */
  addChange(change: () => void, done: () => void): void {
    this.gathering.changes.push(change);
    this.gathering.done.push(done);
  }

  clear(range: RecordClear, done: () => void): void {
    closeShards(this.gathering);
    this.gathering.clear = { range, done };
    this.waiting.push(this.gathering);
    this.gathering = emptyBatch();
  }

  /** Starts the next batch unless one is under way. Called at the end of every turn. */
  flush(): void {
    if (this.running !== null || this.dead) return;
    let batch = this.waiting.shift();
    if (batch === undefined) {
      if (isEmpty(this.gathering)) return;
      batch = this.gathering;
      this.gathering = emptyBatch();
    }
    closeShards(batch);
    this.running = { batch, applied: false };
    this.sync();
  }

  /** The process dies. What was being synced may have reached the disk all the same. */
  crash(survives: boolean): void {
    this.dead = true;
    if (this.running !== null && !this.running.applied && survives && !this.options.isFull()) this.apply();
  }

  private sync(): void {
    const { after, syncMs, isFull, deliver } = this.options;
    after(syncMs(), () => {
      if (this.dead) return;
      if (isFull()) {
        deliver(() => this.refuse());
        return;
      }
      this.apply();
      deliver(() => this.confirm());
    });
  }

  private apply(): void {
    const { running, options } = this;
    if (running === null) return;
    running.applied = true;
    for (const write of running.batch.writes) options.disk.apply(write);
    for (const change of running.batch.changes) change();
  }

  private refuse(): void {
    if (!this.refused) this.options.onRefused();
    this.refused = true;
    this.options.after(RETRY_DELAY_MS, () => {
      if (!this.dead) this.sync();
    });
  }

  private confirm(): void {
    const { running, options } = this;
    if (running === null) return;
    if (this.refused) options.onRecovered();
    this.refused = false;
    for (const done of running.batch.done) done();
    const { clear } = running.batch;
    if (clear === null) this.end();
    else this.clearNext(clear, 0);
  }

  /** The ranges go one after the other: a crash in between leaves the later ones. */
  private clearNext(clear: NonNullable<Batch['clear']>, step: number): void {
    const { after, syncMs, deliver, disk } = this.options;
    after(syncMs() / 3, () => {
      if (this.dead) return;
      const isLast = disk.clearStep(clear.range, step);
      deliver(() => {
        if (!isLast) {
          this.clearNext(clear, step + 1);
          return;
        }
        clear.done();
        this.end();
      });
    });
  }

  private end(): void {
    this.running = null;
    this.flush();
  }
}

/** Takes the shard records as they are now. */
function closeShards(batch: Batch): void {
  for (const [shard, { context, complete, sources, bare, named }] of batch.shards) {
    batch.writes.push({
      table: 'shard',
      shard,
      value: { context: context.clone(), complete, sources: new Set(sources), bare, named: named.clone() },
    });
  }
  batch.shards.clear();
}

function emptyBatch(): Batch {
  return { writes: [], changes: [], shards: new Map(), done: [], clear: null };
}

function isEmpty(batch: Batch): boolean {
  return batch.done.length === 0 && batch.clear === null;
}
