import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Mutation } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';
import { problemsOf, runIdOf } from './run-schedule.ts';
import { mutated } from './source.ts';

const root = resolve(import.meta.dirname, '../../..');
const LOADER = new URL('./loader.ts', import.meta.url).href;
const RUN = new URL('./run.ts', import.meta.url).pathname;
/** Children at once. */
const JOBS = 2;
/** Seeds tried from the named one on: a change of the simulator shifts what a seed stands for. */
const TRIES = 40;

interface Outcome {
  readonly exit: number | null;
  readonly seed: number;
  readonly problems: readonly string[];
  readonly errors: string;
}

/** The run in a process of its own, with the bug planted. */
function runMutated({ name, seed: first }: Mutation): Promise<Outcome> {
  const { promise, resolve: use } = Promise.withResolvers<Outcome>();
  const options = { cwd: root, env: { ...process.env, HOLDFAST_MUTATION: name }, maxBuffer: 64 * 1024 * 1024 };
  const child = execFile(
    process.execPath,
    ['--import', LOADER, RUN, name, `${first}`, `${TRIES}`],
    options,
    (_error, stdout, errors) => {
      const found = stdout === '' ? {} : (JSON.parse(stdout) as Pick<Outcome, 'seed' | 'problems'>);
      use({ exit: child.exitCode, seed: first, problems: [], errors, ...found });
    },
  );
  return promise;
}

/** Starts all, so many at a time, and hands out what becomes of each. */
function startAll(mutations: readonly Mutation[]): ReadonlyMap<Mutation, Promise<Outcome>> {
  const waiting = mutations.map((mutation) => ({ mutation, ...Promise.withResolvers<Outcome>() }));
  const outcomes = new Map(waiting.map(({ mutation, promise }) => [mutation, promise]));
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      next.resolve(await runMutated(next.mutation));
    }
  };
  for (let job = 0; job < JOBS; job++) void work();
  return outcomes;
}

describe('seeded bugs', () => {
  let started: ReadonlyMap<Mutation, Promise<Outcome>> | null = null;
  const outcomes = (): ReadonlyMap<Mutation, Promise<Outcome>> => (started ??= startAll(MUTATIONS));

  test('each has its text once in its source', () => {
    for (const mutation of MUTATIONS) {
      const source = readFileSync(join(root, 'src', mutation.file), 'utf8');
      expect(mutated(source, mutation), mutation.name).not.toBe(source);
    }
    const [first] = MUTATIONS as readonly [Mutation, ...Mutation[]];
    expect(() => mutated('', first)).toThrow('occurs 0 times');
    expect(() => mutated(first.find.repeat(2), first)).toThrow('occurs 2 times');
  });

  test.each(MUTATIONS)('$name: caught by $caughtBy (seed $seed)', async (mutation) => {
    const outcome = await outcomes().get(mutation);
    expect(outcome?.exit, outcome?.errors).toBe(1);
    expect(outcome?.problems.filter((problem) => problem.startsWith(`${mutation.caughtBy}: `))).not.toEqual([]);
  });

  test('without them the same runs are green', async () => {
    const runs = new Map<string, { readonly mutation: Mutation; readonly seed: number }>();
    for (const [mutation, outcome] of outcomes()) {
      const { seed } = await outcome;
      runs.set(runIdOf(mutation, seed), { mutation, seed });
    }
    for (const [id, { mutation, seed }] of runs) expect(problemsOf(mutation, seed), id).toEqual([]);
  });
});
