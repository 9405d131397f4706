import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';

/** Short enough that a disk cannot lose its headroom between two looks. */
const FREE_MAX_AGE_MS = 200;
const USED_MAX_AGE_MS = 5_000;

/** Sizes of a directory and of the file system that holds it, remembered for a few seconds. */
export class DiskSpace {
  readonly #free: Remembered;
  readonly #used: Remembered;

  constructor(directory: string) {
    this.#free = new Remembered(FREE_MAX_AGE_MS, () => freeBytes(directory));
    this.#used = new Remembered(USED_MAX_AGE_MS, () => directoryBytes(directory));
  }

  /** Bytes that a user without privileges may still write. */
  freeBytes(): Promise<number> {
    return this.#free.value();
  }

  usedBytes(): Promise<number> {
    return this.#used.value();
  }
}

class Remembered {
  readonly #maxAgeMs: number;
  readonly #measure: () => Promise<number>;
  #measuredAtMs = Number.NEGATIVE_INFINITY;
  #latest: Promise<number> | undefined;

  constructor(maxAgeMs: number, measure: () => Promise<number>) {
    this.#maxAgeMs = maxAgeMs;
    this.#measure = measure;
  }

  value(): Promise<number> {
    const nowMs = performance.now();
    if (this.#latest === undefined || nowMs - this.#measuredAtMs >= this.#maxAgeMs) {
      this.#measuredAtMs = nowMs;
      const latest = this.#measure();
      latest.catch(() => {
        if (this.#latest === latest) this.#latest = undefined;
      });
      this.#latest = latest;
    }
    return this.#latest;
  }
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

async function directoryBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    // LevelDB deletes files at any time; one that has gone has no size.
    const file = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    bytes += file?.size ?? 0;
  }
  return bytes;
}
