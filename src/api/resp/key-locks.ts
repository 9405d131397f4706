/** Something to run that reads or writes keys. */
export interface KeyJob {
  /** Distinct. */
  readonly keys: readonly string[];
  readonly access: 'read' | 'write';
  /** Keys still held by earlier jobs; kept by `KeyLocks`. */
  blockers: number;
}

interface KeyLock<Job> {
  readers: number;
  writer: boolean;
  /** Null until someone waits, which is rare. */
  queue: Job[] | null;
}

/**
 * First-come read/write locks on keys: jobs on different keys run at once, jobs on one key in the order they came,
 * except that reads share. A job joins the queues of all its keys in one step, so jobs never wait in a circle.
 */
export class KeyLocks<Job extends KeyJob> {
  private readonly locks = new Map<string, KeyLock<Job>>();

  /** Number of keys held; 0 when nothing runs. */
  get size(): number {
    return this.locks.size;
  }

  /** True when the job may run now; otherwise a later `release` returns it. */
  acquire(job: Job): boolean {
    let blockers = 0;
    for (const key of job.keys) {
      const lock = this.locks.get(key);
      if (lock === undefined) {
        const held = job.access === 'write';
        this.locks.set(key, { readers: held ? 0 : 1, writer: held, queue: null });
      } else if (job.access === 'read' && !lock.writer && lock.queue === null) {
        lock.readers++;
      } else {
        lock.queue ??= [];
        lock.queue.push(job);
        blockers++;
      }
    }
    job.blockers = blockers;
    return blockers === 0;
  }

  /** Gives up the job's keys and returns the jobs that may run now. */
  release(job: Job): Job[] {
    const runnable: Job[] = [];
    for (const key of job.keys) {
      const lock = this.locks.get(key) as KeyLock<Job>;
      if (job.access === 'write') lock.writer = false;
      else lock.readers--;
      if (lock.queue !== null) grant(lock, lock.queue, runnable);
      if (!lock.writer && lock.readers === 0) this.locks.delete(key);
    }
    return runnable;
  }
}

function grant<Job extends KeyJob>(lock: KeyLock<Job>, queue: Job[], runnable: Job[]): void {
  while (queue.length > 0 && !lock.writer) {
    const head = queue[0] as Job;
    if (head.access === 'write') {
      if (lock.readers > 0) return;
      lock.writer = true;
    } else {
      lock.readers++;
    }
    queue.shift();
    if (--head.blockers === 0) runnable.push(head);
  }
  if (queue.length === 0) lock.queue = null;
}
