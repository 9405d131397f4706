import { afterEach, describe, expect, test } from 'vitest';
import { LeaderStory } from '../support/leader-story.ts';
import { NamespaceNodes } from '../support/namespace-nodes.ts';
import { netnsUnavailable } from '../support/netns-cluster.ts';

const unavailable = netnsUnavailable();
if (unavailable !== undefined) console.log(`netns tests skipped: ${unavailable}`);

const TIMEOUT_MS = 400_000;
/** Promised are 3 s and 10 s, 1 s without strong writes and 2 s until they are refused, on a machine that is not busy: scripts/acceptance.ts measures. Here: what is broken. */
const FAILOVER_MS_MAX = 15_000;
const ELECTED_MS_MAX = 45_000;
const SILENCE_MS_MAX = 5000;
const REFUSED_MS_MAX = 10_000;
const CHAIN_MS = 15_000;
const ONE_WAY_MS = 6000;

describe.skipIf(unavailable !== undefined)('the leader of nodes in namespaces', () => {
  let nodes: NamespaceNodes | undefined;

  afterEach(({ task }) => {
    if (task.result?.state === 'fail' && nodes !== undefined) console.error(nodes.logs());
    nodes?.down();
    nodes = undefined;
  }, TIMEOUT_MS);

  test(
    'is followed by another when it is killed, cut off with a minority, or stands still, and stays when a link fails in part',
    async () => {
      nodes = NamespaceNodes.up(5);
      await nodes.untilFormed();
      const story = new LeaderStory(nodes);
      const failoverMs = await story.killLeader();
      expect(failoverMs).toBeLessThan(FAILOVER_MS_MAX);
      expect(await story.stopLeader()).toEqual([]);
      const { silenceMs, acknowledged } = await story.killLeaderUnderWrites();
      console.log(`strong writes: ${acknowledged}, at most ${Math.round(silenceMs)} ms without one`);
      expect(silenceMs).toBeLessThan(SILENCE_MS_MAX);
      const { electedMs, servedMs, refusedMs, mergedMs, wrong } = await story.divide();
      console.log(
        `failover ${Math.round(failoverMs)} ms, 2 | 3 ${Math.round(electedMs)} ms, ${Math.round(mergedMs)} ms; strong keys served again ${Math.round(servedMs)} ms, refused ${Math.round(refusedMs)} ms`,
      );
      expect(wrong).toEqual([]);
      expect(electedMs).toBeLessThan(ELECTED_MS_MAX);
      expect(refusedMs).toBeLessThan(REFUSED_MS_MAX);
      expect(await story.oneWay(ONE_WAY_MS)).toBeLessThanOrEqual(2);
    },
    TIMEOUT_MS,
  );

  test(
    'hardly changes in a chain whose ends do not see each other',
    async () => {
      nodes = NamespaceNodes.up(3);
      await nodes.untilFormed();
      expect(await new LeaderStory(nodes).chain(CHAIN_MS)).toBeLessThanOrEqual(2);
    },
    TIMEOUT_MS,
  );
});
