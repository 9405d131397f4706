import type { SiteDetail } from '../../ports/hub-handle.ts';
import type { ListedKey } from '../api-client.ts';
import type { DemoNode } from '../cluster.ts';
import { counted, duration } from '../figures.ts';
import type { AcknowledgedWrite } from '../ledger.ts';
import { type Chapter, type Cut, narrate, type Story } from '../story.ts';
import { DemoError, waitUntil } from '../wait.ts';
import { CONTESTED_KEY } from './cut.ts';

/** The pauses between two attempts grow to a minute. */
const REACHED_TIMEOUT_MS = 150_000;
const AGREED_TIMEOUT_MS = 60_000;
const POLL_MS = 50;

/** The cable is mended: what has waited goes up, what was written at the hub comes down. The load goes on. */
export const RECONCILE: Chapter = {
  title: 'Reconcile',
  async run(story) {
    const { hub, state, figures, ledger, cut, signal } = story;
    if (cut === null) throw new Error('what is mended has to be cut before');
    narrate(story, 'the uplink is mended; site and hub reconcile, and the load goes on');
    const startMs = performance.now();
    const waiting = ledger.between(cut.fromMs, startMs);
    figures.cutMs = startMs - cut.fromMs;
    figures.cutWrites = waiting.length;
    figures.hubWrites = cut.ledger.writes.length;
    await hub.cable.mend();
    state.hub.isCut = false;
    await waitUntil('the site reaches its hub again', async () => (await siteOf(story))?.connected === true, {
      timeoutMs: REACHED_TIMEOUT_MS,
      intervalMs: POLL_MS,
      signal,
    });
    figures.reachedMs = performance.now() - startMs;
    await waitUntil('site and hub have what both wrote apart', agreementOf(story, cut, waiting, startMs), {
      timeoutMs: AGREED_TIMEOUT_MS,
      intervalMs: POLL_MS,
      signal,
    });
    figures.agreedMs = performance.now() - startMs;
    for (const session of (await siteOf(story))?.sessions ?? []) {
      figures.bytesUp += session.receivedBytes;
      figures.bytesDown += session.sentBytes;
    }
    return `both sides agree after ${duration(figures.agreedMs)}; ${counted(waiting.length)} writes went up`;
  },
};

/** What the hub says of the site; null when it does not answer. */
function siteOf({ hub }: Story): Promise<SiteDetail | null> {
  return hub.client.site().catch(() => null);
}

/** A condition: all that was written apart is on the other side, and both see the same under the key that both wrote. */
function agreementOf(
  { cluster, hub, load, figures }: Story,
  cut: Cut,
  waiting: readonly AcknowledgedWrite[],
  startMs: number,
): () => Promise<boolean> {
  const node = cluster.nodes[0] as DemoNode;
  const [first = ''] = waiting.map(({ key }) => key).sort();
  return async () => {
    try {
      // Keys come in the order of their numbers, and what a key begins with comes before it.
      const atHub = await hub.client.list(load.prefix, first.slice(0, -1));
      if (!hasAll(atHub, waiting)) return false;
      figures.drainedMs ??= performance.now() - startMs;
      if (!hasAll(await node.client.list(cut.load.prefix), cut.ledger.writes)) return false;
      return (await hub.client.read(CONTESTED_KEY)) === (await node.client.read(CONTESTED_KEY, 'quorum'));
    } catch (error) {
      // A node or the hub was too busy to answer.
      if (error instanceof DemoError) return false;
      throw error;
    }
  };
}

function hasAll(listed: ReadonlyMap<string, ListedKey>, writes: readonly AcknowledgedWrite[]): boolean {
  return writes.every(({ key, value }) => listed.get(key)?.value === value);
}
