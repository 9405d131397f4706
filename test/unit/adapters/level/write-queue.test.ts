import { describe, expect, it } from 'vitest';
import { type Operation, WriteQueue } from '../../../../src/adapters/level/write-queue.ts';

/** A disk whose every write waits until the test lets it finish. */
class SlowDisk {
  readonly groups: string[][] = [];
  #finish: ((error?: Error) => void)[] = [];

  write = (operations: Operation[]): Promise<void> => {
    this.groups.push(operations.map((operation) => Buffer.from(operation.key).toString()));
    return new Promise((resolve, reject) => {
      this.#finish.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  };

  async finish(error?: Error): Promise<void> {
    await settled(() => this.#finish.length > 0);
    this.#finish.shift()?.(error);
  }
}

describe('write queue', () => {
  it('joins what waits during a sync into one group', async () => {
    const disk = new SlowDisk();
    const queue = new WriteQueue({ write: disk.write, admitPuts: async () => {} });
    const first = queue.commit([put('a')]);
    await settled(() => disk.groups.length === 1);
    const rest = [queue.commit([put('b'), del('c')]), queue.commit([put('d')])];
    await disk.finish();
    await first;
    await disk.finish();
    await Promise.all(rest);
    expect(disk.groups).toEqual([['a'], ['b', 'c', 'd']]);
    expect(queue.bytes).toBe(0);
  });

  it('bounds a group by bytes and still writes a larger commit', async () => {
    const disk = new SlowDisk();
    const queue = new WriteQueue({ write: disk.write, admitPuts: async () => {} });
    const commits = [queue.commit([put('a', 3e6)]), queue.commit([put('b', 3e6)]), queue.commit([put('c', 9e6)])];
    for (const commit of commits) {
      await disk.finish();
      await commit;
    }
    expect(disk.groups).toEqual([['a'], ['b'], ['c']]);
  });

  it('fails every commit of a group that failed, and goes on', async () => {
    const disk = new SlowDisk();
    const queue = new WriteQueue({ write: disk.write, admitPuts: async () => {} });
    const outcomes = Promise.allSettled([queue.commit([put('a')]), queue.commit([put('b')])]);
    await disk.finish(new Error('bad disk'));
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    const next = queue.commit([put('c')]);
    await disk.finish();
    await next;
  });

  it('refuses puts but not deletes when puts are not admitted', async () => {
    const groups: number[] = [];
    const queue = new WriteQueue({
      write: async (operations) => void groups.push(operations.length),
      admitPuts: () => Promise.reject(new Error('full')),
    });
    const outcomes = await Promise.allSettled([
      queue.commit([put('a')]),
      queue.commit([del('b')]),
      queue.commit([del('c'), put('d')]),
    ]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'fulfilled', 'rejected']);
    expect(groups).toEqual([1]);
  });

  it('clears in pieces between groups, and holds commits that touch the range until it is done', async () => {
    const events: string[] = [];
    const queue = new WriteQueue({
      write: async (operations) => void events.push(operations.map((one) => Buffer.from(one.key).toString()).join()),
      admitPuts: async () => {},
    });
    let pieces = 0;
    const clear = queue.clear({ from: Buffer.from('k'), to: Buffer.from('l') }, async () => {
      pieces += 1;
      events.push(`piece ${pieces}`);
      // Others keep writing while a long clear goes on.
      if (pieces === 1) void queue.commit([put('x')]);
      if (pieces === 2) void queue.commit([put('k1')]);
      return pieces === 4;
    });
    await clear;
    await queue.idle();
    expect(events).toEqual(['piece 1', 'x', 'piece 2', 'piece 3', 'piece 4', 'k1']);
  });

  it('runs a task alone and passes its error on', async () => {
    const disk = new SlowDisk();
    const queue = new WriteQueue({ write: disk.write, admitPuts: async () => {} });
    const commit = queue.commit([put('a')]);
    let ran = false;
    const task = queue.task(async () => {
      ran = true;
      throw new Error('no');
    });
    const outcome = task.then(
      () => 'done',
      (error: unknown) => String(error),
    );
    await settled(() => disk.groups.length === 1);
    expect(ran).toBe(false);
    await disk.finish();
    await commit;
    expect(await outcome).toBe('Error: no');
    expect(ran).toBe(true);
  });
});

function put(key: string, bytes = 1): Operation {
  return { type: 'put', key: Buffer.from(key), value: new Uint8Array(bytes) };
}

function del(key: string): Operation {
  return { type: 'del', key: Buffer.from(key) };
}

/** Lets microtasks run until the condition holds. */
async function settled(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 1000 && !condition(); turn++) await Promise.resolve();
  expect(condition()).toBe(true);
}
