import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Storage, StorageRow } from '../ports/storage.ts';

/** Read in one go: what a request may have to wait for on a slow disk. */
const PIECE_BYTES = 64 * 1024;
const PIECE_ROWS = 512;
/** Small records cost the reading of many: each counts as at least so much against the rate. */
const ROW_BYTES_MIN = 256;
/** Share of the time that reading may take: a busy disk is left alone for as much longer. */
const READ_SHARE = 0.1;
/** Between two saved positions of a pass. */
const SAVE_INTERVAL_MS = 60_000;
/** Between two looks at the wall clock whether a pass is due: it may jump. */
const DUE_CHECK_MS = 60_000;
const RETRY_MS = 60_000;
/** All keys of records: those from 0xff on belong to the store. */
const FIRST_KEY = new Uint8Array(0);
const END_KEY = Uint8Array.of(0xff);

/** Where a pass is, and how the last one ended; survives restarts. */
export interface ScrubState {
  /** The next key; null: no pass is under way. */
  readonly position: Uint8Array | null;
  readonly records: number;
  readonly bytes: number;
  /** Wall clock, milliseconds; 0 before the first pass has ended. */
  readonly lastEndedMs: number;
  /** Wall clock, milliseconds, of the pass under way or the last one. */
  readonly startedMs: number;
}

export const NEVER_SCRUBBED: ScrubState = { position: null, records: 0, bytes: 0, lastEndedMs: 0, startedMs: 0 };

export interface ScrubPass {
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface ScrubberOptions {
  readonly storage: Pick<Storage, 'scan' | 'verify'>;
  readonly clock: Clock;
  readonly log: Log;
  /** 0: never. */
  readonly bytesPerSecond: number;
  /** Between the end of a pass and the start of the next. */
  readonly intervalMs: number;
  readonly state: ScrubState;
  readonly save: (state: ScrubState) => void;
  /** Has been read, and is sound. */
  readonly onRows: (rows: readonly StorageRow[]) => void;
  readonly onPass: (pass: ScrubPass) => void;
}

export interface ScrubCounters {
  records: number;
  bytes: number;
  passes: number;
}

/**
 * Reads every record through the store's checksums, slowly and again and again, so that a bad one is found while other
 * nodes still have it; and then every file that holds them, since damage to a key hides a record. What is found bad the
 * store reports by itself.
 */
export class Scrubber {
  readonly counters: ScrubCounters = { records: 0, bytes: 0, passes: 0 };
  private readonly options: ScrubberOptions;
  private current: ScrubState;
  private savedAtMs = 0;
  /** The last file that was read in this pass; a restart begins with the first again. */
  private file = 0;
  private stopped = false;
  private cancel: (() => void) | null = null;

  constructor(options: ScrubberOptions) {
    this.options = options;
    this.current = options.state;
  }

  get state(): ScrubState {
    return this.current;
  }

  start(): void {
    if (this.options.bytesPerSecond > 0) this.later(0);
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
  }

  private later(delayMs: number): void {
    if (!this.stopped) this.cancel = this.options.clock.after(delayMs, () => void this.step());
  }

  private async step(): Promise<void> {
    try {
      if (this.current.position === null && !this.begin()) {
        this.later(Math.min(DUE_CHECK_MS, this.options.intervalMs));
        return;
      }
      this.later(await this.readPiece());
    } catch (error) {
      if (this.stopped) return;
      this.options.log.warn('the scrubber could not read the store', {
        reason: error instanceof Error ? error.message : String(error),
      });
      this.later(RETRY_MS);
    }
  }

  private begin(): boolean {
    const { clock, intervalMs } = this.options;
    const { wallMs } = clock.now();
    const { lastEndedMs } = this.current;
    // A clock that was set back must not put it off.
    if (lastEndedMs > 0 && wallMs >= lastEndedMs && wallMs < lastEndedMs + intervalMs) return false;
    this.current = { position: FIRST_KEY, records: 0, bytes: 0, lastEndedMs, startedMs: wallMs };
    this.save();
    return true;
  }

  /** Returns the pause after it, in milliseconds. */
  private async readPiece(): Promise<number> {
    const { storage, clock } = this.options;
    const startedMs = clock.now().monoMs;
    const from = this.current.position ?? FIRST_KEY;
    const rows = await storage.scan({ from, to: END_KEY }, PIECE_ROWS, PIECE_BYTES);
    if (rows.length === 0) return await this.readFile();
    if (!this.stopped) this.options.onRows(rows);
    const nowMs = clock.now().monoMs;
    let bytes = 0;
    for (const { key, value } of rows) bytes += key.length + value.length;
    this.counters.records += rows.length;
    this.counters.bytes += bytes;
    const { records, bytes: before } = this.current;
    this.current = { ...this.current, records: records + rows.length, bytes: before + bytes };
    const last = rows.at(-1) as StorageRow;
    const next = new Uint8Array(last.key.length + 1);
    next.set(last.key);
    this.current = { ...this.current, position: next };
    if (nowMs - this.savedAtMs >= SAVE_INTERVAL_MS) this.save();
    return this.pauseAfter(Math.max(bytes, rows.length * ROW_BYTES_MIN), startedMs);
  }

  /** All records have been read. */
  private async readFile(): Promise<number> {
    const startedMs = this.options.clock.now().monoMs;
    const file = await this.options.storage.verify(this.file);
    if (file === null) {
      this.end();
      return Math.min(DUE_CHECK_MS, this.options.intervalMs);
    }
    this.file = file.number;
    return this.pauseAfter(file.bytes, startedMs);
  }

  private pauseAfter(bytes: number, startedMs: number): number {
    const { clock, bytesPerSecond } = this.options;
    const tookMs = clock.now().monoMs - startedMs;
    return Math.max((bytes * 1000) / bytesPerSecond - tookMs, tookMs * (1 / READ_SHARE - 1));
  }

  private end(): void {
    const { wallMs } = this.options.clock.now();
    const { records, bytes, startedMs } = this.current;
    this.file = 0;
    this.current = { ...this.current, position: null, lastEndedMs: wallMs };
    this.counters.passes++;
    this.save();
    this.options.onPass({ records, bytes, seconds: Math.max(0, Math.round((wallMs - startedMs) / 1000)) });
  }

  private save(): void {
    this.savedAtMs = this.options.clock.now().monoMs;
    this.options.save(this.current);
  }
}
