/** One thing that is wrong with the configuration. Never contains a secret. */
export interface ConfigProblem {
  /** The flag, the environment variable, or `file:line:key`. */
  readonly source: string;
  readonly cause: string;
  /** What to do about it, as an imperative. */
  readonly fix: string;
}

export function problemText(problem: ConfigProblem): string {
  return `${problem.source}: ${problem.cause} — ${problem.fix}`;
}
