import type { Acceptor } from './acceptor.ts';
import type { Alarm } from './alarms.ts';
import type { RegisterCore } from './core.ts';
import type { Proposer } from './proposer.ts';
import { nameId, type RegisterName } from './record.ts';

/** Deleted keys that wait to be forgotten; further ones are left to a later scan. */
const COLLECT_QUEUE_MAX = 10_000;
/** Keys that are being forgotten at once. */
const COLLECTIONS_MAX = 4;
/** As long as there is something to do. */
const COLLECT_INTERVAL_MS = 50;
/** Not every acceptor was there each time: left to a later scan. */
const COLLECT_TRIES_MAX = 5;

interface Candidate {
  readonly shard: number;
  readonly name: RegisterName;
  readonly dueMs: number;
  readonly tries: number;
}

/** Forgets deleted keys in the background, once every acceptor has the tombstone (Rystsov 2018, section 3.1; `acceptor.ts`). */
export class Collector {
  private readonly core: RegisterCore;
  private readonly proposer: Proposer;
  private readonly acceptor: Acceptor;
  private readonly queue = new Map<string, Candidate>();
  private running = 0;
  private timer: Alarm | undefined;

  constructor(core: RegisterCore, proposer: Proposer, acceptor: Acceptor) {
    this.core = core;
    this.proposer = proposer;
    this.acceptor = acceptor;
  }

  get waiting(): number {
    return this.queue.size;
  }

  /** Rows of this disk that hold nothing to show. */
  handleTombstones(names: readonly RegisterName[]): void {
    for (const name of names) {
      const shard = this.core.options.shardOf(name.bucket, name.key);
      this.acceptor.dropBare(shard, name);
      this.note(shard, name);
    }
  }

  note(shard: number, name: RegisterName, tries = 0): void {
    const id = nameId(name);
    if (this.queue.has(id) || this.queue.size >= COLLECT_QUEUE_MAX) return;
    // Several acceptors may have found the same key.
    const { collectDelayMs, prng } = this.core.options;
    const delayMs = collectDelayMs + prng.below(collectDelayMs + 1);
    this.queue.set(id, { shard, name, tries, dueMs: this.core.now.monoMs + delayMs });
    this.schedule();
  }

  private schedule(): void {
    if (this.queue.size === 0 || this.timer?.ended === false) return;
    this.timer = this.core.alarm(COLLECT_INTERVAL_MS, () => this.handleTimer());
  }

  private handleTimer(): void {
    for (const [id, candidate] of this.queue) {
      if (this.running >= COLLECTIONS_MAX || candidate.dueMs > this.core.now.monoMs) break;
      this.queue.delete(id);
      this.collect(candidate);
    }
    this.schedule();
  }

  private collect({ shard, name, tries }: Candidate): void {
    this.running++;
    const isStarted = this.proposer.collect(shard, name, (isOver) => {
      this.running--;
      if (!isOver && tries + 1 < COLLECT_TRIES_MAX) this.note(shard, name, tries + 1);
    });
    if (isStarted) return;
    this.running--;
    this.note(shard, name, tries);
  }
}
