import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { ReplicationEffect, ReplicationInput } from '../../src/protocol/replication/effect.ts';
import type { ReplicationMessage } from '../../src/protocol/replication/message.ts';
import type { Placement } from '../../src/protocol/replication/placement.ts';
import type { ListingRow } from '../../src/protocol/replication/record.ts';
import { Replication } from '../../src/protocol/replication/replication.ts';
import { replicationOptions, restoredShard } from './replica-start.ts';

const LEAVER = 'leaver';
const OWNERS: readonly NodeId[] = ['a', 'b', 'c'];
const ACTOR = 'a'.repeat(16);
export const NAME = { bucket: 'default', key: 'k' };
export const EVENT = { actor: ACTOR, counter: 1 };
export const COVERED = CausalContext.fromDots([EVENT]);

export const OBJECT: CausalObject = {
  entries: [
    {
      dot: EVENT,
      hlc: 1,
      expiresAtMs: 0,
      payload: { kind: 'register', value: Uint8Array.of(1), contentType: '' },
    },
  ],
  past: null,
};

const MEMBERS: readonly NodeId[] = [...OWNERS, LEAVER];

/** A ring in which these own the shard. */
function placementOf(owners: readonly NodeId[], digest: number): Placement {
  const preference = [...owners, ...MEMBERS.filter((node) => !owners.includes(node))];
  return {
    shards: 1,
    digest,
    memberCount: MEMBERS.length,
    shardOf: () => 0,
    shardIds: () => [0],
    shardIdsOf: () => [0],
    knowsShard: () => true,
    replicasOf: () => owners.length,
    isNewborn: () => false,
    isGone: () => false,
    owners: () => owners,
    preference: () => preference,
    isOwner: (_shard, node) => owners.includes(node),
    remaining: preference,
    knows: (node) => preference.includes(node),
  };
}

interface LoneReplicaOptions {
  readonly cacheBytes?: number;
  /** The disk was damaged. */
  readonly salvaged?: boolean;
}

/**
 * One node and its only shard, which holds one key, on a disk that answers when it is told to. `a`, `b` and `c` own the
 * shard; `leaver` no longer does.
 */
export class LoneReplica {
  readonly sent: { readonly to: NodeId; readonly message: ReplicationMessage }[] = [];
  readonly unanswered: ReplicationEffect[] = [];
  /** What was last written to the key. */
  onDisk: CausalObject | null = OBJECT;
  /** The shard's context as it was last written. */
  context: CausalContext = COVERED;
  isComplete = true;
  /** Nothing gets to the disk until `sync`. */
  isSlow = false;
  private digest = 1;
  placement = placementOf(OWNERS, this.digest);
  private readonly unsynced: number[] = [];
  private readonly replication: Replication;
  private readonly now = { monoMs: 0, wallMs: 1_790_000_000_000 };

  constructor(self: NodeId = LEAVER, { cacheBytes, salvaged = false }: LoneReplicaOptions = {}) {
    const [options, restored] = [replicationOptions(self, cacheBytes), restoredShard(0, COVERED, !salvaged)];
    this.replication = new Replication(options, this.placement, () => 'lww', restored, this.now);
    for (const peer of MEMBERS) if (peer !== self) this.handle({ type: 'peer-up', peer });
  }

  handle(input: ReplicationInput): void {
    this.take(this.replication.handle(input, this.now));
  }

  /** The ring changes: these own the shard now. */
  turnTo(...owners: readonly NodeId[]): void {
    this.placement = placementOf(owners, ++this.digest);
    this.take(this.replication.handleRing(this.placement, () => true, this.now));
  }

  sync(): void {
    this.isSlow = false;
    for (let id = this.unsynced.shift(); id !== undefined; id = this.unsynced.shift()) {
      this.handle({ type: 'persisted', id });
    }
  }

  /** Time goes by. */
  pass(ms: number): void {
    const endMs = this.now.monoMs + ms;
    for (let next = this.nextMs; next <= endMs; next = this.nextMs) {
      this.now.monoMs = Math.max(this.now.monoMs, next);
      this.take(this.replication.handleTimeout(this.now));
    }
    this.now.monoMs = endMs;
  }

  private get nextMs(): number {
    return this.replication.nextDeadline() ?? Number.POSITIVE_INFINITY;
  }

  private take(effects: readonly ReplicationEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') this.sent.push({ to: effect.to, message: effect.message });
      else if (effect.type === 'persist') this.persist(effect);
      else this.unanswered.push(effect);
    }
  }

  private persist({ id, writes }: Extract<ReplicationEffect, { type: 'persist' }>): void {
    for (const write of writes) {
      if (write.table === 'object') this.onDisk = write.value;
      else if (write.table === 'shard' && write.value !== null) {
        this.context = write.value.context.clone();
        this.isComplete = write.value.complete;
      }
    }
    if (this.isSlow) this.unsynced.push(id);
    else this.handle({ type: 'persisted', id });
  }

  /** The only record of the only key is found bad. */
  lose(): void {
    this.handle({ type: 'object-lost', shard: 0, name: NAME });
    this.answerReads();
    this.answerScan();
    this.answerReads();
  }

  /** A peer tells what it covers, and perhaps asks for what it misses. */
  tell(from: NodeId, context: CausalContext, { wants = false, complete = true } = {}): void {
    this.handle({
      type: 'message',
      from,
      message: {
        type: 'sync-context',
        ring: this.digest,
        covers: [
          {
            shard: 0,
            context,
            wants,
            reply: false,
            complete,
            former: false,
            withholds: false,
            hinted: false,
            waitsFor: [],
          },
        ],
      },
    });
  }

  answerScan(): void {
    const id = this.answering('scan');
    this.handle({
      type: 'scan-done',
      id,
      result: { table: 'dot', rows: [{ ...EVENT, name: NAME }], more: false },
    });
  }

  answerListing(rows: readonly ListingRow[]): void {
    this.handle({ type: 'scan-done', id: this.answering('scan'), result: { table: 'listing', rows, more: false } });
  }

  answerReads(): void {
    for (let read = this.find('read'); read !== undefined; read = this.find('read')) {
      const { table } = read.key;
      const id = this.answering('read');
      this.handle({
        type: 'read-done',
        id,
        result: table === 'hint' ? { table, value: null } : { table, value: this.onDisk },
      });
    }
  }

  get isDropped(): boolean {
    return this.find('clear') !== undefined;
  }

  items(): ReplicationMessage[] {
    return this.sent.map(({ message }) => message).filter(({ type }) => type === 'sync-objects');
  }

  private find<T extends ReplicationEffect['type']>(type: T): Extract<ReplicationEffect, { type: T }> | undefined {
    return this.unanswered.find((effect): effect is Extract<ReplicationEffect, { type: T }> => effect.type === type);
  }

  private answering(type: 'scan' | 'read'): number {
    const effect = this.find(type);
    if (effect === undefined) throw new Error(`no ${type} is open`);
    this.unanswered.splice(this.unanswered.indexOf(effect), 1);
    return effect.id;
  }
}
