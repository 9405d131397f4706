import { Prng } from '../../src/lib/prng.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { ReplicationEffect, ReplicationInput } from '../../src/protocol/replication/effect.ts';
import type { ReplicationMessage } from '../../src/protocol/replication/message.ts';
import type { Placement } from '../../src/protocol/replication/placement.ts';
import { Replication } from '../../src/protocol/replication/replication.ts';

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

const PLACEMENT: Placement = {
  shards: 1,
  digest: 1,
  memberCount: 4,
  shardOf: () => 0,
  shardIds: () => [0],
  shardIdsOf: () => [0],
  knowsShard: () => true,
  replicasOf: () => 3,
  isNewborn: () => false,
  isGone: () => false,
  owners: () => OWNERS,
  preference: () => [...OWNERS, LEAVER],
  isOwner: (_shard, node) => OWNERS.includes(node),
  get remaining() {
    return PLACEMENT.preference(0);
  },
  knows: (node) => PLACEMENT.preference(0).includes(node),
};

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
  private readonly replication: Replication;
  private readonly now = { monoMs: 0, wallMs: 1_790_000_000_000 };

  constructor(self: NodeId = LEAVER) {
    this.replication = new Replication(
      {
        self,
        actor: 'f'.repeat(16),
        prng: new Prng(1),
        requestTimeoutMs: 5000,
        replicaTimeoutMs: 750,
        antiEntropyIntervalMs: 10_000,
        syncBytesPerSecond: 0,
        hintBytesMax: 1024 * 1024,
        cacheBytes: 1024 * 1024,
        maxClockDriftMs: 60_000,
        isWatched: () => false,
      },
      PLACEMENT,
      () => 'lww',
      {
        shards: new Map([
          [
            0,
            {
              context: COVERED.clone(),
              complete: true,
              sources: new Set(),
              bare: new CausalContext(),
              named: new CausalContext(),
            },
          ],
        ]),
        floors: new Map(),
        lost: [],
        orphans: [],
        isNew: true,
        counters: new Map(),
        hints: [],
        hasExpiries: false,
      },
      this.now,
    );
    for (const peer of OWNERS) if (peer !== self) this.handle({ type: 'peer-up', peer });
  }

  handle(input: ReplicationInput): void {
    for (const effect of this.replication.handle(input, this.now)) {
      if (effect.type === 'send') this.sent.push({ to: effect.to, message: effect.message });
      else if (effect.type === 'persist') this.persist(effect);
      else this.unanswered.push(effect);
    }
  }

  private persist({ id, writes }: Extract<ReplicationEffect, { type: 'persist' }>): void {
    for (const write of writes) {
      if (write.table === 'object') this.onDisk = write.value;
      else if (write.table === 'shard' && write.value !== null) this.context = write.value.context.clone();
    }
    this.handle({ type: 'persisted', id });
  }

  /** A peer tells what it covers, and perhaps asks for what it misses. */
  tell(from: NodeId, context: CausalContext, wants: boolean): void {
    this.handle({
      type: 'message',
      from,
      message: {
        type: 'sync-context',
        ring: 1,
        covers: [
          {
            shard: 0,
            context,
            wants,
            reply: false,
            complete: true,
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
    const id = this.take('scan');
    this.handle({
      type: 'scan-done',
      id,
      result: { table: 'dot', rows: [{ ...EVENT, name: NAME }], more: false },
    });
  }

  answerReads(): void {
    for (let read = this.find('read'); read !== undefined; read = this.find('read')) {
      const { table } = read.key;
      const id = this.take('read');
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

  private take(type: 'scan' | 'read'): number {
    const effect = this.find(type);
    if (effect === undefined) throw new Error(`no ${type} is open`);
    this.unanswered.splice(this.unanswered.indexOf(effect), 1);
    return effect.id;
  }
}
