import { Prng } from '../../src/lib/prng.ts';
import { CausalContext } from '../../src/protocol/causal/context.ts';
import type { NodeId } from '../../src/protocol/machine.ts';
import type { ReplicationOptions } from '../../src/protocol/replication/core.ts';
import type { RestoredReplication } from '../../src/protocol/replication/replication.ts';

/** What the replication of one node is started with, on its own. */
export function replicationOptions(self: NodeId, cacheBytes = 1024 * 1024): ReplicationOptions {
  return {
    self,
    actor: 'f'.repeat(16),
    prng: new Prng(1),
    requestTimeoutMs: 5000,
    replicaTimeoutMs: 750,
    antiEntropyIntervalMs: 10_000,
    syncBytesPerSecond: 0,
    hintBytesMax: 1024 * 1024,
    cacheBytes,
    maxClockDriftMs: 60_000,
    isWatched: () => false,
  };
}

/** A disk with one complete replica. */
export function restoredShard(shard: number, context: CausalContext): RestoredReplication {
  const nothing = { sources: new Set<NodeId>(), bare: new CausalContext(), named: new CausalContext() };
  return {
    shards: new Map([[shard, { context: context.clone(), complete: true, ...nothing }]]),
    floors: new Map(),
    lost: [],
    orphans: [],
    isNew: true,
    counters: new Map(),
    hints: [],
    hasExpiries: false,
  };
}
