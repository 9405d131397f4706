import { assert } from '../../lib/assert.ts';
import { earlier } from '../../lib/deadline-queue.ts';
import type { CausalContext } from '../causal/context.ts';
import { joinEntries } from '../causal/join.ts';
import type { NodeId } from '../machine.ts';
import type { Cell } from './cell-table.ts';
import { entriesBytes } from './cell-table.ts';
import type { ReplicationCore } from './core.ts';
import type { ReplicateAckMessage } from './message.ts';
import type { HintRecord, HintRow, ObjectName } from './record.ts';

/** Deliveries to one returning owner that await its acknowledgement. */
const DELIVERIES_MAX = 128;
/** Rows read from disk at once. */
const SCAN_ROWS = 128;
/** A delivery that was not acknowledged by then is forgotten; the next round sends it again. */
const DELIVERY_TIMEOUT_MS = 5000;
/** Between a round that left something undelivered and the next one to the same owner. */
const RETRY_MS = 2000;
/** Ranges a hint's context may grow to. */
const HINT_RANGES_MAX = 16_384;
/** Events that one hint may gather; receivers refuse more. */
const HINT_EVENTS_MAX = 32_768;

interface Delivery {
  readonly round: Round;
  readonly target: NodeId;
  readonly shard: number;
  readonly name: ObjectName;
  readonly events: CausalContext;
  readonly expiresAtMs: number;
}

interface Round {
  readonly target: NodeId;
  after: { shard: number; name: ObjectName } | null;
  inFlight: number;
  scanning: boolean;
  exhausted: boolean;
  /** Deliveries that were not confirmed: one more round is owed, after a while. */
  failed: boolean;
  /** Hints were stored meanwhile, maybe behind the round's back: one more round is owed at once. */
  again: boolean;
}

/** A hint to be stored: an event for owners that are away. */
export type HintDelta = HintRecord;

/**
 * Hinted handoff (DeCandia et al., "Dynamo", SOSP 2007, section 4.6). One record a key, joined with later
 * events of the key, kept until every target has confirmed it. Bounded by bytes; what does not fit is
 * refused, counted, and left to anti-entropy.
 */
export class HintStore {
  private readonly core: ReplicationCore;
  /** Deliver to this node itself: it became an owner while it held the hint. */
  private readonly applyHere: (cell: Cell, hint: HintRecord, done: () => void) => void;
  private readonly rounds = new Map<NodeId, Round>();
  private readonly deliveries = new Map<number, Delivery>();
  /** When the next round to an owner is due that did not take everything; at most one an owner. */
  private readonly retries = new Map<NodeId, number>();
  private readonly perShard = new Map<number, number>();
  private nextId: () => number;
  private records = 0;
  private bytes = 0;

  constructor(
    core: ReplicationCore,
    nextId: () => number,
    applyHere: (cell: Cell, hint: HintRecord, done: () => void) => void,
  ) {
    this.core = core;
    this.nextId = nextId;
    this.applyHere = applyHere;
  }

  get stats(): { readonly records: number; readonly bytes: number } {
    return { records: this.records, bytes: this.bytes };
  }

  /** True when hints of the shard may be on disk. */
  mayHold(shard: number): boolean {
    return this.perShard.has(shard);
  }

  /** Counts what an earlier run left on disk. What no peer's return would hand over has a round of its own. */
  restore(rows: readonly HintRow[]): void {
    const { options, ring, now } = this.core;
    for (const { shard, hint } of rows) {
      this.account(shard, null, hint);
      for (const target of hint.targets) {
        if (target === options.self || !ring.isOwner(shard, target)) this.retries.set(target, now.monoMs);
      }
    }
  }

  /** Joins a delta into the key's hint; false when the store is full. */
  store(cell: Cell, delta: HintDelta): boolean {
    assert(delta.targets.length > 0, 'a hint is for somebody');
    const before = cell.hint;
    const hint = before === null ? newHint(delta) : joinHints(before, delta);
    if (hint.context.rangeCount > HINT_RANGES_MAX || hint.events.dotCount > HINT_EVENTS_MAX) return this.refuse(cell);
    const growth = hintBytes(hint) - (before === null ? 0 : hintBytes(before));
    if (this.bytes + growth > this.core.options.hintBytesMax) {
      return this.refuse(cell);
    }
    this.core.counters.hintsStored++;
    this.replace(cell, hint);
    for (const target of hint.targets) if (this.core.isUp(target)) this.handlePeerUp(target);
    return true;
  }

  /** A hint went bad on the disk: what it held is left to anti-entropy. */
  handleLost(cell: Cell, counted: boolean): void {
    this.refuse(cell);
    if (!counted || !this.mayHold(cell.shard)) return;
    const left = (this.perShard.get(cell.shard) ?? 0) - 1;
    if (left === 0) this.perShard.delete(cell.shard);
    else this.perShard.set(cell.shard, left);
    this.records--;
    // Its size is not known any more, and counts until the others are delivered too.
    if (this.records === 0) this.bytes = 0;
  }

  /** A target is reachable (again): hand over what waits for it. */
  handlePeerUp(peer: NodeId): void {
    if (this.records === 0) return;
    const running = this.rounds.get(peer);
    if (running === undefined) this.startRound(peer);
    else running.again = true;
  }

  /** The ring changed: what is kept for members that own the key no more is for those who do now. */
  handleRing(members: Iterable<NodeId>): void {
    for (const member of new Set(members)) this.handlePeerUp(member);
  }

  handlePeerDown(peer: NodeId): void {
    this.rounds.delete(peer);
    this.retries.delete(peer);
    for (const [id, delivery] of this.deliveries) if (delivery.target === peer) this.deliveries.delete(id);
  }

  /** True when the acknowledgement was for a delivery of this store. */
  handleAck(from: NodeId, message: ReplicateAckMessage): boolean {
    const delivery = this.deliveries.get(message.id);
    if (delivery === undefined || delivery.target !== from) return false;
    this.deliveries.delete(message.id);
    const stored = message.status === 'stored' || message.status === 'partial';
    if (stored) this.confirm(delivery);
    this.finishOne(delivery.round, stored);
    return true;
  }

  handleTimeout(): void {
    const nowMs = this.core.now.monoMs;
    for (const [id, delivery] of this.deliveries) {
      if (delivery.expiresAtMs > nowMs) break;
      this.deliveries.delete(id);
      this.finishOne(delivery.round, false);
    }
    for (const [target, dueMs] of this.retries) {
      if (dueMs > nowMs) continue;
      this.retries.delete(target);
      this.handlePeerUp(target);
    }
  }

  nextDeadline(): number | undefined {
    let next: number | undefined;
    for (const delivery of this.deliveries.values()) {
      next = delivery.expiresAtMs;
      break;
    }
    for (const dueMs of this.retries.values()) next = earlier(next, dueMs);
    return next;
  }

  private startRound(target: NodeId): void {
    const round: Round = {
      target,
      after: null,
      inFlight: 0,
      scanning: false,
      exhausted: false,
      failed: false,
      again: false,
    };
    this.rounds.set(target, round);
    this.retries.delete(target);
    // Scans read the disk: what was stored just now has to be there first.
    this.core.journal.afterTurn(() => this.continue(round));
  }

  /** Something is left for the target: a later round is to take it. */
  private oweRound(target: NodeId): void {
    const round = this.rounds.get(target);
    if (round !== undefined) round.failed = true;
    else if (this.core.isUp(target)) this.retries.set(target, this.core.now.monoMs + RETRY_MS);
  }

  private refuse(cell: Cell): false {
    this.core.counters.hintsDropped++;
    this.core.emit({ type: 'notify', event: { type: 'hint-dropped', bucket: cell.name.bucket } });
    return false;
  }

  private finishOne(round: Round, stored: boolean): void {
    round.inFlight--;
    if (!stored) round.failed = true;
    this.continue(round);
  }

  private continue(round: Round): void {
    if (round.scanning || this.rounds.get(round.target) !== round) return;
    if (round.exhausted) {
      if (round.inFlight === 0) this.endRound(round);
      return;
    }
    if (round.inFlight > DELIVERIES_MAX / 2) return;
    round.scanning = true;
    this.core.scan({ table: 'hint', after: round.after, limit: SCAN_ROWS }, (result) => {
      const last = result.rows.at(-1);
      if (last !== undefined) round.after = { shard: last.shard, name: last.name };
      round.exhausted = !result.more;
      for (const row of result.rows) if (row.hint.targets.includes(round.target)) this.deliver(round, row);
      // Only now: a delivery that ends at once must not end the round before its last row.
      round.scanning = false;
      this.continue(round);
    });
  }

  private endRound({ target, again, failed }: Round): void {
    this.rounds.delete(target);
    if (again) this.startRound(target);
    // A target that cannot take a hint now is asked again after a while, not at once for ever.
    if (failed) this.oweRound(target);
  }

  private deliver(round: Round, row: HintRow): void {
    if (this.rounds.get(round.target) !== round) return;
    round.inFlight++;
    // The row may be stale by now: what counts is the cell.
    this.core.cells.open(row.shard, row.name, (cell) => this.handOver(round, cell));
  }

  private handOver(round: Round, cell: Cell): void {
    if (this.rounds.get(round.target) !== round) return;
    this.core.restamp(cell);
    const hint = cell.hint;
    if (hint === null || !hint.targets.includes(round.target)) {
      this.finishOne(round, true);
    } else if (!this.core.ring.knowsShard(cell.shard)) {
      // Whose it is will be known when the bucket is.
      this.finishOne(round, true);
    } else if (!this.core.ring.isOwner(cell.shard, round.target)) {
      // The ring has changed since: the hint is for those who own the key now.
      const owners = this.core.ring.owners(cell.shard);
      const targets = [...new Set([...hint.targets, ...owners])].filter((node) => node !== round.target);
      this.replace(cell, { ...hint, targets });
      for (const owner of owners) this.handlePeerUp(owner);
      this.finishOne(round, true);
    } else if (!this.core.isUp(round.target)) {
      this.finishOne(round, true);
    } else if (round.target === this.core.options.self) {
      this.applyHere(cell, hint, () => this.finishOne(round, true));
    } else {
      this.sendTo(round, cell, hint);
    }
  }

  private sendTo(round: Round, cell: Cell, hint: HintRecord): void {
    const id = this.nextId();
    const { target } = round;
    this.deliveries.set(id, {
      round,
      target,
      shard: cell.shard,
      name: cell.name,
      events: hint.events,
      expiresAtMs: this.core.now.monoMs + DELIVERY_TIMEOUT_MS,
    });
    const { bucket, key } = cell.name;
    const { entries, events, context } = hint;
    // The hint may hold an event that is not synced yet: a crash would take it back, and its dot would be used again.
    this.core.journal.whenDurable(cell.persistId, () => {
      this.core.send(target, { type: 'replicate', id, bucket, key, entries, events, context, hintFor: [] });
    });
  }

  private confirm(delivery: Delivery): void {
    this.core.cells.open(delivery.shard, delivery.name, (cell) => {
      const hint = cell.hint;
      if (hint === null) return;
      // Events that joined the hint meanwhile have not been delivered: keep the target for the next round.
      if (!delivery.events.covers(hint.events)) {
        this.oweRound(delivery.target);
        return;
      }
      this.core.counters.hintsDelivered++;
      this.removeTarget(cell, delivery.target);
    });
  }

  /** Takes one target off the key's hint; the last one takes the record with it. */
  removeTarget(cell: Cell, target: NodeId): void {
    const hint = cell.hint;
    if (hint === null) return;
    const targets = hint.targets.filter((node) => node !== target);
    this.replace(cell, targets.length === 0 ? null : { ...hint, targets });
  }

  private replace(cell: Cell, hint: HintRecord | null): void {
    this.account(cell.shard, cell.hint, hint);
    cell.hint = hint;
    this.core.journal.write({ table: 'hint', shard: cell.shard, name: cell.name, value: hint });
    this.core.cells.noteChanged(cell, this.core.journal.turnId);
  }

  private account(shard: number, before: HintRecord | null, after: HintRecord | null): void {
    const count = (after === null ? 0 : 1) - (before === null ? 0 : 1);
    this.records += count;
    this.bytes += (after === null ? 0 : hintBytes(after)) - (before === null ? 0 : hintBytes(before));
    const inShard = (this.perShard.get(shard) ?? 0) + count;
    if (inShard === 0) this.perShard.delete(shard);
    else this.perShard.set(shard, inShard);
  }
}

function hintBytes(hint: HintRecord): number {
  return (
    96 + entriesBytes(hint.entries) + (hint.context.rangeCount + hint.events.rangeCount) * 24 + hint.targets.length * 64
  );
}

function newHint(delta: HintDelta): HintRecord {
  return { ...delta, events: delta.events.clone(), context: delta.context.clone() };
}

function joinHints(before: HintRecord, delta: HintDelta): HintRecord {
  const events = before.events.clone();
  events.union(delta.events);
  const context = before.context.clone();
  context.union(delta.context);
  const { entries } = joinEntries(
    before.entries,
    (dot) => before.context.has(dot),
    delta.entries,
    (dot) => delta.context.has(dot),
  );
  return { entries, events, context, targets: [...new Set([...before.targets, ...delta.targets])] };
}
