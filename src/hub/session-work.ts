/** What one request has to do. */
export interface Work {
  /** The shards that it is about; `all`: it runs alone. */
  readonly shards: readonly number[] | 'all';
  /** Memory that it holds, about. */
  readonly bytes: number;
  /** Never rejects. */
  run(): Promise<void>;
}

interface Task {
  readonly work: Work;
  /** Earlier ones that have to end first. */
  waitsFor: number;
  readonly followers: Set<Task>;
}

/**
 * The requests of one session: several at a time, but in the order in which they came where they are about the same shard.
 * A site sends what it has learnt from one answer in the next request, and may send that before the answer.
 */
export class SessionWork {
  private readonly runningMax: number;
  private running = 0;
  private readonly ready: Task[] = [];
  private readonly open = new Set<Task>();
  /** Of each shard the latest task. */
  private readonly latest = new Map<number, Task>();
  /** The latest that runs alone, while it is open. */
  private alone: Task | null = null;
  private heldBytes = 0;
  private readonly idle: (() => void)[] = [];

  constructor(runningMax: number) {
    this.runningMax = runningMax;
  }

  /** Requests that have not been answered. */
  get count(): number {
    return this.open.size;
  }

  /** Memory that they hold, about. */
  get bytes(): number {
    return this.heldBytes;
  }

  add(work: Work): void {
    const task: Task = { work, waitsFor: 0, followers: new Set() };
    for (const earlier of this.before(work)) {
      earlier.followers.add(task);
      task.waitsFor++;
    }
    this.open.add(task);
    this.heldBytes += work.bytes;
    if (work.shards === 'all') this.alone = task;
    else for (const shard of work.shards) this.latest.set(shard, task);
    if (task.waitsFor === 0) this.ready.push(task);
    this.runNext();
  }

  /** Resolves when nothing is open. */
  drained(): Promise<void> {
    if (this.open.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.push(resolve);
    });
  }

  private before({ shards }: Work): ReadonlySet<Task> {
    if (shards === 'all') return this.open;
    const earlier = new Set<Task>();
    if (this.alone !== null) earlier.add(this.alone);
    for (const shard of shards) {
      const task = this.latest.get(shard);
      if (task !== undefined) earlier.add(task);
    }
    return earlier;
  }

  private runNext(): void {
    while (this.running < this.runningMax) {
      const task = this.ready.shift();
      if (task === undefined) return;
      this.running++;
      void task.work.run().then(() => this.finish(task));
    }
  }

  private finish(task: Task): void {
    this.running--;
    this.open.delete(task);
    this.heldBytes -= task.work.bytes;
    if (this.alone === task) this.alone = null;
    const { shards } = task.work;
    if (shards !== 'all') for (const shard of shards) if (this.latest.get(shard) === task) this.latest.delete(shard);
    for (const follower of task.followers) if (--follower.waitsFor === 0) this.ready.push(follower);
    this.runNext();
    if (this.open.size === 0) for (const resolve of this.idle.splice(0)) resolve();
  }
}
