import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/lib/prng.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { CausalObject } from '../../src/protocol/causal/object.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { ReplicationEffect, ReplicationInput } from '../../src/protocol/replication/effect.ts';
import type { ReplicationMessage } from '../../src/protocol/replication/message.ts';
import type { Placement } from '../../src/protocol/replication/placement.ts';
import { Replication } from '../../src/protocol/replication/replication.ts';

const SELF = 'leaver';
const OWNERS: readonly NodeId[] = ['a', 'b', 'c'];
const ACTOR = 'a'.repeat(16);
const NAME = { bucket: 'default', key: 'k' };
const EVENT = { actor: ACTOR, counter: 1 };
const NOTHING = new CausalContext();
const COVERED = CausalContext.fromDots([EVENT]);

const OBJECT: CausalObject = {
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
  preference: () => [...OWNERS, SELF],
  isOwner: (_shard, node) => OWNERS.includes(node),
  get remaining() {
    return PLACEMENT.preference(0);
  },
  knows: (node) => PLACEMENT.preference(0).includes(node),
};

/** A node that no longer owns its only shard, on a disk that answers when it is told to. */
class Leaver {
  readonly sent: { readonly to: NodeId; readonly message: ReplicationMessage }[] = [];
  readonly unanswered: ReplicationEffect[] = [];
  private readonly replication: Replication;
  private readonly now = { monoMs: 0, wallMs: 1_790_000_000_000 };

  constructor() {
    this.replication = new Replication(
      {
        self: SELF,
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
    for (const peer of OWNERS) this.handle({ type: 'peer-up', peer });
  }

  handle(input: ReplicationInput): void {
    for (const effect of this.replication.handle(input, this.now)) {
      if (effect.type === 'send') this.sent.push({ to: effect.to, message: effect.message });
      else if (effect.type === 'persist') this.handle({ type: 'persisted', id: effect.id });
      else this.unanswered.push(effect);
    }
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
        result: table === 'hint' ? { table, value: null } : { table, value: OBJECT },
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

/** Two owners cover the shard already; the third asks for what it misses. */
function inSession(): Leaver {
  const node = new Leaver();
  node.tell('b', COVERED, false);
  node.tell('c', COVERED, false);
  node.tell('a', NOTHING, true);
  return node;
}

describe('a shard on its way out', () => {
  test('is handed to an owner that misses it', () => {
    const node = inSession();
    node.answerScan();
    node.answerReads();
    expect(node.isDropped).toBe(false);
    expect(node.items()).toMatchObject([
      {
        chunks: [
          {
            shard: 0,
            context: COVERED,
            items: [{ key: 'k', entries: OBJECT.entries, events: CausalContext.fromDots([EVENT]) }],
            covered: COVERED,
          },
        ],
      },
    ]);
  });

  test('is not sent as absent when it is dropped while its objects are read', () => {
    const node = inSession();
    node.answerScan();
    // The third owner has got everything from another one meanwhile.
    node.tell('a', COVERED, false);
    expect(node.isDropped).toBe(true);
    node.answerReads();
    node.handle({ type: 'cleared', shard: 0 });
    expect(node.items()).toEqual([]);
  });

  test('is not sent as absent when it is dropped while its index is read', () => {
    const node = inSession();
    node.tell('a', COVERED, false);
    expect(node.isDropped).toBe(true);
    node.answerScan();
    node.answerReads();
    node.handle({ type: 'cleared', shard: 0 });
    expect(node.items()).toEqual([]);
  });
});
