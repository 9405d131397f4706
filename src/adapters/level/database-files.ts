import { mkdir, open as openFile, readdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What LevelDB says of its work; the file is new at each start. */
const LOG_FILE = 'LOG';
/** How much of it is read for what it did last. */
const LOG_BYTES_MAX = 256 * 1024;

/** Whether the last run ended in the midst of a compaction. */
export async function endsCompacting(directory: string): Promise<boolean> {
  const text = await endOf(join(directory, LOG_FILE));
  return text.lastIndexOf(' Compacting ') > text.lastIndexOf(' compacted to: ');
}

/** Renames the store and makes an empty one in its place. Returns where the old one is. */
export async function setStoreAside(directory: string): Promise<string> {
  const numbers = (await storesSetAside(directory)).map((path) => Number(path.slice(path.lastIndexOf('-') + 1)));
  const kept = `${directory}.damaged-${Math.max(0, ...numbers) + 1}`;
  await rename(directory, kept);
  await mkdir(directory, { recursive: true });
  return kept;
}

/** The oldest first. */
export async function storesSetAside(directory: string): Promise<string[]> {
  const prefix = `${basename(directory)}.damaged-`;
  const numbers: number[] = [];
  for (const name of await readdir(dirname(directory)).catch(() => [])) {
    if (name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
      numbers.push(Number(name.slice(prefix.length)));
  }
  return numbers.sort((a, b) => a - b).map((number) => `${directory}.damaged-${number}`);
}

async function endOf(path: string): Promise<string> {
  const file = await openFile(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const from = Math.max(0, (await file.stat()).size - LOG_BYTES_MAX);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LOG_BYTES_MAX), 0, LOG_BYTES_MAX, from);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}
