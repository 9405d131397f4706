import { describe, expect, it } from 'vitest';
import { CausalContext } from '../../../../src/protocol/causal/context.ts';
import { LEAVES } from '../../../../src/protocol/causal/fingerprint-tree.ts';
import type { ReplicationCore } from '../../../../src/protocol/replication/core.ts';
import { type SyncAck, UNNAMED_MAX } from '../../../../src/protocol/replication/message.ts';
import type { ObjectRow } from '../../../../src/protocol/replication/record.ts';
import type { Comparison, Shard } from '../../../../src/protocol/replication/shard-table.ts';
import type { SyncOutbox } from '../../../../src/protocol/replication/sync-outbox.ts';
import { SyncReceiver, type SyncReceiverUses } from '../../../../src/protocol/replication/sync-receiver.ts';

const SENDER = 'aa';
const OTHER = 'bb';

function row(index: number, actor: string): ObjectRow {
  const payload = { kind: 'register', value: new Uint8Array(1), contentType: '' } as const;
  const entry = { dot: { actor, counter: index + 1 }, hlc: 1, expiresAtMs: 0, payload };
  return { name: { bucket: 'b', key: `k${String(index).padStart(4, '0')}` }, entries: [entry], past: null };
}

/** What the receiver asks for after an interval with all its keys, of which the sender, who has seen `context`, names none. */
function unnamedOf(rows: readonly ObjectRow[], context: CausalContext): SyncAck['unnamed'] {
  const comparison: Comparison = {
    from: 'peer',
    id: 1,
    floor: new CausalContext(),
    leaves: new Set(Array.from({ length: LEAVES }, (_, leaf) => leaf)),
    atMs: 0,
  };
  const shard = { id: 1, comparison } as unknown as Shard;
  const core = {
    now: { monoMs: 0, wallMs: 0 },
    counters: { syncObjectsReceived: 0 },
    shards: { find: () => shard },
    journal: { afterTurn: (run: () => void) => run() },
    scan: (_scan: unknown, use: (result: unknown) => void) => use({ table: 'object', rows, more: false }),
  };
  const acks: SyncAck[] = [];
  const outbox = { acknowledge: (_to: string, ack: SyncAck) => acks.push(ack) } as unknown as SyncOutbox;
  const uses = { outbox } as unknown as SyncReceiverUses;
  const receiver = new SyncReceiver(core as unknown as ReplicationCore, uses, {
    onSynced: () => undefined,
    onKnown: () => undefined,
    onHeard: () => undefined,
    onEnd: () => undefined,
  });
  receiver.handleCopies('peer', {
    type: 'sync-copies',
    shard: 1,
    comparison: 1,
    sequence: 1,
    context,
    interval: { after: null, upto: null },
    items: [],
  });
  expect(acks).toHaveLength(1);
  return acks[0]?.unnamed ?? [];
}

describe('SyncReceiver', () => {
  it('asks for the copies of keys of which the sender has seen something: it may have deleted them', () => {
    const rows = Array.from({ length: UNNAMED_MAX + 88 }, (_, i) => row(i, SENDER));
    const seen = CausalContext.fromDots([{ actor: SENDER, counter: 600 }]);
    expect(unnamedOf(rows, seen)).toEqual([{ bucket: 'b', key: 'k0599' }]);
    seen.addRange({ actor: SENDER, from: 1, to: 600 });
    expect(unnamedOf(rows, seen)).toHaveLength(UNNAMED_MAX);
  });

  it('does not ask for keys that the sender has never seen: those would be the same ones for ever', () => {
    const rows = Array.from({ length: UNNAMED_MAX + 88 }, (_, i) => row(i, OTHER));
    const seen = new CausalContext();
    seen.addRange({ actor: SENDER, from: 1, to: 600 });
    expect(unnamedOf(rows, seen)).toEqual([]);
  });
});
