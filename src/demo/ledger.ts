/** A counted write that the cluster has acknowledged: it may never be lost. */
export interface AcknowledgedWrite {
  readonly key: string;
  readonly value: string;
  /** When the acknowledgement arrived; as `performance.now()`. */
  readonly atMs: number;
}

/** Counted writes of one run; the story slows down rather than write more. */
export const LEDGER_WRITES_MAX = 20_000;
/** Width of a bucket of the rate's history. */
export const RATE_BUCKET_MS = 500;
const RATE_BUCKETS_MAX = 4096;
const LATENCIES_RECENT = 512;

/** Remembers every acknowledged write with its value, and how long it took. */
export class Ledger {
  readonly writes: AcknowledgedWrite[] = [];
  /** Acknowledged with fallbacks in place of owners. */
  sloppy = 0;
  /** Attempts that failed and were made again at another node. */
  failovers = 0;
  /** Writes that no node took; nothing was promised for them. */
  refused = 0;
  private readonly latenciesMs: number[] = [];
  private readonly buckets: number[] = [];
  private readonly startMs: number;

  constructor(startMs: number) {
    this.startMs = startMs;
  }

  acknowledge(write: AcknowledgedWrite, latencyMs: number, sloppy: boolean): void {
    this.writes.push(write);
    this.latenciesMs.push(latencyMs);
    if (sloppy) this.sloppy++;
    const bucket = Math.floor((write.atMs - this.startMs) / RATE_BUCKET_MS);
    if (bucket >= 0 && bucket < RATE_BUCKETS_MAX) this.buckets[bucket] = (this.buckets[bucket] ?? 0) + 1;
  }

  /** Acknowledged writes per second in each bucket up to now; the last one is still filling. */
  ratesPerSecond(nowMs: number): number[] {
    const last = Math.min(RATE_BUCKETS_MAX - 1, Math.max(0, Math.floor((nowMs - this.startMs) / RATE_BUCKET_MS)));
    return Array.from({ length: last + 1 }, (_, bucket) => ((this.buckets[bucket] ?? 0) * 1000) / RATE_BUCKET_MS);
  }

  /** Of all writes, in ms; null before the first. */
  latencyMs(quantile: number): number | null {
    return quantileOf(this.latenciesMs, quantile);
  }

  /** Of the latest writes: what a live view shows. */
  recentLatencyMs(quantile: number): number | null {
    return quantileOf(this.latenciesMs.slice(-LATENCIES_RECENT), quantile);
  }

  /** Writes acknowledged from `fromMs` on, before `toMs`. */
  between(fromMs: number, toMs: number): AcknowledgedWrite[] {
    return this.writes.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  }
}

/** The smallest value that at least this share of the values does not exceed (nearest rank); null for none. */
export function quantileOf(values: readonly number[], quantile: number): number | null {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? null;
}
