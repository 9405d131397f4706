import { REQUEST_BYTES } from './message.ts';

/** How much goes into one request, about. */
export interface Chunk {
  readonly keys: number;
  readonly bytes: number;
}

const KEYS_MAX = 512;
const BYTES_MIN = 4096;

/** Where so much may be sent in a second; 0: as fast as it goes. */
export function chunkAt(bytesPerSecond: number): Chunk {
  const bytes = bytesPerSecond === 0 ? REQUEST_BYTES : Math.max(BYTES_MIN, Math.min(REQUEST_BYTES, bytesPerSecond));
  return { keys: KEYS_MAX, bytes };
}
