import { afterEach, describe, expect, test } from 'vitest';
import { measureMdnsJoin } from '../support/mesh-join.ts';
import { NamespaceNodes } from '../support/namespace-nodes.ts';
import { netnsUnavailable } from '../support/netns-cluster.ts';
import { PartitionStory } from '../support/partition-story.ts';

const unavailable = netnsUnavailable();
if (unavailable !== undefined) console.log(`netns tests skipped: ${unavailable}`);

const TIMEOUT_MS = 400_000;

/*
 * What the program promises is 2 s for the join and 10 s for the merge, on a machine that is not busy with other work:
 * scripts/acceptance.ts measures that. Here the bounds only catch what is broken.
 */
const JOIN_MS_MAX = 20_000;
const MERGE_MS_MAX = 45_000;

describe.skipIf(unavailable !== undefined)('a cluster in namespaces', () => {
  let nodes: NamespaceNodes | undefined;

  afterEach(({ task }) => {
    if (task.result?.state === 'fail' && nodes !== undefined) console.error(nodes.logs());
    nodes?.down();
    nodes = undefined;
  }, TIMEOUT_MS);

  test(
    'mDNS alone joins five nodes',
    async () => {
      const { fromLastStartMs, lastAnswersMs } = await measureMdnsJoin(5);
      console.log(
        `five nodes joined by mDNS ${report(fromLastStartMs)} after the last start (${report(lastAnswersMs)})`,
      );
      expect(fromLastStartMs).toBeLessThan(JOIN_MS_MAX);
    },
    TIMEOUT_MS,
  );

  test(
    'both sides of a partition 2 | 3 merge, and what was deleted stays deleted',
    async () => {
      nodes = NamespaceNodes.up(5);
      const result = await new PartitionStory(nodes, { before: 200, during: 300 }).run();
      console.log(`2 | 3 healed: equal on disk after ${report(result.equalAfterMs)}, ${result.deleted} keys deleted`);
      expect(result.wrong).toEqual([]);
      expect(result.deleted).toBeGreaterThan(20);
      expect(result.equalAfterMs).toBeLessThan(MERGE_MS_MAX);
    },
    TIMEOUT_MS,
  );
});

function report(ms: number): string {
  return `${Math.round(ms)} ms`;
}
