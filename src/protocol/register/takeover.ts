import type { NodeId } from '../machine.ts';
import type { Acceptor } from './acceptor.ts';
import type { Alarm } from './alarms.ts';
import type { RegisterCore } from './core.ts';
import type { RowsMessage } from './message.ts';
import { sourcesOf } from './placement.ts';
import { nameId, type RegisterName } from './record.ts';

/** Shards that are copied at once. */
const TAKEOVERS_MAX = 4;
/** A source that is silent for so long is asked again later, and another one before it. */
const ROWS_TIMEOUT_MS = 1000;

/** The copying of one shard under one placement. */
interface Takeover {
  readonly shard: number;
  readonly epoch: number;
  /** Sources that are to be copied. */
  readonly needed: number;
  /** Sources that were copied to the end. */
  readonly done: Set<NodeId>;
  /** The last name copied from each of the others. */
  readonly progress: Map<NodeId, RegisterName | null>;
  /** Sources that have been asked for a page. */
  readonly asked: Map<NodeId, { readonly timeout: Alarm; isMerging: boolean }>;
  /** The next source to ask comes first. */
  order: NodeId[];
  ended: boolean;
}

/**
 * Copies the shards that this node is a new acceptor of: all rows of so many of the group that is being replaced (of the
 * only group, where this node missed the change) that every majority of it has one of them, each source answering under the
 * present epoch.
 *
 * Why that is all that was chosen: what the group chose under an earlier epoch was accepted by a majority of it before its
 * members turned to this epoch, so one of the sources had accepted it before it answered. Of two that is the other one alone,
 * where this node's own copy was lost. Of a group that has lost a majority for good, the sources are all that are left.
 */
export class Takeovers {
  private readonly core: RegisterCore;
  private readonly acceptor: Acceptor;
  private readonly running = new Map<number, Takeover>();
  private readonly waiting = new Set<number>();
  private retry: Alarm | undefined;

  constructor(core: RegisterCore, acceptor: Acceptor) {
    this.core = core;
    this.acceptor = acceptor;
  }

  /** Shards yet to be copied. */
  get pending(): number {
    return this.running.size + this.waiting.size;
  }

  /** The placement may have changed. */
  refresh(): void {
    const { standings, options } = this.core;
    for (const takeover of this.running.values()) {
      if (options.placement(takeover.shard).epoch !== takeover.epoch) this.stop(takeover);
    }
    this.waiting.clear();
    for (const shard of options.heldShards()) {
      if (standings.isToCopy(shard) && !this.running.has(shard)) this.waiting.add(shard);
    }
    this.fill();
  }

  /** What is copied under the present placement is of no use any more. */
  handleLoss(shard: number): void {
    this.waiting.delete(shard);
    const takeover = this.running.get(shard);
    if (takeover !== undefined) this.stop(takeover);
    this.fill();
  }

  handlePeerUp(): void {
    for (const takeover of this.running.values()) this.advance(takeover);
  }

  handleRows(from: NodeId, message: RowsMessage): void {
    const takeover = this.running.get(message.shard);
    const asked = takeover?.asked.get(from);
    if (takeover === undefined || asked === undefined || asked.isMerging || message.epoch !== takeover.epoch) return;
    const after = takeover.progress.get(from) ?? null;
    if (!isSame(after, message.after)) return;
    asked.isMerging = true;
    this.core.standings.raiseFloor(message.shard, message.floor);
    let left = message.rows.length + 1;
    const merged = (): void => {
      left--;
      if (left === 0) this.handleMerged(takeover, from, message.last);
    };
    for (const named of message.rows) {
      if (!this.acceptor.merge(message.shard, message.epoch, named, merged)) {
        // Asked again when the time is up.
        asked.isMerging = false;
        return;
      }
    }
    merged();
  }

  private handleMerged(takeover: Takeover, from: NodeId, last: RegisterName | null): void {
    const { journal } = this.core;
    journal.whenDurable(journal.latestId, () => {
      const asked = takeover.asked.get(from);
      if (takeover.ended || asked === undefined) return;
      asked.timeout.ended = true;
      takeover.asked.delete(from);
      if (last === null) {
        takeover.done.add(from);
      } else {
        takeover.progress.set(from, last);
        this.ask(takeover, from);
      }
      this.advance(takeover);
    });
  }

  private fill(): void {
    for (const shard of this.waiting) {
      if (this.running.size >= TAKEOVERS_MAX) return;
      this.waiting.delete(shard);
      this.start(shard);
    }
  }

  private start(shard: number): void {
    const { options, standings } = this.core;
    const placement = options.placement(shard);
    const { epoch, groups } = placement;
    const [group = []] = groups;
    const takeover: Takeover = {
      shard,
      epoch,
      needed: sourcesOf(placement),
      done: new Set(standings.isSource(shard) ? [options.self] : []),
      progress: new Map(),
      asked: new Map(),
      order: options.prng.shuffle(group.filter((node) => node !== options.self)),
      ended: false,
    };
    this.running.set(shard, takeover);
    this.advance(takeover);
  }

  private advance(takeover: Takeover): void {
    if (takeover.ended) return;
    const needed = takeover.needed - takeover.done.size;
    if (needed <= 0) {
      this.finish(takeover);
      return;
    }
    for (const node of takeover.order) {
      if (takeover.asked.size >= needed) return;
      if (!takeover.done.has(node) && !takeover.asked.has(node) && this.core.isUp(node)) this.ask(takeover, node);
    }
    this.retryLater();
  }

  private ask(takeover: Takeover, node: NodeId): void {
    const { shard, epoch } = takeover;
    const timeout = this.core.alarm(ROWS_TIMEOUT_MS, () => this.handleSilence(takeover, node));
    takeover.asked.set(node, { timeout, isMerging: false });
    this.core.send(node, { type: 'register-rows-ask', shard, epoch, after: takeover.progress.get(node) ?? null });
  }

  private handleSilence(takeover: Takeover, node: NodeId): void {
    takeover.asked.delete(node);
    takeover.order = [...takeover.order.filter((other) => other !== node), node];
    this.advance(takeover);
  }

  /** Too few sources are up: they are looked for again now and then. */
  private retryLater(): void {
    if (this.retry?.ended === false) return;
    this.retry = this.core.alarm(ROWS_TIMEOUT_MS, () => this.handlePeerUp());
  }

  private finish(takeover: Takeover): void {
    const { shard, epoch } = takeover;
    const { standings, journal } = this.core;
    this.stop(takeover);
    standings.becomeWhole(shard);
    journal.whenDurable(standings.persistIdOf(shard), () =>
      this.core.emit({ type: 'register-caught-up', shard, epoch }),
    );
    this.fill();
  }

  private stop(takeover: Takeover): void {
    takeover.ended = true;
    for (const { timeout } of takeover.asked.values()) timeout.ended = true;
    this.running.delete(takeover.shard);
  }
}

function isSame(a: RegisterName | null, b: RegisterName | null): boolean {
  return a === null || b === null ? a === b : nameId(a) === nameId(b);
}
