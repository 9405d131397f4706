import { setTimeout as delay } from 'node:timers/promises';
import { drawWrites, putAll, sizesOf, type Writes } from './batches.ts';
import type { HttpClient } from './http-client.ts';
import type { HubSite } from './hub-site.ts';
import type { LocalNodeProcess } from './local-cluster.ts';
import { SteadyWrites } from './steady-writes.ts';
import { WriteLoad } from './write-load.ts';

const BUCKET = 'default';
const STEADY = 'steady/';
const STEADY_KEYS_A_WORKER = 20;
const STEADY_PAUSE_MS = 20;
const COUNTERS = ['count/a', 'count/b'];
const COUNTER_PAUSE_MS = 50;
/** How long a killed process is away. */
const AWAY_MS = 2000;
const DRAIN_TIMEOUT_MS = 900_000;
const EQUAL_TIMEOUT_MS = 180_000;
const BITS = 8;

export interface DrainReport {
  readonly writes: number;
  /** From the end of the cut until the first key arrived at the hub, and from then until all had. */
  readonly reconnectedMs: number;
  readonly drainedMs: number;
  readonly writesPerSecond: number;
  /** Keys and values, as they are and compressed, and what has passed the hub's interface since the end of the cut. */
  readonly payloadBytes: number;
  readonly compressedBytes: number;
  readonly wireBytes: number;
}

export interface LatencyReport {
  /** How fast the backlog was drained meanwhile. */
  readonly writesPerSecond: number;
  /** Of local writes in windows of equal length: with nothing to catch up, while the uplink is cut, and while it drains. */
  readonly p99BeforeMs: number;
  readonly p99CutMs: number;
  readonly p99DuringMs: number;
  /** Local writes in the shortest of them. */
  readonly measuredWrites: number;
}

export interface KillReport {
  readonly writes: number;
  /** Of those at the hub when it was killed, and when the node with the session was. */
  readonly atHubKill: number;
  readonly atCarrierKill: number;
  readonly drainedMs: number;
}

export interface RestoreReport {
  /** Of the writes at the hub once the dump was back. */
  readonly leftAfterRestore: number;
  /** From then until all were there again. */
  readonly filledMs: number;
}

/** Increments that were acknowledged, and those of which nobody knows. */
interface Count {
  done: number;
  maybe: number;
}

/** A backlog that went up. `performance.now()`. */
interface Drained {
  readonly writes: Writes;
  /** The cut ended, the first key arrived at the hub, and all had. */
  readonly mendedMs: number;
  readonly sinceMs: number;
  readonly atMs: number;
  readonly wireBytes: number;
}

/** A site whose uplink fails: what it writes meanwhile has to be at the hub in the end, each thing once. */
export class HubStory {
  private readonly site: HubSite;
  private readonly clients: readonly HttpClient[];
  private readonly load: WriteLoad;
  private readonly counts = new Map(COUNTERS.map((key): [string, Count] => [key, { done: 0, maybe: 0 }]));
  private readonly batches = new Map<string, Writes>();
  private increments: SteadyWrites | null = null;

  constructor(site: HubSite) {
    this.site = site;
    this.clients = site.cluster.nodes.map(({ http }) => http);
    const workers = this.clients.length;
    const keys = workers * STEADY_KEYS_A_WORKER;
    this.load = new WriteLoad({ clients: this.clients, prefix: STEADY, workers, keys, pauseMs: STEADY_PAUSE_MS });
  }

  /** What the uplink of a site costs that nobody uses, before anything else. */
  async idle(forMs: number): Promise<{ readonly wireBytes: number; readonly kbitPerSecond: number }> {
    const before = this.site.wireBytes();
    const fromMs = performance.now();
    await delay(forMs);
    const wireBytes = this.site.wireBytes() - before;
    return { wireBytes, kbitPerSecond: (wireBytes * BITS) / (performance.now() - fromMs) };
  }

  /** Writes down what the database has. */
  dump(): void {
    this.site.dump();
  }

  /** Begins with a steady load of few writes, and of increments. */
  async begin(): Promise<void> {
    this.load.start();
    this.increments = new SteadyWrites(
      this.clients.map((client) => this.incrementer(client)),
      COUNTER_PAUSE_MS,
    );
    await this.load.untilMore(STEADY_KEYS_A_WORKER * this.clients.length);
  }

  /** So many keys are written while the uplink is cut, which is then mended. */
  async drain(count: number): Promise<DrainReport> {
    const { writes, mendedMs, sinceMs, atMs, wireBytes } = await this.drainAfter(count, 0);
    const { bytes, compressedBytes } = sizesOf(writes);
    return {
      writes: count,
      reconnectedMs: sinceMs - mendedMs,
      drainedMs: atMs - sinceMs,
      writesPerSecond: perSecond(count, atMs - sinceMs),
      payloadBytes: bytes,
      compressedBytes,
      wireBytes,
    };
  }

  /** The same beside the steady load: how long its writes take, each time in a window of at most `windowMs`. */
  async drainBesideLoad(count: number, windowMs: number): Promise<LatencyReport> {
    await delay(windowMs);
    const beforeMs = performance.now();
    const { mendedMs, sinceMs, atMs } = await this.drainAfter(count, windowMs);
    const spanMs = Math.min(windowMs, atMs - sinceMs);
    const before = this.tookMs(beforeMs - spanMs, beforeMs);
    const cut = this.tookMs(mendedMs - spanMs, mendedMs);
    const during = this.tookMs(sinceMs, sinceMs + spanMs);
    return {
      writesPerSecond: perSecond(count, atMs - sinceMs),
      p99BeforeMs: percentile99(before),
      p99CutMs: percentile99(cut),
      p99DuringMs: percentile99(during),
      measuredWrites: Math.min(before.length, cut.length, during.length),
    };
  }

  /** The same, and the hub is killed when a quarter has arrived, and the node with the session when half has. */
  async drainUnderKills(count: number): Promise<KillReport> {
    const { site } = this;
    const { prefix } = await this.writeWhileCut(count);
    const mendedMs = performance.now();
    site.mend();
    const atHubKill = await this.untilPart(prefix, count / 4);
    await killAndRestart(site.hub);
    const atCarrierKill = await this.untilPart(prefix, count / 2);
    await killAndRestart(await site.carrier());
    const { atMs } = await this.untilArrived(prefix, count);
    return { writes: count, atHubKill, atCarrierKill, drainedMs: atMs - mendedMs };
  }

  /** The database is brought back to what it was at the beginning. */
  async restore(): Promise<RestoreReport> {
    this.site.restore();
    const fromMs = performance.now();
    let leftAfterRestore = 0;
    for (const prefix of this.batches.keys()) leftAfterRestore += await this.site.count(BUCKET, prefix);
    for (const [prefix, { size }] of this.batches) await this.untilArrived(prefix, size);
    return { leftAfterRestore, filledMs: performance.now() - fromMs };
  }

  /** Ends the steady load. What in the database is not as it was written, key by key, once it has had time; a line each. */
  async end(): Promise<{ readonly keys: number; readonly increments: number; readonly wrong: readonly string[] }> {
    await this.load.stop();
    await this.increments?.stop();
    const deadlineMs = performance.now() + EQUAL_TIMEOUT_MS;
    for (;;) {
      const values = await this.site.values();
      const wrong = this.differences(values);
      if (wrong.length === 0 || performance.now() > deadlineMs) {
        const increments = [...this.counts.values()].reduce((sum, { done }) => sum + done, 0);
        return { keys: values.size, increments, wrong };
      }
      await delay(1000);
    }
  }

  /** `waitMs`: how long the uplink stays cut once all nodes have noticed. */
  private async drainAfter(count: number, waitMs: number): Promise<Drained> {
    const { site } = this;
    const { prefix, writes } = await this.writeWhileCut(count);
    await site.untilConnected(false);
    await delay(waitMs);
    const before = site.wireBytes();
    const mendedMs = performance.now();
    site.mend();
    const { sinceMs, atMs } = await this.untilArrived(prefix, count);
    return { writes, mendedMs, sinceMs, atMs, wireBytes: site.wireBytes() - before };
  }

  private async writeWhileCut(count: number): Promise<{ readonly prefix: string; readonly writes: Writes }> {
    const prefix = `backlog-${this.batches.size + 1}/`;
    const writes = drawWrites(prefix, count);
    this.batches.set(prefix, writes);
    this.site.cut();
    await putAll(
      this.clients.map(({ base }) => base),
      BUCKET,
      writes,
    );
    return { prefix, writes };
  }

  private async untilPart(prefix: string, part: number): Promise<number> {
    const options = { bucket: BUCKET, prefix, timeoutMs: DRAIN_TIMEOUT_MS };
    return (await this.site.untilCount(options, (count) => count >= part)).count;
  }

  private async untilArrived(
    prefix: string,
    count: number,
  ): Promise<{ readonly sinceMs: number; readonly atMs: number }> {
    const options = { bucket: BUCKET, prefix, timeoutMs: DRAIN_TIMEOUT_MS };
    return await this.site.untilCount(options, (arrived) => arrived >= count);
  }

  private tookMs(fromMs: number, toMs: number): number[] {
    return this.load.times.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).map(({ tookMs }) => tookMs);
  }

  private incrementer(client: HttpClient): () => Promise<boolean> {
    let turn = 0;
    return async () => {
      const key = COUNTERS[turn++ % COUNTERS.length] as string;
      const count = this.counts.get(key) as Count;
      // Until it is answered nobody knows.
      count.maybe++;
      const { status, text } = await client.send('POST', `/v1/kv/${BUCKET}/${key}/increment`);
      const isDone = status === 200;
      if (isDone) count.done++;
      if (isDone || text.includes('"stateChanged":"no"')) count.maybe--;
      return isDone;
    };
  }

  private differences(values: ReadonlyMap<string, Buffer>): string[] {
    const left = new Map(values);
    const take = (key: string): Buffer | null => {
      const name = `${BUCKET}/${key}`;
      const value = left.get(name) ?? null;
      left.delete(name);
      return value;
    };
    const wrong: string[] = [];
    for (const writes of this.batches.values()) {
      for (const [key, value] of writes) {
        const found = take(key);
        if (found === null) wrong.push(`${key} is missing`);
        else if (!found.equals(value)) wrong.push(`${key} has another value`);
      }
    }
    for (const [key, { done, maybe }] of this.counts) {
      const value = Number(take(key)?.toString() ?? 0);
      if (value < done || value > done + maybe) {
        wrong.push(`${key} is ${value} after ${done} increments, and ${maybe} of which nobody knows`);
      }
    }
    wrong.push(...this.load.violations((key) => take(key)?.toString() ?? null));
    for (const name of left.keys()) wrong.push(`${name} was not written`);
    return wrong;
  }
}

async function killAndRestart(process: Pick<LocalNodeProcess, 'kill' | 'start'>): Promise<void> {
  await process.kill('SIGKILL');
  await delay(AWAY_MS);
  await process.start();
}

function perSecond(count: number, elapsedMs: number): number {
  return (count * 1000) / elapsedMs;
}

function percentile99(values: readonly number[]): number {
  const ascending = values.toSorted((a, b) => a - b);
  return ascending[Math.floor(ascending.length * 0.99)] ?? Number.NaN;
}
