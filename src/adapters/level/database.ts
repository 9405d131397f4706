import { mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { assert } from '../../lib/assert.ts';
import type { Log } from '../../ports/log.ts';
import { endsCompacting, setStoreAside, storesSetAside } from './database-files.ts';
import { inUseError, isCorruption, isLocked, isMissingFile, storageError } from './errors.ts';
import { RunMarker } from './run-marker.ts';
import { cleanStore, damagedFiles, indexDamage, LOST_FOLDER, logDamage, noteSizes } from './store-check.ts';
import { repairStore, type TrialOutcome, type TrialTask, tryElsewhere } from './trial.ts';

export interface DatabaseOptions {
  readonly directory: string;
  readonly log: Log;
  readonly cacheBytes: number;
  readonly writeBufferBytes: number;
  /** Program and arguments of a process that calls `runTrialTask`; without it nothing is tried elsewhere first. */
  readonly trialCommand: readonly string[] | undefined;
  /** Records were lost that cannot be named; the sentence says why. */
  readonly onRecordsLost: (reason: string) => void;
}

/**
 * Files LevelDB keeps open (and mapped): half a gigabyte of tables, far below the usual limit of 1024
 * descriptors, which the network needs too.
 */
const OPEN_FILES_MAX = 256;

/** A run that dies before has the next one check its store. */
const YOUNG_MS = 60_000;
const DONE: TrialOutcome = { type: 'done' };

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

/**
 * A LevelDB handle that opens, repairs where its files make no sense, and reports what that cost.
 *
 * LevelDB believes what is in its files: over a damaged key or number it aborts the process, when it repairs, opens or
 * compacts. Hence a repair gets to see sound parts only, is done by another process, and a store that a run left behind
 * in the midst of such a thing is looked at first. What still cannot be opened is set aside.
 */
export class Database {
  readonly #options: DatabaseOptions;
  readonly #marker: RunMarker;
  #handle: ClassicLevel<Uint8Array, Uint8Array> | undefined;
  #settling: NodeJS.Timeout | undefined;
  #isMending = false;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.#marker = new RunMarker(options.directory);
  }

  get handle(): ClassicLevel<Uint8Array, Uint8Array> {
    assert(this.#handle !== undefined, 'the database is used after open() only');
    return this.#handle;
  }

  async open(): Promise<void> {
    const { directory, cacheBytes, writeBufferBytes } = this.#options;
    const last = await this.#marker.read();
    try {
      // The mark may be that of a run that is still at work.
      if (last !== null) await assertNotLocked(directory);
      await this.#remindOfDamaged();
      const diedCompacting = last !== null && (await endsCompacting(directory));
      await this.#marker.write('opening');
      const reason = last === 'mending' ? 'an earlier repair was cut off' : await indexDamage(directory);
      const looksInside = last === 'opening' || last === 'young' || diedCompacting;
      if (reason !== null) await this.#mend(reason);
      else if (!looksInside || !(await this.#examine(last === 'opening'))) await this.#reportLogDamage();
      // Only now: the constructor starts to open by itself.
      this.#handle = new ClassicLevel<Uint8Array, Uint8Array>(directory, {
        keyEncoding: 'view',
        valueEncoding: 'view',
        compression: true,
        cacheSize: cacheBytes,
        writeBufferSize: writeBufferBytes,
        maxOpenFiles: OPEN_FILES_MAX,
      });
      await this.#openOrMend();
      await this.#becomeYoung();
    } catch (error) {
      // Nothing died: the next run finds it as this one did. It may also be another process that has the store.
      await this.#marker.write(this.#isMending ? 'mending' : last);
      throw storageError(directory, 'opening the store', error);
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#settling);
    await this.handle.close();
    await noteSizes(this.#options.directory);
    await this.#marker.write(this.#isMending ? 'mending' : null);
  }

  /** Closes, repairs and opens again: for damage that LevelDB meets while it runs. */
  async repairWhileOpen(reason: string): Promise<void> {
    const { directory } = this.#options;
    try {
      await this.handle.close();
      await this.#mend(reason);
      await this.#openOrSetAside();
      await this.#becomeYoung();
    } catch (error) {
      throw storageError(directory, 'repairing the store', error);
    }
  }

  /** After a failed write nothing may be appended to the same log: what follows it would be unreadable. */
  async reopen(): Promise<void> {
    try {
      await this.handle.close();
      await this.#openOrMend();
    } catch (error) {
      throw storageError(this.#options.directory, 'reopening the store', error);
    }
  }

  async #becomeYoung(): Promise<void> {
    clearTimeout(this.#settling);
    await this.#marker.write('young');
    this.#settling = setTimeout(() => void this.#marker.write('settled'), YOUNG_MS).unref();
  }

  async #openOrMend(): Promise<void> {
    try {
      await this.handle.open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      await this.#mend(reasonOf(error));
      await this.#openOrSetAside();
    }
  }

  async #openOrSetAside(): Promise<void> {
    try {
      await this.handle.open();
    } catch (error) {
      if (!isDamage(error)) throw error;
      await this.#setAside(reasonOf(error));
      await this.handle.open();
    }
  }

  /**
   * The last run died, and it may have been LevelDB that ended it. A power cut costs no more than some time here. True when
   * the store had to be mended.
   */
  async #examine(diedOpening: boolean): Promise<boolean> {
    const { directory, log } = this.#options;
    log.warn('the last run died while it opened or compacted its store, or soon after; checking the store for damage', {
      directory,
    });
    const damaged = await damagedFiles(directory);
    const outcome = damaged.length === 0 && diedOpening ? await this.#elsewhere('open') : DONE;
    if (damaged.length > 0) await this.#mend(`${damaged.length} of its files are damaged`);
    else if (outcome.type === 'died') await this.#mend(`a process that opens it is ended by ${outcome.how}`);
    else return false;
    return true;
  }

  /** Makes a store that is closed one that can be opened, of what is sound in it; at worst an empty one. */
  async #mend(reason: string): Promise<void> {
    const { directory, log, onRecordsLost } = this.#options;
    // A repair does not ask whether another process has the store open.
    await assertNotLocked(directory);
    log.error('the store is damaged; repairing it', { directory, reason });
    // Before it: a crash must not make the loss forgotten.
    onRecordsLost(`the store was damaged (${reason}) and has been repaired`);
    await this.#becomeMending(true);
    const replaced = await cleanStore(directory);
    let outcome = await this.#repair();
    if (outcome.type === 'done') outcome = await this.#elsewhere('open');
    if (outcome.type === 'done') {
      log.error('the store was repaired; some records may be lost, peers still hold them', {
        directory,
        reason,
        damagedFiles: replaced.length,
        kept: join(directory, LOST_FOLDER),
      });
      await this.#becomeMending(false);
    } else {
      await this.#setAside(outcome.type === 'died' ? outcome.how : reasonOf(outcome.error));
    }
  }

  /**
   * A repair that is cut off leaves tables that no index names, logs that it has put away, and older versions of records
   * in front of newer ones: LevelDB would open all that.
   */
  async #becomeMending(isMending: boolean): Promise<void> {
    this.#isMending = isMending;
    await this.#marker.write(isMending ? 'mending' : 'opening');
  }

  async #repair(): Promise<TrialOutcome> {
    if (this.#options.trialCommand !== undefined) return await this.#elsewhere('repair');
    return await repairStore(this.#options.directory).then(() => DONE, failedOrThrow);
  }

  /** Without a command for it nothing is tried. Throws what is no damage: a full disk, no permission, another process. */
  async #elsewhere(task: TrialTask): Promise<TrialOutcome> {
    const { directory, trialCommand } = this.#options;
    if (trialCommand === undefined) return DONE;
    if (task === 'open' && !(await readdir(directory)).includes('CURRENT')) return DONE;
    const outcome = await tryElsewhere(trialCommand, task, directory);
    return outcome.type === 'failed' ? failedOrThrow(outcome.error) : outcome;
  }

  /** The last resort. An empty store is filled by the other owners, as that of a new disk is. */
  async #setAside(reason: string): Promise<void> {
    const { directory, log, onRecordsLost } = this.#options;
    onRecordsLost(`the store could not be repaired (${reason}) and was set aside; this node began an empty one`);
    const kept = await setStoreAside(directory);
    await this.#becomeMending(false);
    log.error(
      'the store could not be repaired and was set aside; the node goes on with an empty one, which the other owners fill; delete the old one when nobody wants to look into it',
      { directory, kept, reason },
    );
  }

  async #remindOfDamaged(): Promise<void> {
    const { directory, log } = this.#options;
    const kept = await storesSetAside(directory);
    if (kept.length === 0) return;
    log.warn('damaged stores are kept and take space; delete them when nobody wants to look into them', {
      folders: kept.length,
      newest: kept.at(-1),
    });
  }

  /** Before LevelDB leaves out what it cannot read: it must not be forgotten. */
  async #reportLogDamage(): Promise<void> {
    const { directory, log, onRecordsLost } = this.#options;
    const reason = await logDamage(directory);
    if (reason === null) return;
    log.warn('the newest records before the last stop may be lost', { directory, reason });
    onRecordsLost(reason);
  }
}

/** Where LevelDB is to open only what is not there, it takes the lock, looks, and leaves all as it is. */
async function assertNotLocked(directory: string): Promise<void> {
  const handle = new ClassicLevel(directory, { createIfMissing: false, errorIfExists: true });
  try {
    await handle.open();
    await handle.close();
  } catch (error) {
    if (isLocked(error)) throw error;
  }
}

function failedOrThrow(error: unknown): TrialOutcome {
  if (!isDamage(error) || !(error instanceof Error)) throw error;
  return { type: 'failed', error };
}

function isDamage(error: unknown): boolean {
  return !isLocked(error) && (isCorruption(error) || isMissingFile(error));
}

function reasonOf(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
}
