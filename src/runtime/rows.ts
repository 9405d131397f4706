import type { Storage, StorageRange, StorageRow } from '../ports/storage.ts';
import { DecodeError } from '../wire/codec.ts';

/** Rows read at once while a node starts. */
const ROWS_MAX = 1024;
export const BYTES_MAX = 4 * 1024 * 1024;

/** Reads all rows of a range in order, some at a time. What cannot be decoded is set aside as a bad record. */
export async function eachRow(
  storage: Storage,
  range: StorageRange,
  use: (row: StorageRow) => void | Promise<void>,
): Promise<void> {
  let { from } = range;
  for (;;) {
    const rows = await storage.scan({ from, to: range.to }, ROWS_MAX, BYTES_MAX);
    const last = rows.at(-1);
    if (last === undefined) return;
    for (const row of rows) {
      try {
        await use(row);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        storage.reject(row.key, error.message);
      }
    }
    from = new Uint8Array(last.key.length + 1);
    from.set(last.key);
  }
}
