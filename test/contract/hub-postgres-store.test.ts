import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openHubPostgresStore } from '../../src/adapters/postgres/hub-postgres-store.ts';
import { systemClock } from '../../src/adapters/system/clock.ts';
import type { HubStore, HubWrite } from '../../src/ports/hub-store.ts';
import { addSite, contextOf, OTHER, readShard, register, SITE, shardOf, write } from '../support/hub-transactions.ts';
import { POSTGRES_MISSING, PostgresServer } from '../support/postgres-server.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { CONFLICTS_MAX, describeStore } from './hub-store-suite.ts';
import { concurrentIncrements } from './hub-transactions-suite.ts';

if (POSTGRES_MISSING !== null) console.warn(POSTGRES_MISSING);

describe.skipIf(POSTGRES_MISSING !== null)('with a database server', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start();
  }, 120_000);

  afterAll(async () => {
    await server.dispose();
  });

  const open = (url: string): Promise<HubStore> =>
    openHubPostgresStore({ url, log: new RecordingLog(), clock: systemClock, conflictsMax: CONFLICTS_MAX });

  describeStore('PostgreSQL', async () => {
    const url = await server.createDatabase();
    return { open: () => open(url), dispose: async () => {} };
  });

  describe('two processes on one database', () => {
    async function both(use: (stores: readonly [HubStore, HubStore]) => Promise<void>): Promise<void> {
      const url = await server.createDatabase();
      const stores = await Promise.all([open(url), open(url)]);
      try {
        await addSite(stores[0]);
        await use(stores);
      } finally {
        await Promise.all(stores.map((store) => store.close()));
      }
    }

    it('start at the same time, on a database without tables', async () => {
      const url = await server.createDatabase();
      const stores = await Promise.all(Array.from({ length: 6 }, () => open(url)));
      await addSite(stores[0] as HubStore);
      for (const store of stores) {
        expect((await store.sites()).map(({ name }) => name)).toEqual([SITE]);
        await store.close();
      }
    });

    it('lose no update, of a shard that was not there either', async () => {
      await both(async (stores) => {
        const results = await concurrentIncrements(stores, 20);
        expect(results).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
      });
    });

    it('tell each other in which shards they have written', async () => {
      await both(async ([one, other]) => {
        const { cursor } = await other.changedSince(SITE, null);
        await write(one, [{ type: 'shard', shard: 5, value: shardOf(1, { own: contextOf({ [OTHER]: 1 }) }) }]);
        const changed = await other.changedSince(SITE, cursor);
        expect(changed.shards).toEqual([5]);
        expect((await other.changedSince(SITE, changed.cursor)).shards).toEqual([]);
        expect((await one.changedSince(SITE, changed.cursor)).shards).toEqual([]);
      });
    });

    it('know at once of a site that the other has removed, and of one that it has added again', async () => {
      await both(async ([one, other]) => {
        await write(one, [{ type: 'shard', shard: 5, value: shardOf(1) }]);
        await other.removeSite(SITE);
        await expect(readShard(one, 5)).rejects.toMatchObject({ code: 'no-site' });
        await addSite(other);
        expect(await readShard(one, 5)).toBeUndefined();
        await write(one, [{ type: 'shard', shard: 5, value: shardOf(2) }]);
        expect((await readShard(other, 5))?.revision).toBe(shardOf(2).revision);
      });
    });

    it('note conflicts at the same time, and keep so many of them', async () => {
      const conflict = (shard: number, counter: number): HubWrite => ({
        type: 'conflict',
        name: { shard, bucket: 'readings', key: `k${counter}` },
        winner: register(counter + 1, 'won'),
        loser: register(counter, 'lost'),
      });
      await both(async (stores) => {
        const noting = stores.map(async (store, index) => {
          for (let i = 1; i <= 30; i++) await write(store, [conflict(index, 2 * i), conflict(index + 2, 2 * i)]);
        });
        await Promise.all(noting);
        await write(stores[0], [conflict(5, 100)]);
        expect((await stores[0].totals(SITE)).conflicts).toBe(CONFLICTS_MAX);
      });
    });

    it('remove a site while the other writes to it', async () => {
      await both(async ([one, other]) => {
        const writing = (async (): Promise<never> => {
          for (let revision = 1; ; revision++) {
            await write(one, [{ type: 'shard', shard: revision % 7, value: shardOf(revision) }]);
          }
        })();
        const ended = writing.catch((error: unknown) => error);
        await other.changedSince(SITE, null);
        expect(await other.removeSite(SITE)).toBe(true);
        expect(await ended).toMatchObject({ code: 'no-site' });
      });
    });
  });
});
