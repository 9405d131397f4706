/** What the registers of this node have done since it started. */
export interface RegisterCounters {
  /** Changes that took one round trip. */
  fastRounds: number;
  /** Changes and reads that needed prepare and accept. */
  fullRounds: number;
  /** Reads answered in one round trip. */
  fastReads: number;
  /** Rounds begun anew because another proposer was ahead. */
  contentions: number;
  forwards: number;
  /** Requests that ended without a known outcome. */
  unknownOutcomes: number;
  /** Keys forgotten after their delete. */
  erased: number;
  /** Rows taken over from other acceptors. */
  copiedRows: number;
  /** Messages dropped at a limit. */
  dropped: number;
}

export function zeroCounters(): RegisterCounters {
  return {
    fastRounds: 0,
    fullRounds: 0,
    fastReads: 0,
    contentions: 0,
    forwards: 0,
    unknownOutcomes: 0,
    erased: 0,
    copiedRows: 0,
    dropped: 0,
  };
}
