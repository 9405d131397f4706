import { setTimeout as delay } from 'node:timers/promises';

/** Writes something; true where that is acknowledged. */
export type Writer = () => Promise<boolean>;

/** So that refusals that come at once do not become a load of their own. */
const REFUSED_PAUSE_MS = 20;

/** Writers that write all the time, each one after the other, and when their writes were acknowledged. */
export class SteadyWrites {
  /** `performance.now()` of each, ascending. */
  readonly acknowledgedMs: number[] = [];
  failed = 0;
  private readonly running: readonly Promise<void>[];
  private isStopping = false;

  /** Each writer pauses so long after a write; what it rejects with counts as a failed write. */
  constructor(writers: readonly Writer[], pauseMs = 0) {
    this.running = writers.map(async (write) => {
      while (!this.isStopping) {
        const isDone = await write().catch(() => false);
        if (isDone) this.acknowledgedMs.push(performance.now());
        else this.failed++;
        if (!isDone || pauseMs > 0) await delay(isDone ? pauseMs : REFUSED_PAUSE_MS);
      }
    });
  }

  /** Ends after the writes under way. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.running);
  }

  /** The longest time without an acknowledgement between the two moments. */
  silenceMs(fromMs: number, toMs: number): number {
    const within = this.acknowledgedMs.filter((ms) => ms > fromMs && ms < toMs);
    return Math.max(...[...within, toMs].map((ms, i) => ms - (i === 0 ? fromMs : (within[i - 1] as number))));
  }

  /** How many were acknowledged in each of so many intervals. */
  counts(fromMs: number, intervalMs: number, intervals: number): number[] {
    const counts = Array.from({ length: intervals }, () => 0);
    for (const ms of this.acknowledgedMs) {
      const index = Math.floor((ms - fromMs) / intervalMs);
      if (index >= 0 && index < intervals) counts[index] = (counts[index] ?? 0) + 1;
    }
    return counts;
  }
}
