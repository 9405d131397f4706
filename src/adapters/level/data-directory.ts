import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { StorageError } from '../../ports/storage.ts';

const MODE = 0o700;

/**
 * Creates the directory and those above it, where they are missing. Not with the system's recursive `mkdir`: that of
 * Node tries for ever where a file system says "no such file" though the folder above is there, as /proc does. Fails
 * with StorageError `io`.
 */
export async function makeDataDirectory(directory: string): Promise<void> {
  try {
    await make(resolve(directory));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `the data directory cannot be used (${reason}); name a folder that this user may write with --data-dir`;
    throw new StorageError('io', message, { cause });
  }
}

async function make(path: string): Promise<void> {
  if (await isDirectory(path)) return;
  const above = dirname(path);
  if (above !== path) await make(above);
  await mkdir(path, { mode: MODE }).catch(async (error: unknown) => {
    // Another process may have been faster.
    if (!(await isDirectory(path))) throw error;
  });
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() === true;
}
