import type { Schedule } from '../schedule.ts';

/** A bug that a checker must catch: one source text, replaced while the module loads. */
export interface Mutation {
  readonly name: string;
  /** Relative to `src/`. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  readonly caughtBy: string;
  /** A seed at which it is caught; where the simulator has changed since, those after it are tried as well. */
  readonly seed: number;
  /** Takes the place of what the seed draws: for bugs that few schedules show. */
  readonly schedule?: Partial<Schedule>;
  /** Takes the place of a whole run: for what no schedule shows in a reasonable time. */
  readonly story?: 'founding-race';
}
