import { Prng } from '../../src/lib/prng.ts';
import type { Entry } from '../../src/protocol/causal/entry.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import { readCounter } from '../../src/protocol/causal/value.ts';
import { eventualBucket } from '../support/eventual-bucket.ts';
import type { SimCluster, SimNode } from './cluster.ts';
import { DEFAULT_BUCKET } from './placed-buckets.ts';
import { SessionClients } from './session-clients.ts';

/** A bucket that is written on both sides. */
export const SHARED_BUCKET = 'shared';
const HOT_KEYS = 6;
const CREATE_RETRY_MS = 1000;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Clients of a bucket that goes both ways, at the site and at the hub: keys fought over, counters, deletes; and clients with
 * sessions, of that bucket and of one that only goes up.
 */
export class HubClients {
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private stopped = false;
  private isThere = false;
  private writes = 0;
  /** Increments that were tried at all: a counter that shows more has counted something twice. */
  private tried = 0;
  /** All values ever sent of the bucket, by key. */
  private readonly sent = new Map<string, Set<string>>();
  /** None where there is no hub. */
  readonly sessions: readonly SessionClients[];
  /** Those that the hub has done for certain. */
  private done = 0;

  /** `sentUp`: all values ever sent of the default bucket, by key. */
  constructor(cluster: SimCluster, prng: Prng, sentUp: Map<string, Set<string>>) {
    this.cluster = cluster;
    this.prng = prng;
    const { hub } = cluster;
    const buckets = [
      { bucket: SHARED_BUCKET, sent: this.sent },
      { bucket: DEFAULT_BUCKET.dataName, sent: sentUp },
    ];
    const clients = buckets.map(
      (each) => new SessionClients(cluster, { ...each, prng: new Prng(prng.uint32()), prefix: 'hub-session', hub }),
    );
    this.sessions = hub === null ? [] : clients;
  }

  /** The hub was given an older copy of its store: what only it had done may be gone. */
  noteForgotten(): void {
    this.done = 0;
    this.handleLoss();
  }

  /** A disk of the site is gone, or is an older one again. */
  handleLoss(): void {
    for (const each of this.sessions) each.handleLoss();
  }

  get count(): number {
    return this.writes;
  }

  start(intervalMs: number): void {
    this.create();
    this.next(intervalMs);
    for (const each of this.sessions) each.start(intervalMs);
  }

  stop(): void {
    this.stopped = true;
    for (const each of this.sessions) each.stop();
  }

  /** Some client has written the entry, as far as can be told. */
  hasSent(key: string, { payload }: Entry): boolean {
    if (payload.kind === 'counter') return key === 'count' && payload.total <= this.tried;
    return payload.kind === 'register' && this.sent.get(key)?.has(decoder.decode(payload.value)) === true;
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

  /** Again where it is gone with the only disk that had it: what is written at the hub has nowhere to go then. */
  private create(): void {
    const { nodes, clock } = this.cluster;
    const isKnown = nodes.some(
      ({ running }) => running?.node.buckets.some(({ name }) => name === SHARED_BUCKET) === true,
    );
    if (!isKnown) {
      const node = this.anyNode();
      this.isThere = (node !== undefined && this.cluster.putBucket(node, SHARED_BUCKET, CONFIG)) || this.isThere;
    }
    clock.after(CREATE_RETRY_MS, () => this.create());
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
      const text = `w${this.writes}`;
      const sent = this.sent.get(hot) ?? new Set();
      this.sent.set(hot, sent.add(text));
      this.write(hot, put(text));
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

const CONFIG = eventualBucket({ sync: 'both' });

function put(text: string): Mutation {
  return { type: 'put', value: encoder.encode(text), contentType: 'text/plain', expiresAtMs: 0, onlyIf: null };
}
