import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type KeyJob, KeyLocks } from '../../../../src/api/resp/key-locks.ts';

interface Job extends KeyJob {
  readonly id: number;
}

function job(id: number, access: 'read' | 'write', ...keys: string[]): Job {
  return { id, access, keys, blockers: 0 };
}

function idsOf(jobs: readonly Job[]): number[] {
  return jobs.map(({ id }) => id);
}

describe('KeyLocks', () => {
  test('readers share, a writer waits for them, readers behind it wait for it', () => {
    const locks = new KeyLocks<Job>();
    const jobs = [job(1, 'read', 'k'), job(2, 'read', 'k'), job(3, 'write', 'k'), job(4, 'read', 'k')] as const;
    expect(jobs.map((each) => locks.acquire(each))).toEqual([true, true, false, false]);
    expect(idsOf(locks.release(jobs[0]))).toEqual([]);
    expect(idsOf(locks.release(jobs[1]))).toEqual([3]);
    expect(idsOf(locks.release(jobs[2]))).toEqual([4]);
    expect(idsOf(locks.release(jobs[3]))).toEqual([]);
    expect(locks.size).toBe(0);
  });

  test('a job on several keys waits for all of them and holds up later ones on any', () => {
    const locks = new KeyLocks<Job>();
    const [a, b, both, c] = [
      job(1, 'write', 'a'),
      job(2, 'write', 'b'),
      job(3, 'write', 'a', 'b'),
      job(4, 'read', 'b'),
    ] as const;
    expect([a, b, both, c].map((each) => locks.acquire(each))).toEqual([true, true, false, false]);
    expect(idsOf(locks.release(a))).toEqual([]);
    expect(idsOf(locks.release(b))).toEqual([3]);
    expect(idsOf(locks.release(both))).toEqual([4]);
  });

  test('any mix ends, never overlaps a writer, and keeps the order on every key', () => {
    const anyJob = fc.tuple(
      fc.constantFrom<'read' | 'write'>('read', 'write'),
      fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { minLength: 1 }),
    );
    fc.assert(
      fc.property(fc.array(anyJob, { maxLength: 30 }), fc.infiniteStream(fc.nat(1000)), (shapes, picks) => {
        const locks = new KeyLocks<Job>();
        const all = shapes.map(([access, keys], id) => job(id, access, ...keys));
        const started: number[] = [];
        const running = new Set<Job>();
        const start = (next: Job): void => {
          for (const other of running) {
            const shared = other.keys.some((key) => next.keys.includes(key));
            expect(shared && (other.access === 'write' || next.access === 'write')).toBe(false);
          }
          running.add(next);
          started.push(next.id);
        };
        for (const each of all) if (locks.acquire(each)) start(each);
        while (running.size > 0) {
          const done = [...running][(picks.next().value as number) % running.size] as Job;
          running.delete(done);
          for (const next of locks.release(done)) start(next);
        }
        expect(started).toHaveLength(all.length);
        expect(locks.size).toBe(0);
        for (const writer of all.filter(({ access }) => access === 'write')) {
          const related = all.filter((other) => other.keys.some((key) => writer.keys.includes(key)));
          for (const other of related) {
            expect(started.indexOf(other.id) < started.indexOf(writer.id)).toBe(other.id < writer.id);
          }
        }
      }),
    );
  });
});
