import type { ClassicLevel, Iterator } from 'classic-level';
import { RESERVED_BYTE } from './quarantine.ts';

export type RowIterator = Iterator<ClassicLevel<Uint8Array, Uint8Array>, Uint8Array, Uint8Array>;

/** After all other keys. With a record at the very end nobody walks back over what was deleted there. */
export const END_KEY = Uint8Array.of(RESERVED_BYTE, 0xff);

/**
 * Fails where an iterator of records has met damage: it passes over blocks that make no sense, and says so at its end only.
 * So it is sent there.
 */
export async function assertSoundSoFar(iterator: RowIterator): Promise<void> {
  iterator.seek(END_KEY);
  await iterator.nextv(1);
}
