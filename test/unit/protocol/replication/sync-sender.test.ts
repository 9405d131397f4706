import { describe, expect, it } from 'vitest';
import { Prng } from '../../../../src/lib/prng.ts';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import type { Dot } from '../../../../src/protocol/causal/dot.ts';
import type { Entry } from '../../../../src/protocol/causal/entry.ts';
import type { Cell } from '../../../../src/protocol/replication/cell-table.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import type { ReplicationMessage } from '../../../../src/protocol/replication/message.ts';
import type { Shard } from '../../../../src/protocol/replication/shard-table.ts';
import { SyncSender } from '../../../../src/protocol/replication/sync-sender.ts';

const ACTOR = '00000000000000aa';
const NAME = { bucket: 'b', key: 'k' };

function dot(counter: number): Dot {
  return { actor: ACTOR, counter };
}

function entry(counter: number, bytes = 0): Entry {
  const payload = { kind: 'register', value: new Uint8Array(bytes), contentType: '' } as const;
  return { dot: dot(counter), hlc: counter, expiresAtMs: 0, payload };
}

interface Bench {
  readonly sender: SyncSender;
  readonly shards: readonly Shard[];
  readonly cell: { object: { entries: Entry[]; past: null } };
  readonly sent: Extract<ReplicationMessage, { type: 'sync-objects' }>[];
  readonly core: { now: { monoMs: number } };
  /** Answers the next read of an index: one event of the key. */
  readonly answer: () => void;
}

/** A sender of shards that each have one key with one event. */
function started(shardCount = 1, syncBytesPerSecond = 0): Bench {
  const shards = Array.from({ length: shardCount }, (_, id) => ({
    id,
    context: CausalContext.fromDots([dot(1)]),
    floor: new CausalContext(),
    lost: new Map(),
    losing: 0,
    bare: new CausalContext(),
    known: new Map(),
  })) as unknown as Shard[];
  const cell = { name: NAME, object: { entries: [entry(1)], past: null } };
  const sent: Bench['sent'] = [];
  const scans: (() => void)[] = [];
  const core = {
    options: { prng: new Prng(1), syncBytesPerSecond },
    now: { monoMs: 0, wallMs: 0 },
    ring: { isOwner: (shard: number) => shard === 1 },
    counters: { syncObjectsSent: 0 },
    shards: { find: (id: number) => shards[id] },
    journal: { afterTurn: (run: () => void) => run() },
    cells: { open: (_shard: number, _name: unknown, use: (opened: Cell) => void) => use(cell as unknown as Cell) },
    restamp: () => undefined,
    scan: (_scan: unknown, use: (result: unknown) => void) => {
      scans.push(() => use({ table: 'dot', rows: [{ ...dot(1), name: NAME }], more: false }));
    },
    sendDurable: (_to: string, message: Bench['sent'][number]) => sent.push(message),
  };
  const sender = new SyncSender(core as unknown as ReplicationCore, {
    onKnown: () => undefined,
    ask: () => undefined,
  });
  return { sender, shards, cell, sent, core, answer: () => scans.shift()?.() };
}

describe('SyncSender', () => {
  it('lists the events of entries that came since its session began: their only other copy may be lost', () => {
    const { sender, shards, cell, sent, answer } = started();
    const [shard] = shards as [Shard];
    sender.enqueue('peer', shard, new CausalContext());
    // While the index is being read, the key is written again.
    shard.context.add(dot(2));
    cell.object = { entries: [entry(2)], past: null };
    answer();
    expect(sent).toMatchObject([
      { chunks: [{ items: [{ ...NAME, events: CausalContext.fromDots([dot(1), dot(2)]) }] }] },
    ]);
    // What came since is not promised with the last chunk.
    expect(sent[0]?.chunks[0]?.covered?.ranges()).toEqual([{ actor: ACTOR, from: 1, to: 1 }]);
  });

  it('sends the chunks of several shards together', () => {
    const { sender, shards, sent, answer } = started(3);
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    for (const _ of shards) {
      expect(sent).toEqual([]);
      answer();
    }
    expect(sent.map(({ chunks }) => chunks.map(({ shard }) => shard))).toEqual([[0, 1, 2]]);
    expect(sender.nextDeadline()).toBe(5000);
  });

  it('does not wait long for a shard that is slow to read', () => {
    const { sender, shards, sent, core, answer } = started(2);
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    answer();
    expect(sender.nextDeadline()).toBe(20);
    core.now = { monoMs: 20 };
    sender.handleTimeout();
    expect(sent.map(({ chunks }) => chunks.map(({ shard }) => shard))).toEqual([[0]]);
    answer();
    expect(sent.map(({ chunks }) => chunks.map(({ shard }) => shard))).toEqual([[0], [1]]);
  });

  it('sends no faster than it may', () => {
    const { sender, shards, cell, sent, core, answer } = started(3, 70_000);
    cell.object = { entries: [entry(1, 80_000)], past: null };
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    // Two at a time, and each key is larger than what may go in a second.
    for (const _ of shards) answer();
    const ids = (): number[] => sent.flatMap(({ chunks }) => chunks.map(({ shard }) => shard));
    expect(ids()).toEqual([0]);
    core.now = { monoMs: sender.nextDeadline() as number };
    expect(core.now.monoMs).toBeLessThan(1000);
    sender.handleTimeout();
    expect(ids()).toEqual([0, 1]);
  });

  it('leaves who owns a shard no more to let go of it, and goes on with the next', () => {
    const { sender, shards, sent, answer } = started(3, 30_000);
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    // The first is under way, and the others wait until it has been acknowledged.
    answer();
    sender.handleRing();
    answer();
    expect(sent.flatMap(({ chunks }) => chunks.map(({ shard }) => shard))).toEqual([0, 1]);
    sender.handlePeerDown('peer');
    expect(sender.nextDeadline()).toBe(undefined);
  });

  it('forgets what waits for its turn when the peer is gone', () => {
    const { sender, shards, cell, sent, core, answer } = started(2, 70_000);
    cell.object = { entries: [entry(1, 80_000)], past: null };
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    answer();
    answer();
    sender.handlePeerDown('peer');
    expect(sender.nextDeadline()).toBe(undefined);
    core.now = { monoMs: 60_000 };
    sender.handleTimeout();
    expect(sent.flatMap(({ chunks }) => chunks)).toHaveLength(1);
  });

  it('does not send what it has gathered of a shard that has lost events since', () => {
    const { sender, shards, sent, answer } = started(2);
    for (const shard of shards) sender.enqueue('peer', shard, new CausalContext());
    answer();
    sender.endSessions(shards[0] as Shard);
    answer();
    expect(sent.map(({ chunks }) => chunks.map(({ shard }) => shard))).toEqual([[1]]);
  });
});
