import { dotText } from '../causal/dot.ts';
import type { Entries } from '../causal/entry.ts';
import { winner } from '../causal/value.ts';
import type { NodeId } from '../machine.ts';
import type { WatchExchange } from './message.ts';

/** Keys whose last announced version is remembered, to pass each change on once. */
const VERSIONS_MAX = 65_536;
/** Buckets one node may watch. */
const WATCHED_BUCKETS_MAX = 1024;

interface Version {
  readonly dots: string;
  readonly hlc: number;
}

export type WatchSend = (to: NodeId, message: WatchExchange) => void;

/**
 * Carries changes from the owners of a key to the nodes whose clients watch its bucket. Every owner tells, so that
 * no failure of one hides a change; the watching node passes each version on once and drops what is older.
 */
export class WatchRelay {
  private wanted: ReadonlySet<string> = new Set();
  private readonly watchers = new Map<NodeId, ReadonlySet<string>>();
  private readonly peers = new Set<NodeId>();
  private readonly versions = new Map<string, Version>();

  handleConnected(peer: NodeId, send: WatchSend): void {
    this.peers.add(peer);
    if (this.wanted.size > 0) send(peer, { type: 'watch', buckets: [...this.wanted] });
  }

  handleDisconnected(peer: NodeId): void {
    this.peers.delete(peer);
    this.watchers.delete(peer);
  }

  /** Clients of this node watch these buckets from now on. */
  handleWanted(buckets: readonly string[], send: WatchSend): void {
    this.wanted = new Set(buckets.slice(0, WATCHED_BUCKETS_MAX));
    for (const peer of this.peers) send(peer, { type: 'watch', buckets: [...this.wanted] });
  }

  /** A key changed in this node's own replica. True when clients of this node are to hear of it. */
  handleLocal(bucket: string, key: string, entries: Entries, send: WatchSend): boolean {
    for (const [peer, buckets] of this.watchers) {
      if (buckets.has(bucket)) send(peer, { type: 'change', bucket, key, entries });
    }
    return this.isNews(bucket, key, entries);
  }

  /** True when the message is a change that clients of this node are to hear of. */
  handleMessage(from: NodeId, message: WatchExchange): boolean {
    if (message.type === 'change') return this.isNews(message.bucket, message.key, message.entries);
    if (message.buckets.length === 0) this.watchers.delete(from);
    else this.watchers.set(from, new Set(message.buckets));
    return false;
  }

  private isNews(bucket: string, key: string, entries: Entries): boolean {
    if (!this.wanted.has(bucket)) return false;
    const id = `${bucket}\0${key}`;
    const last = this.versions.get(id);
    const dots = entries.map((entry) => dotText(entry.dot)).join(' ');
    const hlc = winner(entries)?.hlc ?? last?.hlc ?? 0;
    if (last !== undefined && (last.dots === dots || hlc < last.hlc || isStalePut(last, entries, hlc))) return false;
    this.versions.delete(id);
    this.versions.set(id, { dots, hlc });
    if (this.versions.size > VERSIONS_MAX) {
      for (const oldest of this.versions.keys()) {
        this.versions.delete(oldest);
        break;
      }
    }
    return true;
  }
}

/** A slower owner announces what a delete has already removed. */
function isStalePut(last: Version, entries: Entries, hlc: number): boolean {
  return last.dots === '' && entries.length > 0 && hlc <= last.hlc;
}
