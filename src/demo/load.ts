import type { DemoNode } from './cluster.ts';
import { LEDGER_WRITES_MAX, type Ledger } from './ledger.ts';
import { pause } from './wait.ts';

const WRITERS = 4;
const WRITES_PER_SECOND_MAX = 160;
const ATTEMPTS_MAX = 6;
/** How long a node that refused a request is left alone. */
const AVOID_MS = 250;

/** A steady load for a story of this length that never fills the ledger. */
export function writesPerSecond(storyMs: number): number {
  return Math.min(WRITES_PER_SECOND_MAX, (LEDGER_WRITES_MAX * 1000) / storyMs);
}

/**
 * Clients that write counted values under keys of their own, `load/<n>`, one after the other at a steady pace. Each
 * write goes to the next node in turn and, where that one does not take it, to another, as a client with a list of
 * addresses does.
 */
export class SteadyLoad {
  private readonly nodes: readonly DemoNode[];
  private readonly ledger: Ledger;
  private readonly intervalMs: number;
  private readonly avoidUntilMs = new Map<string, number>();
  private readonly end = new AbortController();
  private writers: Promise<unknown> = Promise.resolve();
  private lastNumber = 0;
  private turn = 0;

  constructor(nodes: readonly DemoNode[], ledger: Ledger, ratePerSecond: number) {
    this.nodes = nodes;
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
    const key = `load/${number}`;
    const value = JSON.stringify({ number, writer, at: new Date().toISOString() });
    const startMs = performance.now();
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const node = this.pickNode();
      try {
        const { sloppy } = await node.client.put(key, value);
        const atMs = performance.now();
        this.ledger.acknowledge({ key, value, atMs }, atMs - startMs, sloppy);
        return;
      } catch {
        this.ledger.failovers++;
        this.avoidUntilMs.set(node.name, performance.now() + AVOID_MS);
      }
    }
    this.ledger.refused++;
  }

  private pickNode(): DemoNode {
    const nowMs = performance.now();
    for (let i = 0; i < this.nodes.length; i++) {
      const node = this.nodes[this.turn++ % this.nodes.length] as DemoNode;
      if ((this.avoidUntilMs.get(node.name) ?? 0) <= nowMs) return node;
    }
    return this.nodes[this.turn++ % this.nodes.length] as DemoNode;
  }
}
