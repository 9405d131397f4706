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

function entry(counter: number): Entry {
  const payload = { kind: 'register', value: new Uint8Array(), contentType: '' } as const;
  return { dot: dot(counter), hlc: counter, expiresAtMs: 0, payload };
}

describe('SyncSender', () => {
  it('lists the events of entries that came since its session began: their only other copy may be lost', () => {
    const shard = { id: 1, context: CausalContext.fromDots([dot(1)]), floor: new CausalContext(), lost: new Map() };
    const cell = { name: NAME, object: { entries: [entry(1)], past: null } };
    const sent: ReplicationMessage[] = [];
    const scans: (() => void)[] = [];
    const core = {
      options: { prng: new Prng(1) },
      now: { monoMs: 0, wallMs: 0 },
      counters: { syncObjectsSent: 0 },
      shards: { find: () => shard },
      journal: { afterTurn: (run: () => void) => run() },
      cells: { open: (_shard: number, _name: unknown, use: (opened: Cell) => void) => use(cell as unknown as Cell) },
      ring: { digest: 1 },
      restamp: () => undefined,
      scan: (_scan: unknown, use: (result: unknown) => void) => {
        scans.push(() => use({ table: 'dot', rows: [{ ...dot(1), name: NAME }], more: false }));
      },
      sendDurable: (_to: string, message: ReplicationMessage) => sent.push(message),
    } as unknown as ReplicationCore;
    const sender = new SyncSender(core, { onKnown: () => undefined, ask: () => undefined });
    sender.enqueue('peer', shard as unknown as Shard, new CausalContext());
    // While the index is being read, the key is written again.
    shard.context.add(dot(2));
    cell.object = { entries: [entry(2)], past: null };
    for (const answer of scans) answer();
    expect(sent).toMatchObject([
      { type: 'sync-objects', chunks: [{ items: [{ ...NAME, events: [dot(1), dot(2)] }] }] },
    ]);
  });
});
