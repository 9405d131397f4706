import { earlier } from '../../lib/deadline-queue.ts';
import type { NodeId } from '../machine.ts';
import type { ReplicationCore } from './core.ts';
import type { Shard } from './shard-table.ts';
import { ANSWER_TIMEOUT_MS, SESSIONS_PER_PEER } from './sync-session.ts';

/** A peer that says nothing of a shard for so long leaves it to the next; what it sends after all is taken. */
const SILENCE_MS = 500;

export interface InquiriesHooks {
  /** Tells the peer what this replica covers, so that it sends what it has beyond. */
  readonly inquire: (peer: NodeId, shard: Shard) => void;
  /** Another peer has sent what it had of the shard; this one may have nothing to add. */
  readonly lookAgain: (peer: NodeId, shard: Shard) => void;
}

/**
 * Whom this node asks for what it may miss. Several holders have what one was away for: a shard is asked of one of them
 * at a time, so that it is sent once, and of a peer no more shards at a time than it sends at once. Where a peer is
 * silent or gone, the next one is asked.
 */
export class Inquiries {
  private readonly core: ReplicationCore;
  private readonly hooks: InquiriesHooks;
  /** Those under way, and when each peer was last heard of the shard. */
  private readonly open = new Map<Shard, Map<NodeId, number>>();
  /** Shards to be asked of each peer. */
  private readonly waiting = new Map<NodeId, Set<Shard>>();
  private changed = false;

  constructor(core: ReplicationCore, hooks: InquiriesHooks) {
    this.core = core;
    this.hooks = hooks;
  }

  /** To be compared with this peer as soon as it is its turn. */
  add(peer: NodeId, shard: Shard): void {
    const shards = this.waiting.get(peer);
    if (shards === undefined) this.waiting.set(peer, new Set([shard]));
    else shards.add(shard);
    this.changed = true;
  }

  /** The peer is known to have more: true when it is to be asked for it now. Otherwise it is asked in its turn. */
  begin(peer: NodeId, shard: Shard): boolean {
    if (this.open.get(shard)?.has(peer) === true) {
      this.note(peer, shard);
      return false;
    }
    if (!this.mayBegin(peer, shard) || this.countOf(peer) >= SESSIONS_PER_PEER) {
      this.add(peer, shard);
      return false;
    }
    this.start(peer, shard);
    return true;
  }

  /** The peer was heard of the shard, or answered. */
  note(peer: NodeId, shard: Shard): void {
    const peers = this.open.get(shard);
    if (peers?.has(peer) === true) peers.set(peer, this.core.now.monoMs);
  }

  /** The peer has no more to say of the shard. `news`: it has sent something. */
  end(peer: NodeId, shard: Shard, news: boolean): void {
    if (!this.close(peer, shard) || !news) return;
    for (const [other, shards] of this.waiting) if (shards.delete(shard)) this.hooks.lookAgain(other, shard);
  }

  /** True while a peer is asked for what it has of the shard, or is going to be. */
  isAwaiting(shard: Shard): boolean {
    return this.open.has(shard) || this.hasWaiting(shard);
  }

  handlePeerDown(peer: NodeId): void {
    this.waiting.delete(peer);
    for (const shard of this.open.keys()) this.close(peer, shard);
  }

  /** The shard is no longer held. */
  handleDropped(shard: Shard): void {
    for (const shards of this.waiting.values()) shards.delete(shard);
    if (this.open.delete(shard)) this.changed = true;
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (const [shard, peers] of this.open) {
      for (const [peer, heardMs] of peers) {
        if (heardMs + ANSWER_TIMEOUT_MS <= nowMs) this.close(peer, shard);
        else if (heardMs + SILENCE_MS <= nowMs) this.changed = true;
      }
    }
  }

  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const [shard, peers] of this.open) {
      const hasWaiting = this.hasWaiting(shard);
      for (const heardMs of peers.values()) {
        const isSilent = heardMs + SILENCE_MS <= this.core.now.monoMs;
        next = earlier(next, heardMs + (hasWaiting && !isSilent ? SILENCE_MS : ANSWER_TIMEOUT_MS));
      }
    }
    return next;
  }

  /** Asks those whose turn it is: at the end of a turn, so that one message asks for many shards. */
  advance(): void {
    if (!this.changed) return;
    this.changed = false;
    for (const [peer, shards] of this.waiting) {
      if (!this.core.isUp(peer)) shards.clear();
      let count = this.countOf(peer);
      // In batches, rather than one more for each that is done.
      const isFull = count > SESSIONS_PER_PEER / 2;
      for (const shard of isFull ? [] : shards) {
        if (count >= SESSIONS_PER_PEER) break;
        if (!this.mayBegin(peer, shard)) continue;
        shards.delete(shard);
        this.start(peer, shard);
        this.hooks.inquire(peer, shard);
        count++;
      }
      if (shards.size === 0) this.waiting.delete(peer);
    }
  }

  private start(peer: NodeId, shard: Shard): void {
    const peers = this.open.get(shard) ?? new Map<NodeId, number>();
    this.open.set(shard, peers.set(peer, this.core.now.monoMs));
  }

  private close(peer: NodeId, shard: Shard): boolean {
    const peers = this.open.get(shard);
    if (peers?.delete(peer) !== true) return false;
    if (peers.size === 0) this.open.delete(shard);
    this.changed = true;
    return true;
  }

  /** Nobody else is being asked, or those who are have fallen silent. */
  private mayBegin(peer: NodeId, shard: Shard): boolean {
    const peers = this.open.get(shard);
    if (peers === undefined) return true;
    if (peers.has(peer)) return false;
    for (const heardMs of peers.values()) if (heardMs + SILENCE_MS > this.core.now.monoMs) return false;
    return true;
  }

  private hasWaiting(shard: Shard): boolean {
    for (const shards of this.waiting.values()) if (shards.has(shard)) return true;
    return false;
  }

  private countOf(peer: NodeId): number {
    let count = 0;
    for (const peers of this.open.values()) if (peers.has(peer)) count++;
    return count;
  }
}
