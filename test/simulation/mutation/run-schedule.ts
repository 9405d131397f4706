import { drawSchedule, type Schedule } from '../schedule.ts';
import type { Mutation } from './mutations.ts';

const SAFETY_MS = 30_000;

/** What is run for a mutation; with another seed than its own where one is given. */
export function scheduleOf({ schedule, seed }: Mutation, otherSeed = seed): Schedule {
  // Most bugs are of other buckets.
  return { ...drawSchedule(otherSeed, { safetyMs: SAFETY_MS, strong: false }), ...schedule };
}
