import type { ClassicLevel } from 'classic-level';

/** Reads that each written record pays for; a put writes about three. */
const READS_PER_WRITE = 1;
/** As many as a write buffer of small records pays for: what is written wears off, and reads are quick again. */
const CREDIT_MAX = 32_768;
/** Iterators at once. */
const CHUNK_KEYS = 64;
/** An iterator walks over deleted records until it meets one that is there; after a mass delete that can take long. */
const SLOW_MS = 250;
const DISTRUST_MS = 10_000;

type Handle = ClassicLevel<Uint8Array, Uint8Array>;

export interface PointReadsOptions {
  /** A smaller store is read by gets: merging all of it costs less than the iterators would. */
  readonly storeBytesMin: number;
  /** Monotonic. */
  readonly nowMs?: () => number;
}

/**
 * Decides how single records are read, and reads them past LevelDB's counting of seeks.
 *
 * LevelDB charges a get that has looked into more than one table to the first of them, and merges a table into the level
 * below after one such get for each 16 KiB of it (`allowed_seeks` in version_set.cc; 100 at least). That was meant for
 * disks whose seeks are slow. Where records are written at random keys and read before, each new table is merged at
 * once with everything that is below it, so that the bytes written for a byte put grow with the store. Iterators are
 * not charged, but cost several times the processor time of a get. Hence in a large store what is written pays for reads
 * by iterators; where reads outnumber it they are gets, which then do little harm, as little is written.
 */
export class PointReads {
  readonly #storeBytesMin: number;
  readonly #nowMs: () => number;
  #storeBytes = 0;
  #credit = 0;
  #distrustUntilMs = Number.NEGATIVE_INFINITY;

  constructor({ storeBytesMin, nowMs = () => performance.now() }: PointReadsOptions) {
    this.#storeBytesMin = storeBytesMin;
    this.#nowMs = nowMs;
  }

  noteWrites(records: number): void {
    this.#credit = Math.min(CREDIT_MAX, this.#credit + records * READS_PER_WRITE);
  }

  noteSize(storeBytes: number): void {
    this.#storeBytes = storeBytes;
  }

  /** True while reads had better be given together. */
  get usesIterators(): boolean {
    return this.#credit > 0 && this.#storeBytes >= this.#storeBytesMin && this.#nowMs() >= this.#distrustUntilMs;
  }

  /** Stored values in the order of the keys. Fails as a get does where a table is damaged. */
  async readMany(handle: Handle, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const values: (Uint8Array | undefined)[] = [];
    while (values.length < keys.length && this.usesIterators) {
      const chunk = keys.slice(values.length, values.length + CHUNK_KEYS);
      this.#credit -= chunk.length;
      const startedMs = this.#nowMs();
      values.push(...(await Promise.all(chunk.map((key) => readOne(handle, key)))));
      const endedMs = this.#nowMs();
      if (endedMs - startedMs > SLOW_MS) this.#distrustUntilMs = endedMs + DISTRUST_MS;
    }
    if (values.length === keys.length) return values;
    return [...values, ...(await handle.getMany(keys.slice(values.length)))];
  }
}

async function readOne(handle: Handle, key: Uint8Array): Promise<Uint8Array | undefined> {
  const iterator = handle.iterator({ gte: key, lte: key });
  try {
    // Two, although there is one at most: only at the end is it asked whether a table was damaged. If the newest
    // version of the record were in such a one, an older version would be found.
    const [entry] = await iterator.nextv(2);
    return entry?.[1];
  } finally {
    await iterator.close();
  }
}
