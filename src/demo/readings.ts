import type { SystemSample } from '../ports/system.ts';
import type { DemoNode } from './cluster.ts';
import { pause } from './wait.ts';

const INTERVAL_MS = 1000;

/** One reading of the machine. */
interface Reading {
  readonly metric: string;
  readonly value: number;
  readonly unit: 'ratio' | 'bytes' | 'bytes/s' | 'celsius';
}

/** What the machine has to tell; what it does not know is left out. */
function readingsOf(sample: SystemSample): Reading[] {
  const { memoryTotalBytes, memoryAvailableBytes } = sample;
  const memoryUsedBytes =
    memoryTotalBytes === null || memoryAvailableBytes === null ? null : memoryTotalBytes - memoryAvailableBytes;
  const readings: readonly (readonly [string, number | null, Reading['unit']])[] = [
    ['cpu', sample.cpuUsedRatio, 'ratio'],
    ['memory', memoryUsedBytes, 'bytes'],
    ['disk-free', sample.storageFreeBytes, 'bytes'],
    ['disk-read', sample.diskReadBytesPerSecond, 'bytes/s'],
    ['disk-written', sample.diskWrittenBytesPerSecond, 'bytes/s'],
    ['network-received', sample.networkReceivedBytesPerSecond, 'bytes/s'],
    ['network-sent', sample.networkSentBytesPerSecond, 'bytes/s'],
    ['temperature', sample.temperatureCelsius, 'celsius'],
  ];
  return readings.flatMap(([metric, value, unit]) => (value === null ? [] : [{ metric, value, unit }]));
}

/** The latest reading that was acknowledged under a key. */
interface Recorded {
  readonly number: number;
  readonly value: string;
}

/** Once a second every running node records its machine's readings through its own API, as `node/<name>/<metric>`. */
export class Recorder {
  /** Acknowledged readings. */
  recorded = 0;
  readonly latest = new Map<string, Recorded>();
  private readonly nodes: readonly DemoNode[];
  private readonly sample: () => Promise<SystemSample>;
  private readonly onSample: (sample: SystemSample) => void;
  private readonly end = new AbortController();
  private runs: Promise<unknown> = Promise.resolve();
  private lastNumber = 0;

  constructor(
    nodes: readonly DemoNode[],
    sample: () => Promise<SystemSample>,
    onSample: (sample: SystemSample) => void,
  ) {
    this.nodes = nodes;
    this.sample = sample;
    this.onSample = onSample;
  }

  start(): void {
    this.runs = this.run();
  }

  /** Resolves when the last reading has been answered. */
  async stop(): Promise<void> {
    this.end.abort();
    await this.runs;
  }

  private async run(): Promise<void> {
    const { signal } = this.end;
    let dueMs = performance.now();
    while (!signal.aborted) {
      const sample = await this.sample();
      this.onSample(sample);
      const number = ++this.lastNumber;
      const readings = readingsOf(sample);
      await Promise.all(this.nodes.map((node) => this.record(node, readings, number)));
      dueMs = Math.max(dueMs + INTERVAL_MS, performance.now());
      await pause(dueMs - performance.now(), signal).catch(() => undefined);
    }
  }

  private async record(node: DemoNode, readings: readonly Reading[], number: number): Promise<void> {
    if (!node.process.isRunning) return;
    const at = new Date().toISOString();
    for (const { metric, value, unit } of readings) {
      const key = `node/${node.name}/${metric}`;
      const text = JSON.stringify({ value, unit, number, at });
      try {
        await node.client.put(key, text);
        this.recorded++;
        this.latest.set(key, { number, value: text });
      } catch {
        // The node is down or just starting; the next second has the next reading.
        return;
      }
    }
  }
}
