import { earlier } from '../../lib/deadline-queue.ts';
import { type CausalContext, NOTHING } from '../causal/context.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { HintStore } from './hint-store.ts';
import type { HintAskMessage, HintCover, HintTellMessage, ReplicateAckMessage } from './message.ts';
import type { HintRecord, HintRow, ObjectName } from './record.ts';
import { type Shard, toldContext } from './shard-table.ts';

/** Deliveries to one returning owner that await its acknowledgement. */
const DELIVERIES_MAX = 128;
/** Rows read from disk at once. */
const SCAN_ROWS = 128;
/** A delivery or question that was not answered by then is forgotten; the next round repeats it. */
const ANSWER_TIMEOUT_MS = 5000;
/** An owner that is back asks the other owners first for what it missed. */
const GRACE_MS = 1000;
/** Between a round that left something undelivered and the next one to the same owner. */
const RETRY_MS = 2000;
/** The same, where the owner was still being sent what others have. */
const BUSY_MS = 1000;
/** Questions after which it is not waited for any more with a shard. */
const BUSY_MAX = 10;
/** Ranges of contexts in one answer. */
const RANGES_MAX = 16_384;

interface Delivery {
  readonly round: Round;
  readonly shard: number;
  readonly name: ObjectName;
  readonly events: CausalContext;
  readonly expiresAtMs: number;
}

/** What a target was asked about. */
interface Question {
  readonly round: Round;
  readonly shards: ReadonlySet<number>;
  readonly expiresAtMs: number;
}

interface Round {
  readonly target: NodeId;
  /** To be gone through, with what the target covers of each. */
  readonly shards: HintCover[];
  /** The last key of the first of them that was read. */
  after: ObjectName | null;
  /** Rows on their way, and the question that is not answered yet. */
  inFlight: number;
  scanning: boolean;
  /** The target was still waiting for others. */
  busy: boolean;
  /** Hints were stored meanwhile, maybe behind the round's back: one more round is owed at once. */
  again: boolean;
}

export interface HintHandoffParts {
  readonly hints: HintStore;
  readonly nextId: () => number;
  /** Deliver to this node itself: it became an owner while it held the hint. */
  readonly applyHere: (cell: Cell, hint: HintRecord) => void;
  /** True while another holder is to send this node what it may miss of the shard. */
  readonly isAwaiting: (shard: Shard) => boolean;
}

/**
 * Hands hints over to owners that are back (DeCandia et al., "Dynamo", SOSP 2007, section 4.6). Mostly another owner
 * has the same writes and sends them in bulk, so the target is asked first what it covers and for which shards it waits
 * for nobody: only what it misses then is sent.
 */
export class HintHandoff {
  private readonly core: ReplicationCore;
  private readonly parts: HintHandoffParts;
  private readonly rounds = new Map<NodeId, Round>();
  private readonly deliveries = new Map<number, Delivery>();
  private readonly questions = new Map<number, Question>();
  /** When the next round to an owner is due; at most one an owner. */
  private readonly due = new Map<NodeId, number>();
  /** By owner the shards with which it was still waiting for others, and after how many questions in a row. */
  private readonly waits = new Map<NodeId, Map<number, number>>();

  constructor(core: ReplicationCore, parts: HintHandoffParts) {
    this.core = core;
    this.parts = parts;
  }

  /** What no peer's return would hand over has a round of its own. */
  restore(rows: readonly HintRow[]): void {
    const { options, ring } = this.core;
    for (const { shard, hint } of rows) {
      for (const target of hint.targets) {
        if (target === options.self || !ring.isOwner(shard, target)) this.plan(target, 0);
      }
    }
  }

  handlePeerUp(peer: NodeId): void {
    if (this.parts.hints.stats.records > 0) this.plan(peer, GRACE_MS);
  }

  handlePeerDown(peer: NodeId): void {
    this.rounds.delete(peer);
    this.due.delete(peer);
    this.waits.delete(peer);
    for (const open of [this.deliveries, this.questions]) {
      for (const [id, { round }] of open) if (round.target === peer) open.delete(id);
    }
  }

  /** Hints for these were stored: those that can be reached are handed over at once. */
  handleStored(targets: readonly NodeId[]): void {
    for (const target of targets) if (this.core.isUp(target)) this.handOverTo(target);
  }

  /** The ring changed: what is kept for members that own the key no more is for those who do now. */
  handleRing(): void {
    for (const target of this.parts.hints.targets()) this.handOverTo(target);
  }

  /** A node that keeps hints for this one wants to know which are needed. */
  handleAsk(from: NodeId, { id, shards }: HintAskMessage): void {
    const covers: HintCover[] = [];
    let ranges = 0;
    for (const shard of shards) {
      const held = this.core.shards.find(shard);
      let context = NOTHING;
      // Who is no member here, or is told nothing, sends all it has.
      if (held?.owned === true && this.core.ring.knows(from) && ranges < RANGES_MAX) {
        // A bad record whose key is not known yet may be one of these.
        if (held.losing > 0 || this.parts.isAwaiting(held)) continue;
        context = toldContext(held).clone();
      }
      ranges += context.rangeCount;
      covers.push({ shard, context, withholds: held?.bare.isEmpty === false });
    }
    this.core.sendDurable(from, { type: 'hint-tell', id, covers });
  }

  handleTell(from: NodeId, { id, covers }: HintTellMessage): void {
    const question = this.questions.get(id);
    if (question === undefined || question.round.target !== from) return;
    this.questions.delete(id);
    const { round, shards } = question;
    const told = covers.filter(({ shard }) => shards.has(shard));
    this.noteWaits(from, shards, new Set(told.map(({ shard }) => shard)));
    round.shards.push(...told);
    round.busy = told.length < shards.size;
    this.finishOne(round);
  }

  private noteWaits(target: NodeId, asked: ReadonlySet<number>, told: ReadonlySet<number>): void {
    const waits = this.waits.get(target) ?? new Map<number, number>();
    for (const shard of asked) {
      if (told.has(shard)) waits.delete(shard);
      else waits.set(shard, (waits.get(shard) ?? 0) + 1);
    }
    if (waits.size > 0) this.waits.set(target, waits);
    else this.waits.delete(target);
  }

  /** True when the acknowledgement was for a delivery of this store. */
  handleAck(from: NodeId, message: ReplicateAckMessage): boolean {
    const delivery = this.deliveries.get(message.id);
    if (delivery === undefined || delivery.round.target !== from) return false;
    this.deliveries.delete(message.id);
    if (message.status === 'stored' || message.status === 'partial') this.confirm(delivery);
    else this.finishOne(delivery.round);
    return true;
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (const open of [this.deliveries, this.questions]) {
      for (const [id, { expiresAtMs, round }] of open) {
        if (expiresAtMs > nowMs) break;
        open.delete(id);
        this.finishOne(round);
      }
    }
    for (const [target, dueMs] of this.due) {
      if (dueMs > nowMs) continue;
      this.due.delete(target);
      this.handOverTo(target);
    }
  }

  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const open of [this.deliveries, this.questions]) {
      for (const { expiresAtMs } of open.values()) {
        next = earlier(next, expiresAtMs);
        break;
      }
    }
    for (const dueMs of this.due.values()) next = earlier(next, dueMs);
    return next;
  }

  private plan(target: NodeId, afterMs: number): void {
    const dueMs = this.core.now.monoMs + afterMs;
    this.due.set(target, Math.min(dueMs, this.due.get(target) ?? dueMs));
  }

  private handOverTo(target: NodeId): void {
    const running = this.rounds.get(target);
    if (running !== undefined) running.again = true;
    else this.startRound(target);
  }

  private startRound(target: NodeId): void {
    const asked = new Set<number>();
    const shards: HintCover[] = [];
    const waits = this.waits.get(target);
    for (const shard of this.parts.hints.shardsFor(target)) {
      // Whose it is will be known when the bucket is.
      if (!this.core.ring.knowsShard(shard)) continue;
      const isOther = target !== this.core.options.self && this.core.ring.isOwner(shard, target);
      if (isOther && !this.core.isUp(target)) continue;
      if (isOther && (waits?.get(shard) ?? 0) < BUSY_MAX) {
        asked.add(shard);
      } else {
        // Whether it withholds the shard it has not said.
        shards.push({ shard, context: NOTHING, withholds: isOther });
        waits?.delete(shard);
      }
    }
    if (asked.size === 0 || waits?.size === 0) this.waits.delete(target);
    if (asked.size === 0 && shards.length === 0) return;
    const round: Round = {
      target,
      shards,
      after: null,
      inFlight: 0,
      scanning: false,
      busy: false,
      again: false,
    };
    this.rounds.set(target, round);
    this.due.delete(target);
    if (asked.size > 0) this.ask(round, asked);
    // Scans read the disk: what was stored just now has to be there first.
    this.core.journal.afterTurn(() => this.continue(round));
  }

  private ask(round: Round, shards: ReadonlySet<number>): void {
    const id = this.parts.nextId();
    round.inFlight++;
    this.questions.set(id, { round, shards, expiresAtMs: this.core.now.monoMs + ANSWER_TIMEOUT_MS });
    this.core.send(round.target, { type: 'hint-ask', id, shards: [...shards].sort((a, b) => a - b) });
  }

  private finishOne(round: Round): void {
    round.inFlight--;
    this.continue(round);
  }

  private continue(round: Round): void {
    if (round.scanning || this.rounds.get(round.target) !== round) return;
    const [next] = round.shards;
    if (next === undefined) {
      if (round.inFlight === 0) this.endRound(round);
      return;
    }
    if (round.inFlight > DELIVERIES_MAX / 2) return;
    round.scanning = true;
    this.core.scan({ table: 'hint', shard: next.shard, after: round.after, limit: SCAN_ROWS }, (result) => {
      if (result.more) round.after = result.rows.at(-1)?.name ?? null;
      else {
        round.shards.shift();
        round.after = null;
      }
      for (const row of result.rows) if (row.hint.targets.includes(round.target)) this.take(round, row, next);
      // Only now: a delivery that ends at once must not end the round before its last row.
      round.scanning = false;
      this.continue(round);
    });
  }

  private endRound({ target, again, busy }: Round): void {
    this.rounds.delete(target);
    if (again) this.startRound(target);
    // Not confirmed, not on the disk yet, or joined by further events: asked again after a while, not at once for ever.
    else if (this.isLeft(target)) this.plan(target, busy ? BUSY_MS : RETRY_MS);
    else this.waits.delete(target);
  }

  private isLeft(target: NodeId): boolean {
    return this.core.isUp(target) && this.parts.hints.shardsFor(target).length > 0;
  }

  private take(round: Round, { shard, name, hint }: HintRow, { context, withholds }: HintCover): void {
    if (this.rounds.get(round.target) !== round) return;
    round.inFlight++;
    if (context.covers(hint.events)) {
      this.confirm({ round, shard, name, events: hint.events });
    } else {
      // The row may be stale by now: what counts is the cell.
      this.core.cells.open(shard, name, (cell) => this.handOver(round, cell, withholds));
    }
  }

  private handOver(round: Round, cell: Cell, withholds: boolean): void {
    if (this.rounds.get(round.target) !== round) return;
    this.core.restamp(cell);
    const hint = cell.hint;
    if (hint === null || !hint.targets.includes(round.target)) {
      this.finishOne(round);
    } else if (!this.core.ring.knowsShard(cell.shard)) {
      // Whose it is will be known when the bucket is.
      this.finishOne(round);
    } else if (!this.core.ring.isOwner(cell.shard, round.target)) {
      // The ring has changed since: the hint is for those who own the key now.
      const owners = this.core.ring.owners(cell.shard);
      const targets = [...new Set([...hint.targets, ...owners])].filter((node) => node !== round.target);
      this.parts.hints.retarget(cell, hint, targets);
      for (const owner of owners) this.handOverTo(owner);
      this.finishOne(round);
    } else if (!this.core.isUp(round.target)) {
      this.finishOne(round);
    } else if (round.target === this.core.options.self) {
      this.parts.applyHere(cell, hint);
      this.finishOne(round);
    } else {
      if (withholds) this.keepForAll(round, cell, hint);
      this.sendTo(round, cell, hint);
    }
  }

  /**
   * The target passes on nothing for now, and another owner may have the same event and be about to pass it on without
   * what it had replaced: all are to hear of it from here.
   */
  private keepForAll({ target }: Round, cell: Cell, hint: HintRecord): void {
    const owners = this.core.ring.owners(cell.shard);
    const targets = [...new Set([...hint.targets, ...owners])];
    if (targets.length === hint.targets.length) return;
    this.parts.hints.retarget(cell, hint, targets);
    for (const owner of owners) if (owner !== target) this.handOverTo(owner);
  }

  private sendTo(round: Round, cell: Cell, hint: HintRecord): void {
    const id = this.parts.nextId();
    const { target } = round;
    this.deliveries.set(id, {
      round,
      shard: cell.shard,
      name: cell.name,
      events: hint.events,
      expiresAtMs: this.core.now.monoMs + ANSWER_TIMEOUT_MS,
    });
    const { bucket, key } = cell.name;
    const { entries, events, context } = hint;
    // The hint may hold an event that is not synced yet: a crash would take it back, and its dot would be used again.
    this.core.journal.whenDurable(cell.persistId, () => {
      this.core.send(target, { type: 'replicate', id, bucket, key, entries, events, context, hintFor: [] });
    });
  }

  private confirm({ round, shard, name, events }: Omit<Delivery, 'expiresAtMs'>): void {
    this.core.cells.open(shard, name, (cell) => {
      const { hint } = cell;
      // With events that joined it meanwhile and have not been delivered it is kept for the next round.
      if (hint !== null && events.covers(hint.events)) {
        this.core.counters.hintsDelivered++;
        // This node may have become an owner itself since: its next running total counts on what it has written itself.
        if (this.core.shards.find(shard)?.context.covers(hint.events) === false) this.parts.applyHere(cell, hint);
        this.parts.hints.removeTarget(cell, round.target);
      }
      this.finishOne(round);
    });
  }
}
