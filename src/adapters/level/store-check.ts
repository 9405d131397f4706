import { copyFile, link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { changedSinceClosed, noteClosedFiles } from './closed-files.ts';
import { checkLog } from './format/log-file.ts';
import { type Manifest, readManifest } from './format/manifest.ts';
import { checkingTable, checkTable, SEQUENCE_MAX } from './format/table-file.ts';

/** Where LevelDB's repair, too, keeps the files that it replaces. */
export const LOST_FOLDER = 'lost';
const TABLE = /^\d+\.(ldb|sst)$/;
const LOG = /^\d+\.log$/;
const MANIFEST = /^MANIFEST-\d+$/;
/** Some milliseconds of work. */
const BLOCKS_AT_ONCE = 32;
const DAMAGED_SUFFIX = '.damaged';
const CHANGED = 'is not as long as when the store was closed';

/** Tables and logs of a closed store, for which LevelDB takes whatever it finds in them. */
function isDataFile(name: string): boolean {
  return TABLE.test(name) || LOG.test(name);
}

/** After a clean end. */
export async function noteSizes(directory: string): Promise<void> {
  await noteClosedFiles(directory, (name) => isDataFile(name) || MANIFEST.test(name));
}

/**
 * Why the index of a closed store cannot be relied on; null where it can. LevelDB takes an index that ends early for an
 * older one, and deletes all tables that it does not name.
 */
export async function indexDamage(directory: string): Promise<string | null> {
  const names = await readdir(directory);
  // Without CURRENT LevelDB would start an empty database and delete the files of the old one.
  if (!names.includes('CURRENT')) return names.some(isDataFile) ? 'its CURRENT file is missing' : null;
  const manifest = await readManifest(directory);
  if (manifest === null) return 'its MANIFEST is missing or damaged';
  const { firstLog } = manifest;
  const logs = names.filter((name) => LOG.test(name)).map((name) => Number.parseInt(name, 10));
  // A log is deleted when a later index says that it is in tables. Tables that are missing LevelDB finds itself.
  if (firstLog !== 0 && !logs.includes(firstLog)) return `its log ${firstLog} is missing`;
  const changed = (await changedSinceClosed(directory)).find((name) => !LOG.test(name));
  return changed === undefined ? null : `its file ${changed} ${CHANGED}`;
}

/**
 * What LevelDB will not read of the logs as it opens the store; null where it reads all. It leaves such parts out, says so
 * in a file at the most, and has forgotten it by the next start.
 */
export async function logDamage(directory: string): Promise<string | null> {
  const changed = (await changedSinceClosed(directory)).find((name) => LOG.test(name));
  if (changed !== undefined) return `its log ${changed} ${CHANGED}`;
  const manifest = await readManifest(directory);
  let parts = 0;
  for (const name of await readdir(directory)) {
    if (LOG.test(name) && isInUse(name, manifest)) parts += (await check(join(directory, name), name)).damaged;
  }
  return parts === 0 ? null : `the write-ahead log is damaged (parts: ${parts})`;
}

/**
 * Names of the files in use that are damaged. Reads all of the store, and changes nothing. A crash leaves files that are
 * in use no more, or are not yet, and end anywhere.
 */
export async function damagedFiles(directory: string): Promise<string[]> {
  const manifest = await readManifest(directory);
  const damaged = manifest !== null && manifest.lastSequence > SEQUENCE_MAX ? ['MANIFEST'] : [];
  for (const name of await readdir(directory)) {
    if (!isDataFile(name) || !isInUse(name, manifest)) continue;
    if ((await check(join(directory, name), name)).damaged > 0) damaged.push(name);
  }
  return damaged;
}

export interface TableFile {
  readonly number: number;
  readonly name: string;
}

/** The tables in use, in order of their numbers: of an open store too, since what its index names is complete. */
export async function tablesInUse(directory: string): Promise<TableFile[]> {
  const manifest = await readManifest(directory);
  // What it names is not known while LevelDB begins a new one.
  if (manifest === null) return [];
  return (await readdir(directory))
    .filter((name) => TABLE.test(name) && isInUse(name, manifest))
    .map((name) => ({ number: Number.parseInt(name, 10), name }))
    .sort((a, b) => a.number - b.number);
}

/** Whether one of them is sound, and its size. Goes easy on the rest of the program. */
export async function verifyTable(
  directory: string,
  { name }: TableFile,
): Promise<{ bytes: number; isSound: boolean }> {
  const content = await contentOf(join(directory, name));
  // A compaction may have replaced it meanwhile.
  if (typeof content === 'string') return { bytes: 0, isSound: content === 'absent' };
  return { bytes: content.length, isSound: await isSoundTable(content) };
}

async function isSoundTable(bytes: Uint8Array): Promise<boolean> {
  const steps = checkingTable(bytes);
  for (let block = 1; ; block++) {
    const { done, value } = steps.next();
    if (done === true) return value.damaged === 0;
    if (block % BLOCKS_AT_ONCE === 0) await nextTurn();
  }
}

/**
 * Replaces every damaged table and log by one of its parts that are sound, so that LevelDB's repair does not meet the
 * others: it would take over keys and numbers as they are, and LevelDB aborts the process over them. The originals are
 * kept in `lost`. The store must be closed. Returns the names of what was replaced.
 */
export async function cleanStore(directory: string): Promise<string[]> {
  const replaced: string[] = [];
  for (const name of await readdir(directory)) {
    if (!isDataFile(name)) continue;
    const path = join(directory, name);
    const { damaged, rest } = await check(path, name);
    if (damaged === 0) continue;
    await mkdir(join(directory, LOST_FOLDER), { recursive: true });
    // LevelDB puts the replaced one there, under its own name.
    const kept = join(directory, LOST_FOLDER, `${name}${DAMAGED_SUFFIX}`);
    if (rest === null) {
      await rename(path, kept);
    } else {
      await keep(path, kept);
      await replace(path, rest);
    }
    replaced.push(name);
  }
  return replaced;
}

function isInUse(name: string, manifest: Manifest | null): boolean {
  const number = Number.parseInt(name, 10);
  if (manifest === null) return true;
  return TABLE.test(name) ? manifest.tables.has(number) : number >= manifest.firstLog;
}

async function check(path: string, name: string): Promise<{ damaged: number; rest: Uint8Array | null }> {
  const content = await contentOf(path);
  if (typeof content === 'string') return { damaged: content === 'absent' ? 0 : 1, rest: null };
  return TABLE.test(name) ? checkTable(content) : checkLog(content);
}

async function contentOf(path: string): Promise<Uint8Array | 'absent' | 'unreadable'> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'absent';
    if (code !== 'EIO') throw error;
    return 'unreadable';
  }
}

/** A second name, where the file system has such; at no time is the file without one. */
async function keep(path: string, kept: string): Promise<void> {
  await unlink(kept).catch(() => undefined);
  await link(path, kept).catch(() => copyFile(path, kept));
}

async function replace(path: string, bytes: Uint8Array): Promise<void> {
  const written = `${path}.new`;
  const file = await open(written, 'w');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(written, path);
}
