import { describe, expect, test } from 'vitest';
import type { SimNode } from '../simulation/cluster.ts';
import { formed, mutate, settle } from '../support/sim-story.ts';

/** Members of one set, all of two bytes: as many as one set may have. */
const MEMBERS = Array.from({ length: 16_384 }, (_, i) => Uint8Array.of(i >> 8, i & 0xff));

describe('a key that one message cannot hold', () => {
  test('is brought up where an owner has missed more than 65,536 of its events', () => {
    const cluster = formed(3);
    const [first, , third] = cluster.nodes as [SimNode, SimNode, SimNode];
    cluster.crash(third);
    // Each addition is an event for each member, there already or not.
    for (let i = 0; i < 5; i++) {
      const reply = mutate(cluster, first, 'hot', { type: 'add', members: MEMBERS }, 'quorum')();
      expect(reply).toMatchObject({ type: 'mutate', applied: true });
    }
    cluster.run(1000);
    cluster.start(third);
    settle(cluster);
  }, 120_000);
});
