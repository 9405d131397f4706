import { afterEach, describe, expect, test } from 'vitest';
import { HubSite } from '../support/hub-site.ts';
import { HubStory } from '../support/hub-story.ts';
import { netnsUnavailable } from '../support/netns-cluster.ts';
import { POSTGRES_MISSING } from '../support/postgres-server.ts';

const unavailable = netnsUnavailable() ?? POSTGRES_MISSING;
if (unavailable !== null) console.log(`tests of a site and its hub skipped: ${unavailable}`);

const TIMEOUT_MS = 300_000;
const WRITES = 3000;
/** Slow enough for what is to happen in the middle. */
const ENVIRONMENT = { HOLDFAST_HUB_BYTES_PER_SECOND: '100KiB' };

describe.skipIf(unavailable !== null)('a site in namespaces, and its hub on PostgreSQL', () => {
  let site: HubSite | undefined;

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail' && site !== undefined) console.error(site.logs());
    await site?.close();
    site = undefined;
  }, TIMEOUT_MS);

  test(
    'agree key by key after the uplink was cut, both ends of the session were killed, and the database was restored from a dump',
    async () => {
      site = await HubSite.create({ nodes: 3, env: ENVIRONMENT });
      await site.start();
      const story = new HubStory(site);
      await story.begin();
      story.dump();
      const { atHubKill, atCarrierKill, drainedMs } = await story.drainUnderKills(WRITES);
      expect(atHubKill).toBeLessThan(WRITES);
      expect(atCarrierKill).toBeLessThan(WRITES);
      const { leftAfterRestore, filledMs } = await story.restore();
      expect(leftAfterRestore).toBeLessThan(WRITES);
      const { keys, increments, wrong } = await story.end();
      console.log(
        `drained after ${Math.round(drainedMs)} ms, filled again after ${Math.round(filledMs)} ms; ${keys} keys, ${increments} increments`,
      );
      expect(wrong).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
