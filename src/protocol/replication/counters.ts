/** What replication has done since the start; each becomes a metric. */
export interface ReplicationCounters {
  writes: number;
  writesSloppy: number;
  writesFailed: number;
  reads: number;
  readsIncomplete: number;
  readRepairs: number;
  forwards: number;
  hintsStored: number;
  hintsDelivered: number;
  hintsDropped: number;
  syncRounds: number;
  syncObjectsSent: number;
  syncObjectsReceived: number;
  /** Shards compared key by key with another replica. */
  comparisons: number;
  indexRowsStripped: number;
  expired: number;
  driftRefused: number;
  restamped: number;
  /** Writes that lost against concurrent ones. */
  conflicts: number;
}

export function zeroCounters(): ReplicationCounters {
  return {
    writes: 0,
    writesSloppy: 0,
    writesFailed: 0,
    reads: 0,
    readsIncomplete: 0,
    readRepairs: 0,
    forwards: 0,
    hintsStored: 0,
    hintsDelivered: 0,
    hintsDropped: 0,
    syncRounds: 0,
    syncObjectsSent: 0,
    syncObjectsReceived: 0,
    comparisons: 0,
    indexRowsStripped: 0,
    expired: 0,
    driftRefused: 0,
    restamped: 0,
    conflicts: 0,
  };
}
