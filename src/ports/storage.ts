/** One change of a batch. `value: null` deletes. */
export interface StorageWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** Half-open: `from` included, `to` excluded, in byte order. */
export interface StorageRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

export interface StorageRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A record whose checksum does not match, or that was rejected; it is quarantined and reads as absent from now on. */
export interface CorruptRecord {
  readonly key: Uint8Array;
  readonly reason: string;
}

export interface VerifiedFile {
  readonly number: number;
  readonly bytes: number;
}

export type StorageErrorCode = 'in-use' | 'disk-full' | 'unreadable' | 'io';

/** A failing disk. `in-use`: another process holds the data directory. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * An ordered byte map with atomic, synced batches. Every value is stored with a checksum; a record that
 * fails it is never returned: it is reported to `onCorrupt` before the read is answered,
 * reads as absent, and is set aside.
 * Keys are not empty and never start with byte 0xff, which adapters keep for themselves.
 */
export interface Storage {
  /** True while single reads would cost the disk more than they save: `readMany` had better be used for all. */
  readonly prefersBatches: boolean;
  /** Returns synchronously; for the few reads of a turn that are cheaper than a batch. */
  read(key: Uint8Array): Uint8Array | undefined;
  /** Values in the order of the keys, undefined where absent. */
  readMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * Up to `limit` rows in key order, and at most `bytesMax` of keys and values together (at least one row).
   * Empty only when nothing is left in the range.
   */
  scan(range: StorageRange, limit: number, bytesMax: number): Promise<StorageRow[]>;
  /**
   * A record that passes its checksum and cannot be decoded all the same: it is reported to `onCorrupt` and set aside as
   * one that fails it. The caller treats it as absent.
   */
  reject(key: Uint8Array, reason: string): void;
  /**
   * Compares the checksums of the next file of records after the one with number `after` (0: of the first); null where there
   * is none. Damage can make a record unreadable of which no read says so. It is repaired, and reported as a loss that
   * cannot be named.
   */
  verify(after: number): Promise<VerifiedFile | null>;
  /** Applies all writes atomically; resolves once they are synced to disk. */
  commit(writes: readonly StorageWrite[]): Promise<void>;
  /**
   * Deletes what was committed in a range before the call, and nothing that is committed after it. Not atomic,
   * not synced: callers repeat it after a crash.
   */
  clear(range: StorageRange): Promise<void>;
  /**
   * Gives the space of records deleted since the last call back to the file system, as far as the free space allows
   * the rewriting that it takes. Returns early when the store is closed.
   */
  reclaim(): Promise<void>;
  close(): Promise<void>;
  /** Size on disk and free space of the file system, in bytes. */
  usage(): Promise<{ usedBytes: number; freeBytes: number }>;
}
