import type { Prng } from '../../src/lib/prng.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { ClientReply } from '../../src/protocol/replication/request.ts';
import type { SimCluster } from './cluster.ts';
import type { History } from './history.ts';
import { WALL_START_MS } from './node-clock.ts';
import type { SimNode } from './sim-node.ts';

const encoder = new TextEncoder();
const HOUR_MS = 3_600_000;
/** Some pass within the run, most are far longer. */
const TTLS_MS = [2000, 8000, HOUR_MS, 36 * HOUR_MS, 300 * 24 * HOUR_MS];

/** Takes the reply; returns what is to be done when all disks that held the event are lost. */
type Use = (reply: ClientReply) => (() => void) | undefined;
type Mutate = (node: SimNode, key: string, mutation: Mutation, use: Use) => void;

/** Clients that write values with a time to live, each key once. */
export class TimedClients {
  private readonly cluster: SimCluster;
  private readonly history: History;
  private readonly prng: Prng;
  private readonly mutate: Mutate;
  private next = 0;

  constructor(cluster: SimCluster, history: History, prng: Prng, mutate: Mutate) {
    this.cluster = cluster;
    this.history = history;
    this.prng = prng;
    this.mutate = mutate;
  }

  step(): void {
    const node = this.prng.pick(this.cluster.nodes.filter(({ running }) => running !== null));
    // As the interfaces do: the expiry is absolute, by the clock of the node that is asked.
    const wallMs = node?.running?.node.wallMs(node.clock.now());
    if (node === undefined || wallMs === undefined) return;
    const key = `ttl/${this.next++}`;
    const text = `v${key}`;
    const ttlMs = this.prng.pick(TTLS_MS) ?? 0;
    const sentMs = this.cluster.clock.nowMs;
    const clockErrorMs = wallMs - WALL_START_MS - sentMs;
    const { timed, sent } = this.history;
    sent.set(key, new Set([text]));
    const value = encoder.encode(text);
    const expiresAtMs = wallMs + ttlMs;
    const mutation = { type: 'put', value, contentType: 'text/plain', expiresAtMs, onlyIf: null } as const;
    this.mutate(node, key, mutation, (reply) => {
      // Not where the node knew too little of the cluster to have asked those who count.
      if (reply.type !== 'mutate' || reply.owners < Math.min(this.cluster.nodes.length, this.history.bucket.replicas))
        return undefined;
      timed.set(key, { value: text, sentMs, ttlMs, clockErrorMs });
      return () => void timed.delete(key);
    });
  }
}
