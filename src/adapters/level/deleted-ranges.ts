import type { StorageRange } from '../../ports/storage.ts';

/** Bytes of a key by which deletes are gathered: a table letter and a shard. */
const PREFIX_BYTES = 7;
/** Beyond it neighbouring prefixes cannot be told apart any more, and the whole store counts as touched. */
const PREFIXES_MAX = 16_384;

/** Remembers, roughly, where records have been deleted: compaction gives space back only there. */
export class DeletedRanges {
  private prefixes = new Set<string>();
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
    if (overflown) return [{ from: Uint8Array.of(0), to: Uint8Array.of(0xff) }];
    return [...prefixes].sort().map((prefix) => ({ from: bytesOf(prefix), to: successorOf(prefix) }));
  }
}

/** A character a byte, so that the order is that of the bytes. */
function prefixOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, Math.min(key.length, PREFIX_BYTES)).toString('latin1');
}

function bytesOf(prefix: string): Uint8Array {
  return Uint8Array.from(Buffer.from(prefix, 'latin1'));
}

/** The least key after all that begin with the prefix; the letter of a table is not 0xff. */
function successorOf(prefix: string): Uint8Array {
  const bytes = bytesOf(prefix);
  let end = bytes.length;
  while (bytes[end - 1] === 0xff) end--;
  const next = bytes.slice(0, end);
  next[end - 1] = (next[end - 1] ?? 0) + 1;
  return next;
}
