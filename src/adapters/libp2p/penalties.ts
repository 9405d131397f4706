import type { NodeId } from '../../ports/transport.ts';

const WINDOW_MS = 60_000;
/** Offences within a minute after which a peer is banned. */
const POINTS_MAX = 10;
const BAN_MS = 60_000;
/** Peers remembered; the oldest is forgotten first. */
const PEERS_MAX = 1_024;

interface Record {
  points: number;
  windowEndsMs: number;
  bannedUntilMs: number;
}

/** Offences of peers within a sliding minute, and the bans that follow. Times are monotonic milliseconds. */
export class Penalties {
  private readonly records = new Map<NodeId, Record>();

  /** Returns true when this offence is one too many: the peer is now banned for a minute. */
  report(peer: NodeId, points: number, nowMs: number): boolean {
    const record = this.recordOf(peer, nowMs);
    record.points += points;
    if (record.points <= POINTS_MAX) return false;
    record.points = 0;
    record.bannedUntilMs = nowMs + BAN_MS;
    return true;
  }

  isBanned(peer: NodeId, nowMs: number): boolean {
    return (this.records.get(peer)?.bannedUntilMs ?? 0) > nowMs;
  }

  private recordOf(peer: NodeId, nowMs: number): Record {
    let record = this.records.get(peer);
    if (record === undefined) {
      if (this.records.size >= PEERS_MAX) this.records.delete(this.records.keys().next().value as NodeId);
      record = { points: 0, windowEndsMs: nowMs + WINDOW_MS, bannedUntilMs: 0 };
      this.records.set(peer, record);
    } else if (record.windowEndsMs <= nowMs) {
      record.points = 0;
      record.windowEndsMs = nowMs + WINDOW_MS;
    }
    return record;
  }
}
