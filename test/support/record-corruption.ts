import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { decodeObjectRow, tableRange } from '../../src/wire/record.ts';

/** Bytes of the checksum header in front of every stored value. */
const HEADER_BYTES = 5;

/**
 * Flips a bit in the stored objects of some keys of bucket `default`, below the store's checksums, as a failing disk
 * does. The node must not run. Returns the keys that were found.
 */
export async function corruptObjects(dataDir: string, keys: ReadonlySet<string>): Promise<string[]> {
  const database = new ClassicLevel<Uint8Array, Uint8Array>(join(dataDir, 'store'), {
    keyEncoding: 'view',
    valueEncoding: 'view',
  });
  const corrupted: string[] = [];
  const { from, to } = tableRange('object');
  for (const [key, stored] of await database.iterator({ gte: from, lt: to }).all()) {
    const { name } = decodeObjectRow({ key, value: stored.subarray(HEADER_BYTES) });
    if (!keys.has(name.key)) continue;
    const damaged = Uint8Array.from(stored);
    const last = damaged.length - 1;
    damaged[last] = (damaged[last] ?? 0) ^ 0x10;
    await database.put(key, damaged, { sync: true });
    corrupted.push(name.key);
  }
  await database.close();
  return corrupted;
}

/** Flips a bit in some records of a table, spread over it, as `corruptObjects` does. Returns how many. */
export async function corruptRows(
  dataDir: string,
  table: Parameters<typeof tableRange>[0],
  count: number,
): Promise<number> {
  const database = new ClassicLevel<Uint8Array, Uint8Array>(join(dataDir, 'store'), {
    keyEncoding: 'view',
    valueEncoding: 'view',
  });
  const { from, to } = tableRange(table);
  const rows = await database.iterator({ gte: from, lt: to }).all();
  const step = Math.max(1, Math.floor(rows.length / count));
  const chosen = rows.filter((_row, i) => i % step === 0).slice(0, count);
  for (const [key, stored] of chosen) {
    const damaged = Uint8Array.from(stored);
    // In the checksum, where the value is empty.
    const at = Math.max(HEADER_BYTES - 1, damaged.length - 1);
    damaged[at] = (damaged[at] ?? 0) ^ 0x10;
    await database.put(key, damaged, { sync: true });
  }
  await database.close();
  return chosen.length;
}
