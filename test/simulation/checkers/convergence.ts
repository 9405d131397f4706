import { dotText } from '../../../src/protocol/causal/dot.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { SimCluster } from '../cluster.ts';
import type { Checker } from './checker.ts';

/** All owners of a shard converge. */
export function convergenceChecker(cluster: SimCluster): Checker {
  return { name: 'convergence', check: () => checkConvergence(cluster).map((problem) => `convergence: ${problem}`) };
}

/** After faults have stopped: all owners of a shard have equal contexts and equal objects, and nobody else has any. */
export function checkConvergence(cluster: SimCluster): string[] {
  const problems: string[] = [];
  const ring = cluster.nodes.find(({ running }) => running !== null)?.running?.node.placements;
  if (ring === undefined) return ['no node is running'];
  for (const { name, running } of cluster.nodes) {
    if (running !== null && running.node.placements.digest !== ring.digest)
      problems.push(`${name} has another ring or other placements`);
  }
  for (const shard of ring.shardIds()) {
    const owners = ring.owners(shard);
    const held = cluster.nodes.filter(({ disk }) => disk.shards.has(shard));
    for (const { id, name } of held)
      if (!owners.includes(id)) problems.push(`shard ${shard}: ${name} holds it and is no owner`);
    const replicas = cluster.nodes.filter(({ id }) => owners.includes(id));
    const first = replicas[0];
    if (first === undefined) continue;
    const objects = objectsOf(first, shard);
    for (const other of replicas.slice(1)) {
      const a = first.disk.shards.get(shard)?.context;
      const b = other.disk.shards.get(shard)?.context;
      const equal = a === undefined || b === undefined ? (a?.isEmpty ?? true) && (b?.isEmpty ?? true) : a.equals(b);
      if (!equal) {
        problems.push(
          `shard ${shard}: the contexts of ${first.name} and ${other.name} differ: ${JSON.stringify(a?.ranges())} / ${JSON.stringify(b?.ranges())}`,
        );
      }
      for (const problem of compareObjects(objects, objectsOf(other, shard))) {
        problems.push(`shard ${shard}: ${first.name} and ${other.name} differ in ${problem}`);
      }
    }
  }
  return problems;
}

function objectsOf(node: SimCluster['nodes'][number], shard: number): Map<string, string> {
  const rows = node.disk.objects.get(shard)?.values() ?? [];
  return new Map(
    [...rows]
      .filter(({ object }) => object.entries.length > 0)
      .map(({ name, object }) => [`${name.bucket}/${name.key}`, entriesText(object.entries)]),
  );
}

function entriesText(entries: Entries): string {
  return entries.map(({ dot, hlc, payload }) => `${dotText(dot)}@${hlc}:${payload.kind}`).join(',');
}

function* compareObjects(a: Map<string, string>, b: Map<string, string>): Generator<string> {
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    if (a.get(key) !== b.get(key)) yield `${key}: ${a.get(key) ?? 'absent'} / ${b.get(key) ?? 'absent'}`;
  }
}
