/**
 * Runs what a mutation names: `node run.ts NAME [FIRST COUNT]`; with a range of seeds one after the other, until its
 * checker finds something. Prints the problems as one line of JSON. Exit status 1: the checker found something.
 */
import { MUTATIONS } from './mutations.ts';
import { problemsOf } from './run-schedule.ts';

const [name, ...numbers] = process.argv.slice(2);
const mutation = MUTATIONS.find((candidate) => candidate.name === name);
if (mutation === undefined) throw new Error(`there is no mutation named ${String(name)}`);
const [first = mutation.seed, count = 1] = numbers.map(Number);
for (let seed = first; seed < first + count; seed++) {
  const problems = problemsOf(mutation, seed);
  if (!problems.some((problem) => problem.startsWith(`${mutation.caughtBy}: `))) continue;
  process.stdout.write(`${JSON.stringify({ seed, problems })}\n`);
  process.exitCode = 1;
  break;
}
