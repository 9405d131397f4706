import type { Storage, StorageRange, StorageRow } from '../ports/storage.ts';

/** Rows read at once while a node starts. */
const ROWS_MAX = 1024;
export const BYTES_MAX = 4 * 1024 * 1024;

/** Reads all rows of a range in order, some at a time. */
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
    for (const row of rows) await use(row);
    from = new Uint8Array(last.key.length + 1);
    from.set(last.key);
  }
}
