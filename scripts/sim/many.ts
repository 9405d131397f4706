import { Worker } from 'node:worker_threads';
import { minimiseAndTell } from './minimal.ts';
import type { ManyOptions } from './options.ts';
import { Progress } from './progress.ts';
import { checkerOf, replayOf, tell } from './report.ts';
import type { RunReport } from './run.ts';
import type { Task } from './worker.ts';

/** Failures that are told in full; of the others only the seed. */
const TOLD_MAX = 10;
/** Failures for which a minimal schedule is looked for. */
const MINIMISED_MAX = 3;

/** Many seeds on several threads. Returns the exit status. */
export async function runMany(options: ManyOptions): Promise<number> {
  const { first, count, seconds, nodes, ring, buckets, salvage, strong, hub, jobs } = options;
  const startedMs = performance.now();
  const progress = new Progress(count);
  const totals = { simulatedMs: 0, cpuMs: 0, acks: 0, strongOperations: 0 };
  const exemptions = new Map<string, number>();
  const failed: RunReport[] = [];
  let next = first;
  const take = (): Task | null =>
    next < first + count ? { seed: next++, seconds, nodes, ring, buckets, salvage, strong, hub } : null;
  const use = (report: RunReport): void => {
    totals.simulatedMs += report.simulatedMs;
    totals.cpuMs += report.cpuMs;
    totals.acks += report.acks;
    totals.strongOperations += report.strongOperations;
    for (const each of report.exemptions) {
      // Of the same kind, whatever the counts in it.
      const kind = each.replace(/^[0-9 of]* /, '');
      exemptions.set(kind, (exemptions.get(kind) ?? 0) + 1);
    }
    const isFailed = report.problems.length > 0;
    progress.add({ simulatedMs: report.simulatedMs, failed: isFailed });
    if (!isFailed) return;
    failed.push(report);
    progress.clear();
    if (failed.length > TOLD_MAX) return;
    tell(report, { withFaults: false });
    process.stdout.write(`  replay: ${replayOf(report.schedule.seed, options)}\n`);
  };
  await Promise.all(Array.from({ length: jobs }, () => work(take, use)));
  progress.clear();
  if (options.minimise) for (const report of failed.slice(0, MINIMISED_MAX)) minimiseAndTell(report);
  for (const [checker, seeds] of byChecker(failed)) {
    process.stdout.write(`${checker}: ${seeds.length} seeds failed: ${seeds.join(' ')}\n`);
  }
  for (const [kind, runs] of exemptions) process.stdout.write(`exempt in ${runs} runs: ${kind}\n`);
  const elapsedMs = performance.now() - startedMs;
  process.stdout.write(
    `${count} seeds, ${failed.length} failed, ${totals.acks} acknowledged writes, ${totals.strongOperations} operations on strong keys, ${Math.round(totals.simulatedMs / 1000)} simulated s in ${(elapsedMs / 1000).toFixed(1)} s with ${jobs} jobs: ${Math.round(totals.simulatedMs / totals.cpuMs)} simulated s per s of one core\n`,
  );
  return failed.length > 0 ? 1 : 0;
}

/** The seeds that failed, in order, under each checker that found something. */
function byChecker(failed: readonly RunReport[]): Map<string, number[]> {
  const seeds = new Map<string, number[]>();
  for (const { schedule, problems } of [...failed].sort((a, b) => a.schedule.seed - b.schedule.seed)) {
    for (const checker of new Set(problems.map(checkerOf))) {
      seeds.set(checker, [...(seeds.get(checker) ?? []), schedule.seed]);
    }
  }
  return seeds;
}

/** Keeps one thread busy until there is nothing left to take. */
function work(take: () => Task | null, use: (report: RunReport) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const worker = new Worker(new URL('worker.ts', import.meta.url));
  const proceed = (): void => {
    const task = take();
    if (task === null) void worker.terminate().then(() => resolve());
    else worker.postMessage(task);
  };
  worker.on('message', (report: RunReport) => {
    use(report);
    proceed();
  });
  worker.on('error', reject);
  proceed();
  return promise;
}
