import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * How far the run that has the store open has come. What damage does to LevelDB mostly happens while it opens and in the
 * first minute: reading what a node reads first, compacting what was left. `mending`: the store is being repaired, and is
 * not to be opened before that has come to its end.
 */
export type RunPhase = 'opening' | 'mending' | 'young' | 'settled';

const PHASES: readonly RunPhase[] = ['opening', 'mending', 'young', 'settled'];
const FILE = 'RUNNING';

/**
 * A file in the store that is there from before it is opened until it has been closed. A run that dies leaves it; nobody
 * can catch an abort of LevelDB, but the next run can see that there was one. A hint only: what cannot be read or
 * written is left.
 */
export class RunMarker {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = join(directory, FILE);
  }

  /** Null where the last run closed the store. A power cut may leave a file without content. */
  async read(): Promise<RunPhase | null> {
    const text = await readFile(this.#path, 'utf8').catch(() => null);
    if (text === null) return null;
    return PHASES.find((phase) => phase === text.trim()) ?? 'opening';
  }

  async write(phase: RunPhase | null): Promise<void> {
    const written =
      phase === null ? rm(this.#path, { force: true }) : writeFile(this.#path, `${phase}\n`, { flush: true });
    await written.catch(() => undefined);
  }
}
