import { setTimeout as delay } from 'node:timers/promises';
import { SteadyWrites } from '../../test/support/steady-writes.ts';
import type { Voter } from './electorate.ts';

const WRITERS_A_NODE = 4;
const KEYS = 997;
const BEFORE_MS = 2_000;
const AFTER_MS = 8_000;
const INTERVAL_MS = 100;
const A_LINE = 1_000 / INTERVAL_MS;
const LEVELS = ' ▁▂▃▄▅▆▇█';

/** What clients of the survivors have seen of a kill. */
export interface Outage {
  /** The longest time without an acknowledged write, all writers together. */
  readonly silenceMs: number;
  readonly failed: number;
  /** Acknowledged writes in each interval, the first of which begins `beforeMs` before the kill. */
  readonly beforeMs: number;
  readonly intervalMs: number;
  readonly acknowledged: readonly number[];
}

/** Writes through the survivors all the time, `kill` in their midst. */
export async function watchOutage(survivors: readonly Voter[], kill: () => Promise<void>): Promise<Outage> {
  let next = 0;
  const writers = survivors.flatMap((voter) => {
    const write = (): Promise<boolean> => voter.write(`outage-${next++ % KEYS}`);
    return Array.from({ length: WRITERS_A_NODE }, () => write);
  });
  const writes = new SteadyWrites(writers);
  try {
    // The first of them warm up, and found what is founded at the first write.
    await delay(2 * BEFORE_MS);
    const killedMs = performance.now();
    await kill();
    await delay(AFTER_MS);
    const fromMs = killedMs - BEFORE_MS;
    const acknowledged = writes.counts(fromMs, INTERVAL_MS, (BEFORE_MS + AFTER_MS) / INTERVAL_MS);
    return {
      silenceMs: writes.silenceMs(killedMs, killedMs + AFTER_MS),
      failed: writes.failed,
      beforeMs: BEFORE_MS,
      intervalMs: INTERVAL_MS,
      acknowledged,
    };
  } finally {
    await writes.stop();
  }
}

/** A line for each second: its acknowledged writes, and a column for each interval. */
export function chart({ acknowledged, beforeMs }: Outage): string[] {
  const highest = Math.max(...acknowledged, 1);
  const lines: string[] = [];
  for (let i = 0; i < acknowledged.length; i += A_LINE) {
    const counts = acknowledged.slice(i, i + A_LINE);
    const second = i / A_LINE - beforeMs / 1_000;
    const sum = counts.reduce((all, count) => all + count, 0);
    // Only nothing is drawn as nothing.
    const columns = counts.map((count) => LEVELS[Math.ceil((count / highest) * (LEVELS.length - 1))] ?? '');
    lines.push(
      `${`${second < 0 ? '' : '+'}${second} s`.padStart(7)} ${String(sum).padStart(7)}  |${columns.join('')}|`,
    );
  }
  return lines;
}
