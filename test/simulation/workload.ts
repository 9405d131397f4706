import type { Prng } from '../../src/lib/prng.ts';
import { type Dot, dotText, sameDot } from '../../src/protocol/causal/dot.ts';
import type { ClientRequest, Level } from '../../src/protocol/replication/request.ts';
import type { SimCluster } from './cluster.ts';

const BUCKET = 'default';
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What clients did and were told. */
export interface History {
  /** Acknowledged writes of keys that are written once. */
  readonly acknowledged: Map<string, { readonly value: string; readonly dot: Dot | null }>;
  /** Keys written once whose delete was acknowledged and had seen the acknowledged write. */
  readonly deleted: Set<string>;
  /** All values ever sent, by key. */
  readonly sent: Map<string, Set<string>>;
  /** Sum of the acknowledged increments, and of those whose outcome is unknown, by counter. */
  readonly counters: Map<string, { acknowledged: number; unknown: number }>;
  readonly problems: string[];
  writes: number;
  acks: number;
  failures: number;
  reads: number;
}

/** Clients on every node: keys written once, keys fought over, counters, deletes and reads. */
export class Workload {
  readonly history: History = {
    acknowledged: new Map(),
    deleted: new Set(),
    sent: new Map(),
    counters: new Map(),
    problems: [],
    writes: 0,
    acks: 0,
    failures: 0,
    reads: 0,
  };
  private readonly cluster: SimCluster;
  private readonly prng: Prng;
  private readonly hotKeys: number;
  private nextKey = 0;
  private stopped = false;

  constructor(cluster: SimCluster, prng: Prng, hotKeys: number) {
    this.cluster = cluster;
    this.prng = prng;
    this.hotKeys = hotKeys;
  }

  /** One operation every `intervalMs` on average, until `stop`. */
  start(intervalMs: number): void {
    this.cluster.clock.after(this.prng.float() * 2 * intervalMs, () => {
      if (this.stopped) return;
      this.step();
      this.start(intervalMs);
    });
  }

  stop(): void {
    this.stopped = true;
  }

  private step(): void {
    const draw = this.prng.float();
    if (draw < 0.35) this.putOnce();
    else if (draw < 0.45) this.deleteOnce();
    else if (draw < 0.65) this.putHot();
    else if (draw < 0.7) this.deleteHot();
    else if (draw < 0.8) this.increment();
    else this.read();
  }

  private putOnce(): void {
    const key = `once/${this.nextKey++}`;
    const value = `v${key}`;
    this.mutate(key, value, (dot) => {
      if (dot !== undefined) this.history.acknowledged.set(key, { value, dot });
    });
  }

  private deleteOnce(): void {
    const key = this.prng.pick([...this.history.acknowledged.keys()].slice(-50));
    if (key === undefined || this.history.deleted.has(key)) return;
    const dot = this.history.acknowledged.get(key)?.dot ?? null;
    this.request(
      { type: 'mutate', bucket: BUCKET, key, mutation: { type: 'delete' }, level: 'quorum', context: null },
      (reply) => {
        const seen = reply.type === 'mutate' && dot !== null && reply.before.some((entry) => sameDot(entry.dot, dot));
        if (seen) this.history.deleted.add(key);
      },
    );
    // A delete that fails may still take effect: the key is no longer one that must survive.
    this.history.acknowledged.delete(key);
  }

  private putHot(): void {
    const key = `hot/${this.prng.below(this.hotKeys)}`;
    this.mutate(key, `w${this.history.writes}`, () => undefined);
  }

  private deleteHot(): void {
    const key = `hot/${this.prng.below(this.hotKeys)}`;
    this.request(
      { type: 'mutate', bucket: BUCKET, key, mutation: { type: 'delete' }, level: this.level(), context: null },
      () => undefined,
    );
  }

  private increment(): void {
    const key = `count/${this.prng.below(3)}`;
    const counter = this.history.counters.get(key) ?? { acknowledged: 0, unknown: 0 };
    this.history.counters.set(key, counter);
    const by = 1 + this.prng.below(5);
    counter.unknown += by;
    this.request(
      { type: 'mutate', bucket: BUCKET, key, mutation: { type: 'increment', by }, level: 'quorum', context: null },
      (reply) => {
        if (reply.type === 'mutate') counter.acknowledged += by;
        // Refused before anything was written: it is known not to have happened.
        if (reply.type === 'mutate' || (reply.type === 'failed' && reply.failure.stateChanged === 'no'))
          counter.unknown -= by;
      },
    );
  }

  private read(): void {
    const key = this.prng.chance(0.5)
      ? `hot/${this.prng.below(this.hotKeys)}`
      : `once/${this.prng.below(this.nextKey + 1)}`;
    this.history.reads++;
    this.request({ type: 'get', bucket: BUCKET, key, level: this.level() }, (reply) => {
      if (reply.type !== 'get') return;
      for (const entry of reply.entries) {
        if (entry.payload.kind !== 'register') continue;
        const value = decoder.decode(entry.payload.value);
        if (this.history.sent.get(key)?.has(value) !== true) {
          this.history.problems.push(`a read of ${key} returned ${value} (${dotText(entry.dot)}), which nobody wrote`);
        }
      }
    });
  }

  private mutate(key: string, value: string, use: (dot: Dot | null | undefined) => void): void {
    this.history.writes++;
    const sent = this.history.sent.get(key);
    if (sent === undefined) this.history.sent.set(key, new Set([value]));
    else sent.add(value);
    const mutation = {
      type: 'put',
      value: encoder.encode(value),
      contentType: 'text/plain',
      expiresAtMs: 0,
      onlyIf: null,
    } as const;
    this.request({ type: 'mutate', bucket: BUCKET, key, mutation, level: this.level(), context: null }, (reply) => {
      if (reply.type === 'mutate') this.history.acks++;
      else this.history.failures++;
      use(reply.type === 'mutate' ? reply.dot : undefined);
    });
  }

  private request(request: ClientRequest, use: Parameters<SimCluster['request']>[2]): void {
    const node = this.prng.pick(this.cluster.nodes.filter(({ running }) => running !== null));
    if (node !== undefined) this.cluster.request(node, request, use);
  }

  private level(): Level {
    const draw = this.prng.float();
    return draw < 0.8 ? 'quorum' : draw < 0.9 ? 'one' : 'all';
  }
}
