/**
 * `connected`: the hub is reachable, or none is configured and a majority of the ring is here; `degraded`: the uplink is
 * lost, a majority is here; `island`: no majority is here.
 */
export type ServiceLevel = 'connected' | 'degraded' | 'island';

export interface Surroundings {
  /** Members of the ring, and those of them that are held alive, this node included. */
  readonly members: number;
  readonly reachable: number;
  /** `none`: no hub is configured. */
  readonly uplink: 'none' | 'up' | 'down';
}

/** The level of service has changed. */
export interface LevelEvent extends Surroundings {
  readonly type: 'level-changed';
  readonly level: ServiceLevel;
  readonly previous: ServiceLevel;
}

/** A better level has to hold for so long before it counts: links that come and go must not make an alarm each time. */
const RECOVERY_MS = 3000;
/** A node that starts finds the others one after the other. */
const START_MS = 10_000;

const RANK: Readonly<Record<ServiceLevel, number>> = { island: 0, degraded: 1, connected: 2 };

/** Which of the rest of the world this node can reach, and what follows for its clients. */
export class Island {
  private readonly startedMs: number;
  private current: ServiceLevel = 'connected';
  private currentSinceMs: number;
  /** The better level that is seen, and when it counts. */
  private better: { readonly level: ServiceLevel; readonly atMs: number } | null = null;
  private seen: Surroundings = { members: 1, reachable: 1, uplink: 'none' };

  constructor(nowMs: number) {
    this.startedMs = nowMs;
    this.currentSinceMs = nowMs;
  }

  get level(): ServiceLevel {
    return this.current;
  }

  /** Since when, by the monotonic clock. */
  get sinceMs(): number {
    return this.currentSinceMs;
  }

  handle(seen: Surroundings, nowMs: number): LevelEvent | null {
    this.seen = seen;
    return this.settle(nowMs);
  }

  handleTimeout(nowMs: number): LevelEvent | null {
    return this.settle(nowMs);
  }

  nextDeadline(): number | undefined {
    return this.better?.atMs;
  }

  private settle(nowMs: number): LevelEvent | null {
    const level = levelOf(this.seen);
    if (RANK[level] <= RANK[this.current]) {
      this.better = null;
      return level === this.current ? null : this.become(level, nowMs);
    }
    if (this.better?.level !== level) this.better = { level, atMs: nowMs + RECOVERY_MS };
    const isStarting = nowMs - this.startedMs < START_MS;
    return isStarting || nowMs >= this.better.atMs ? this.become(level, nowMs) : null;
  }

  private become(level: ServiceLevel, nowMs: number): LevelEvent {
    const previous = this.current;
    this.current = level;
    this.currentSinceMs = nowMs;
    this.better = null;
    return { type: 'level-changed', level, previous, ...this.seen };
  }
}

function levelOf({ members, reachable, uplink }: Surroundings): ServiceLevel {
  if (reachable * 2 <= members) return 'island';
  return uplink === 'down' ? 'degraded' : 'connected';
}
