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
    hasHub: false,
    cacheBytes,
    maxClockDriftMs: 60_000,
    isWatched: () => false,
  };
}

/** A disk with one replica: a complete one, or one of a damaged disk, all of which is bare. */
export function restoredShard(shard: number, context: CausalContext, complete = true): RestoredReplication {
  const bare = complete ? new CausalContext() : context.clone();
  const nothing = { sources: new Set<NodeId>(), bare, named: new CausalContext() };
  return {
    shards: new Map([[shard, { context: context.clone(), complete, ...nothing }]]),
    floors: new Map(),
    lost: [],
    orphans: [],
    isNew: true,
    counters: new Map(),
    hints: [],
    hasExpiries: false,
    conflicts: [],
  };
}
