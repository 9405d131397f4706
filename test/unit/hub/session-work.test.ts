import { describe, expect, it } from 'vitest';
import { SessionWork } from '../../../src/hub/session-work.ts';

/** Work whose ends the test decides on. */
class Steps {
  readonly begun: string[] = [];
  private readonly ends = new Map<string, () => void>();

  add(work: SessionWork, name: string, shards: readonly number[] | 'all', bytes = 1): void {
    work.add({
      shards,
      bytes,
      run: () => {
        this.begun.push(name);
        return new Promise((resolve) => {
          this.ends.set(name, resolve);
        });
      },
    });
  }

  /** Ends one, and lets what follows begin. */
  async end(name: string): Promise<void> {
    const end = this.ends.get(name);
    if (end === undefined) throw new Error(`${name} has not begun`);
    end();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

describe('the requests of a session', () => {
  it('about different shards run at the same time, up to a bound', async () => {
    const work = new SessionWork(2);
    const steps = new Steps();
    for (const [shard, name] of ['a', 'b', 'c'].entries()) steps.add(work, name, [shard]);
    expect(steps.begun).toEqual(['a', 'b']);
    await steps.end('b');
    expect(steps.begun).toEqual(['a', 'b', 'c']);
  });

  it('about the same shard run in their order', async () => {
    const work = new SessionWork(8);
    const steps = new Steps();
    steps.add(work, 'a', [1, 2]);
    steps.add(work, 'b', [2, 3]);
    steps.add(work, 'c', [3]);
    steps.add(work, 'd', [1]);
    steps.add(work, 'e', [4]);
    expect(steps.begun).toEqual(['a', 'e']);
    await steps.end('a');
    expect(steps.begun).toEqual(['a', 'e', 'b', 'd']);
    await steps.end('b');
    expect(steps.begun).toEqual(['a', 'e', 'b', 'd', 'c']);
  });

  it('that wait keep nobody from running', async () => {
    const work = new SessionWork(2);
    const steps = new Steps();
    steps.add(work, 'a', [1]);
    for (const name of ['b', 'c', 'd']) steps.add(work, name, [1]);
    steps.add(work, 'e', [2]);
    expect(steps.begun).toEqual(['a', 'e']);
  });

  it('that are to run alone do so', async () => {
    const work = new SessionWork(8);
    const steps = new Steps();
    steps.add(work, 'a', [1]);
    steps.add(work, 'alone', 'all');
    steps.add(work, 'b', [2]);
    steps.add(work, 'c', []);
    expect(steps.begun).toEqual(['a']);
    await steps.end('a');
    expect(steps.begun).toEqual(['a', 'alone']);
    await steps.end('alone');
    expect(steps.begun).toEqual(['a', 'alone', 'b', 'c']);
  });

  it('are counted until they end, and waited for', async () => {
    const work = new SessionWork(1);
    const steps = new Steps();
    await work.drained();
    steps.add(work, 'a', [1], 10);
    steps.add(work, 'b', [1], 20);
    let isDrained = false;
    const drained = work.drained().then(() => {
      isDrained = true;
    });
    expect([work.count, work.bytes]).toEqual([2, 30]);
    await steps.end('a');
    expect([work.count, work.bytes, isDrained]).toEqual([1, 20, false]);
    await steps.end('b');
    await drained;
    expect([work.count, work.bytes]).toEqual([0, 0]);
  });
});
