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
  readonly simulatedMs: number;
  readonly elapsedMs: number;
}

export function scheduleOf(seed: number, seconds: number, nodes: number | undefined): Schedule {
  return drawSchedule(seed, { safetyMs: seconds * 1000, ...(nodes === undefined ? {} : { nodes }) });
}

/** Runs a schedule; an exception in it is a problem like any other. */
export function run(schedule: Schedule, observers: readonly SimObserver[] = []): RunReport {
  const startedMs = performance.now();
  try {
    const { problems, faults, history, simulatedMs } = runSchedule(schedule, { observers });
    const { writes, acks } = history;
    return { schedule, problems, faults, writes, acks, simulatedMs, elapsedMs: performance.now() - startedMs };
  } catch (error) {
    const problem = error instanceof RunAborted ? error.message : `exception: ${stackOf(error)}`;
    const elapsedMs = performance.now() - startedMs;
    return { schedule, problems: [problem], faults: [], writes: 0, acks: 0, simulatedMs: 0, elapsedMs };
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
