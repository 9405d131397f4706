import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const FILE = 'CLOSED';

interface ClosedFiles {
  /** Which MANIFEST counted; every run that opens the store begins another one. */
  readonly current: string;
  readonly bytes: Readonly<Record<string, number>>;
}

/**
 * Notes how long the files of a store are that has just been closed: a log that ends too soon, at the end of a batch or
 * in the midst of one, looks as if nothing had been written after that. A hint only, as RUNNING is.
 */
export async function noteClosedFiles(directory: string, isNoted: (name: string) => boolean): Promise<void> {
  try {
    const bytes: Record<string, number> = {};
    for (const name of (await readdir(directory)).filter(isNoted))
      bytes[name] = (await stat(join(directory, name))).size;
    const noted: ClosedFiles = { current: await readFile(join(directory, 'CURRENT'), 'latin1'), bytes };
    await writeFile(join(directory, FILE), `${JSON.stringify(noted)}\n`);
  } catch {
    // The next start goes without it.
  }
}

/** Names of the files that are not as long as they were when the store was closed; none where it was not. */
export async function changedSinceClosed(directory: string): Promise<string[]> {
  const noted = await notedFiles(directory);
  if (noted === null || noted.current !== (await readFile(join(directory, 'CURRENT'), 'latin1'))) return [];
  const changed: string[] = [];
  for (const [name, bytes] of Object.entries(noted.bytes)) {
    const found = await stat(join(directory, name)).catch(() => null);
    if (found?.size !== bytes) changed.push(name);
  }
  return changed;
}

async function notedFiles(directory: string): Promise<ClosedFiles | null> {
  try {
    return JSON.parse(await readFile(join(directory, FILE), 'utf8')) as ClosedFiles;
  } catch {
    return null;
  }
}
