import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteReader } from './byte-reader.ts';
import { batchesOf } from './log-file.ts';

/** What LevelDB's MANIFEST says of the files of a store. */
export interface Manifest {
  /** Numbers of the tables that are in use; others are left over from work that was cut off. */
  readonly tables: ReadonlySet<number>;
  /** Logs before it are in tables. */
  readonly firstLog: number;
  readonly lastSequence: number;
}

interface State {
  readonly tables: Set<number>;
  firstLog: number;
  lastSequence: number;
}

const [COMPARATOR, FIRST_LOG, NEXT_FILE, LAST_SEQUENCE, COMPACT_FROM, DELETED, ADDED, EARLIER_LOG] = [
  1, 2, 3, 4, 5, 6, 7, 9,
] as const;

/** Null where it is missing or damaged. */
export async function readManifest(directory: string): Promise<Manifest | null> {
  try {
    const current = await readFile(join(directory, 'CURRENT'), 'latin1');
    if (!/^MANIFEST-\d+\n$/.test(current)) return null;
    const { batches, damaged } = batchesOf(await readFile(join(directory, current.trim())));
    if (damaged > 0) return null;
    const state: State = { tables: new Set(), firstLog: 0, lastSequence: 0 };
    for (const batch of batches) apply(new ByteReader(batch), state);
    return state;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (error instanceof RangeError || ['ENOENT', 'EIO'].includes(code)) return null;
    throw error;
  }
}

function apply(edit: ByteReader, state: State): void {
  while (edit.left > 0) {
    switch (edit.varint()) {
      case FIRST_LOG:
        state.firstLog = edit.varint();
        break;
      case LAST_SEQUENCE:
        state.lastSequence = edit.varint();
        break;
      case DELETED:
        edit.varint();
        state.tables.delete(edit.varint());
        break;
      case ADDED:
        edit.varint();
        state.tables.add(edit.varint());
        edit.varint();
        edit.bytes(edit.varint());
        edit.bytes(edit.varint());
        break;
      case COMPACT_FROM:
        edit.varint();
        edit.bytes(edit.varint());
        break;
      case COMPARATOR:
        edit.bytes(edit.varint());
        break;
      case NEXT_FILE:
      case EARLIER_LOG:
        edit.varint();
        break;
      default:
        throw new RangeError('an unknown entry');
    }
  }
}
