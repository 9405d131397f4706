import { TokenBucket } from '../../lib/token-bucket.ts';
import { CHUNK_BYTES, SESSIONS_PER_PEER } from './sync-session.ts';

/** How fast this node sends objects that others miss. */
export class SyncPace extends TokenBucket {
  private readonly bytesPerSecond: number;

  /** `bytesPerSecond`: 0 for as fast as it goes. */
  constructor(bytesPerSecond: number) {
    super(bytesPerSecond);
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Shards sent to one peer at a time: each gets a chunk through before the peer stops waiting for it. */
  get sessionsMax(): number {
    if (this.bytesPerSecond === 0) return SESSIONS_PER_PEER;
    return Math.max(1, Math.min(SESSIONS_PER_PEER, Math.floor((2 * this.bytesPerSecond) / CHUNK_BYTES)));
  }
}
