import { RunAborted } from '../../test/simulation/checkers/index.ts';
import type { SimObserver } from '../../test/simulation/observer.ts';
import { drawSchedule, type Schedule } from '../../test/simulation/schedule.ts';
import { runSchedule } from '../../test/simulation/swarm.ts';

/** What is told of one run; plain data, so that a worker can send it. */
export interface RunReport {
  readonly schedule: Schedule;
  readonly problems: readonly string[];
  /** What was done to the cluster, in order of time. */
  readonly faults: readonly string[];
  readonly writes: number;
  readonly acks: number;
  /** Operations on strong keys. */
  readonly strongOperations: number;
  /** What could not be held against the run. */
  readonly exemptions: readonly string[];
  readonly simulatedMs: number;
  readonly elapsedMs: number;
  /** Of this thread: what it takes of one core, whatever else the machine does. */
  readonly cpuMs: number;
}

/** What decides a run, besides its seed. */
export interface RunOptions {
  readonly seconds: number;
  readonly nodes: number | undefined;
  readonly ring: boolean;
  readonly buckets: boolean;
  readonly salvage: boolean;
  readonly strong: boolean;
  readonly hub: boolean;
}

export function scheduleOf(
  seed: number,
  { seconds, nodes, ring, buckets, salvage, strong, hub }: RunOptions,
): Schedule {
  return drawSchedule(seed, {
    safetyMs: seconds * 1000,
    ...(ring ? { ring } : {}),
    ...(buckets ? { buckets } : {}),
    ...(salvage ? { salvage } : {}),
    ...(strong ? { strong } : {}),
    ...(hub ? { hub } : {}),
    ...(nodes === undefined ? {} : { nodes }),
  });
}

/** Runs a schedule; an exception in it is a problem like any other. */
export function run(schedule: Schedule, observers: readonly SimObserver[] = []): RunReport {
  const startedMs = performance.now();
  const startedCpu = process.threadCpuUsage();
  const cost = (): { readonly elapsedMs: number; readonly cpuMs: number } => {
    const { user, system } = process.threadCpuUsage(startedCpu);
    return { elapsedMs: performance.now() - startedMs, cpuMs: (user + system) / 1000 };
  };
  try {
    const { problems, faults, history, placed, strong, exemptions, simulatedMs } = runSchedule(schedule, { observers });
    const all = [history, ...placed];
    const writes = all.reduce((sum, each) => sum + each.writes, 0);
    const acks = all.reduce((sum, each) => sum + each.acks, 0);
    const strongOperations = strong.count;
    return { schedule, problems, faults, writes, acks, strongOperations, exemptions, simulatedMs, ...cost() };
  } catch (error) {
    const problem = error instanceof RunAborted ? error.message : `exception: ${stackOf(error)}`;
    const nothing = { faults: [], writes: 0, acks: 0, strongOperations: 0, exemptions: [], simulatedMs: 0 };
    return { schedule, problems: [problem], ...nothing, ...cost() };
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
