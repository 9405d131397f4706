import { RunAborted } from '../checkers/index.ts';
import { drawSchedule, type Schedule } from '../schedule.ts';
import { runSchedule } from '../swarm.ts';
import { foundingRace } from './founding-race.ts';
import type { Mutation } from './mutation.ts';

const SAFETY_MS = 30_000;

/** What is run for a mutation; with another seed than its own where one is given. */
function scheduleOf({ schedule }: Mutation, seed: number): Schedule {
  // Most bugs are of other buckets.
  return { ...drawSchedule(seed, { safetyMs: SAFETY_MS, strong: false }), ...schedule };
}

/** What was wrong with the run of a mutation at a seed. */
export function problemsOf(mutation: Mutation, seed: number): readonly string[] {
  if (mutation.story === 'founding-race') return foundingRace(seed);
  try {
    return runSchedule(scheduleOf(mutation, seed)).problems;
  } catch (error) {
    if (error instanceof RunAborted) return [error.message];
    throw error;
  }
}

/** Names the run: mutations that name the same one share it. */
export function runIdOf(mutation: Mutation, seed: number): string {
  return mutation.story === undefined ? JSON.stringify(scheduleOf(mutation, seed)) : `${mutation.story} ${seed}`;
}
