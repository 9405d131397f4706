import type { NodeId } from '../../src/protocol/machine.ts';
import type { NodeEvent } from '../../src/protocol/node/effect.ts';
import type { PeerMessage } from '../../src/protocol/node/message.ts';
import type { SimObserver } from './observer.ts';
import type { SimNode } from './sim-node.ts';
import { eventText, messageText } from './trace-text.ts';

/** What is kept of a run; the oldest gives way. */
const RECORDS_MAX = 200_000;

type TraceRecord = { readonly atMs: number } & (
  | { readonly kind: 'fault'; readonly text: string }
  | { readonly kind: 'event'; readonly node: string; readonly event: NodeEvent }
  | { readonly kind: 'message'; readonly from: string; readonly to: NodeId; readonly message: PeerMessage }
);

export interface TraceFilter {
  /** Keys and names of nodes: what touches them is of interest, and every fault. */
  readonly words: readonly string[];
  /** The last so many lines. */
  readonly lines: number;
}

/** Keeps the last records of a run, and turns those of interest into lines when asked. */
export class Trace implements SimObserver {
  private readonly records: TraceRecord[] = [];
  /** Where the oldest record is, once no more are kept. */
  private next = 0;
  /** As of the last sign of any node. */
  private nowMs = 0;

  fault(text: string): void {
    this.add({ atMs: this.nowMs, kind: 'fault', text });
  }

  turn({ clock }: SimNode): void {
    this.nowMs = clock.trueTimeOf(clock.now().monoMs);
  }

  event(node: SimNode, event: NodeEvent): void {
    this.turn(node);
    this.add({ atMs: this.nowMs, kind: 'event', node: node.name, event });
  }

  message(from: SimNode, to: NodeId, message: PeerMessage): void {
    this.turn(from);
    this.add({ atMs: this.nowMs, kind: 'message', from: from.name, to, message });
  }

  lines({ words, lines }: TraceFilter): string[] {
    const interest = { words: new Set(words), requests: new Set<string>() };
    const found: string[] = [];
    for (let index = 0; index < this.records.length; index++) {
      const record = this.records[(this.next + index) % this.records.length] as TraceRecord;
      const text =
        record.kind === 'fault'
          ? `FAULT ${record.text}`
          : record.kind === 'event'
            ? eventText(record.node, record.event, interest)
            : messageText(record.from, record.to, record.message, interest);
      if (text !== null) found.push(`${(record.atMs / 1000).toFixed(3).padStart(9)}  ${text}`);
    }
    return found.slice(-lines);
  }

  private add(record: TraceRecord): void {
    if (this.records.length < RECORDS_MAX) {
      this.records.push(record);
      return;
    }
    this.records[this.next] = record;
    this.next = (this.next + 1) % RECORDS_MAX;
  }
}

/** Of the keys and nodes that problems speak of: the keys, or where there are none, the nodes. */
export function wordsOf(problems: readonly string[]): string[] {
  const words = new Set<string>();
  for (const problem of problems.slice(0, 5)) {
    for (const [word] of problem.matchAll(/\b(?:once|hot|count)\/\d+|\bn\d+\b/g)) words.add(word);
  }
  const keys = [...words].filter((word) => word.includes('/'));
  return keys.length > 0 ? keys : [...words];
}
