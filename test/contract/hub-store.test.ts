import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openHubLevelStore } from '../../src/adapters/level/hub-level-store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import type { HubStore } from '../../src/ports/hub-store.ts';
import { FakeHubStore } from '../support/fake-hub-store.ts';
import { addSite, SITE } from '../support/hub-transactions.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { CONFLICTS_MAX, describeStore } from './hub-store-suite.ts';
import { concurrentIncrements } from './hub-transactions-suite.ts';

describeStore('in memory', async () => {
  const store = new FakeHubStore({ conflictsMax: CONFLICTS_MAX });
  const open = async (): Promise<HubStore> => {
    store.reopen();
    return store;
  };
  return { open, dispose: async () => {} };
});

describeStore('in memory, where every transaction runs twice', async () => {
  const store = new FakeHubStore({ conflicts: () => true, conflictsMax: CONFLICTS_MAX });
  const open = async (): Promise<HubStore> => {
    store.reopen();
    return store;
  };
  return { open, dispose: async () => {} };
});

describeStore('embedded', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-hub-'));
  return {
    open: () =>
      openHubLevelStore({ directory, log: new RecordingLog(), clock: systemClock, conflictsMax: CONFLICTS_MAX }),
    dispose: () => rm(directory, { recursive: true }),
  };
});

describe('hub store in memory', () => {
  it('runs a transaction again from its start', async () => {
    let isDue = true;
    const store = new FakeHubStore({ conflicts: () => isDue });
    await addSite(store);
    expect(await concurrentIncrements([store], 1)).toEqual([1]);
    expect(store.runs).toBe(2);
    isDue = false;
    expect(await concurrentIncrements([store], 1)).toEqual([2]);
    expect(store.runs).toBe(3);
    expect((await store.totals(SITE)).keys).toBe(1);
  });
});
