import type { HubStore } from '../../src/ports/hub-store.ts';

/** A store under test, with one site. */
export interface HubStoreSubject {
  readonly store: HubStore;
  /** Closes it, and opens another one on what it has kept. */
  reopen(): Promise<HubStore>;
}

/** The store, and the one that is opened after it. */
export async function* bothTimes(subject: HubStoreSubject): AsyncGenerator<HubStore> {
  yield subject.store;
  yield await subject.reopen();
}
