import type { Shard } from './shard-table.ts';

export interface ShardCounts {
  readonly owned: number;
  readonly complete: number;
  /** On their way in or out. */
  readonly transferring: number;
  /** Owned ones of which another owner that is up has events that are not here, or has not been compared with yet. */
  readonly behind: number;
}

export function countShards(shards: Iterable<Shard>, isBehind: (shard: Shard) => boolean): ShardCounts {
  const counts = { owned: 0, complete: 0, transferring: 0, behind: 0 };
  for (const shard of shards) {
    if (shard.owned) counts.owned++;
    if (shard.owned && shard.complete) counts.complete++;
    else counts.transferring++;
    if (isBehind(shard)) counts.behind++;
  }
  return counts;
}
