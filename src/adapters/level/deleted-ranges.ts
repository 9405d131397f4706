import type { StorageRange } from '../../ports/storage.ts';

/** Bytes of a key by which deletes are gathered: a table letter and a shard. */
const PREFIX_BYTES = 3;
/** Beyond it neighbouring prefixes cannot be told apart any more, and the whole store counts as touched. */
const PREFIXES_MAX = 16_384;

/** Remembers, roughly, where records have been deleted: compaction gives space back only there. */
export class DeletedRanges {
  private prefixes = new Set<number>();
  private overflown = false;

  note(key: Uint8Array): void {
    if (this.overflown) return;
    this.prefixes.add(prefixOf(key));
    if (this.prefixes.size <= PREFIXES_MAX) return;
    this.overflown = true;
    this.prefixes.clear();
  }

  /** The ranges in key order, which count as clean from now on. */
  take(): StorageRange[] {
    const { prefixes, overflown } = this;
    this.prefixes = new Set();
    this.overflown = false;
    if (overflown) return [{ from: bytesOf(0), to: bytesOf(2 ** (PREFIX_BYTES * 8) - 1) }];
    return [...prefixes].sort((a, b) => a - b).map((prefix) => ({ from: bytesOf(prefix), to: bytesOf(prefix + 1) }));
  }
}

function prefixOf(key: Uint8Array): number {
  let prefix = 0;
  for (let i = 0; i < PREFIX_BYTES; i++) prefix = prefix * 256 + (key[i] ?? 0);
  return prefix;
}

function bytesOf(prefix: number): Uint8Array {
  return Uint8Array.of(prefix >>> 16, (prefix >>> 8) & 0xff, prefix & 0xff);
}
