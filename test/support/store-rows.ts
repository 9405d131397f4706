import { createHash } from 'node:crypto';
import type { Storage, StorageRow } from '../../src/ports/storage.ts';

export function storeKey(id: number): Uint8Array {
  return Buffer.from(`k${String(id).padStart(6, '0')}`);
}

/** Follows from the key, and does not compress. In Latin-1. */
export function storeValue(key: Uint8Array): string {
  const parts = [0, 1, 2].map((part) => createHash('sha512').update(key).update(String(part)).digest('latin1'));
  return parts.join('').slice(0, 150);
}

export async function rowsOf(storage: Storage): Promise<StorageRow[]> {
  const all: StorageRow[] = [];
  let from = Uint8Array.of(0);
  for (;;) {
    const rows = await storage.scan({ from, to: Uint8Array.of(0xff) }, 1000, 1e9);
    const last = rows.at(-1);
    if (last === undefined) return all;
    all.push(...rows);
    from = Uint8Array.from([...last.key, 0]);
  }
}
