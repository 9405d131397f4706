import { HubStoreError } from '../../ports/hub-store.ts';
import { StorageError } from '../../ports/storage.ts';
import { DamagedShardError } from './hub-rows.ts';

/** Does it, and throws what it throws as the port's errors. */
export async function mapped<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StorageError) throw new HubStoreError(error.code, error.message, { cause: error });
    if (error instanceof DamagedShardError) {
      const message = `The hub's store is damaged: ${error.message}. Restore it from a copy, or remove the site and add it again: it sends its data anew.`;
      throw new HubStoreError('unreadable', message, { cause: error });
    }
    throw error;
  }
}
