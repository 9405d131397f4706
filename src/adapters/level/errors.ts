import { sizeText } from '../../lib/size-text.ts';
import { StorageError } from '../../ports/storage.ts';

/** What LevelDB says of a table that is shorter than it ought to be. */
const SHORT_TABLE = /\.(ldb|sst): Invalid argument/;

/** Thrown by LevelDB itself: its files do not make sense, as opposed to a failing read or write. */
export function isCorruption(error: unknown): boolean {
  return errorChain(error).some(
    (part) =>
      codeOf(part) === 'LEVEL_CORRUPTION' || part.message.startsWith('Corruption: ') || SHORT_TABLE.test(part.message),
  );
}

export function isLocked(error: unknown): boolean {
  return errorChain(error).some((part) => codeOf(part) === 'LEVEL_LOCKED');
}

export function isMissingFile(error: unknown): boolean {
  return errorChain(error).some((part) => codeOf(part) === 'ENOENT' || /No such file or directory/.test(part.message));
}

/** An iterator or read that was cut off because the database was closed under it, to be reopened. */
export function isClosedUnderneath(error: unknown): boolean {
  return errorChain(error).some((part) =>
    /^LEVEL_(ITERATOR|DATABASE)_NOT_OPEN$|^LEVEL_ABORTED$/.test(codeOf(part) ?? ''),
  );
}

export function inUseError(directory: string, cause?: unknown): StorageError {
  return new StorageError(
    'in-use',
    `The data directory ${directory} is in use by another process. Stop that node, or start this one with another --data-dir.`,
    { cause },
  );
}

/** There is space, but not as much as is to stay free. */
export function headroomError(directory: string, freeBytes: number, neededBytes: number): StorageError {
  return new StorageError(
    'disk-full',
    `The disk that holds ${directory} has ${sizeText(freeBytes)} free, and the store writes only with ${sizeText(neededBytes)}. Free space on it, or lower tuning.diskHeadroomBytes; reads go on, and writes do once there is space.`,
  );
}

export function closedError(directory: string): StorageError {
  return new StorageError('io', `The store in ${directory} is closed.`);
}

/** Names the cause and the fix of whatever LevelDB or the file system threw. */
export function storageError(directory: string, doing: string, error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  if (isLocked(error)) return inUseError(directory, error);
  const text = errorChain(error)
    .map((part) => part.message)
    .join(': ');
  if (/ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/i.test(text)) {
    return new StorageError(
      'disk-full',
      `The disk that holds ${directory} is full (no space left on device). Free space on it; reads go on, and writes do once there is space.`,
      { cause: error },
    );
  }
  if (/EACCES|EPERM|Permission denied|Operation not permitted/i.test(text)) {
    return new StorageError(
      'unreadable',
      `No permission while ${doing} in ${directory} (${text}). Give the user that runs the node read and write access to it.`,
      { cause: error },
    );
  }
  if (/EROFS|Read-only file system/i.test(text)) {
    return new StorageError(
      'unreadable',
      `${directory} is on a read-only file system. Remount it writable, or choose another --data-dir.`,
      { cause: error },
    );
  }
  if (isCorruption(error)) {
    return new StorageError(
      'unreadable',
      `The files in ${directory} are damaged and could not be repaired (${text}). Move the directory away; the node fetches its data from its peers again.`,
      { cause: error },
    );
  }
  return new StorageError(
    'io',
    `The disk failed while ${doing} in ${directory}: ${text}. Check the disk and the kernel log.`,
    {
      cause: error,
    },
  );
}

function codeOf(error: Error): string | undefined {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? code : undefined;
}

const CAUSES_MAX = 5;

export function errorChain(error: unknown): Error[] {
  const chain: Error[] = [];
  let part = error;
  while (part instanceof Error && chain.length < CAUSES_MAX) {
    chain.push(part);
    part = part.cause;
  }
  return chain;
}
