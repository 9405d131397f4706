import type { ApiClient } from './api-client.ts';
import { LEDGER_WRITES_MAX, type Ledger } from './ledger.ts';
import { pause } from './wait.ts';

const WRITERS = 4;
/** Of the number in a key: the order of keys is that of the writes. */
const DIGITS = String(LEDGER_WRITES_MAX).length;
const WRITES_PER_SECOND_MAX = 160;
const ATTEMPTS_MAX = 6;
/** How long a target that refused a request is left alone. */
const AVOID_MS = 250;

/** A steady load for a story of this length that never fills the ledger. */
export function writesPerSecond(storyMs: number): number {
  return Math.min(WRITES_PER_SECOND_MAX, (LEDGER_WRITES_MAX * 1000) / storyMs);
}

/** What takes writes: a node or the hub. */
interface Target {
  readonly name: string;
  readonly client: Pick<ApiClient, 'put'>;
}

/**
 * Clients that write counted values under keys of their own, `<prefix>00001` and so on, one after the other at a steady
 * pace. Each write goes to the next target in turn and, where that one does not take it, to another, as a client with a
 * list of addresses does.
 */
export class SteadyLoad {
  readonly prefix: string;
  private readonly targets: readonly Target[];
  private readonly ledger: Ledger;
  private readonly intervalMs: number;
  private readonly avoidUntilMs = new Map<string, number>();
  private readonly end = new AbortController();
  private writers: Promise<unknown> = Promise.resolve();
  private lastNumber = 0;
  private turn = 0;

  constructor(prefix: string, targets: readonly Target[], ledger: Ledger, ratePerSecond: number) {
    this.prefix = prefix;
    this.targets = targets;
    this.ledger = ledger;
    this.intervalMs = (WRITERS * 1000) / ratePerSecond;
  }

  start(): void {
    this.writers = Promise.all(Array.from({ length: WRITERS }, (_, writer) => this.runWriter(writer)));
  }

  /** Resolves when the last write has been answered. */
  async stop(): Promise<void> {
    this.end.abort();
    await this.writers;
  }

  private async runWriter(writer: number): Promise<void> {
    const { signal } = this.end;
    let dueMs = performance.now() + (writer * this.intervalMs) / WRITERS;
    while (!signal.aborted && this.lastNumber < LEDGER_WRITES_MAX) {
      await pause(Math.max(0, dueMs - performance.now()), signal).catch(() => undefined);
      if (signal.aborted) return;
      await this.write(writer);
      // A slow answer does not cause a burst.
      dueMs = Math.max(dueMs + this.intervalMs, performance.now());
    }
  }

  private async write(writer: number): Promise<void> {
    const number = ++this.lastNumber;
    const key = `${this.prefix}${String(number).padStart(DIGITS, '0')}`;
    const value = JSON.stringify({ number, writer, at: new Date().toISOString() });
    const startMs = performance.now();
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const target = this.pickTarget();
      try {
        const { sloppy } = await target.client.put(key, value);
        const atMs = performance.now();
        this.ledger.acknowledge({ key, value, atMs }, atMs - startMs, sloppy);
        return;
      } catch {
        this.ledger.failovers++;
        this.avoidUntilMs.set(target.name, performance.now() + AVOID_MS);
      }
    }
    this.ledger.refused++;
  }

  private pickTarget(): Target {
    const nowMs = performance.now();
    for (let i = 0; i < this.targets.length; i++) {
      const target = this.targets[this.turn++ % this.targets.length] as Target;
      if ((this.avoidUntilMs.get(target.name) ?? 0) <= nowMs) return target;
    }
    return this.targets[this.turn++ % this.targets.length] as Target;
  }
}
