import type { SystemSample } from '../ports/system.ts';

export interface DemoOptions {
  readonly nodes: number;
  /** True: a live view; false: plain lines. */
  readonly tty: boolean;
  /** How long each steady part of the story lasts; null: as the story has it. */
  readonly seconds: number | null;
  /** Leave the directories of the nodes and the hub in place afterwards. */
  readonly keep: boolean;
}

/** What the demo needs from outside. */
export interface DemoParts {
  /** Reads this machine's state; never rejects. */
  readonly sample: () => Promise<SystemSample>;
}

const STEADY_SECONDS_MIN = 3;
const STEADY_SECONDS = 7;

/** Length of each steady part of the story. */
export function steadyMs(options: DemoOptions): number {
  return Math.max(STEADY_SECONDS_MIN, options.seconds ?? STEADY_SECONDS) * 1000;
}
