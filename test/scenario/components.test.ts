import { describe, expect, test } from 'vitest';
import type { SimCluster, SimNode } from '../simulation/cluster.ts';
import { formed } from '../support/sim-story.ts';

/** The names of each component that the node sees, its own first. */
function seenBy(cluster: SimCluster, node: SimNode): string[] {
  const nameOf = (id: string): string => cluster.nodes.find((each) => each.id === id)?.name ?? id;
  const components = node.running?.node.components() ?? [];
  return components.map(({ members }) =>
    members
      .map(({ id }) => nameOf(id))
      .toSorted()
      .join(' '),
  );
}

function ownSinceMs(node: SimNode): number | null | undefined {
  return node.running?.node.components()[0]?.sinceMs;
}

function namesOf(nodes: readonly SimNode[]): string {
  return nodes
    .map(({ name }) => name)
    .toSorted()
    .join(' ');
}

describe('the components that a node sees', () => {
  test.each([
    [5, 2, 1],
    [5, 2, 2],
    [12, 4, 3],
    [24, 9, 4],
    [32, 3, 3],
  ])('of %i nodes of which %i are cut off are two, on either side, %#', (nodes, cut, seed) => {
    const cluster = formed(nodes, nodes, seed);
    const smaller = cluster.nodes.slice(0, cut);
    const larger = cluster.nodes.slice(cut);
    for (const node of cluster.nodes) expect(seenBy(cluster, node)).toEqual([namesOf(cluster.nodes)]);
    cluster.partition(smaller, larger);
    cluster.run(60_000);
    for (const node of smaller) expect(seenBy(cluster, node)).toEqual([namesOf(smaller), namesOf(larger)]);
    for (const node of larger) expect(seenBy(cluster, node)).toEqual([namesOf(larger), namesOf(smaller)]);
    const since = cluster.nodes.map(ownSinceMs);
    cluster.run(60_000);
    expect(cluster.nodes.map(ownSinceMs)).toEqual(since);
    cluster.heal();
    const isWhole = (): boolean => cluster.nodes.every((node) => seenBy(cluster, node).length === 1);
    expect(cluster.runUntil(isWhole, 60_000)).toBe(true);
    for (const node of cluster.nodes) expect(seenBy(cluster, node)).toEqual([namesOf(cluster.nodes)]);
  });

  test('are three where two members were lost at different times', () => {
    const cluster = formed(5, 5, 5);
    const [a, b, c, d, e] = cluster.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode];
    cluster.crash(d);
    cluster.run(60_000);
    cluster.crash(e);
    cluster.run(60_000);
    for (const node of [a, b, c]) expect(seenBy(cluster, node)).toEqual([namesOf([a, b, c]), d.name, e.name]);
    // Who starts among those that are left knows that they are away, and not since when.
    cluster.crash(c);
    cluster.start(c);
    cluster.run(60_000);
    expect(seenBy(cluster, c)).toEqual([namesOf([a, b, c]), namesOf([d, e])]);
    expect(c.running?.node.components()[1]?.sinceMs).toBe(null);
  });
});
