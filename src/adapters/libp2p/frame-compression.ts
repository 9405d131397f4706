import zlib from 'node:zlib';

/** How frames may be compressed, best first. Every end knows `deflate`; `zstd` came to Node.js with 22.15. */
export const COMPRESSIONS = ['zstd', 'deflate'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

/** Less is not worth the header of a compressed frame. */
const COMPRESSED_BYTES_MIN = 96;
/** A frame may not have its reader set more memory aside than the largest one justifies. */
const ZSTD_WINDOW_LOG_MAX = 23;

/** What this process knows. */
export function compressions(): readonly Compression[] {
  // Not a named import: where it is missing, the module would not load.
  return COMPRESSIONS.filter((name) => name !== 'zstd' || typeof zlib.zstdCompressSync === 'function');
}

/** The compressed form; null where the bytes are better sent as they are. */
export function compress(how: Compression, bytes: Uint8Array): Uint8Array | null {
  if (bytes.byteLength < COMPRESSED_BYTES_MIN) return null;
  const compressed = how === 'zstd' ? zlib.zstdCompressSync(bytes) : zlib.deflateRawSync(bytes);
  return compressed.byteLength < bytes.byteLength ? compressed : null;
}

/** Undefined for bytes that are not the compressed form of at most `bytesMax`. */
export function decompress(how: Compression, bytes: Uint8Array, bytesMax: number): Uint8Array | undefined {
  try {
    if (how === 'deflate') return zlib.inflateRawSync(bytes, { maxOutputLength: bytesMax });
    const params = { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX };
    return zlib.zstdDecompressSync(bytes, { params, maxOutputLength: bytesMax });
  } catch {
    return undefined;
  }
}
