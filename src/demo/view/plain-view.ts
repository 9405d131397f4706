import type { Writable } from 'node:stream';
import { counted, duration } from '../figures.ts';
import type { DemoState, TickerEntry } from '../state.ts';
import { uplinkWord } from './hub-panel.ts';

const STATUS_INTERVAL_MS = 2000;
const RATE_BUCKETS = 4;

/** One line for each thing that happens, and one about the traffic every two seconds. */
export class PlainView {
  private readonly state: DemoState;
  private readonly output: Writable;
  private timer: NodeJS.Timeout | null = null;

  constructor(state: DemoState, output: Writable) {
    this.state = state;
    this.output = output;
  }

  open(): void {
    this.state.onEntry = (entry) => this.write(entryText(entry));
    this.timer = setInterval(() => this.writeStatus(), STATUS_INTERVAL_MS);
  }

  close(): void {
    this.state.onEntry = () => undefined;
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private writeStatus(): void {
    const { ledger, progress, nodes, reads, uplink } = this.state;
    if (progress !== null) {
      this.write(`  ${counted(progress.done)} of ${counted(progress.total)} checked`);
      return;
    }
    if (ledger.writes.length === 0) return;
    const rates = ledger.ratesPerSecond(performance.now()).slice(0, -1).slice(-RATE_BUCKETS);
    const rate = Math.round(rates.reduce((sum, value) => sum + value, 0) / Math.max(1, rates.length));
    const statuses = nodes.flatMap(({ status }) => status ?? []);
    const hints = statuses.reduce((sum, status) => sum + status.hints.records, 0);
    const moving = statuses.reduce((sum, status) => sum + status.shards.transferring, 0);
    const parts = [
      `${rate} writes/s`,
      `${counted(ledger.writes.length)} acknowledged`,
      `p50 ${duration(ledger.recentLatencyMs(0.5))}`,
      `p99 ${duration(ledger.recentLatencyMs(0.99))}`,
      `${statuses.length} of ${nodes.length} nodes answer`,
      `${counted(hints)} hints`,
      `${counted(moving)} shards moving`,
      `${uplinkWord(this.state).text}, ${counted(uplink.backlog)} writes waiting`,
      ...(reads === null ? [] : [`${counted(reads.done)} reads, ${counted(reads.failed)} failed`]),
    ];
    this.write(`  ${parts.join(', ')}`);
  }

  private write(text: string): void {
    this.output.write(`${timeText(new Date())}  ${printableLines(text)}\n`);
  }
}

function entryText({ text, seenBy, tone }: TickerEntry): string {
  const witness = seenBy[0];
  if (witness !== undefined) return `  ${witness}: ${text}`;
  return tone === 'bad' ? `! ${text}` : text;
}

/** Local time of day, to the millisecond. */
function timeText(time: Date): string {
  const digits = (value: number, count: number): string => String(value).padStart(count, '0');
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map((value) => digits(value, 2)).join(':');
  return `${clock}.${digits(time.getMilliseconds(), 3)}`;
}

function printableLines(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?');
}
