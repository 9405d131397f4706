import { HoldfastError } from '../../lib/failure.ts';
import type { ChangeEvent, ChangeFeed, Coverage, ListItem, NodeHandle } from '../../ports/node-handle.ts';
import type { StateClient, StateReader } from './event-stream.ts';

/** Keys asked for at a time: what waits in memory for a slow client. */
const PAGE_KEYS = 256;
/** Waits at most so long for others to confirm that they tell of changes. */
const SETTLE_MS = 1000;
/** Between two attempts to read a page. */
const PAUSE_MS = 1000;
/** Keys that changed while a page was read; with more of them the page is read again. */
const FRESH_KEYS_MAX = 65_536;

/**
 * Sends a client the state of a bucket, page by page, and knows afterwards whether the client may have missed a change.
 *
 * A client that was shown everything that an owner held, and has been told by it of every change since, has all that the
 * owner has: that is what it relies on (`Coverage`). Changes that arrive meanwhile are told at once, and their keys are
 * left out of the page under way, which may be older.
 */
export class BucketSnapshot implements StateReader<ChangeEvent> {
  private readonly node: NodeHandle;
  private readonly feed: ChangeFeed;
  private readonly bucket: string;
  private readonly prefix: string;
  private readonly client: StateClient;
  private readonly show: (item: ListItem) => void;
  private readonly endCoverage: () => void;
  private readonly fresh = new Set<string>();
  /** Numbers the attempts: what belongs to an earlier one is void. */
  private round = 0;
  private reading = false;
  /** The state under way counts no more, and the next one is not begun yet. */
  private isVoid = false;
  /** What the client relies on: at first all who tell, then those who have shown it everything. */
  private base: Coverage | null = null;
  private keptAs = 0;

  constructor(parts: {
    readonly node: NodeHandle;
    readonly bucket: string;
    readonly prefix: string;
    readonly client: StateClient;
    /** Shows the client a key of the state. */
    readonly show: (item: ListItem) => void;
  }) {
    this.node = parts.node;
    this.feed = parts.node.changes;
    this.bucket = parts.bucket;
    this.prefix = parts.prefix;
    this.client = parts.client;
    this.show = parts.show;
    this.endCoverage = this.feed.onCoverage(() => {
      this.isVoid = this.isStale();
      this.client.onStale();
    });
  }

  get mark(): string | null {
    if (this.reading) return null;
    return this.keptAs === 0 ? '' : String(this.keptAs);
  }

  resume(mark: string | null): void {
    if (mark !== null) {
      // What is forgotten is relied on no more: as if nobody had told of anything.
      this.rely(this.feed.keptCoverage(Number(mark)) ?? new Map());
      return;
    }
    const round = ++this.round;
    const begin = (): void => {
      if (round === this.round) this.rely(this.feed.coverage(this.bucket));
    };
    if (!this.feed.isSettling(this.bucket)) begin();
    else void this.settled(() => round === this.round).then(begin);
  }

  isStale(): boolean {
    return this.base !== null && this.feed.isStale(this.bucket, this.base);
  }

  noteChange({ key }: ChangeEvent): void {
    if (this.reading) this.fresh.add(key);
  }

  /** Before the first page is asked for, and when what was read counts no more: the next state will have it. */
  get isHolding(): boolean {
    return (this.reading && this.base === null) || this.isStale();
  }

  stop(): void {
    this.round++;
    this.endCoverage();
  }

  async run(): Promise<void> {
    const round = ++this.round;
    const isCurrent = (): boolean => round === this.round;
    this.reading = true;
    this.isVoid = false;
    this.base = null;
    await this.settled(isCurrent);
    if (!isCurrent()) return;
    const all = this.feed.coverage(this.bucket);
    this.base = all;
    this.client.begin();
    let answered = all;
    let complete = true;
    for (let after: string | null = ''; after !== null; ) {
      this.fresh.clear();
      const page = await this.page(after, isCurrent);
      if (page === null) return;
      if (!(await this.send(page.items, isCurrent))) {
        if (!isCurrent()) return;
        continue;
      }
      answered = new Map([...answered].filter(([teller]) => page.answered.includes(teller)));
      complete &&= page.complete;
      after = page.more ? page.resumeAfter : null;
    }
    this.reading = false;
    this.fresh.clear();
    this.rely(answered);
    const time = new Date(this.node.wallMs()).toISOString();
    this.client.write('synced', { time, complete });
  }

  private rely(coverage: Coverage): void {
    this.base = coverage;
    this.keptAs = this.feed.keepCoverage(coverage);
  }

  /** Resolves once all that are connected tell of the bucket, or have had the time to. */
  private async settled(isCurrent: () => boolean): Promise<void> {
    if (!this.feed.isSettling(this.bucket)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, SETTLE_MS);
    const end = this.feed.onCoverage(() => {
      if (!isCurrent() || !this.feed.isSettling(this.bucket)) resolve();
    });
    await promise;
    clearTimeout(timer);
    end();
  }

  /** Null when the client is gone, or begins anew. */
  private async page(after: string, isCurrent: () => boolean) {
    const { bucket, prefix } = this;
    while (isCurrent()) {
      try {
        const request = {
          type: 'list',
          bucket,
          prefix,
          after,
          limit: PAGE_KEYS,
          values: true,
          snapshot: true,
        } as const;
        const page = await this.node.request(request);
        if (!isCurrent()) return null;
        // More may have been told than the page shows.
        if (!this.isVoid) return page;
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return null;
  }

  /** False when the page was not sent whole: the client is gone, the state is void, or too much has changed meanwhile. */
  private async send(items: readonly ListItem[], isCurrent: () => boolean): Promise<boolean> {
    for (const item of items) {
      await this.client.writable();
      if (!isCurrent() || this.isVoid || this.fresh.size > FRESH_KEYS_MAX) return false;
      if (!this.fresh.has(item.key)) this.show(item);
    }
    return true;
  }
}
