import type { DemoNode } from '../cluster.ts';
import { counted, duration } from '../figures.ts';
import type { AcknowledgedWrite } from '../ledger.ts';
import { startServer } from '../server.ts';
import { type Chapter, narrate, type Outage, type Story } from '../story.ts';
import { DemoError, forEachLimited, waitUntil } from '../wait.ts';

const CATCH_UP_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const READS_IN_FLIGHT = 8;

/** The killed node comes back on its disk and catches up with what it missed. */
export const RETURN: Chapter = {
  title: 'Return',
  async run(story) {
    const { cluster, state, figures, ledger, outage, signal } = story;
    if (outage === null) throw new Error('a node has to go before it returns');
    const node = cluster.nodes.find(({ name }) => name === outage.victim) as DemoNode;
    narrate(story, `${node.name} starts again on its data; the others hand over what it missed`);
    const startMs = performance.now();
    const missed = ledger.between(outage.killedMs, startMs);
    figures.outageWrites = missed.length;
    figures.outageFailovers = ledger.failovers - outage.failoversBefore;
    state.node(node.name).process = 'starting';
    await startServer(node, signal);
    state.node(node.name).process = 'running';
    figures.servingAgainMs = performance.now() - startMs;
    if (state.outage !== null) state.outage.toMs = performance.now();
    await waitUntil(`${node.name} has caught up (${MEANING})`, catchUpOf(story, node, missed), {
      timeoutMs: CATCH_UP_TIMEOUT_MS,
      intervalMs: POLL_MS,
      signal,
    });
    figures.caughtUpMs = performance.now() - startMs;
    figures.caughtUpWrites = missed.length;
    await endReads(story, outage);
    return `${node.name} caught up after ${duration(figures.caughtUpMs)} with ${counted(missed.length)} writes`;
  },
};

const MEANING = 'alive in every view, shards complete, no hints left for it, everything it missed readable from it';

/** A condition that checks everything anew until it holds all at once; writes found there are not read again. */
function catchUpOf({ cluster }: Story, node: DemoNode, missed: readonly AcknowledgedWrite[]): () => Promise<boolean> {
  let pending = missed;
  return async () => {
    try {
      const { shards } = await node.client.status();
      if (shards.owned === 0 || shards.complete < shards.owned || shards.transferring > 0) return false;
      for (const { client } of cluster.nodes) {
        const [{ hints }, members] = await Promise.all([client.status(), client.members()]);
        if (hints.records > 0) return false;
        if (!members.every(({ state }) => state === 'alive')) return false;
      }
      const absent: AcknowledgedWrite[] = [];
      await forEachLimited(pending, READS_IN_FLIGHT, async (write) => {
        if ((await node.client.read(write.key, 'one')) !== write.value) absent.push(write);
      });
      pending = absent;
      return absent.length === 0;
    } catch (error) {
      // A node that is just starting refuses requests.
      if (error instanceof DemoError) return false;
      throw error;
    }
  };
}

async function endReads({ state, figures }: Story, { reads }: Outage): Promise<void> {
  await reads.stop();
  figures.outageReads = reads.done;
  figures.outageReadsFailed = reads.failed;
  figures.slowestOutageReadMs = reads.slowestMs;
  figures.readFailures = reads.failures;
  for (const failure of reads.failures) state.tell(failure, 'bad');
}
