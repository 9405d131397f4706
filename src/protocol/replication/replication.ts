import { assert, unreachable } from '../../lib/assert.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import { type Failure, failure } from '../../lib/failure.ts';
import { Journal } from '../../lib/journal.ts';
import type { ConflictPolicy } from '../causal/entry.ts';
import type { Instant, Machine, NodeId } from '../machine.ts';
import { Admissions, tooManyRequests } from './admissions.ts';
import { AntiEntropy, isHandedOver } from './anti-entropy.ts';
import { BadRecords } from './bad-records.ts';
import { CellTable } from './cell-table.ts';
import { ConflictGatherer } from './conflict-gatherer.ts';
import type { RestoredConflict } from './conflict-journal.ts';
import {
  firstId,
  type RecordScanOf,
  type RecordScanTable,
  type ReplicationCore,
  type ReplicationOptions,
  type ScanResultOf,
} from './core.ts';
import { CounterCheck } from './counter-check.ts';
import { type ReplicationCounters, zeroCounters } from './counters.ts';
import type { ReplicationEffect, ReplicationInput } from './effect.ts';
import { FormerOwners } from './former-owners.ts';
import { Forwarder } from './forwarder.ts';
import { HintHandoff } from './hint-handoff.ts';
import { HintStore } from './hint-store.ts';
import { Holdings } from './holdings.ts';
import { IndexStripper } from './index-stripper.ts';
import { Lister } from './lister.ts';
import { LostObjects } from './lost-objects.ts';
import type { ReplicationMessage } from './message.ts';
import { Orphans } from './orphans.ts';
import { type PeerOutcomes, PeerTally } from './peer-tally.ts';
import type { Placement } from './placement.ts';
import { ReadCoordinator, type ReadQuery, type ReadState } from './read-coordinator.ts';
import type { HintRow, RecordClear, RecordWrite, ScanResult } from './record.ts';
import { Replica } from './replica.ts';
import type { ClientRequest, Respond, ShardContext } from './request.ts';
import { Restamper } from './restamper.ts';
import { countShards, type ShardCounts } from './shard-counts.ts';
import { type RestoredShards, type Shard, ShardTable } from './shard-table.ts';
import { Sweeper } from './sweeper.ts';
import { WriteCoordinator } from './write-coordinator.ts';

/** Gaps are a multiple of it, up to 2^36: room for a quarter of a million starts in the 2^53 that a counter can be. */
const GAP_STEP = 16;
const DISK_FULL = 'the disk of the node is full; free space or grow the volume. Reads and deletes go on';

/** What an earlier run left on this disk. */
export interface RestoredReplication extends RestoredShards {
  readonly hints: readonly HintRow[];
  /** Shards that are not held but have left something on the disk: a crash came between the steps of a clear. */
  readonly orphans: readonly number[];
  readonly hasExpiries: boolean;
  readonly conflicts: readonly RestoredConflict[];
  /** The actor has never run before. */
  readonly isNew: boolean;
}

export interface ReplicationStats {
  readonly shards: ShardCounts;
  readonly hints: { readonly records: number; readonly bytes: number; readonly dropped: number };
  readonly cache: { readonly cells: number; readonly bytes: number };
  readonly inFlight: number;
  /** Kept for people. */
  readonly conflicts: number;
  readonly counters: Readonly<ReplicationCounters>;
}

/**
 * Replication of one node: every shard replica is one causal CRDT (see `causal/`), written through
 * coordinators with N/R/W, kept equal by read repair, hinted handoff and anti-entropy.
 */
export class Replication implements Machine<ReplicationInput, ReplicationEffect> {
  private readonly core: MutableCore;
  private readonly journal = new Journal<RecordWrite>();
  private readonly formers = new FormerOwners();
  private readonly replica: Replica;
  private readonly hints: HintStore;
  private readonly handoff: HintHandoff;
  private readonly reader: ReadCoordinator;
  private readonly writer: WriteCoordinator;
  private readonly forwarder: Forwarder;
  private readonly counterCheck: CounterCheck;
  private readonly lister: Lister;
  private readonly conflicts: ConflictGatherer;
  private readonly restamper: Restamper;
  private readonly antiEntropy: AntiEntropy;
  private readonly stripper: IndexStripper;
  private readonly orphans: Orphans;
  private readonly sweeper: Sweeper;
  /** What has deadlines, in the order in which it is told of the time. */
  private readonly timed: readonly Timed[];
  readonly holdings: Holdings;
  private readonly badRecords: BadRecords;
  private readonly lostObjects: LostObjects;
  private diskRefusal = DISK_FULL;
  private readonly up = new Set<NodeId>();
  /** Counts the peers that have gone away. */
  private lastParting = 0;
  /** The last time that each of them did, until all is synced that might have been said to it before. */
  private readonly partings = new Map<NodeId, number>();
  /** Dropped shards that are still on disk. */
  private readonly clearing = new Set<number>();
  private readonly scans = new Map<number, (result: ScanResult) => void>();
  private effects: ReplicationEffect[] = [];
  private clears: RecordClear[] = [];
  private readonly admissions: Admissions;
  private lastId: number;

  constructor(
    options: ReplicationOptions,
    ring: Placement,
    conflictOf: (bucket: string) => ConflictPolicy | undefined,
    restored: RestoredReplication,
    now: Instant,
  ) {
    this.lastId = firstId(options.prng);
    this.up.add(options.self);
    this.core = this.newCore(options, ring, conflictOf, restored, now);
    this.admissions = new Admissions(this.core);
    const nextId = (): number => ++this.lastId;
    this.replica = new Replica(this.core, () => this.hints);
    this.hints = new HintStore(this.core, (targets) => this.handoff.handleStored(targets));
    this.conflicts = new ConflictGatherer(this.core, restored.conflicts, nextId);
    const { replica, hints } = this;
    const { journal: conflicts } = this.conflicts;
    const repairWith = (node: NodeId, shard: Shard): void => this.antiEntropy.repairWith(node, shard);
    this.reader = new ReadCoordinator(this.core, { replica, nextId, repairWith });
    this.writer = new WriteCoordinator(this.core, { replica, hints, reader: this.reader, nextId, repairWith });
    this.restamper = new Restamper(this.core, { replica, hints, nextId });
    this.counterCheck = new CounterCheck(this.core, restored, {
      namedInHints: (actor) => hints.namedOf(actor),
      onRolledBack: () => this.becomeRolledBack(),
    });
    this.lister = new Lister(this.core, this.reader, hints, nextId);
    this.forwarder = new Forwarder(this.core, nextId, {
      execute: (request, respond) => this.execute(request, respond),
      executeForPeer: (request, respond) => {
        if (this.admissions.isFull) respond({ type: 'failed', failure: tooManyRequests() });
        else this.execute(request, this.admissions.admit(respond));
      },
    });
    this.antiEntropy = new AntiEntropy(this.core, this.replica, {
      onComplete: (shard) => this.becomeComplete(shard),
      onRound: () => this.handleRound(),
      onKnown: (shard) => {
        this.dropIfCovered(shard);
        this.stripper.note(shard);
      },
      mayHaveHints: (shard) => hints.mayHold(shard),
    });
    this.handoff = new HintHandoff(this.core, {
      hints,
      nextId,
      applyHere: (cell, hint) => replica.applyHint(cell, hint),
      isAwaiting: (shard) => this.antiEntropy.isAwaiting(shard),
    });
    this.stripper = new IndexStripper(this.core);
    this.orphans = new Orphans(this.core, this.replica);
    const isClearing = (shard: number): boolean => this.clearing.has(shard);
    this.badRecords = new BadRecords(this.core, { hints, conflicts }, isClearing);
    this.lostObjects = new LostObjects(this.core, isClearing, {
      onFound: (shard) => this.antiEntropy.handleLosing(shard),
      onForgotten: (shard) => this.antiEntropy.handleLost(shard),
    });
    this.sweeper = new Sweeper(this.core, this.writer);
    const onHub = (shard: Shard): void => this.stripper.note(shard);
    const onKnown = (known: readonly ShardContext[]): void => this.counterCheck.handleHub(known);
    this.holdings = new Holdings(this.core, { replica, conflicts, repairWith, onHub, onKnown });
    const { admissions, writer, reader, forwarder, lister, handoff, antiEntropy, stripper, sweeper } = this;
    const coordinators = [admissions, writer, reader, forwarder, lister, this.conflicts];
    this.timed = [...coordinators, handoff, antiEntropy, stripper, sweeper];
    this.hints.restore(restored.hints);
    this.handoff.restore(restored.hints);
    if (restored.hasExpiries) this.sweeper.wake();
    for (const shard of restored.orphans) this.clear(shard);
    for (const shard of this.core.shards.handleRing(ring, null, () => true)) this.handleAlone(shard);
  }

  /** What the parts share. */
  private newCore(
    options: ReplicationOptions,
    ring: Placement,
    conflictOf: (bucket: string) => ConflictPolicy | undefined,
    restored: RestoredReplication,
    now: Instant,
  ): MutableCore {
    const { journal } = this;
    const shards = new ShardTable(options.self, options.actor, journal, restored, {
      isConfirmed: () => this.counterCheck.isConfirmed,
      gap: (1 + options.prng.uint32()) * GAP_STEP,
    });
    const cells = new CellTable({
      cacheBytes: options.cacheBytes,
      read: (id, key) => this.effects.push({ type: 'read', id, key }),
      tables: (shard) => {
        // Until a dropped shard is off the disk, what is read there is not part of the new one.
        const held = shards.find(shard) !== undefined && !this.clearing.has(shard);
        return { object: held, hint: shards.find(shard)?.owned !== true || this.hints.mayHold(shard) };
      },
      isDurable: (id) => journal.isDurable(id),
    });
    return {
      options,
      journal,
      cells,
      shards,
      counters: zeroCounters(),
      tally: new PeerTally(),
      losses: { count: 0, open: 0 },
      now,
      clockDoubtfulSinceMs: null,
      ring,
      writable: true,
      emit: (effect) => this.effects.push(effect),
      send: (to, message) => this.effects.push({ type: 'send', to, message }),
      sendDurable: (to, message) => this.sendDurable(to, message),
      isUp: (peer) => this.up.has(peer),
      formers: this.formers,
      shardOf: (bucket, key) => ring.shardOf(bucket, key),
      knowsBucket: (bucket) => conflictOf(bucket) !== undefined,
      conflictOf: (bucket) => conflictOf(bucket) ?? 'lww',
      isWatched: options.isWatched,
      noteConflicts: (...change) => this.conflicts.journal.note(...change),
      restamp: (cell) => this.restamper.restamp(cell),
      scan: (scan, use) => this.scan(scan, use),
    };
  }

  /** Takes over a new ring; `isKept` as in `ShardTable.handleRing`. */
  handleRing(ring: Placement, isKept: (shard: number) => boolean, now: Instant): ReplicationEffect[] {
    return this.turn(now, () => {
      const before = this.core.ring;
      this.core.ring = ring;
      this.formers.handleRing(before, ring);
      for (const shard of this.core.shards.handleRing(ring, before, isKept)) this.handleAlone(shard);
      const peers = new Set(this.up);
      peers.delete(this.core.options.self);
      this.antiEntropy.handleRing(peers);
      this.handoff.handleRing();
    });
  }

  /** Other members know this node from before its disk began. */
  noteForgotten(): void {
    this.core.shards.noteForgotten();
  }

  handle(input: ReplicationInput, now: Instant): ReplicationEffect[] {
    return this.turn(now, () => this.dispatch(input));
  }

  /** Reads a key, with this node as the coordinator, as replicas keep it. */
  read(query: ReadQuery, use: (state: ReadState | Failure) => void, now: Instant): ReplicationEffect[] {
    return this.turn(now, () => this.reader.read(query, use));
  }

  /** Runs what reads or changes `holdings`. */
  hold(use: (holdings: Holdings) => void, now: Instant): ReplicationEffect[] {
    return this.turn(now, () => use(this.holdings));
  }

  /** Calls back once everything applied up to now is synced. */
  whenDurable(use: () => void, now: Instant): ReplicationEffect[] {
    return this.turn(now, () => this.journal.afterTurn(use));
  }

  handleTimeout(now: Instant): ReplicationEffect[] {
    return this.turn(now, () => {
      for (const part of this.timed) part.handleTimeout();
    });
  }

  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const part of this.timed) next = earlier(next, part.nextDeadline());
    return next;
  }

  /** How peers served requests since the last call; null when there were none. */
  takeOutcomes(): PeerOutcomes[] | null {
    return this.core.tally.isEmpty ? null : this.core.tally.take();
  }

  stats(): ReplicationStats {
    const { core, antiEntropy } = this;
    return {
      shards: countShards(core.shards.all(), (shard) => antiEntropy.isBehind(shard)),
      hints: { ...this.hints.stats, dropped: core.counters.hintsDropped },
      cache: core.cells.stats,
      inFlight: this.admissions.count,
      conflicts: this.conflicts.journal.size,
      counters: core.counters,
    };
  }

  private turn(now: Instant, body: () => void): ReplicationEffect[] {
    this.core.now = now;
    body();
    this.journal.flush(this.persist, this.complete);
    this.antiEntropy.flush();
    // After the turn's own batch: it holds this actor's counter, whose only other copy goes with the shard.
    for (const range of this.clears) this.effects.push({ type: 'clear', range });
    this.clears = [];
    this.core.cells.trim();
    const effects = this.effects;
    this.effects = [];
    return effects;
  }

  /** What every batch takes along. */
  private readonly complete = (): void => {
    this.antiEntropy.advance();
    this.core.shards.writeDirty();
  };

  private readonly persist = (id: number, writes: readonly RecordWrite[]): void => {
    this.effects.push({ type: 'persist', id, writes });
  };

  private dispatch(input: ReplicationInput): void {
    switch (input.type) {
      case 'request':
        return this.handleRequest(input.id, input.request);
      case 'conflicts':
        return this.conflicts.handleRequest(input.id, input.query);
      case 'message':
        return this.handleMessage(input.from, input.message);
      case 'persisted':
        return this.journal.handlePersisted(input.id);
      case 'read-done':
        return this.core.cells.handleRead(input.id, input.result);
      case 'scan-done': {
        const use = this.scans.get(input.id);
        this.scans.delete(input.id);
        assert(use !== undefined, 'a scan is answered once');
        return use(input.result);
      }
      case 'object-lost':
        return this.lostObjects.handle(input.shard, input.name);
      case 'record-lost':
        return this.badRecords.handle(input.record);
      case 'cleared':
        this.clearing.delete(input.shard);
        return;
      case 'peer-up':
        return this.handlePeerUp(input.peer);
      case 'peer-down':
        return this.handlePeerDown(input.peer);
      case 'storage-writable':
        return this.handleWritable(input.writable, input.refusal);
      case 'clock-trust':
        this.core.clockDoubtfulSinceMs = input.doubtfulSinceMs;
        return;
      default:
        return unreachable(input);
    }
  }

  private handleRequest(id: number, request: ClientRequest): void {
    if (this.admissions.isFull) {
      this.effects.push({ type: 'reply', id, reply: { type: 'failed', failure: tooManyRequests() } });
      return;
    }
    this.forwarder.handleRequest(
      request,
      this.admissions.admit((reply) => this.effects.push({ type: 'reply', id, reply })),
    );
  }

  /** Runs a request on this node, as its coordinator. */
  private execute(request: ClientRequest, respond: Respond): void {
    switch (request.type) {
      case 'mutate':
        if (!this.core.writable && request.mutation.type !== 'delete') {
          respond({ type: 'failed', failure: failure('disk-full', this.diskRefusal) });
          return;
        }
        if (request.mutation.type !== 'delete') this.sweeper.wake();
        return this.writer.handleMutate(request, respond);
      case 'get':
        return this.reader.handleGet(request, respond);
      case 'confirm':
        return this.reader.handleConfirm(request, respond);
      case 'list':
        return this.lister.handleRequest(request, respond);
      default:
        return unreachable(request);
    }
  }

  private handleMessage(from: NodeId, message: ReplicationMessage): void {
    switch (message.type) {
      case 'forward':
        return this.forwarder.handleForward(from, message);
      case 'forward-reply':
        return this.forwarder.handleReply(from, message);
      case 'replicate':
        this.counterCheck.note(this.core.shardOf(message.bucket, message.key), message.events);
        if (!this.core.writable && message.entries.length > 0) {
          const full = failure('disk-full', this.diskRefusal);
          return this.replica.refuse(from, message.id, full);
        }
        if (message.entries.some((entry) => entry.expiresAtMs !== 0)) this.sweeper.wake();
        return this.replica.handleReplicate(from, message);
      case 'replicate-ack':
        if (!this.handoff.handleAck(from, message)) this.writer.handleAck(from, message);
        return;
      case 'read':
        return this.replica.handleRead(from, message);
      case 'read-reply':
        return this.reader.handleReadReply(from, message);
      case 'list':
        return this.lister.handleList(from, message);
      case 'list-reply':
        return this.lister.handleListReply(from, message);
      case 'conflicts-ask':
      case 'conflicts-tell':
        return this.conflicts.handleMessage(from, message);
      case 'counter-check':
        return this.counterCheck.handleCheck(from, message);
      case 'counter-report':
        return this.counterCheck.handleReport(from, message);
      case 'hint-ask':
        return this.handoff.handleAsk(from, message);
      case 'hint-tell':
        return this.handoff.handleTell(from, message);
      case 'sync-digest':
        return this.antiEntropy.handleDigest(from, message);
      case 'sync-digests':
        return this.antiEntropy.handleDigests(from, message);
      case 'sync-equal':
        return this.antiEntropy.handleEqual(from, message);
      case 'sync-context':
        return this.antiEntropy.handleContext(from, message);
      default:
        this.sweeper.wake();
        return this.antiEntropy.handleSync(from, message);
    }
  }

  /** With space again: what was refused meanwhile is fetched now rather than at the next round. */
  private handleWritable(writable: boolean, refusal = DISK_FULL): void {
    this.diskRefusal = refusal;
    const recovers = writable && !this.core.writable;
    this.core.writable = writable;
    if (!recovers) return;
    for (const peer of this.up) if (peer !== this.core.options.self) this.antiEntropy.handlePeerUp(peer);
  }

  private handlePeerUp(peer: NodeId): void {
    if (this.up.has(peer)) return;
    this.up.add(peer);
    this.counterCheck.handlePeerUp(peer);
    this.antiEntropy.handlePeerUp(peer);
    this.handoff.handlePeerUp(peer);
  }

  /** Also of one that was down already: who is taken for dead may have said something before its connection ended. */
  private handlePeerDown(peer: NodeId): void {
    this.up.delete(peer);
    this.noteParting(peer);
    this.handoff.handlePeerDown(peer);
    this.antiEntropy.handlePeerDown(peer);
    this.writer.handlePeerDown(peer);
    this.reader.handlePeerDown(peer);
    this.lister.handlePeerDown(peer);
    this.conflicts.handlePeerDown(peer);
    this.forwarder.handlePeerDown(peer);
  }

  /** The disk is an older one than it was: what it had acknowledged since is missing until the others have sent it. */
  private becomeRolledBack(): void {
    this.effects.push({ type: 'notify', event: { type: 'disk-rolled-back' } });
    this.core.shards.noteForgotten();
    for (const shard of this.core.shards.all()) {
      if (!shard.owned) continue;
      this.core.shards.becomeIncomplete(shard, this.core.ring.owners(shard.id));
      for (const source of shard.sources) this.antiEntropy.ask(source, shard);
    }
  }

  private handleRound(): void {
    this.counterCheck.askAgain();
    // Of a shard with one owner nobody else tells what it covers.
    for (const shard of this.core.shards.all()) {
      if (shard.owned && this.core.ring.owners(shard.id).length === 1) this.stripper.note(shard);
    }
  }

  /** There is nobody to sync with. */
  private handleAlone(shard: Shard): void {
    const { ring, options } = this.core;
    const isLast = ring.remaining.every((node) => node === options.self);
    // Of keys that are lost here nobody has a copy then.
    if (isLast && shard.bare.isEmpty) this.becomeComplete(shard);
    else this.antiEntropy.completeIfMet(shard);
  }

  private becomeComplete(shard: Shard): void {
    this.core.shards.becomeComplete(shard);
    this.orphans.adopt(shard);
    // One of them answers for the shard at the hub until this node does.
    if (this.core.options.hasHub) this.antiEntropy.tellOwners(shard);
    this.effects.push({ type: 'notify', event: { type: 'shard-complete', shard: shard.id } });
  }

  /** A shard held for others goes once every owner covers it. */
  private dropIfCovered(shard: Shard): void {
    if (shard.owned || !this.core.ring.knowsShard(shard.id)) return;
    const owners = this.core.ring.owners(shard.id);
    if (!owners.every((owner) => isHandedOver(shard, owner))) return;
    this.core.shards.drop(shard);
    this.core.cells.dropShard(shard.id);
    this.antiEntropy.handleDropped(shard);
    this.clear(shard.id);
    this.effects.push({ type: 'notify', event: { type: 'shard-dropped', shard: shard.id } });
  }

  /**
   * Not to a peer that has gone away before all is synced: when it is back, its disk may be an older one, of which what it
   * asked before says nothing.
   */
  private sendDurable(to: NodeId, message: ReplicationMessage): void {
    const { lastParting } = this;
    this.journal.afterTurn(() => {
      if ((this.partings.get(to) ?? 0) <= lastParting) this.effects.push({ type: 'send', to, message });
    });
  }

  /** What is held back comes to its turn in the order in which it was said: by then nothing from before is left. */
  private noteParting(peer: NodeId): void {
    const parting = ++this.lastParting;
    this.partings.set(peer, parting);
    this.journal.afterTurn(() => {
      if (this.partings.get(peer) === parting) this.partings.delete(peer);
    });
  }

  /** Takes a shard off the disk that is no longer held. */
  private clear(shard: number): void {
    this.clearing.add(shard);
    this.clears.push({ table: 'shard', shard });
  }

  private scan<T extends RecordScanTable>(scan: RecordScanOf<T>, use: (result: ScanResultOf<T>) => void): void {
    const id = ++this.lastId;
    this.scans.set(id, (result) => {
      assert(result.table === scan.table, 'a scan is answered from its own table');
      use(result as ScanResultOf<T>);
    });
    this.effects.push({ type: 'scan', id, scan });
  }
}

type Timed = Pick<Machine<never, never>, 'nextDeadline'> & { handleTimeout(): void };

/** The core's view of itself: the fields that change between turns are writable here alone. */
interface MutableCore extends ReplicationCore {
  now: Instant;
  clockDoubtfulSinceMs: number | null;
  ring: Placement;
  writable: boolean;
}
