import type { Prng } from '../../src/lib/prng.ts';
import type { Entries } from '../../src/protocol/causal/entry.ts';
import type { Coverage } from '../../src/protocol/node/watch-relay.ts';
import type { SimCluster } from './cluster.ts';
import type { SimObserver } from './observer.ts';
import { ShownKeys } from './shown-keys.ts';
import type { Running, SimNode } from './sim-node.ts';

const BUCKET = 'default';
const PAGE_KEYS = 64;
/** As in `src/api/http/bucket-snapshot.ts`. */
const SETTLE_MS = 1000;
const POLL_MS = 50;
/** As in `src/api/http/event-stream.ts`. */
const RESTART_INTERVAL_MS = 1000;
const LOOK_MS = 1000;
const RETRY_MS = 500;
/** On average, between two moves to another node. */
const MOVE_MS = 15_000;

/** What one client knows of the bucket by what it was told, as an HTTP client would apply its events. */
export interface WatchState {
  /** The versions of each key. */
  readonly keys: ReadonlyMap<string, string>;
  /** It has read everything, and relies on being told of the rest. */
  readonly synced: boolean;
  readonly node: SimNode | null;
  readonly snapshots: number;
  /** Versions that came back after they were gone. */
  readonly faults: readonly string[];
}

/**
 * A client that watches a bucket with snapshots, at one node after another. It mirrors what `bucket-snapshot.ts` does
 * with promises and a socket, which ends with the process at its other end.
 */
export class WatchClient implements SimObserver, WatchState {
  readonly faults: string[] = [];
  synced = false;
  node: SimNode | null = null;
  snapshots = 0;
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private readonly shown = new ShownKeys();
  private running: Running | null = null;
  /** Told since the page under way was asked for. */
  private fresh = new Set<string>();
  /** What it relies on, once it has begun to read: at first all who tell, then those who have shown it everything. */
  private base: Coverage | null = null;
  /** Numbers the snapshots: what belongs to an earlier one is void. */
  private round = 0;
  private begunMs = 0;
  private stays = false;

  constructor(cluster: SimCluster, prng: Prng) {
    this.cluster = cluster;
    this.prng = prng;
  }

  get keys(): ReadonlyMap<string, string> {
    return this.shown.versions;
  }

  start(): void {
    this.look();
    this.move();
  }

  /** It moves no more, unless its node dies. */
  stay(): void {
    this.stays = true;
  }

  changed(node: SimNode, { bucket, key, entries }: { bucket: string; key: string; entries: Entries }): void {
    // What is told before the first page is asked for is part of the state.
    if (node !== this.node || !this.isConnected || bucket !== BUCKET || this.base === null) return;
    // Held back, as what was read counts no more: the next state will have it.
    if (this.isStale) return;
    this.fresh.add(key);
    this.show(key, entries);
  }

  coverage(node: SimNode): void {
    // Within the turn of the core: looked at when it is over.
    if (node === this.node) this.cluster.clock.after(0, () => this.check());
  }

  private look(): void {
    this.cluster.clock.after(LOOK_MS, () => {
      this.check();
      this.look();
    });
  }

  private move(): void {
    this.cluster.clock.after(this.prng.float() * 2 * MOVE_MS, () => {
      if (this.stays) return;
      this.attach();
      this.move();
    });
  }

  private check(): void {
    if (this.running === null || !this.isConnected) return this.attach();
    if (this.isStale) this.restart();
  }

  private get isStale(): boolean {
    return this.base !== null && this.running?.node.isWatchStale(BUCKET, this.base) === true;
  }

  /** False when the process that it is a client of is gone, whatever has been started since. */
  private get isConnected(): boolean {
    return this.running !== null && this.node?.running === this.running;
  }

  private attach(): void {
    const node = this.prng.pick(this.cluster.nodes.filter(({ running }) => running !== null)) ?? null;
    if (this.node !== null && this.node !== node) this.cluster.watch(this.node, []);
    this.node = node;
    this.running = node?.running ?? null;
    if (node === null) return;
    this.cluster.watch(node, [BUCKET]);
    this.begin(this.forgetState());
  }

  /** Reads everything again, at most once in a while: until then nothing counts that it is told. */
  private restart(): void {
    const round = this.forgetState();
    const waitMs = this.begunMs + RESTART_INTERVAL_MS - this.cluster.clock.nowMs;
    if (waitMs <= 0) this.begin(round);
    else this.cluster.clock.after(waitMs, () => round === this.round && this.begin(round));
  }

  private forgetState(): number {
    this.synced = false;
    this.base = null;
    this.shown.clear();
    return ++this.round;
  }

  private begin(round: number): void {
    this.begunMs = this.cluster.clock.nowMs;
    this.snapshots++;
    const endMs = this.cluster.clock.nowMs + SETTLE_MS;
    const settle = (): void => {
      const { running } = this;
      if (round !== this.round || running === null || !this.isConnected) return;
      if (running.node.isWatchSettling(BUCKET) && this.cluster.clock.nowMs < endMs) {
        this.cluster.clock.after(POLL_MS, settle);
        return;
      }
      this.base = running.node.watchCoverage(BUCKET);
      this.page(round, '', this.base);
    };
    settle();
  }

  /** `answered`: what of the coverage has answered every page up to now. */
  private page(round: number, after: string, answered: Coverage): void {
    const { node } = this;
    if (round !== this.round || node === null || !this.isConnected) return;
    this.fresh = new Set();
    const about = { bucket: BUCKET, prefix: '', after, limit: PAGE_KEYS, values: true, snapshot: true } as const;
    this.cluster.request(node, { type: 'list', ...about }, (reply) => {
      if (round !== this.round) return;
      if (reply.type !== 'list') {
        this.cluster.clock.after(RETRY_MS, () => this.page(round, after, answered));
        return;
      }
      for (const { key, entries } of reply.items) if (!this.fresh.has(key)) this.show(key, entries);
      const left = new Map([...answered].filter(([teller]) => reply.answered.includes(teller)));
      if (reply.more) return this.page(round, reply.resumeAfter, left);
      this.base = left;
      this.synced = true;
    });
  }

  private show(key: string, entries: Entries): void {
    const { node, running } = this;
    if (node === null || running === null) return;
    const wallMs = running.node.wallMs(node.clock.now());
    for (const dot of this.shown.show(key, entries, wallMs)) this.faults.push(`${key} went back to ${dot}`);
  }
}
