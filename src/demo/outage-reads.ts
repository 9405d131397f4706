import type { DemoNode } from './cluster.ts';
import type { AcknowledgedWrite, Ledger } from './ledger.ts';
import { messageOf, pause } from './wait.ts';

const READS_PER_SECOND_PER_NODE = 25;
const FAILURES_KEPT_MAX = 5;

/** Reads acknowledged writes back at each of these nodes, again and again, and counts what goes wrong. */
export class OutageReads {
  done = 0;
  failed = 0;
  slowestMs = 0;
  /** The first failures, for the report. */
  readonly failures: string[] = [];
  private readonly ledger: Ledger;
  private readonly end = new AbortController();
  private readonly readers: Promise<unknown>;

  constructor(nodes: readonly DemoNode[], ledger: Ledger) {
    this.ledger = ledger;
    this.readers = Promise.all(nodes.map((node, index) => this.runReader(node, index)));
  }

  async stop(): Promise<void> {
    this.end.abort();
    await this.readers;
  }

  private async runReader(node: DemoNode, index: number): Promise<void> {
    const { signal } = this.end;
    for (let turn = index; !signal.aborted; turn++) {
      const write = this.pick(turn);
      if (write !== undefined) await this.read(node, write);
      await pause(1000 / READS_PER_SECOND_PER_NODE, signal).catch(() => undefined);
    }
  }

  /** Strides through everything acknowledged so far, old and new. */
  private pick(turn: number): AcknowledgedWrite | undefined {
    const { writes } = this.ledger;
    return writes[(turn * 7919) % Math.max(1, writes.length)];
  }

  private async read(node: DemoNode, { key, value }: AcknowledgedWrite): Promise<void> {
    const startMs = performance.now();
    this.done++;
    try {
      const found = await node.client.read(key, 'quorum');
      if (found !== value) this.fail(`${node.name} read ${found === null ? 'nothing' : 'another value'} for ${key}`);
    } catch (error) {
      this.fail(`${node.name} could not read ${key}: ${messageOf(error)}`);
    }
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
  }

  private fail(reason: string): void {
    this.failed++;
    if (this.failures.length < FAILURES_KEPT_MAX) this.failures.push(reason);
  }
}
