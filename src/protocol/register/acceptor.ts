import { unreachable } from '../../lib/assert.ts';
import type { NodeId } from '../machine.ts';
import { type Ballot, compareBallots, laterBallot, sameBallot } from './ballot.ts';
import type { RegisterCore } from './core.ts';
import type { AcceptMessage, Refusal, RoundAnswerMessage, RoundRequestMessage } from './message.ts';
import type { Accepted, AcceptorRow, NamedRow, RegisterName } from './record.ts';
import type { RowCell } from './row-table.ts';

/**
 * The acceptors of this node, one for each key. Whatever is answered is held back until all that it rests on is synced.
 *
 * **Floor.** A row that is dropped leaves its promise behind in the floor of the shard, which every key without a row goes
 * by. So nothing that was refused before is taken afterwards, and no key costs anything for good.
 *
 * **Why erasing is safe.** A tombstone that *all* acceptors have accepted under ballot b is erased one by one, with the
 * floor raised to b or higher in the same batch. What could bring an older value back?
 * - An `accept` of a ballot below b: refused where the row is (it has promised b) and where it is gone (floor).
 * - An acceptor that still holds an older value: there is none, each has accepted b; who was no acceptor then begins with
 *   another generation (`standings.ts`); and a message of another ring epoch erases nothing.
 * - A round above b that is under way: it has seen the tombstone, or nothing; it makes its change to an absent key, as it
 *   should. Where it was promised something by a row that goes, the floor keeps the promise, and it has to begin anew.
 * - A row accepted under a ballot above b is not erased: only exactly what all have is.
 */
export class Acceptor {
  private readonly core: RegisterCore;

  constructor(core: RegisterCore) {
    this.core = core;
  }

  handle(from: NodeId, message: RoundRequestMessage): void {
    const early = this.refusal(from, message);
    if (early !== undefined) {
      this.refuse(from, message, early);
      return;
    }
    const isTaken = this.core.rows.open(message.shard, message.name, (cell) => {
      // The ring may have changed while the row was being read.
      const late = this.refusal(from, message);
      if (late === undefined) this.apply(from, message, cell);
      else this.refuse(from, message, late);
    });
    if (!isTaken) this.core.counters.dropped++;
  }

  /** Drops a row that has promised and accepted nothing: the floor keeps the promise. */
  dropBare(shard: number, name: RegisterName): void {
    this.core.rows.open(shard, name, (cell) => {
      if (cell.row !== null && cell.row.accepted === null) this.drop(cell, cell.row);
    });
  }

  /** The row has gone bad on the disk. What is in memory is worth no more than the rest of the shard. */
  handleLoss(shard: number, name: RegisterName): void {
    this.core.rows.open(shard, name, (cell) => {
      const id = this.core.journal.write({ table: 'register', shard, name, value: null });
      this.core.rows.set(cell, null, id);
    });
  }

  /**
   * Joins what another acceptor has accepted and promised under `epoch` into the own row; see `Accepted.copied`. False: too
   * much is waiting for the disk; `done` is not called.
   */
  merge(shard: number, epoch: number, { name, row: other }: NamedRow, done: () => void): boolean {
    return this.core.rows.open(shard, name, (cell) => {
      // Another ring may have begun another copy while the row was being read.
      if (this.core.options.placement(shard).epoch === epoch) this.join(cell, other);
      done();
    });
  }

  private join(cell: RowCell, other: AcceptorRow): void {
    const own = cell.row?.accepted ?? null;
    const theirs = other.accepted;
    const isNewer = theirs !== null && (own === null || compareBallots(own.ballot, theirs.ballot) < 0);
    const accepted: Accepted | null = isNewer ? { ...theirs, copied: true } : own;
    const promised = laterBallot(this.promisedIn(cell), other.promised);
    if (!isNewer && sameBallot(promised, this.promisedIn(cell))) return;
    this.store(cell, promised, accepted);
    if (isNewer) this.core.counters.copiedRows++;
  }

  private apply(from: NodeId, message: RoundRequestMessage, cell: RowCell): void {
    const { name, ballot } = message;
    switch (message.type) {
      case 'register-query':
        this.answer(from, cell, { type: 'register-current', name, ballot, ...this.report(cell) });
        return;
      case 'register-prepare':
        if (this.isRefused(cell, ballot)) {
          this.refusePromised(from, message, cell);
          return;
        }
        if (cell.row === null || !sameBallot(cell.row.promised, ballot)) {
          this.store(cell, ballot, cell.row?.accepted ?? null);
        }
        this.answer(from, cell, { type: 'register-promise', name, ballot, ...this.report(cell) });
        return;
      case 'register-accept':
        this.accept(from, message, cell);
        return;
      case 'register-erase':
        this.erase(cell, ballot);
        this.answer(from, cell, { type: 'register-erased', name, ballot });
        return;
      default:
        unreachable(message);
    }
  }

  private accept(from: NodeId, message: AcceptMessage, cell: RowCell): void {
    const { name, ballot, value, next } = message;
    const own = cell.row?.accepted ?? null;
    // It may have promised more since, its own next ballot first of all: it has accepted this one all the same.
    const isRepeated = own !== null && !own.copied && sameBallot(own.ballot, ballot);
    if (!isRepeated) {
      if (this.isRefused(cell, ballot)) {
        this.refusePromised(from, message, cell);
        return;
      }
      this.store(cell, next === null ? ballot : laterBallot(ballot, next), { ballot, value, copied: false });
    }
    this.answer(from, cell, { type: 'register-accepted', name, ballot });
  }

  private erase(cell: RowCell, ballot: Ballot): void {
    const { row } = cell;
    const accepted = row?.accepted ?? null;
    if (row === null || accepted === null || accepted.copied || accepted.value.content !== null) return;
    if (!sameBallot(accepted.ballot, ballot)) return;
    this.drop(cell, row);
    this.core.counters.erased++;
  }

  private drop(cell: RowCell, row: AcceptorRow): void {
    this.core.standings.raiseFloor(cell.shard, row.promised);
    const id = this.core.journal.write({ table: 'register', shard: cell.shard, name: cell.name, value: null });
    this.core.rows.set(cell, null, id);
  }

  private store(cell: RowCell, promised: Ballot, accepted: Accepted | null): void {
    const row = { promised, accepted, generation: this.core.standings.generationOf(cell.shard) };
    const id = this.core.journal.write({ table: 'register', shard: cell.shard, name: cell.name, value: row });
    this.core.rows.set(cell, row, id);
  }

  private promisedIn(cell: RowCell): Ballot {
    return cell.row?.promised ?? this.core.standings.floorOf(cell.shard);
  }

  /** What was promised may be done; the floor was promised to nobody. */
  private isRefused(cell: RowCell, ballot: Ballot): boolean {
    const order = compareBallots(ballot, this.promisedIn(cell));
    return cell.row === null ? order <= 0 : order < 0;
  }

  private report(cell: RowCell): { accepted: Accepted | null; floor: Ballot } {
    return { accepted: cell.row?.accepted ?? null, floor: this.core.standings.floorOf(cell.shard) };
  }

  private refusal(from: NodeId, { shard, epoch }: RoundRequestMessage): Refusal | undefined {
    const own = this.core.options.placement(shard).epoch;
    if (epoch < own) {
      if (from !== this.core.options.self) this.core.emit({ type: 'register-epoch-ahead', peer: from });
      return { reason: 'stale-epoch', epoch: own };
    }
    if (epoch > own) {
      if (from !== this.core.options.self) this.core.emit({ type: 'register-epoch-behind', peer: from });
      return { reason: 'unknown-epoch', epoch: own };
    }
    this.core.standings.refresh(shard);
    return this.core.standings.isVoter(shard) ? undefined : { reason: 'not-ready' };
  }

  private refusePromised(from: NodeId, message: RoundRequestMessage, cell: RowCell): void {
    this.refuse(from, message, { reason: 'promised', promised: this.promisedIn(cell) });
  }

  private refuse(to: NodeId, { name, ballot }: RoundRequestMessage, refusal: Refusal): void {
    this.core.send(to, { type: 'register-refused', name, ballot, refusal });
  }

  /** The floor of the shard, and the right to speak for it, are part of the answer too. */
  private answer(to: NodeId, cell: RowCell, message: RoundAnswerMessage): void {
    const id = Math.max(cell.persistId, this.core.standings.persistIdOf(cell.shard));
    this.core.journal.whenDurable(id, () => this.core.send(to, message));
  }
}
