/** A thread that runs the seeds it is sent, one at a time. */
import { parentPort } from 'node:worker_threads';
import { type RunReport, run, scheduleOf } from './run.ts';

export interface Task {
  readonly seed: number;
  readonly seconds: number;
  readonly nodes: number | undefined;
}

if (parentPort === null) throw new Error('sim/worker.ts is a thread of sim.ts');
const port = parentPort;
port.on('message', ({ seed, seconds, nodes }: Task) => {
  port.postMessage(run(scheduleOf(seed, seconds, nodes)) satisfies RunReport);
});
