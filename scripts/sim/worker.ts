/** A thread that runs the seeds it is sent, one at a time. */
import { parentPort } from 'node:worker_threads';
import { type RunOptions, type RunReport, run, scheduleOf } from './run.ts';

export interface Task extends RunOptions {
  readonly seed: number;
}

if (parentPort === null) throw new Error('sim/worker.ts is a thread of sim.ts');
const port = parentPort;
port.on('message', (task: Task) => {
  port.postMessage(run(scheduleOf(task.seed, task)) satisfies RunReport);
});
