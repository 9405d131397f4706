import type { Prng } from '../../src/lib/prng.ts';
import type { BucketConfig } from '../../src/protocol/catalog/record.ts';
import type { Entry } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import type { SimCluster, SimNode } from './cluster.ts';

/** A bucket that is written on both sides. */
export const SHARED_BUCKET = 'shared';
const HOT_KEYS = 6;
const CREATE_RETRY_MS = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Clients of a bucket that goes both ways, at the site and at the hub: keys fought over, counters, deletes. */
export class HubClients {
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private stopped = false;
  private isThere = false;
  private writes = 0;
  /** Increments that were tried at all: a counter that shows more has counted something twice. */
  private tried = 0;
  private readonly sent = new Set<string>();
  /** Those that the hub has done for certain. */
  private done = 0;

  constructor(cluster: SimCluster, prng: Prng) {
    this.cluster = cluster;
    this.prng = prng;
  }

  /** The hub was given an older copy of its store: what only it had done may be gone. */
  noteForgotten(): void {
    this.done = 0;
  }

  get count(): number {
    return this.writes;
  }

  start(intervalMs: number): void {
    this.create();
    this.next(intervalMs);
  }

  stop(): void {
    this.stopped = true;
  }

  /** Some client has written the entry, as far as can be told. */
  hasSent(key: string, { payload }: Entry): boolean {
    if (payload.kind === 'counter') return key === 'count' && payload.total <= this.tried;
    return payload.kind === 'register' && this.sent.has(`${key}=${decoder.decode(payload.value)}`);
  }

  problems(): string[] {
    const { hub } = this.cluster;
    const shard = this.shardOf('count');
    if (hub === null || shard === null) return [];
    const total = readCounter(hub.read({ shard, bucket: SHARED_BUCKET, key: 'count' }).object.entries) ?? 0;
    if (total === 'not-a-number') return ['hub: the counter is no number'];
    const problems = total > this.tried ? [`hub: ${total} counted, and ${this.tried} tried at all`] : [];
    return total < this.done ? [...problems, `hub: ${total} counted, and ${this.done} done at the hub`] : problems;
  }

  private create(): void {
    if (this.stopped) return;
    const node = this.anyNode();
    this.isThere ||= node !== undefined && this.cluster.putBucket(node, SHARED_BUCKET, CONFIG);
    if (!this.isThere) this.cluster.clock.after(CREATE_RETRY_MS, () => this.create());
  }

  private next(intervalMs: number): void {
    this.cluster.clock.after(this.prng.float() * 2 * intervalMs, () => {
      if (this.stopped) return;
      if (this.isThere) this.step();
      this.next(intervalMs);
    });
  }

  private step(): void {
    const draw = this.prng.float();
    const hot = `hot/${this.prng.below(HOT_KEYS)}`;
    if (draw < 0.45) {
      this.sent.add(`${hot}=w${this.writes}`);
      this.write(hot, put(`w${this.writes}`));
    } else if (draw < 0.6) this.write(hot, { type: 'delete' });
    else this.write('count', { type: 'increment', by: 1 });
  }

  private write(key: string, mutation: Mutation): void {
    const { cluster, prng } = this;
    this.writes++;
    const isCount = mutation.type === 'increment';
    if (isCount) this.tried++;
    const shard = this.shardOf(key);
    if (
      prng.chance(0.4) &&
      shard !== null &&
      cluster.hub?.isRunning === true &&
      cluster.hub.buckets.has(SHARED_BUCKET)
    ) {
      const written = cluster.hub.write({ shard, bucket: SHARED_BUCKET, key }, mutation);
      if (isCount && written.applied) this.done++;
      return;
    }
    const node = this.anyNode();
    if (node === undefined) return;
    const request = { type: 'mutate', bucket: SHARED_BUCKET, key, mutation, level: 'quorum', context: null } as const;
    cluster.request(node, request, () => undefined);
  }

  private shardOf(key: string): number | null {
    const placements = this.cluster.nodes.find(({ running }) => running !== null)?.running?.node.placements;
    return placements?.shardOf(SHARED_BUCKET, key) ?? null;
  }

  private anyNode(): SimNode | undefined {
    return this.prng.pick(this.cluster.nodes.filter(({ running }) => running?.held === null));
  }
}

const CONFIG: BucketConfig = {
  consistency: 'eventual',
  conflict: 'lww',
  replicas: null,
  preferredZones: [],
  sync: 'both',
  ttlSeconds: null,
  island: 'accept',
};

function put(text: string): Mutation {
  return { type: 'put', value: encoder.encode(text), contentType: 'text/plain', expiresAtMs: 0, onlyIf: null };
}
