import { mkdir, open as openFile, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { assert } from '../../lib/assert.ts';
import type { Log } from '../../ports/log.ts';
import { inUseError, isCorruption, isLocked, isMissingFile, storageError } from './errors.ts';

export interface DatabaseOptions {
  readonly directory: string;
  readonly log: Log;
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  /** Records were lost that cannot be named; the sentence says why. */
  readonly onRecordsLost: (reason: string) => void;
}

/**
 * Files LevelDB keeps open (and mapped): half a gigabyte of tables, far below the usual limit of 1024
 * descriptors, which the network needs too.
 */
const OPEN_FILES_MAX = 256;

/** How much of LevelDB's own log is read for what recovery dropped; it is new at each start. */
const RECOVERY_LOG_BYTES_MAX = 256 * 1024;

/**
 * Directories open in this process. LevelDB's LOCK file keeps other processes out, but not this one: it
 * compares paths as written, and closing the descriptor of a refused second attempt releases the POSIX lock
 * of the first.
 */
const openDirectories = new Set<string>();

/** Creates the directory and reserves it within this process. Returns its real path. */
export async function reserveDirectory(directory: string): Promise<string> {
  let real: string;
  try {
    await mkdir(directory, { recursive: true });
    real = await realpath(directory);
  } catch (error) {
    throw storageError(directory, 'creating the data directory', error);
  }
  if (openDirectories.has(real)) throw inUseError(directory);
  openDirectories.add(real);
  return real;
}

export function releaseDirectory(real: string): void {
  openDirectories.delete(real);
}

/** A LevelDB handle that opens, repairs where its files make no sense, and reports what that cost. */
export class Database {
  readonly #options: DatabaseOptions;
  #handle: ClassicLevel<Uint8Array, Uint8Array> | undefined;

  constructor(options: DatabaseOptions) {
    this.#options = options;
  }

  get handle(): ClassicLevel<Uint8Array, Uint8Array> {
    assert(this.#handle !== undefined, 'the database is used after open() only');
    return this.#handle;
  }

  async open(): Promise<void> {
    const { directory, cacheBytes, writeBufferBytes } = this.#options;
    try {
      if (await hasTablesWithoutIndex(directory)) await this.#repair('its CURRENT file is missing');
      // Only now: the constructor starts to open by itself.
      this.#handle = new ClassicLevel<Uint8Array, Uint8Array>(directory, {
        keyEncoding: 'view',
        valueEncoding: 'view',
        compression: true,
        cacheSize: cacheBytes,
        writeBufferSize: writeBufferBytes,
        maxOpenFiles: OPEN_FILES_MAX,
      });
      await this.#openOrRepair();
      await this.#reportDroppedLog();
    } catch (error) {
      throw storageError(directory, 'opening the store', error);
    }
  }

  /** Closes, repairs and opens again: for damage that LevelDB meets while it runs. */
  async repairWhileOpen(reason: string): Promise<void> {
    const { directory } = this.#options;
    try {
      await this.handle.close();
      await this.#repair(reason);
      await this.handle.open();
    } catch (error) {
      throw storageError(directory, 'repairing the store', error);
    }
  }

  /** After a failed write nothing may be appended to the same log: what follows it would be unreadable. */
  async reopen(): Promise<void> {
    try {
      await this.handle.close();
      await this.#openOrRepair();
    } catch (error) {
      throw storageError(this.#options.directory, 'reopening the store', error);
    }
  }

  async #openOrRepair(): Promise<void> {
    try {
      await this.handle.open();
    } catch (error) {
      if (isLocked(error)) throw error;
      if (!isCorruption(error) && !isMissingFile(error)) throw error;
      await this.#repair(error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error));
      await this.handle.open();
    }
  }

  async #repair(reason: string): Promise<void> {
    const { directory, log, onRecordsLost } = this.#options;
    log.error('the store is damaged; repairing it', { directory, reason });
    await ClassicLevel.repair(directory);
    const archived = await readdir(join(directory, 'lost')).catch(() => []);
    log.error('the store was repaired; some records may be lost, peers still hold them', {
      directory,
      reason,
      damagedFilesKept: archived.length,
    });
    onRecordsLost(`the store was damaged (${reason}) and has been repaired`);
  }

  /** LevelDB skips unreadable parts of its write-ahead log and says so only in a file. */
  async #reportDroppedLog(): Promise<void> {
    const { directory, log, onRecordsLost } = this.#options;
    const dropped = droppedLogBytes(await readStart(join(directory, 'LOG'), RECOVERY_LOG_BYTES_MAX));
    if (dropped === 0) return;
    log.warn('part of the write-ahead log was unreadable; the newest records before the last stop may be lost', {
      directory,
      droppedBytes: dropped,
    });
    onRecordsLost(`${dropped} bytes of the write-ahead log were unreadable`);
  }
}

/** Sums LevelDB's `…/000003.log: dropping 123 bytes; Corruption: checksum mismatch` lines. */
export function droppedLogBytes(text: string): number {
  let bytes = 0;
  for (const match of text.matchAll(/\.log: dropping (\d+) bytes;/g)) bytes += Number(match[1]);
  return bytes;
}

/** Without CURRENT LevelDB would start an empty database and delete the files of the old one. */
async function hasTablesWithoutIndex(directory: string): Promise<boolean> {
  const names = await readdir(directory);
  return !names.includes('CURRENT') && names.some((name) => /^\d+\.(ldb|sst|log)$/.test(name));
}

async function readStart(path: string, bytesMax: number): Promise<string> {
  const file = await openFile(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytesMax), 0, bytesMax, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}
