/**
 * What the store does on this machine: durable puts as the data layer writes them (the object read first, since it is
 * not in memory; then object, dot index and causal context in one atomic commit, the index entry of an older put
 * deleted), and reads. One process, no network.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { openLevelStorage } from '../../src/adapters/level/level-storage.ts';
import { createLog } from '../../src/adapters/system/log.ts';
import { Prng } from '../../src/lib/prng.ts';
import type { Storage } from '../../src/ports/storage.ts';
import { bytesWrittenBy } from './figures.ts';

const IN_FLIGHT = 64;
const KEYS = 400_000;
const SHARDS = 256;
const VALUE_BYTES = 256;
const CONTEXT_BYTES = 120;
/** Puts after which an index entry is stripped: the time until every owner has the put. */
const INDEX_LAG = 5_000;
const READ_BATCH = 64;
const WARM_UP_PUTS = 2_000;

interface Figures {
  readonly seconds: number;
  readonly puts: number;
  readonly putsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMicrosecondsPerPut: number;
  /** Null where the system does not count them. */
  readonly bytesWrittenPerBytePut: number | null;
  readonly storeBytes: number;
  readonly readsPerSecond: number;
  readonly batchedReadsPerSecond: number;
}

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      json: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '10' },
      directory: { type: 'string', default: tmpdir() },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds >= 1 && seconds <= 3600)) throw new Error('--seconds takes a number from 1 to 3600');
  const directory = await mkdtemp(join(values.directory, 'holdfast-bench-'));
  try {
    const figures = await measure(directory, seconds * 1000);
    process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : `${table(figures)}\n`);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Seven tenths of the time for puts, the rest for reads. */
async function measure(directory: string, durationMs: number): Promise<Figures> {
  const log = createLog({ level: 'warn', format: 'json' });
  const storage = await openLevelStorage({ directory, log, onCorrupt: () => {} });
  try {
    const writer = new Writer(storage);
    await writer.run((writer) => writer.puts >= WARM_UP_PUTS);
    writer.reset();

    const cpuBefore = process.cpuUsage();
    const bytesBefore = await bytesWrittenBy([process.pid]);
    const startMs = performance.now();
    await writer.run(() => performance.now() - startMs >= durationMs * 0.7);
    const elapsedMs = performance.now() - startMs;
    const cpu = process.cpuUsage(cpuBefore);
    const bytesAfter = await bytesWrittenBy([process.pid]);
    const latencies = writer.latenciesMs.toSorted((a, b) => a - b);

    return {
      seconds: elapsedMs / 1000,
      puts: writer.puts,
      putsPerSecond: (writer.puts * 1000) / elapsedMs,
      p50Ms: percentile(latencies, 0.5),
      p99Ms: percentile(latencies, 0.99),
      cpuMicrosecondsPerPut: (cpu.user + cpu.system) / writer.puts,
      bytesWrittenPerBytePut:
        bytesBefore === null || bytesAfter === null ? null : (bytesAfter - bytesBefore) / writer.bytesPut,
      storeBytes: (await storage.usage()).usedBytes,
      readsPerSecond: await readSingly(storage, writer.written, durationMs * 0.15),
      batchedReadsPerSecond: await readBatched(storage, writer.written, durationMs * 0.15),
    };
  } finally {
    await storage.close();
  }
}

class Writer {
  readonly #storage: Storage;
  readonly #random = new Prng(1);
  readonly #values = randomBytes(new Prng(2), 1024 * 1024);
  #counter = 0;
  puts = 0;
  bytesPut = 0;
  latenciesMs: number[] = [];
  /** Keys of objects, for the reads. */
  readonly written: Uint8Array[] = [];

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  reset(): void {
    this.puts = 0;
    this.bytesPut = 0;
    this.latenciesMs = [];
  }

  /** Keeps 64 puts in flight until `done`; resolves when all of them are acknowledged. */
  async run(done: (writer: Writer) => boolean): Promise<void> {
    const client = async () => {
      while (!done(this)) await this.#put();
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, client));
  }

  async #put(): Promise<void> {
    const counter = ++this.#counter;
    const key = this.#random.below(KEYS);
    const shard = key % SHARDS;
    const object = objectKey(shard, key);
    const value = this.#slice(VALUE_BYTES);
    const startMs = performance.now();
    if (this.#storage.prefersBatches) await this.#storage.readMany([object]);
    else this.#storage.read(object);
    await this.#storage.commit([
      { key: object, value },
      { key: indexKey(counter), value: object },
      { key: contextKey(shard), value: this.#slice(CONTEXT_BYTES) },
      ...(counter > INDEX_LAG ? [{ key: indexKey(counter - INDEX_LAG), value: null }] : []),
    ]);
    this.latenciesMs.push(performance.now() - startMs);
    this.puts += 1;
    this.bytesPut += object.byteLength + value.byteLength;
    this.written.push(object);
  }

  #slice(bytes: number): Uint8Array {
    const start = this.#random.below(this.#values.byteLength - bytes);
    return this.#values.subarray(start, start + bytes);
  }
}

async function readSingly(storage: Storage, keys: readonly Uint8Array[], durationMs: number): Promise<number> {
  const random = new Prng(3);
  const startMs = performance.now();
  let reads = 0;
  while (performance.now() - startMs < durationMs) {
    for (let index = 0; index < READ_BATCH; index++) storage.read(keys[random.below(keys.length)] as Uint8Array);
    reads += READ_BATCH;
  }
  return (reads * 1000) / (performance.now() - startMs);
}

async function readBatched(storage: Storage, keys: readonly Uint8Array[], durationMs: number): Promise<number> {
  const random = new Prng(4);
  const startMs = performance.now();
  let reads = 0;
  while (performance.now() - startMs < durationMs) {
    const batch = Array.from({ length: READ_BATCH }, () => keys[random.below(keys.length)] as Uint8Array);
    await storage.readMany(batch);
    reads += READ_BATCH;
  }
  return (reads * 1000) / (performance.now() - startMs);
}

function table(figures: Figures): string {
  const rows: [string, string][] = [
    [`durable puts, ${IN_FLIGHT} in flight, 3 records each`, `${whole(figures.putsPerSecond)}/s`],
    ['latency p50 / p99', `${figures.p50Ms.toFixed(1)} / ${figures.p99Ms.toFixed(1)} ms`],
    ['CPU', `${figures.cpuMicrosecondsPerPut.toFixed(0)} us/put`],
    ['bytes written / bytes put', figures.bytesWrittenPerBytePut?.toFixed(1) ?? 'not counted by this system'],
    ['reads, one by one', `${whole(figures.readsPerSecond)}/s`],
    [`reads, ${READ_BATCH} at a time`, `${whole(figures.batchedReadsPerSecond)}/s`],
  ];
  const title = `store: ${whole(figures.puts)} puts of ${VALUE_BYTES} bytes in ${figures.seconds.toFixed(1)} s`;
  const output = new Table({
    head: [title, 'measured'],
    colAligns: ['left', 'right'],
    style: { head: [], border: [] },
  });
  output.push(...rows);
  return output.toString();
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function objectKey(shard: number, key: number): Uint8Array {
  return Buffer.from(`o${String.fromCharCode(shard >> 4, shard & 15)}default/sensor-${String(key).padStart(8, '0')}`);
}

function indexKey(counter: number): Uint8Array {
  return Buffer.from(`i-actor-${counter.toString(16).padStart(12, '0')}`);
}

function contextKey(shard: number): Uint8Array {
  return Buffer.from(`c${String.fromCharCode(shard >> 4, shard & 15)}`);
}

function randomBytes(random: Prng, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.below(256));
}
