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
