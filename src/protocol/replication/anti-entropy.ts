import { unreachable } from '../../lib/assert.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import { Rotation } from '../../lib/rotation.ts';
import { CausalContext } from '../causal/context.ts';
import type { NodeId } from '../machine.ts';
import { BareEvents } from './bare-events.ts';
import type { ReplicationCore } from './core.ts';
import { DigestExchange } from './digest-exchange.ts';
import { Inquiries } from './inquiries.ts';
import { LostKeyFetcher } from './lost-key-fetcher.ts';
import {
  type ShardCover,
  type SyncContextMessage,
  type SyncDigestMessage,
  type SyncDigestsMessage,
  type SyncEqualMessage,
  type SyncMessage,
  WAITS_FOR_MAX,
} from './message.ts';
import type { Replica } from './replica.ts';
import { type Shard, toldContext } from './shard-table.ts';
import { SyncOutbox } from './sync-outbox.ts';
import { PartGatherer } from './sync-parts.ts';
import { SyncReceiver } from './sync-receiver.ts';
import { SyncSender } from './sync-sender.ts';

/** Between two comparisons of a shard with the same peer that reads and writes ask for. */
const REPAIR_INTERVAL_MS = 250;

export interface AntiEntropyHooks {
  readonly onComplete: (shard: Shard) => void;
  /** A round begins. */
  readonly onRound: () => void;
  /** A holder was heard to cover more of the shard. */
  readonly onKnown: (shard: Shard) => void;
  /** True when this node may keep hints of the shard. */
  readonly mayHaveHints: (shard: number) => boolean;
}

/**
 * Anti-entropy, tier 1: holders of a shard compare their causal contexts and send each other the objects
 * behind the dots that the other misses (Goncalves et al., "DottedDB", SRDS 2017). The cost follows the
 * difference: equal replicas exchange one digest over all common shards, and what several holders have is sent by one.
 */
export class AntiEntropy {
  private readonly core: ReplicationCore;
  private readonly hooks: AntiEntropyHooks;
  private readonly outbox: SyncOutbox;
  private readonly digests: DigestExchange;
  private readonly inquiries: Inquiries;
  private readonly sender: SyncSender;
  private readonly receiver: SyncReceiver;
  private readonly fetcher: LostKeyFetcher;
  private readonly bareEvents: BareEvents;
  private readonly parts = new PartGatherer();
  /** What a lost message leaves different is found within as many rounds as there are peers. */
  private readonly rotation: Rotation;
  private nextRoundMs: number | undefined;

  constructor(core: ReplicationCore, replica: Replica, hooks: AntiEntropyHooks) {
    this.core = core;
    this.hooks = hooks;
    this.outbox = new SyncOutbox(core);
    this.rotation = new Rotation(core.options.prng);
    this.digests = new DigestExchange(core, {
      onEqual: (peer, shard) => this.noteEqual(peer, shard),
      onDiffer: (peer, shard) => this.ask(peer, shard),
    });
    this.inquiries = new Inquiries(core, {
      inquire: (peer, shard) => this.tell(peer, shard, { wants: this.wants(shard), reply: true }),
      lookAgain: (peer, shard) => this.digests.openSoon(peer, shard),
    });
    this.sender = new SyncSender(core, {
      onKnown: hooks.onKnown,
      ask: (peer, shard) => this.ask(peer, shard),
    });
    this.fetcher = new LostKeyFetcher(core, {
      replica,
      parts: this.parts,
      onRestored: (shard) => this.completeIfMet(shard),
    });
    this.bareEvents = new BareEvents(core, {
      ask: (peer, shard) => this.ask(peer, shard),
      mayHaveHints: hooks.mayHaveHints,
    });
    this.receiver = new SyncReceiver(
      core,
      { replica, outbox: this.outbox, parts: this.parts },
      {
        onSynced: (from, shard) => this.askSource(from, shard),
        onKnown: hooks.onKnown,
        onHeard: (from, shard) => this.inquiries.note(from, shard),
        onEnd: (from, shard) => this.inquiries.end(from, shard, true),
      },
    );
  }

  handlePeerUp(peer: NodeId): void {
    this.open(peer);
    this.schedule();
  }

  handlePeerDown(peer: NodeId): void {
    // It may come back with another disk.
    for (const shard of this.core.shards.all()) {
      shard.known.delete(peer);
      shard.completeOwners.delete(peer);
      shard.waitingOwners.delete(peer);
    }
    this.digests.handlePeerDown(peer);
    this.inquiries.handlePeerDown(peer);
    this.sender.handlePeerDown(peer);
    this.receiver.handlePeerDown(peer);
    this.parts.handlePeerDown(peer);
  }

  /** True while the shard is to be compared with another holder, or is being sent what one has. */
  isAwaiting(shard: Shard): boolean {
    // An owner that has just come up is compared with first of all.
    return this.inquiries.isAwaiting(shard) || this.ownersUp(shard).some((owner) => !shard.known.has(owner));
  }

  /** True while an owner that is up has more of an owned shard, or may have. */
  isBehind(shard: Shard): boolean {
    if (!shard.owned) return false;
    const told = toldContext(shard);
    return this.ownersUp(shard).some((owner) => {
      const known = shard.known.get(owner);
      return known === undefined || !told.covers(known);
    });
  }

  /** Says how this replica is to all owners that are up. */
  tellOwners(shard: Shard): void {
    for (const owner of this.ownersUp(shard)) this.tell(owner, shard, { wants: false, reply: false });
  }

  private ownersUp({ id }: Shard): NodeId[] {
    const { ring, options } = this.core;
    return ring.owners(id).filter((owner) => owner !== options.self && this.core.isUp(owner));
  }

  /** The shard is no longer held. The owners need not wait for this node again, wherever it is by then. */
  handleDropped(shard: Shard): void {
    for (const owner of this.core.ring.owners(shard.id)) {
      if (this.core.isUp(owner)) this.outbox.tell(owner, this.nothing(shard.id));
    }
    this.inquiries.handleDropped(shard);
    this.sender.handleDropped(shard);
    this.fetcher.handleDropped(shard);
  }

  /**
   * A record of the shard is bad: what was read of it, here or for a peer, may lack a key that the context counts, and
   * would tell that the key is deleted.
   */
  handleLosing(shard: Shard): void {
    this.sender.endSessions(shard);
    shard.comparison = null;
  }

  /** A key of the shard is lost: other owners have it. */
  handleLost(shard: Shard): void {
    for (const owner of shard.sources) this.ask(owner, shard);
    this.fetcher.fetch(shard);
  }

  /** The ring changed: sync with everyone who shares a shard, those in transfer first. */
  handleRing(peers: Iterable<NodeId>): void {
    this.sender.handleRing();
    for (const peer of peers) this.open(peer);
    this.schedule();
  }

  handleDigest(from: NodeId, message: SyncDigestMessage): void {
    this.digests.handleDigest(from, message);
  }

  handleDigests(from: NodeId, message: SyncDigestsMessage): void {
    this.digests.handleDigests(from, message);
  }

  handleEqual(from: NodeId, message: SyncEqualMessage): void {
    this.digests.handleEqual(from, message);
  }

  handleContext(from: NodeId, message: SyncContextMessage): void {
    const sameRing = message.ring === this.core.ring.digest;
    for (const cover of message.covers) this.handleCover(from, cover, sameRing);
  }

  private handleCover(from: NodeId, cover: ShardCover, sameRing: boolean): void {
    const { context, reply } = cover;
    const shard = this.core.shards.find(cover.shard);
    if (shard === undefined) {
      // Nothing is held here: say so, for a peer that waits for this node before it is complete.
      if (cover.wants || reply) this.outbox.tell(from, this.nothing(cover.shard));
      return;
    }
    shard.known.set(from, context);
    if (sameRing && context.isEmpty && !this.core.ring.isOwner(shard.id, from)) {
      this.core.formers.forget(shard.id, from);
    }
    if (cover.complete) shard.completeOwners.add(from);
    else shard.completeOwners.delete(from);
    if (cover.complete || !this.core.ring.isOwner(shard.id, from)) shard.waitingOwners.delete(from);
    else shard.waitingOwners.add(from);
    // From now on it may vote by itself, without this node: should it lose its disk, the two do not make up one place.
    if (cover.complete && sameRing && shard.successors.includes(from)) shard.former = false;
    const told = toldContext(shard);
    const sends = cover.wants && shard.bare.isEmpty && !context.covers(told);
    if (sends) this.sender.enqueue(from, shard, context);
    const isCovered = cover.withholds || told.covers(context);
    const misses = this.wants(shard) && !isCovered;
    if (!misses) this.inquiries.end(from, shard, false);
    const wants = misses && this.inquiries.begin(from, shard);
    // Whoever is sent objects learns from the last of them what is covered here.
    if (wants || (!sends && (cover.wants || reply))) this.tell(from, shard, { wants, reply: false });
    // Under another ring the holder may go on to vote for others behind this replica's back.
    if ((isCovered || !shard.owned) && sameRing) this.noteSynced(from, shard, cover);
    this.hooks.onKnown(shard);
  }

  /** What holders of a shard say while one sends the other what it misses. */
  handleSync(from: NodeId, message: SyncMessage): void {
    switch (message.type) {
      case 'sync-objects':
        return this.receiver.handleObjects(from, message);
      case 'sync-compare':
        return this.receiver.handleCompare(from, message);
      case 'sync-copies':
        return this.receiver.handleCopies(from, message);
      case 'sync-done':
        return this.receiver.handleDone(from, message);
      case 'sync-differ':
        return this.sender.handleDiffer(from, message);
      case 'sync-ack':
        return this.sender.handleAck(from, message);
      case 'sync-fetch':
        return this.fetcher.handleFetch(from, message);
      case 'sync-fetched':
        return this.fetcher.handleFetched(from, message);
      default:
        return unreachable(message);
    }
  }

  /** To be called at the end of a turn, before what it has written is handed over. */
  advance(): void {
    this.inquiries.advance();
  }

  /** To be called at the end of a turn, when all that it may say has been gathered. */
  flush(): void {
    this.outbox.flush();
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    this.sender.handleTimeout();
    this.inquiries.handleTimeout();
    this.digests.handleTimeout();
    if (this.nextRoundMs === undefined || this.nextRoundMs > nowMs) return;
    this.nextRoundMs = undefined;
    this.hooks.onRound();
    const peers = this.peers();
    const peer = this.rotation.next(
      () => peers,
      (id) => peers.has(id),
    );
    if (peer !== undefined) this.open(peer);
    // A replica in transfer, in or out, does not leave its completion to chance.
    for (const shard of this.core.shards.all()) {
      for (const source of shard.sources) this.ask(source, shard);
      // Who waited itself may have a vote by now, where others are away for good.
      for (const [source, votes] of shard.synced) if (!votes) this.ask(source, shard);
      if (shard.lost.size > 0) this.fetcher.fetch(shard);
      if (shard.owned || !shard.bare.isEmpty) this.completeIfMet(shard);
      if (shard.owned) continue;
      for (const owner of this.core.ring.owners(shard.id)) {
        if (!isHandedOver(shard, owner)) this.ask(owner, shard);
      }
    }
    this.schedule();
  }

  nextDeadline(): number | undefined {
    const next = earlier(this.inquiries.nextDeadline(), this.digests.nextDeadline());
    return earlier(next, earlier(this.nextRoundMs, this.sender.nextDeadline()));
  }

  private schedule(): void {
    if (this.nextRoundMs !== undefined) return;
    const { antiEntropyIntervalMs, prng } = this.core.options;
    this.nextRoundMs = this.core.now.monoMs + antiEntropyIntervalMs * (0.75 + prng.float() / 2);
  }

  /** Everyone with whom this node shares a shard, and who is up. */
  private peers(): Set<NodeId> {
    const peers = new Set<NodeId>();
    for (const shard of this.core.shards.all()) {
      for (const owner of this.core.ring.owners(shard.id)) peers.add(owner);
      for (const source of shard.sources) peers.add(source);
    }
    peers.delete(this.core.options.self);
    for (const peer of peers) if (!this.core.isUp(peer)) peers.delete(peer);
    return peers;
  }

  private open(peer: NodeId): void {
    if (!this.core.isUp(peer)) return;
    const shards: number[] = [];
    for (const shard of this.core.shards.all()) {
      if (this.core.ring.isOwner(shard.id, peer)) shards.push(shard.id);
      else if (shard.sources.has(peer)) this.ask(peer, shard);
    }
    if (shards.length === 0) return;
    this.core.counters.syncRounds++;
    this.digests.open(peer, shards);
  }

  /** Compares one shard with one peer soon: many keys of it may be found to differ at once. */
  repairWith(peer: NodeId, shard: Shard): void {
    const nowMs = this.core.now.monoMs;
    if ((shard.repairedMs.get(peer) ?? Number.NEGATIVE_INFINITY) + REPAIR_INTERVAL_MS > nowMs) return;
    shard.repairedMs.set(peer, nowMs);
    this.ask(peer, shard);
  }

  /** Compares one shard with one peer, in its turn. */
  ask(peer: NodeId, shard: Shard): void {
    if (this.core.isUp(peer)) this.inquiries.add(peer, shard);
  }

  private tell(peer: NodeId, shard: Shard, asks: { wants: boolean; reply: boolean }): void {
    this.outbox.tell(peer, {
      shard: shard.id,
      context: toldContext(shard).clone(),
      ...asks,
      complete: isComplete(shard),
      former: shard.former && shard.losing === 0,
      withholds: shard.owned && !shard.bare.isEmpty,
      hinted: this.hooks.mayHaveHints(shard.id),
      waitsFor: isComplete(shard) ? [] : [...shard.sources].slice(0, WAITS_FOR_MAX),
    });
  }

  private nothing(shard: number): ShardCover {
    return {
      shard,
      context: new CausalContext(),
      wants: false,
      reply: false,
      complete: false,
      former: false,
      withholds: false,
      hinted: this.hooks.mayHaveHints(shard),
      waitsFor: [],
    };
  }

  /** A full disk asks for nothing: the same objects would be sent, and refused, again and again. */
  private wants(shard: Shard): boolean {
    return shard.owned && this.core.writable;
  }

  private noteEqual(from: NodeId, shard: Shard): void {
    shard.known.set(from, toldContext(shard).clone());
    this.askSource(from, shard);
    this.hooks.onKnown(shard);
  }

  /** This replica has what the source covers. What that is worth it has yet to say. */
  private askSource(from: NodeId, shard: Shard): void {
    if (shard.sources.has(from) && this.core.isUp(from)) this.tell(from, shard, { wants: false, reply: true });
  }

  private noteSynced(from: NodeId, shard: Shard, { complete, former, hinted, waitsFor }: ShardCover): void {
    // Who only holds the shard asks for what it has lost, or is not sure of.
    if (shard.complete || (!shard.owned && shard.bare.isEmpty && shard.lost.size === 0)) return;
    // It is asked again once it has handed them over.
    if (!shard.bare.isEmpty && shard.bareStep === 'hints' && hinted) return;
    const isNew = shard.sources.delete(from);
    if (!isNew && !shard.synced.has(from)) return;
    shard.synced.set(from, complete || (former && shard.gained));
    // A source that waits itself does not have yet what those have.
    for (const node of isNew ? waitsFor : []) {
      if (node === this.core.options.self || shard.synced.has(node) || shard.sources.has(node)) continue;
      shard.sources.add(node);
      this.core.shards.touch(shard);
      this.ask(node, shard);
    }
    this.completeIfMet(shard);
  }

  /**
   * Complete: synced with every source, or, where the others are away, with so many owners, present or former, that every
   * write quorum has one of them.
   */
  completeIfMet(shard: Shard): void {
    if (shard.complete || shard.lost.size > 0) return;
    const { ring } = this.core;
    let met = 0;
    for (const votes of shard.synced.values()) if (votes) met++;
    // Of n owners a write has n / 2 + 1, and this one's vote has not counted. There may be fewer owners by now than in the
    // ring of which the sources are. Of bare events any of them may know.
    const needed = Math.ceil(ring.replicasOf(shard.id) / 2);
    const isMet = shard.bare.isEmpty && met > 0 && met >= Math.min(needed, shard.sources.size + shard.synced.size);
    for (const source of shard.sources) if (this.core.isUp(source) || (!isMet && !ring.isGone(source))) return;
    if (!isMet && this.turnToFormers(shard)) return;
    if (!this.bareEvents.settle(shard)) {
      this.schedule();
      return;
    }
    if (shard.owned) this.hooks.onComplete(shard);
  }

  /**
   * Too few of the sources have a vote: one of them was an owner in a ring that it has never heard of, maybe, and took
   * nothing over. Who owned the shard before may still have it. False where there is nobody further.
   */
  private turnToFormers(shard: Shard): boolean {
    const { ring, formers, options } = this.core;
    const further = formers.of(shard.id).filter((node) => {
      return node !== options.self && !shard.synced.has(node) && !shard.sources.has(node) && !ring.isGone(node);
    });
    if (further.length === 0) return false;
    for (const node of further) {
      shard.sources.add(node);
      this.ask(node, shard);
    }
    this.core.shards.touch(shard);
    this.schedule();
    return true;
  }
}

function isComplete({ owned, complete, lost, losing }: Shard): boolean {
  return owned && complete && lost.size === 0 && losing === 0;
}

/** Whether an owner has all that is held here: only then may the copy go. */
export function isHandedOver(shard: Shard, owner: NodeId): boolean {
  return shard.completeOwners.has(owner) && shard.known.get(owner)?.covers(shard.context) === true;
}
