import type { SystemSample } from '../../ports/system.ts';

type Shares = Pick<
  SystemSample,
  'cpuUsedRatio' | 'memoryTotalBytes' | 'memoryAvailableBytes' | 'storageTotalBytes' | 'storageFreeBytes'
>;

/** Mean of the free shares of cpu, memory and storage that are known, in [0, 1]; 0 when none is. */
export function resourceScore(sample: Shares): number {
  const shares = [
    sample.cpuUsedRatio === null ? null : 1 - sample.cpuUsedRatio,
    share(sample.memoryAvailableBytes, sample.memoryTotalBytes),
    share(sample.storageFreeBytes, sample.storageTotalBytes),
  ].filter((one) => one !== null);
  if (shares.length === 0) return 0;
  return clamp(shares.reduce((sum, one) => sum + clamp(one), 0) / shares.length);
}

/** Exponentially weighted moving average for samples at irregular times: a step is half way after `halfLifeMs`. */
export class MovingAverage {
  readonly #halfLifeMs: number;
  #value: number | undefined;

  constructor(halfLifeMs: number) {
    this.#halfLifeMs = halfLifeMs;
  }

  /** Returns the new average; the first value is taken as it is. */
  update(value: number, elapsedMs: number): number {
    const weight = 1 - 2 ** (-Math.max(0, elapsedMs) / this.#halfLifeMs);
    this.#value = this.#value === undefined ? value : this.#value + weight * (value - this.#value);
    return this.#value;
  }
}

function share(part: number | null, whole: number | null): number | null {
  return part === null || whole === null || whole <= 0 ? null : part / whole;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
