import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readValue } from '../../../src/ports/node-handle.ts';
import type { HubTransaction } from '../../../src/protocol/uplink/transaction.ts';
import { FakeHubStore } from '../../support/fake-hub-store.ts';
import { connectSite, outcomeOf, pushOf, startHub } from '../../support/hub-fixture.ts';

const SITES = 100;
const WRITES = 20;
/** About a tenth of what all of them send at once. */
const BYTES_MAX = 128 * 1024;
const VALUE = 'x'.repeat(500);

/** Takes a turn of the event loop for each transaction, and counts those that are under way. */
class SlowHubStore extends FakeHubStore {
  underWay = 0;
  most = 0;

  override async transact<T>(site: string, transaction: () => HubTransaction<T>): Promise<T> {
    this.most = Math.max(this.most, ++this.underWay);
    await setImmediate();
    this.underWay--;
    return super.transact(site, transaction);
  }
}

test('a hundred sites that send all at once are served, though the hub holds only a part of it at a time', async () => {
  const store = new SlowHubStore();
  const fixture = await startHub({ store, limits: { bytesMax: BYTES_MAX } });
  const names = Array.from({ length: SITES }, (_, i) => `site-${i}`);
  const sessions = await Promise.all(names.map((name) => connectSite(fixture, name, `peer of ${name}`)));
  let busy = 0;
  /** As a site does it: what is refused as busy is sent again, and all else that it has meanwhile. */
  const send = async (site: number, counter: number): Promise<number> => {
    const request = pushOf({ bucket: 'readings', key: `k${counter}`, value: `${site} ${VALUE}`, counter });
    for (let tries = 1; ; tries++) {
      const outcome = outcomeOf((await sessions[site]?.request(request)) ?? { type: 'hub-noted' });
      if (outcome === 'hub-pushed') return tries;
      expect(outcome).toBe('refused busy');
      busy++;
      await setImmediate();
    }
  };
  const writes = Array.from({ length: WRITES }, (_, i) => i + 1);
  const tries = await Promise.all(names.flatMap((_, site) => writes.map((counter) => send(site, counter))));
  expect(busy).toBeGreaterThan(SITES);
  // As many at a time as a database has connections for, whatever waits.
  expect(store.most).toBe(32);
  expect(sessions.map(({ closedFor }) => closedFor)).toEqual(names.map(() => null));
  for (const [site, name] of names.entries()) {
    expect(await store.totals(name)).toEqual({ keys: WRITES, conflicts: 0 });
    const { entries } = await fixture.hub.read({ site: name, bucket: 'readings', key: `k${WRITES}` }, null);
    expect(new TextDecoder().decode(readValue(entries)?.value)).toBe(`${site} ${VALUE}`);
  }
  // Nobody waits for ever while others are served.
  expect(Math.max(...tries)).toBeLessThan((SITES * WRITES) / 4);
});
