import { assert } from '../../src/lib/assert.ts';
import {
  type CorruptRecord,
  type Storage,
  StorageError,
  type StorageRange,
  type StorageRow,
  type StorageWrite,
  type VerifiedFile,
} from '../../src/ports/storage.ts';

interface Cell {
  value: Uint8Array;
  corrupt: boolean;
}

interface PendingCommit {
  readonly writes: readonly StorageWrite[];
  resolve(): void;
  reject(error: unknown): void;
}

export interface MemoryStorageOptions {
  readonly onCorrupt?: (record: CorruptRecord) => void;
  /** Commits wait for `sync()` instead of being synced in the next microtask. */
  readonly manualSync?: boolean;
}

/** Storage without a disk, for tests: the same contract, and faults on request. */
export class MemoryStorage implements Storage {
  readonly #onCorrupt: (record: CorruptRecord) => void;
  readonly #manualSync: boolean;
  /** Sorted by key. */
  #keys: Uint8Array[] = [];
  #cells: Cell[] = [];
  #pending: PendingCommit[] = [];
  /** What unsynced clears removed since the last sync: a crash brings it back. */
  #unsynced: StorageRow[] = [];
  #diskFull = false;
  #open = true;
  /** Counts group commits, as a disk would count its syncs. */
  syncs = 0;

  constructor(options: MemoryStorageOptions = {}) {
    this.#onCorrupt = options.onCorrupt ?? (() => {});
    this.#manualSync = options.manualSync ?? false;
  }

  /** Set by tests. */
  prefersBatches = false;

  read(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    const index = this.#find(key);
    return this.#matches(index, key) ? this.#checked(index) : undefined;
  }

  async readMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return keys.map((key) => this.read(key));
  }

  async scan(range: StorageRange, limit: number, bytesMax: number): Promise<StorageRow[]> {
    this.#assertOpen();
    assert(limit >= 1 && bytesMax >= 1, 'a scan asks for at least one row and one byte');
    const rows: StorageRow[] = [];
    let bytes = 0;
    for (const key of this.#keys.slice(this.#find(range.from), this.#find(range.to))) {
      if (rows.length === limit) break;
      const value = this.read(key);
      if (value === undefined) continue;
      bytes += key.byteLength + value.byteLength;
      if (rows.length > 0 && bytes > bytesMax) break;
      rows.push({ key: key.slice(), value });
    }
    return rows;
  }

  reject(key: Uint8Array, reason: string): void {
    const index = this.#find(key);
    if (!this.#matches(index, key)) return;
    this.#keys.splice(index, 1);
    this.#cells.splice(index, 1);
    this.#onCorrupt({ key, reason });
  }

  async verify(_after: number): Promise<VerifiedFile | null> {
    return null;
  }

  commit(writes: readonly StorageWrite[]): Promise<void> {
    for (const { key } of writes) {
      assert(key.byteLength > 0 && key[0] !== 0xff, 'a key is not empty and does not start with 0xff');
    }
    if (!this.#open) return Promise.reject(closed());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#pending.push({ writes, resolve, reject });
    if (!this.#manualSync && this.#pending.length === 1) queueMicrotask(() => this.sync());
    return promise;
  }

  async clear(range: StorageRange): Promise<void> {
    this.#assertOpen();
    if (!this.#manualSync) this.sync();
    const from = this.#find(range.from);
    const count = Math.max(0, this.#find(range.to) - from);
    const keys = this.#keys.splice(from, count);
    const cells = this.#cells.splice(from, count);
    keys.forEach((key, index) => {
      this.#unsynced.push({ key, value: (cells[index] as Cell).value });
    });
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.sync();
    this.#open = false;
  }

  async reclaim(): Promise<void> {}

  async usage(): Promise<{ usedBytes: number; freeBytes: number }> {
    let usedBytes = 0;
    this.#keys.forEach((key, index) => {
      usedBytes += key.byteLength + (this.#cells[index] as Cell).value.byteLength;
    });
    return { usedBytes, freeBytes: this.#diskFull ? 0 : 1024 ** 3 };
  }

  /** Syncs every commit that waits, in order. */
  sync(): void {
    const pending = this.#pending;
    this.#pending = [];
    if (!this.#open || pending.length === 0) return;
    this.syncs += 1;
    for (const { writes, resolve, reject } of pending) {
      if (this.#diskFull && writes.some((write) => write.value !== null)) {
        reject(new StorageError('disk-full', 'The disk is full (simulated).'));
        continue;
      }
      for (const { key, value } of writes) this.#apply(key, value);
      this.#unsynced = [];
      resolve();
    }
  }

  /** Power loss: commits that were not synced are gone and never settle; so are unsynced clears. Call `restart` next. */
  crash(): void {
    this.#pending = [];
    for (const { key, value } of this.#unsynced) this.#apply(key, value);
    this.#unsynced = [];
    this.#open = false;
  }

  /** Opens the store again with what was durable. */
  restart(): void {
    this.#open = true;
  }

  /** Damages the stored record of `key`; the next read of it finds out. */
  corrupt(key: Uint8Array): void {
    const index = this.#find(key);
    assert(this.#matches(index, key), 'only a record that exists can be corrupted');
    (this.#cells[index] as Cell).corrupt = true;
  }

  /** While full, commits that put something fail; reads, deletes and clears go on. */
  fillDisk(full: boolean): void {
    this.#diskFull = full;
  }

  #checked(index: number): Uint8Array | undefined {
    const cell = this.#cells[index] as Cell;
    if (!cell.corrupt) return cell.value.slice();
    const [key] = this.#keys.splice(index, 1);
    this.#cells.splice(index, 1);
    this.#onCorrupt({ key: key as Uint8Array, reason: 'checksum mismatch' });
    return undefined;
  }

  #apply(key: Uint8Array, value: Uint8Array | null): void {
    const index = this.#find(key);
    const present = this.#matches(index, key);
    if (value === null) {
      if (!present) return;
      this.#keys.splice(index, 1);
      this.#cells.splice(index, 1);
    } else if (present) {
      this.#cells[index] = { value: value.slice(), corrupt: false };
    } else {
      this.#keys.splice(index, 0, key.slice());
      this.#cells.splice(index, 0, { value: value.slice(), corrupt: false });
    }
  }

  /** Index of the first key that is not below `key`. */
  #find(key: Uint8Array): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.#keys[middle] as Uint8Array, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #matches(index: number, key: Uint8Array): boolean {
    const found = this.#keys[index];
    return found !== undefined && Buffer.compare(found, key) === 0;
  }

  #assertOpen(): void {
    if (!this.#open) throw closed();
  }
}

function closed(): StorageError {
  return new StorageError('io', 'The store is closed.');
}
