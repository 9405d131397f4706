import { afterEach, beforeEach, describe } from 'vitest';
import type { HubStore } from '../../src/ports/hub-store.ts';
import { addSite } from '../support/hub-transactions.ts';
import { describeSites } from './hub-sites-suite.ts';
import type { HubStoreSubject } from './hub-store-subject.ts';
import { describeTransactions } from './hub-transactions-suite.ts';

/** Every store under test is opened so that it keeps no more of them. */
export const CONFLICTS_MAX = 6;

interface Harness {
  /** Opens a store on the data of this test. */
  open(): Promise<HubStore>;
  dispose(): Promise<void>;
}

/** What every hub store must do, whatever it keeps its rows in. */
export function describeStore(name: string, createHarness: () => Promise<Harness>): void {
  describe(`hub store: ${name}`, () => {
    let harness: Harness;
    let store: HubStore;
    const subject: HubStoreSubject = {
      get store() {
        return store;
      },
      reopen: async () => {
        await store.close();
        store = await harness.open();
        return store;
      },
    };

    beforeEach(async () => {
      harness = await createHarness();
      store = await harness.open();
      await addSite(store);
    });

    afterEach(async () => {
      await store.close();
      await harness.dispose();
    });

    describeTransactions(subject);
    describeSites(subject);
  });
}
