import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { StorageRange, StorageRow, VerifiedFile } from '../../../src/ports/storage.ts';
import { NEVER_SCRUBBED, Scrubber, type ScrubPass, type ScrubState } from '../../../src/runtime/scrubber.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryStorage } from '../../support/memory-storage.ts';
import { RecordingLog } from '../../support/recording-log.ts';

const KIB = 1024;
const HOUR_MS = 3_600_000;

class WatchedStorage extends MemoryStorage {
  scans = 0;
  /** Sizes of its files. */
  files: readonly number[] = [];
  readonly verified: number[] = [];
  failure: Error | null = null;
  delay: () => Promise<void> = () => Promise.resolve();

  override async scan(range: StorageRange, limit: number, bytesMax: number): Promise<StorageRow[]> {
    this.scans++;
    await this.delay();
    if (this.failure !== null) throw this.failure;
    return await super.scan(range, limit, bytesMax);
  }

  override async verify(after: number): Promise<VerifiedFile | null> {
    const bytes = this.files[after];
    if (bytes === undefined) return null;
    this.verified.push(after + 1);
    return { number: after + 1, bytes };
  }
}

interface Setup {
  readonly storage?: WatchedStorage;
  readonly clock?: ManualClock;
  readonly state?: ScrubState;
  readonly bytesPerSecond?: number;
}

/** By default a store of 1 MiB: 1024 records of 1 KiB. */
async function setup({ storage = new WatchedStorage(), clock = new ManualClock(), ...options }: Setup = {}) {
  if ((await storage.scan({ from: Uint8Array.of(), to: Uint8Array.of(0xff) }, 1, 1)).length === 0) {
    const writes = Array.from({ length: 1024 }, (_, i) => ({
      key: Uint8Array.of(0x6f, i >> 8, i & 0xff),
      value: new Uint8Array(KIB - 3),
    }));
    await storage.commit(writes);
  }
  storage.scans = 0;
  const saved: ScrubState[] = [];
  const shown: StorageRow[] = [];
  const passes: ScrubPass[] = [];
  const scrubber = new Scrubber({
    storage,
    clock,
    log: new RecordingLog(),
    bytesPerSecond: options.bytesPerSecond ?? 64 * KIB,
    intervalMs: 24 * HOUR_MS,
    state: options.state ?? NEVER_SCRUBBED,
    save: (state) => saved.push(state),
    onRows: (rows) => shown.push(...rows),
    onPass: (pass) => passes.push(pass),
  });
  scrubber.start();
  const pass = async (ms: number, stepMs = 100): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      clock.advance(Math.min(stepMs, left));
      await turn();
    }
  };
  return { scrubber, storage, clock, saved, shown, passes, pass };
}

describe('the scrubber', () => {
  it('reads every record at its rate, and says when it has', async () => {
    const { scrubber, passes, pass } = await setup();
    await pass(8000);
    expect(scrubber.counters.bytes).toBeGreaterThan(400 * KIB);
    expect(scrubber.counters.bytes).toBeLessThan(640 * KIB);
    expect(passes).toEqual([]);
    await pass(12_000);
    expect(passes).toEqual([{ records: 1024, bytes: 1024 * KIB, seconds: expect.closeTo(16, -0.5) }]);
    expect(scrubber.counters).toEqual({ records: 1024, bytes: 1024 * KIB, passes: 1 });
  });

  it('shows every record that it has read, once a pass', async () => {
    const { scrubber, shown, pass } = await setup();
    await pass(5000);
    expect(shown).toHaveLength(scrubber.counters.records);
    await pass(15_000);
    expect(shown.map(({ key }) => ((key[1] as number) << 8) | (key[2] as number))).toEqual(
      Array.from({ length: 1024 }, (_, i) => i),
    );
  });

  it('makes the store find what is bad', async () => {
    const found: number[] = [];
    const storage = new WatchedStorage({ onCorrupt: ({ key }) => found.push(key[2] as number) });
    const { pass } = await setup({ storage });
    storage.corrupt(Uint8Array.of(0x6f, 1, 7));
    await pass(20_000);
    expect(found).toEqual([7]);
  });

  it('reads the files after the records, at its rate, and in every pass', async () => {
    const { storage, passes, pass } = await setup();
    storage.files = [256 * KIB, 0, 64 * KIB];
    await pass(18_000);
    expect(storage.verified).toEqual([1]);
    expect(passes).toEqual([]);
    await pass(6000);
    expect(storage.verified).toEqual([1, 2, 3]);
    expect(passes).toHaveLength(1);
    await pass(24 * HOUR_MS, 60_000);
    await pass(90_000);
    expect(storage.verified).toEqual([1, 2, 3, 1, 2, 3]);
  });

  it('rests between two passes, by the wall clock and over restarts', async () => {
    const { storage, clock, saved, pass } = await setup();
    await pass(20_000);
    const ended = saved.at(-1) as ScrubState;
    expect(ended.position).toBe(null);
    const again = await setup({ storage, clock, state: ended });
    await again.pass(23 * HOUR_MS, 60_000);
    expect(again.storage.scans).toBe(0);
    await again.pass(HOUR_MS, 60_000);
    expect(again.storage.scans).toBeGreaterThan(0);
  });

  it('is not put off by a clock that was set back', async () => {
    const clock = new ManualClock();
    const state = { ...NEVER_SCRUBBED, lastEndedMs: clock.now().wallMs + 1000 * HOUR_MS };
    const { storage, pass } = await setup({ clock, state });
    await pass(1000);
    expect(storage.scans).toBeGreaterThan(0);
  });

  it('goes on where it was, and reads nothing twice but the last minute', async () => {
    const { scrubber, storage, clock, saved, pass } = await setup({ bytesPerSecond: 4 * KIB });
    await pass(150_000);
    scrubber.stop();
    const read = scrubber.counters.records;
    const state = saved.at(-1) as ScrubState;
    expect(state.position).not.toBe(null);
    const again = await setup({ storage, clock, state, bytesPerSecond: 64 * KIB });
    await again.pass(20_000);
    expect(again.passes).toEqual([expect.objectContaining({ records: 1024, bytes: 1024 * KIB })]);
    const twice = read + again.scrubber.counters.records - 1024;
    expect(twice).toBeGreaterThanOrEqual(0);
    expect(twice).toBeLessThan((4 * 60 * KIB) / KIB + 64);
  });

  it('leaves a slow disk nine tenths of its time', async () => {
    const { storage, clock, pass } = await setup({ bytesPerSecond: 1024 * KIB });
    storage.delay = () => new Promise((resolve) => clock.after(1000, resolve));
    const startMs = clock.now().monoMs;
    await pass(60_000);
    const share = (storage.scans * 1000) / (clock.now().monoMs - startMs);
    expect(share).toBeGreaterThan(0.05);
    expect(share).toBeLessThan(0.12);
  });

  it('tries again after a failing read, and not when it is off', async () => {
    const { storage, passes, pass } = await setup();
    storage.failure = new Error('broken');
    await pass(5000);
    expect(storage.scans).toBeLessThan(3);
    storage.failure = null;
    await pass(100_000);
    expect(passes).toHaveLength(1);
    const off = await setup({ bytesPerSecond: 0 });
    await off.pass(100_000);
    expect(off.storage.scans).toBe(0);
  });
});
