import type { Clock } from '../ports/clock.ts';
import type { ChangeEvent, ChangeFeed, Coverage, Entries } from '../ports/node-handle.ts';
import { payloadBytes } from '../protocol/causal/entry.ts';

/** Changes kept for clients that come back, by number and by size. */
const CHANGES_MAX = 16_384;
const CHANGE_BYTES_MAX = 8 * 1024 * 1024;
/** How long a bucket stays watched after its last client went, so that one that comes back misses nothing. */
const LINGER_MS = 60_000;
/** Clients that come back and whose coverage is remembered. */
const COVERAGES_MAX = 1024;

/** What the core knows of those who tell it of changes. */
export interface CoverageSource {
  coverage(bucket: string): Coverage;
  isSettling(bucket: string): boolean;
  isStale(bucket: string, coverage: Coverage): boolean;
}

interface Subscriber {
  readonly prefix: string;
  readonly listener: (change: ChangeEvent) => void;
}

/** Changes of watched buckets: passed on to subscribers and retained within bounds. */
export class ChangeLog implements ChangeFeed {
  readonly run: string;
  private readonly clock: Clock;
  private readonly onWanted: (buckets: readonly string[]) => void;
  private readonly source: () => CoverageSource;
  private readonly coverageListeners = new Set<() => void>();
  private readonly coverages = new Map<number, Coverage>();
  private lastCoverage = 0;
  private readonly retained: { readonly change: ChangeEvent; readonly bytes: number }[] = [];
  private readonly subscribers = new Map<string, Set<Subscriber>>();
  /** From which seq on every change of the bucket was seen. */
  private readonly since = new Map<string, number>();
  private stopped = false;
  /** Cancels the end of the watch, of buckets whose last client went a while ago. */
  private readonly lingering = new Map<string, () => void>();
  private retainedBytes = 0;
  private droppedSeq = 0;
  private lastSeq = 0;

  /** `onWanted` is told all watched buckets whenever they change. */
  constructor(run: string, clock: Clock, onWanted: (buckets: readonly string[]) => void, source: () => CoverageSource) {
    this.source = source;
    this.run = run;
    this.clock = clock;
    this.onWanted = onWanted;
  }

  get latest(): number {
    return this.lastSeq;
  }

  append(bucket: string, key: string, entries: Entries): void {
    const change = { seq: ++this.lastSeq, bucket, key, entries };
    let bytes = 200 + key.length * 2;
    for (const { payload } of entries) bytes += 100 + payloadBytes(payload);
    this.retained.push({ change, bytes });
    this.retainedBytes += bytes;
    while (this.retained.length > CHANGES_MAX || this.retainedBytes > CHANGE_BYTES_MAX) {
      const dropped = this.retained.shift();
      if (dropped === undefined) break;
      this.retainedBytes -= dropped.bytes;
      this.droppedSeq = dropped.change.seq;
    }
    for (const { prefix, listener } of this.subscribers.get(bucket) ?? []) if (key.startsWith(prefix)) listener(change);
  }

  after(bucket: string, seq: number): readonly ChangeEvent[] | null {
    const since = this.since.get(bucket);
    if (since === undefined || seq < since || seq < this.droppedSeq || seq > this.lastSeq) return null;
    return this.retained
      .filter(({ change }) => change.seq > seq && change.bucket === bucket)
      .map(({ change }) => change);
  }

  subscribe(bucket: string, prefix: string, listener: (change: ChangeEvent) => void): () => void {
    const subscriber = { prefix, listener };
    const existing = this.subscribers.get(bucket);
    if (existing === undefined) {
      this.subscribers.set(bucket, new Set([subscriber]));
      this.since.set(bucket, this.lastSeq);
      this.onWanted([...this.subscribers.keys()]);
    } else {
      existing.add(subscriber);
      this.lingering.get(bucket)?.();
      this.lingering.delete(bucket);
    }
    return () => this.unsubscribe(bucket, subscriber);
  }

  coverage(bucket: string): Coverage {
    return this.source().coverage(bucket);
  }

  isSettling(bucket: string): boolean {
    return this.source().isSettling(bucket);
  }

  isStale(bucket: string, coverage: Coverage): boolean {
    return this.source().isStale(bucket, coverage);
  }

  onCoverage(listener: () => void): () => void {
    this.coverageListeners.add(listener);
    return () => this.coverageListeners.delete(listener);
  }

  /** Who tells of changes, or what of it may be lost, has changed. */
  handleCoverage(): void {
    for (const listener of this.coverageListeners) listener();
  }

  keepCoverage(coverage: Coverage): number {
    const id = ++this.lastCoverage;
    this.coverages.set(id, coverage);
    if (this.coverages.size > COVERAGES_MAX) this.coverages.delete(id - COVERAGES_MAX);
    return id;
  }

  keptCoverage(id: number): Coverage | null {
    return this.coverages.get(id) ?? null;
  }

  /** Nothing of it keeps the process alive any more. */
  stop(): void {
    this.stopped = true;
    for (const cancel of this.lingering.values()) cancel();
    this.lingering.clear();
  }

  private unsubscribe(bucket: string, subscriber: Subscriber): void {
    const subscribers = this.subscribers.get(bucket);
    if (subscribers?.delete(subscriber) !== true || subscribers.size > 0 || this.stopped) return;
    const cancel = this.clock.after(LINGER_MS, () => {
      this.lingering.delete(bucket);
      this.subscribers.delete(bucket);
      this.since.delete(bucket);
      this.onWanted([...this.subscribers.keys()]);
    });
    this.lingering.set(bucket, cancel);
  }
}
