import { counted, duration } from '../figures.ts';
import { type Chapter, narrate } from '../story.ts';
import { DemoError, pause } from '../wait.ts';

/** Clients write to all nodes; every node records its machine's readings. */
export const WRITE: Chapter = {
  title: 'Write',
  async run(story) {
    const { load, recorder, ledger, steadyMs, signal } = story;
    narrate(story, 'clients write to every node at quorum; each node records the readings of this machine');
    load.start();
    recorder.start();
    await pause(steadyMs, signal);
    if (ledger.writes.length === 0)
      throw new DemoError('no write was acknowledged; the logs of the nodes have the cause (--keep)');
    return `${counted(ledger.writes.length)} writes acknowledged, p50 ${duration(ledger.latencyMs(0.5))}`;
  },
};
