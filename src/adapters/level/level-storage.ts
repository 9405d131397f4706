import { assert } from '../../lib/assert.ts';
import type { Log } from '../../ports/log.ts';
import {
  type CorruptRecord,
  type Storage,
  StorageError,
  type StorageRange,
  type StorageRow,
  type StorageWrite,
  type VerifiedFile,
} from '../../ports/storage.ts';
import { Database, releaseDirectory, reserveDirectory } from './database.ts';
import { DeletedRanges } from './deleted-ranges.ts';
import { DiskSpace } from './disk-space.ts';
import { closedError, headroomError, isClosedUnderneath, isCorruption, storageError } from './errors.ts';
import { PointReads } from './point-reads.ts';
import { Quarantine, RESERVED_BYTE } from './quarantine.ts';
import { decodeRecord, encodeRecord } from './record.ts';
import { assertSoundSoFar, END_KEY, type RowIterator } from './sound-scan.ts';
import { type TableFile, tablesInUse, verifyTable } from './store-check.ts';
import { type Operation, WriteQueue } from './write-queue.ts';

const CACHE_BYTES_DEFAULT = 16 * 1024 * 1024;
/** Up to two of them are in memory; a larger one means fewer rewrites of the same data on flash. */
const WRITE_BUFFER_BYTES_DEFAULT = 16 * 1024 * 1024;
/** Up to here merging all of the store with each write buffer stays below 12 bytes written for each byte put. */
const MERGED_BUFFERS = 3;
/** LevelDB needs room to compact; a compaction that fails half way stops every later write. */
const HEADROOM_BYTES_DEFAULT = 64 * 1024 * 1024;
/** The log is written to a table while the store opens, and a new log is begun. */
const REOPEN_BUFFERS = 2;
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
const SUSPECTS_MAX = 1024;
const CLEAR_PIECE_KEYS = 512;
const SCAN_PIECE_ROWS = 1000;
const SCAN_PIECE_BYTES_MAX = 1024 * 1024;
/** Size of what one compaction by hand rewrites, about: closing the store waits for it. */
const RECLAIM_PIECE_BYTES = 32 * 1024 * 1024;

export interface LevelStorageOptions {
  readonly directory: string;
  readonly log: Log;
  readonly onCorrupt: (record: CorruptRecord) => void;
  /**
   * Corrupt records that stay where they are until they are overwritten, and are reported by every run until then:
   * whoever is told has to act on the loss, and a crash before that must not make it forgotten. Default: none.
   */
  readonly keepsCorrupt?: (key: Uint8Array) => boolean;
  /**
   * Records were lost that cannot be named (a repair, an unreadable log): some that this node claims to hold may be
   * gone, or be back at an older version.
   */
  readonly onRecordsLost?: (reason: string) => void;
  /**
   * Program and arguments of a process that calls `runTrialTask`: damage can make LevelDB abort a process, so what is
   * done to a damaged store is done there first. Default: none.
   */
  readonly trialCommand?: readonly string[];
  /** Cache of uncompressed blocks; default 16 MiB. */
  readonly cacheBytes?: number;
  /** Size at which the write-ahead log becomes a table; default 16 MiB, up to two are held in memory. */
  readonly writeBufferBytes?: number;
  /** Below this much free space puts are refused with `disk-full`, reads and deletes go on; default 64 MiB. */
  readonly headroomBytes?: number;
}

/**
 * Opens the store in `directory`, creating it if needed.
 *
 * @throws StorageError `in-use` when another node holds the directory, `disk-full`, `unreadable` (no permission,
 * or damage that a repair could not undo), `io`.
 */
export async function openLevelStorage(options: LevelStorageOptions): Promise<Storage> {
  const directory = await reserveDirectory(options.directory);
  try {
    const storage = new LevelStorage(directory, options);
    await storage.open();
    return storage;
  } catch (error) {
    releaseDirectory(directory);
    throw error;
  }
}

class LevelStorage implements Storage {
  readonly #directory: string;
  readonly #log: Log;
  readonly #onCorrupt: (record: CorruptRecord) => void;
  readonly #keepsCorrupt: (key: Uint8Array) => boolean;
  readonly #headroomBytes: number;
  readonly #writeBufferBytes: number;
  readonly #database: Database;
  readonly #space: DiskSpace;
  readonly #queue: WriteQueue;
  readonly #quarantine = new Quarantine();
  readonly #deleted = new DeletedRanges();
  readonly #pointReads: PointReads;
  /** Keys whose move to the quarantine is under way or failed, and those that were reported and stay in place. */
  readonly #suspects = new Set<string>();
  #state: 'open' | 'restoring' | 'failed' | 'closed' = 'open';
  #restored: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** Of the pass of `verify` that is under way. */
  #tables: readonly TableFile[] = [];

  constructor(directory: string, options: LevelStorageOptions) {
    this.#directory = directory;
    this.#log = options.log;
    this.#onCorrupt = options.onCorrupt;
    this.#keepsCorrupt = options.keepsCorrupt ?? (() => false);
    this.#headroomBytes = options.headroomBytes ?? HEADROOM_BYTES_DEFAULT;
    this.#writeBufferBytes = options.writeBufferBytes ?? WRITE_BUFFER_BYTES_DEFAULT;
    this.#database = new Database({
      directory,
      log: options.log,
      cacheBytes: options.cacheBytes ?? CACHE_BYTES_DEFAULT,
      writeBufferBytes: this.#writeBufferBytes,
      trialCommand: options.trialCommand,
      onRecordsLost: options.onRecordsLost ?? (() => {}),
    });
    this.#space = new DiskSpace(directory);
    this.#pointReads = new PointReads({ storeBytesMin: MERGED_BUFFERS * this.#writeBufferBytes });
    this.#queue = new WriteQueue({
      write: (operations) => this.#write(operations),
      admitPuts: () => this.#admitPuts(),
    });
  }

  async open(): Promise<void> {
    await this.#database.open();
    try {
      await this.#begin();
    } catch (error) {
      if (!isCorruption(error)) throw storageError(this.#directory, 'reading', error);
      await this.#restore(() => this.#database.repairWhileOpen(errorText(error)));
    }
  }

  /** With what is the adapter's own. */
  async #begin(): Promise<void> {
    const { handle } = this.#database;
    await this.#quarantine.load(handle);
    if (handle.getSync(END_KEY) !== undefined) return;
    const freeBytes = await this.#space.freeBytes().catch(() => 0);
    if (freeBytes < this.#headroomBytes) return;
    await handle.put(END_KEY, new Uint8Array(0));
  }

  get prefersBatches(): boolean {
    return this.#pointReads.usesIterators;
  }

  read(key: Uint8Array): Uint8Array | undefined {
    this.#assertReadable();
    let stored: Uint8Array | undefined;
    try {
      stored = this.#database.handle.getSync(key);
    } catch (error) {
      if (!isCorruption(error)) throw storageError(this.#directory, 'reading', error);
      this.#suspect(key, errorText(error));
      return undefined;
    }
    return this.#checked(key, stored);
  }

  async readMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (keys.length === 0) return [];
    return await this.#reading(async () => {
      let stored: (Uint8Array | undefined)[];
      try {
        stored = await this.#pointReads.readMany(this.#database.handle, keys);
      } catch (error) {
        if (!isCorruption(error)) throw error;
        return keys.map((key) => this.read(key));
      }
      return keys.map((key, index) => this.#checked(key, stored[index]));
    });
  }

  async scan(range: StorageRange, limit: number, bytesMax: number): Promise<StorageRow[]> {
    assert(limit >= 1 && bytesMax >= 1, 'a scan asks for at least one row and one byte');
    return await this.#reading(() => this.#scanOnce(range, limit, bytesMax));
  }

  reject(key: Uint8Array, reason: string): void {
    this.#suspect(key, reason, true);
  }

  async verify(after: number): Promise<VerifiedFile | null> {
    return await this.#reading(async () => {
      const generation = this.#restored;
      // The index grows for as long as the store is open: it is read once a pass.
      if (after === 0) this.#tables = await tablesInUse(this.#directory);
      const table = this.#tables.find(({ number }) => number > after);
      if (table === undefined) return null;
      const { bytes, isSound } = await verifyTable(this.#directory, table);
      if (!isSound) await this.#repairInTurn(`its table ${table.number} is damaged`, generation);
      return { number: table.number, bytes };
    });
  }

  commit(writes: readonly StorageWrite[]): Promise<void> {
    if (this.#isClosed()) return Promise.reject(closedError(this.#directory));
    if (writes.length === 0) return Promise.resolve();
    if (this.#queue.bytes > QUEUED_BYTES_MAX) {
      const limit = `more than ${QUEUED_BYTES_MAX} bytes of writes wait for the disk`;
      return Promise.reject(new StorageError('io', `The disk of ${this.#directory} is too slow: ${limit}.`));
    }
    const operations = writes.map(({ key, value }): Operation => {
      assert(key.byteLength > 0 && key[0] !== RESERVED_BYTE, 'a key is not empty and does not start with 0xff');
      if (this.#suspects.size > 0) this.#suspects.delete(nameOf(key));
      if (value !== null) return { type: 'put', key, value: encodeRecord(key, value) };
      this.#deleted.note(key);
      return { type: 'del', key };
    });
    this.#pointReads.noteWrites(operations.length);
    return this.#queue.commit(operations);
  }

  async clear(range: StorageRange): Promise<void> {
    if (this.#isClosed()) throw closedError(this.#directory);
    const to = Buffer.compare(range.to, RESERVED) > 0 ? RESERVED : range.to;
    let from = range.from;
    await this.#queue.clear(range, async () => {
      await this.#makeWritable();
      const keys = await this.#reading(
        () => this.#database.handle.keys({ gte: from, lt: to, limit: CLEAR_PIECE_KEYS }).all(),
        (reason) => this.#restore(() => this.#database.repairWhileOpen(reason)),
      );
      const last = keys.at(-1);
      if (last !== undefined) {
        for (const key of keys) this.#deleted.note(key);
        await this.#batch(
          keys.map((key) => ({ type: 'del', key })),
          false,
        );
        from = last;
      }
      return keys.length < CLEAR_PIECE_KEYS;
    });
  }

  async reclaim(): Promise<void> {
    const deleted = this.#deleted.take();
    try {
      for (let done = 0; done < deleted.length; ) {
        const piece = await this.#reclaimPiece(deleted.slice(done));
        if (piece === 0) {
          for (const { from } of deleted.slice(done)) this.#deleted.note(from);
          return;
        }
        done += piece;
      }
    } catch (error) {
      for (const { from } of deleted) this.#deleted.note(from);
      if (!this.#isClosed()) throw storageError(this.#directory, 'compacting', error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async usage(): Promise<{ usedBytes: number; freeBytes: number }> {
    try {
      const [usedBytes, freeBytes] = await Promise.all([this.#space.usedBytes(), this.#space.freeBytes()]);
      return { usedBytes, freeBytes };
    } catch (error) {
      throw storageError(this.#directory, 'measuring the disk', error);
    }
  }

  /** Compacts the first of some ranges, together about a piece in size; how many, 0 where it cannot be done now. */
  async #reclaimPiece(ranges: readonly StorageRange[]): Promise<number> {
    // A compaction that runs out of space stops every later write.
    if (this.#isClosed() || this.#state !== 'open') return 0;
    if ((await this.#space.freeBytes()) < this.#headroomBytes) return 0;
    const { handle } = this.#database;
    const [first] = ranges;
    if (first === undefined) return 0;
    let last = first;
    let count = 0;
    for (const range of ranges) {
      const bytes = await handle.approximateSize(first.from, range.to);
      if (count > 0 && bytes > RECLAIM_PIECE_BYTES) break;
      last = range;
      count++;
    }
    await handle.compactRange(first.from, last.to);
    return count;
  }

  async #close(): Promise<void> {
    await this.#queue.idle();
    this.#state = 'closed';
    try {
      await this.#database.close();
    } catch (error) {
      throw storageError(this.#directory, 'closing the store', error);
    } finally {
      releaseDirectory(this.#directory);
    }
  }

  #isClosed(): boolean {
    return this.#closing !== undefined;
  }

  #assertReadable(): void {
    if (this.#state === 'closed') throw closedError(this.#directory);
    if (this.#state === 'restoring') {
      throw new StorageError('unreadable', `The store in ${this.#directory} is being repaired; try again in a moment.`);
    }
  }

  /** Runs an asynchronous read; once more if the database was closed under it, or after repairing damaged tables. */
  async #reading<T>(
    read: () => Promise<T>,
    repair: (reason: string) => Promise<void> = (reason) => this.#repairInTurn(reason),
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      if (this.#state === 'restoring') await this.#restored;
      this.#assertReadable();
      const generation = this.#restored;
      try {
        return await read();
      } catch (error) {
        const interrupted = isClosedUnderneath(error) && generation !== this.#restored;
        const damaged = isCorruption(error);
        if (attempt === 2 || (!interrupted && !damaged)) throw storageError(this.#directory, 'reading', error);
        if (damaged && generation === this.#restored) await repair(errorText(error));
      }
    }
  }

  async #scanOnce(range: StorageRange, limit: number, bytesMax: number): Promise<StorageRow[]> {
    const to = Buffer.compare(range.to, RESERVED) > 0 ? RESERVED : range.to;
    const iterator = this.#database.handle.iterator({
      gte: range.from,
      lt: to,
      highWaterMarkBytes: Math.min(bytesMax, SCAN_PIECE_BYTES_MAX),
    });
    try {
      const { rows, isEnd } = await this.#rowsOf(iterator, limit, bytesMax);
      if (!isEnd) await assertSoundSoFar(iterator);
      return rows;
    } finally {
      await iterator.close();
    }
  }

  async #rowsOf(iterator: RowIterator, limit: number, bytesMax: number) {
    const rows: StorageRow[] = [];
    let bytes = 0;
    while (rows.length < limit) {
      const entries = await iterator.nextv(Math.min(limit - rows.length, SCAN_PIECE_ROWS));
      if (entries.length === 0) return { rows, isEnd: true };
      for (const [key, stored] of entries) {
        const value = this.#checked(key, stored);
        if (value === undefined) continue;
        bytes += key.byteLength + value.byteLength;
        if (rows.length > 0 && bytes > bytesMax) return { rows, isEnd: false };
        rows.push({ key: plain(key), value });
      }
    }
    return { rows, isEnd: false };
  }

  #checked(key: Uint8Array, stored: Uint8Array | undefined): Uint8Array | undefined {
    if (stored === undefined) return undefined;
    const record = decodeRecord(key, stored);
    if (record.ok) return record.value;
    this.#suspect(key, record.reason);
    return undefined;
  }

  /** Has the record moved or copied to the quarantine, unless a write in between has replaced it. */
  #suspect(key: Uint8Array, reason: string, isRejected = false): void {
    const name = nameOf(key);
    if (this.#isClosed() || this.#suspects.has(name)) return;
    const own = Uint8Array.from(key);
    // Before the read that found it is answered: the answer will look as if the record had never been there.
    this.#onCorrupt({ key: own, reason });
    // Beyond the bound a record is reported on every read, and no copy of it is kept.
    if (this.#suspects.size >= SUSPECTS_MAX) return;
    this.#suspects.add(name);
    const moved = this.#queue.task(async () => {
      // Written anew since it was rejected, it is another record.
      const isAnother = isRejected && !this.#suspects.has(name);
      const found = isAnother ? undefined : this.#examine(own, isRejected ? reason : null);
      const keeps = found !== undefined && this.#keepsCorrupt(own);
      if (found !== undefined) {
        await this.#makeWritable();
        await this.#quarantine.take(this.#database.handle, own, found.stored, keeps);
        this.#log.error('a record was corrupt and has been quarantined', { key: printable(own), reason: found.reason });
      }
      if (!keeps) this.#suspects.delete(name);
    });
    moved.catch((error: unknown) => {
      this.#log.error('a corrupt record could not be quarantined', { key: printable(own), reason: errorText(error) });
    });
  }

  /** The record as it is stored, where it is bad; `rejected`: why, if its checksum is right. */
  #examine(key: Uint8Array, rejected: string | null) {
    try {
      const stored = this.#database.handle.getSync(key);
      if (stored === undefined) return undefined;
      const record = decodeRecord(key, stored);
      const reason = record.ok ? rejected : record.reason;
      return reason === null ? undefined : { stored: { bytes: stored }, reason };
    } catch (error) {
      if (!isCorruption(error)) throw error;
      return { stored: { unreadable: true } as const, reason: 'its block on disk is unreadable' };
    }
  }

  async #write(operations: Operation[]): Promise<void> {
    try {
      await this.#makeWritable();
      try {
        await this.#batch(operations, true);
      } catch (error) {
        // A compaction met damaged tables and LevelDB refuses all writes since then.
        if (!isCorruption(error)) throw error;
        await this.#restore(() => this.#database.repairWhileOpen(errorText(error)));
        await this.#batch(operations, true);
      }
      // From a cache, mostly; where the size is not known, it stays what it was.
      this.#space.usedBytes().then(
        (bytes) => this.#pointReads.noteSize(bytes),
        () => {},
      );
    } catch (error) {
      throw storageError(this.#directory, 'writing', error);
    }
  }

  async #batch(operations: Operation[], sync: boolean): Promise<void> {
    try {
      await this.#database.handle.batch(operations, { sync });
    } catch (error) {
      if (!isCorruption(error)) this.#state = 'failed';
      throw error;
    }
  }

  /** After a failed write the log's end is undefined, so nothing may follow it; a new log is begun first. */
  async #makeWritable(): Promise<void> {
    if (this.#state !== 'failed') return;
    // Opening writes too: on a full disk it would fail and take the reads with it.
    const freeBytes = await this.#space.freeBytes();
    const neededBytes = Math.max(this.#headroomBytes, REOPEN_BUFFERS * this.#writeBufferBytes);
    if (freeBytes < neededBytes) throw this.#full(freeBytes, neededBytes);
    await this.#restore(() => this.#database.reopen());
    this.#log.warn('the store was reopened after a failed write', { directory: this.#directory });
  }

  /** Closes and reopens the database in some way; asynchronous reads wait meanwhile. */
  async #restore(restore: () => Promise<void>): Promise<void> {
    this.#state = 'restoring';
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#restored = promise;
    try {
      await restore();
      await this.#begin();
      this.#state = 'open';
    } catch (error) {
      this.#state = 'failed';
      throw error;
    } finally {
      resolve();
    }
  }

  /**
   * Repairs after the writes that wait already, what was seen in `generation`. Never to be awaited by one of them.
   */
  #repairInTurn(reason: string, generation = this.#restored): Promise<void> {
    return this.#queue.task(async () => {
      if (generation === this.#restored && !this.#isClosed())
        await this.#restore(() => this.#database.repairWhileOpen(reason));
    });
  }

  async #admitPuts(): Promise<void> {
    const freeBytes = await this.#space.freeBytes().catch(() => Number.POSITIVE_INFINITY);
    if (freeBytes < this.#headroomBytes) throw this.#full(freeBytes);
  }

  #full(freeBytes: number, neededBytes = this.#headroomBytes): StorageError {
    return headroomError(this.#directory, freeBytes, neededBytes);
  }
}

const RESERVED = Uint8Array.of(RESERVED_BYTE);

/** LevelDB's binding returns Buffers, whose `slice` shares memory; callers get what their types say. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}

/** For logs: keys are mostly text with some binary in between. */
function printable(key: Uint8Array): string {
  return JSON.stringify(Buffer.from(key.subarray(0, 256)).toString('utf8')).slice(1, -1);
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
