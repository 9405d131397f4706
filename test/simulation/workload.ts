import type { Prng } from '../../src/lib/prng.ts';
import { type Dot, sameDot } from '../../src/protocol/causal/dot.ts';
import type { Mutation } from '../../src/protocol/causal/mutation.ts';
import type { Node } from '../../src/protocol/node/node.ts';
import {
  type ClientReply,
  type ClientRequest,
  type Level,
  type MutateReply,
  needed,
} from '../../src/protocol/replication/request.ts';
import type { Ring } from '../../src/protocol/ring/ring.ts';
import { shardOf } from '../../src/protocol/ring/shard.ts';
import type { SimCluster } from './cluster.ts';
import { CollectionClients } from './collection-clients.ts';
import { CollectionHistory } from './collection-history.ts';
import type { CopyLedger } from './copy-ledger.ts';
import type { History } from './history.ts';
import { REPLICAS, type SimBucket } from './placed-buckets.ts';
import type { SimNode } from './sim-node.ts';
import { TimedClients } from './timed-clients.ts';
import type { VirtualDisk } from './virtual-disk.ts';

/** Operations on sets and maps for each on other keys. */
const COLLECTION_SHARE = 0.35;
/** Writes with a time to live for each operation on other keys. */
const TIMED_SHARE = 0.05;
const encoder = new TextEncoder();

export interface WorkloadOptions {
  readonly bucket: SimBucket;
  readonly ledger: CopyLedger;
  readonly prng: Prng;
  readonly hotKeys: number;
  /** Draws of its own, so that what clients of other keys do does not depend on these. */
  readonly collectionPrng: Prng;
}

/** Clients on every node: keys written once, keys fought over, counters, sets, maps, deletes and reads. */
export class Workload {
  readonly history: History;
  readonly ledger: CopyLedger;
  private readonly cluster: SimCluster;
  private readonly bucket: SimBucket;
  private readonly prng: Prng;
  private readonly hotKeys: number;
  /** Draws of its own, so that what clients of other keys do does not depend on these. */
  private readonly collectionPrng: Prng;
  private readonly collections: CollectionClients;
  private readonly timed: TimedClients;
  private nextKey = 0;
  /** All rings that each node has had with its present disk. */
  private readonly rings = new Map<VirtualDisk, Set<string>>();
  private stopped = false;

  constructor(cluster: SimCluster, options: WorkloadOptions) {
    const { prng, collectionPrng } = options;
    this.cluster = cluster;
    this.bucket = options.bucket;
    this.ledger = options.ledger;
    this.prng = prng;
    this.hotKeys = options.hotKeys;
    this.collectionPrng = collectionPrng;
    this.history = historyOf(options.bucket);
    this.collections = new CollectionClients(this.history, collectionPrng, (key, mutation, use) =>
      this.mutate(key, mutation, this.level(collectionPrng), use, this.anyNode(collectionPrng)),
    );
    this.timed = new TimedClients(cluster, this.history, collectionPrng, (node, key, mutation, use) =>
      this.mutate(key, mutation, this.level(collectionPrng), use, node),
    );
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
    this.noteRings();
    if (this.collectionPrng.float() < COLLECTION_SHARE) this.collections.step();
    if (this.collectionPrng.float() < TIMED_SHARE) this.timed.step();
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
    this.put(key, value, (reply, level) => {
      // Not where the node knew too little of the cluster to have asked those who count.
      const strict = reply.quorum === 'strict' && level !== 'one' && this.hasAskedAll(reply);
      const acknowledged = { value, dot: reply.dot, strict, ring: this.ringOf(reply.dot) };
      this.history.acknowledged.set(key, acknowledged);
      return () => {
        if (this.history.acknowledged.get(key) === acknowledged) this.history.acknowledged.delete(key);
      };
    });
  }

  /** With fewer than three copies the number of owners does not show whether the coordinator knew the others. */
  private hasAskedAll({ owners, dot }: MutateReply): boolean {
    const { nodes } = this.cluster;
    if (owners !== Math.min(nodes.length, this.bucket.replicas)) return false;
    return owners >= REPLICAS || this.coordinatorOf(dot)?.ring.members.length === nodes.length;
  }

  private deleteOnce(): void {
    const { history } = this;
    const key = this.prng.pick([...history.acknowledged.keys()].slice(-50));
    if (key === undefined || history.deleted.has(key)) return;
    const dot = history.acknowledged.get(key)?.dot ?? null;
    this.mutate(key, { type: 'delete' }, 'quorum', (reply) => {
      const seen = reply.type === 'mutate' && dot !== null && reply.before.some((entry) => sameDot(entry.dot, dot));
      if (!seen) return undefined;
      history.deleted.add(key);
      return () => void history.deleted.delete(key);
    });
    // A delete that fails may still take effect: the key is no longer one that must survive.
    history.acknowledged.delete(key);
  }

  private putHot(): void {
    this.put(`hot/${this.prng.below(this.hotKeys)}`, `w${this.history.writes}`, () => undefined);
  }

  private deleteHot(): void {
    this.mutate(`hot/${this.prng.below(this.hotKeys)}`, { type: 'delete' }, this.level(), () => undefined);
  }

  private increment(): void {
    const key = `count/${this.prng.below(3)}`;
    const counter = this.history.counters.get(key) ?? { acknowledged: 0, unknown: 0 };
    this.history.counters.set(key, counter);
    const by = 1 + this.prng.below(5);
    counter.unknown += by;
    this.mutate(key, { type: 'increment', by }, 'quorum', (reply) => {
      if (reply.type === 'mutate') counter.acknowledged += by;
      // Refused before anything was written: it is known not to have happened.
      if (reply.type === 'mutate' || (reply.type === 'failed' && reply.failure.stateChanged === 'no')) {
        counter.unknown -= by;
      }
      return () => {
        counter.acknowledged -= by;
        counter.unknown += by;
      };
    });
  }

  private read(): void {
    const { history } = this;
    const draw = this.prng.float();
    // Half of the keys written once are fresh: a read that misses a write does so soon after it.
    const age = draw < 0.75 ? this.prng.below(16) : this.prng.below(this.nextKey + 1);
    const key = draw < 0.5 ? `hot/${this.prng.below(this.hotKeys)}` : `once/${Math.max(0, this.nextKey - 1 - age)}`;
    history.reads++;
    const level = this.level();
    const known = level === 'one' ? undefined : history.acknowledged.get(key);
    this.request({ type: 'get', bucket: this.bucket.name, key, level, session: null }, (reply, node) => {
      if (reply.type !== 'get') return;
      const counts = reply.complete && known?.strict === true && this.hasHeld(node, known.ring);
      const isExpected = counts && history.acknowledged.get(key) === known;
      const { entries } = reply;
      history.answers.push({ key, atMs: this.cluster.clock.nowMs, entries, expected: isExpected ? known.value : null });
    });
  }

  private put(key: string, value: string, use: (reply: MutateReply, level: Level) => (() => void) | undefined): void {
    const { history } = this;
    history.writes++;
    const sent = history.sent.get(key);
    if (sent === undefined) history.sent.set(key, new Set([value]));
    else sent.add(value);
    const level = this.level();
    const bytes = encoder.encode(value);
    const mutation = { type: 'put', value: bytes, contentType: 'text/plain', expiresAtMs: 0, onlyIf: null } as const;
    this.mutate(key, mutation, level, (reply) => {
      if (reply.type === 'mutate') {
        history.acks++;
        return use(reply, level);
      }
      history.failures++;
      return undefined;
    });
  }

  /** `use` returns what is to be taken back when all disks that held the acknowledged event are lost. */
  private mutate(
    key: string,
    mutation: Mutation,
    level: Level,
    use: (reply: ClientReply) => (() => void) | undefined,
    node = this.anyNode(),
  ): void {
    const { losses } = this.ledger;
    const rings = this.ringsNow();
    this.request(
      { type: 'mutate', bucket: this.bucket.name, key, mutation, level, context: null },
      (reply) => {
        const takeBack = use(reply);
        if (reply.type !== 'mutate' || reply.dot === null) return;
        const bucket = this.bucket.dataName;
        const shard = shardOf(bucket, key, this.cluster.shards);
        const copies = this.ledger.add(shard, { bucket, key }, reply.dot, takeBack ?? nothing);
        // The only disk that had it was lost while the answer was on its way.
        if (copies === 0 && losses !== this.ledger.losses) takeBack?.();
        const wanted = needed(level, reply.owners);
        // Who is no longer an owner hands its copy over, and lets go of it.
        const isOther = losses !== this.ledger.losses || rings !== this.ringsNow();
        if (copies >= wanted || isOther) return;
        this.history.problems.push(
          `durability: a write of ${this.bucket.name}/${key} was acknowledged when ${copies} of ${wanted} disks had it`,
        );
      },
      node,
    );
  }

  private anyNode(prng = this.prng): SimNode | undefined {
    return prng.pick(this.cluster.nodes.filter(({ running }) => running !== null));
  }

  private request(
    request: ClientRequest,
    use: (reply: ClientReply, node: SimNode) => void,
    node = this.anyNode(),
  ): void {
    if (node !== undefined) this.cluster.request(node, request, (reply) => use(reply, node));
  }

  /** The ring of the node that coordinated an event. */
  private ringOf(dot: Dot | null): string | null {
    const node = this.coordinatorOf(dot);
    return node === undefined ? null : ringText(node);
  }

  private coordinatorOf(dot: Dot | null): Node | undefined {
    return this.cluster.nodes.find(({ disk }) => disk.actor === dot?.actor)?.running?.node;
  }

  /**
   * True for a node that has had the ring itself, now or before its present one. Rings that were changed on two sides
   * of a partition have no quorums in common until they meet. And a new disk that was stopped before it had the ring knows
   * of nobody again.
   */
  private hasHeld(node: SimNode, ring: string | null): boolean {
    if (node.running?.node.ring.memberCount === 1 && node.disk.catalog.members.length <= 1) return false;
    return ring !== null && this.rings.get(node.disk)?.has(ring) === true;
  }

  private ringsNow(): string {
    return this.cluster.nodes.map(({ running }) => (running === null ? '' : ringText(running.node))).join(' ');
  }

  private noteRings(): void {
    for (const node of this.cluster.nodes) {
      if (node.running === null) continue;
      const held = this.rings.get(node.disk) ?? new Set();
      this.rings.set(node.disk, held.add(ringText(node.running.node)));
    }
  }

  private level(prng = this.prng): Level {
    const draw = prng.float();
    return draw < 0.8 ? 'quorum' : draw < 0.9 ? 'one' : 'all';
  }
}

function historyOf(bucket: SimBucket): History {
  return {
    bucket,
    acknowledged: new Map(),
    deleted: new Set(),
    timed: new Map(),
    sent: new Map(),
    counters: new Map(),
    fieldCounters: new Map(),
    collections: new CollectionHistory(),
    answers: [],
    problems: [],
    writes: 0,
    acks: 0,
    failures: 0,
    reads: 0,
  };
}

function nothing(): void {}

/** As it was last written out: it is asked for at every step, and seldom another. */
const ringTexts = new WeakMap<Node, { readonly ring: Ring; readonly epoch: number; readonly text: string }>();

/** A change that was taken back leaves the same ring at another epoch. */
function ringText(node: Node): string {
  const { ring, ringEpoch: epoch } = node;
  const known = ringTexts.get(node);
  if (known?.ring === ring && known.epoch === epoch) return known.text;
  const text = `${epoch}/${ring.digest}`;
  ringTexts.set(node, { ring, epoch, text });
  return text;
}
