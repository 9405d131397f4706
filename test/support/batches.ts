import { randomBytes } from 'node:crypto';
import * as zlib from 'node:zlib';

/** Values by key. */
export type Writes = ReadonlyMap<string, Buffer>;

/** Random bytes, which do not compress. */
const VALUE_BYTES = 100;
const BATCH_LINES = 500;
const BATCHES_AT_ONCE = 6;
const ATTEMPTS_MAX = 20;
const CHUNK_BYTES = 256 * 1024;

/** So many keys with incompressible values of 100 bytes. */
export function drawWrites(prefix: string, count: number): Writes {
  return new Map(
    Array.from({ length: count }, (_, i) => [`${prefix}${String(i).padStart(7, '0')}`, randomBytes(VALUE_BYTES)]),
  );
}

/** Puts them at quorum with one request to a node, of which `base` is the URL. Returns those that were not acknowledged, and why. */
export async function putBatch(
  base: string,
  bucket: string,
  writes: readonly (readonly [string, Buffer])[],
): Promise<{ readonly left: readonly (readonly [string, Buffer])[]; readonly why: string }> {
  if (writes.length === 0) return { left: [], why: '' };
  const lines = writes.map(([key, value]) => JSON.stringify({ op: 'put', key, value: value.toString('base64') }));
  const answer = await fetch(`${base}/v1/kv/${bucket}`, { method: 'POST', body: lines.join('\n') });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`a batch of puts: ${answer.status} ${text.slice(0, 400)}`);
  const results = text.trim().split('\n');
  const done = new Set<number>();
  let why = '';
  for (const result of results) {
    const { line, ok } = JSON.parse(result) as { line: number; ok: boolean };
    if (ok) done.add(line);
    else why = result;
  }
  return { left: writes.filter((_, i) => !done.has(i + 1)), why };
}

/** The same in batches through all nodes at once. What is not acknowledged, as by a node without time, is put once more. */
export async function putAll(bases: readonly string[], bucket: string, writes: Writes): Promise<void> {
  const all = [...writes];
  let next = 0;
  const worker = async (number: number): Promise<void> => {
    while (next < all.length) {
      const from = next;
      next += BATCH_LINES;
      let left: readonly (readonly [string, Buffer])[] = all.slice(from, next);
      let why = '';
      for (let attempt = 0; left.length > 0; attempt++) {
        if (attempt === ATTEMPTS_MAX) throw new Error(`${left.length} puts were not acknowledged: ${why}`);
        ({ left, why } = await putBatch(bases[(number + attempt) % bases.length] as string, bucket, left));
      }
    }
  };
  await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, (_, i) => worker(i)));
}

/** What keys and values come to, one after the other, and by Zstandard in pieces of 256 KiB (by DEFLATE before Node.js 22.15). */
export function sizesOf(writes: Writes): { readonly bytes: number; readonly compressedBytes: number } {
  const all = Buffer.concat(Array.from(writes).flatMap(([key, value]) => [Buffer.from(key), value]));
  const compress = typeof zlib.zstdCompressSync === 'function' ? zlib.zstdCompressSync : zlib.deflateRawSync;
  let compressedBytes = 0;
  for (let at = 0; at < all.length; at += CHUNK_BYTES) {
    compressedBytes += compress(all.subarray(at, at + CHUNK_BYTES)).length;
  }
  return { bytes: all.length, compressedBytes };
}
