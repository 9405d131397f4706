import { collectionSize, hasMember, readField } from '../../../src/protocol/causal/collection.ts';
import type { Entries } from '../../../src/protocol/causal/entry.ts';
import type { PlacementMap } from '../../../src/protocol/ring/placement-map.ts';
import type { SimCluster } from '../cluster.ts';
import type { Part } from '../collection-history.ts';
import type { History } from '../history.ts';
import { type Checker, Problems } from './checker.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Additions win: a member or field whose addition was acknowledged is there unless a change that had seen it took it
 * away, and one that was taken away stays away. No increment of a field is lost or counted twice.
 */
export function collectionsChecker(cluster: SimCluster, histories: readonly History[]): Checker {
  return {
    name: 'collections',
    check: () => {
      const problems = new Problems('collections');
      const ring = cluster.nodes[0]?.running?.node.placements;
      if (ring === undefined) return ['collections: the first node is not running'];
      for (const history of histories) look(cluster, ring, history, problems);
      return problems.all();
    },
  };
}

function look(cluster: SimCluster, ring: PlacementMap, history: History, problems: Problems): void {
  const bucket = history.bucket.dataName;
  const copiesOf = (key: string): { name: string; entries: Entries }[] => {
    const shard = ring.shardOf(bucket, key);
    const owners = ring.owners(shard);
    return cluster.nodes
      .filter(({ id }) => owners.includes(id))
      .map(({ name, disk }) => ({ name, entries: disk.entriesOf(shard, { bucket, key }) ?? [] }));
  };
  for (const part of history.collections.all()) {
    if (part.isDoubtful || part.open > 0) continue;
    for (const { name, entries } of copiesOf(part.key)) {
      const problem = judge(part, entries);
      if (problem !== null) problems.add(`${part.name} of ${part.key} ${problem} on ${name}`);
    }
  }
  for (const [key, { acknowledged, unknown }] of history.fieldCounters) {
    for (const { name, entries } of copiesOf(key)) {
      const found = readField(entries, encoder.encode('count'));
      const value = found === null ? 0 : Number(decoder.decode(found));
      if (value >= acknowledged && value <= acknowledged + unknown) continue;
      problems.add(`the count in ${key} is ${value} on ${name}: ${acknowledged} acknowledged, ${unknown} unknown`);
    }
  }
}

function judge(part: Part, entries: Entries): string | null {
  const name = encoder.encode(part.name);
  const isSet = part.key.startsWith('set/');
  const field = isSet ? null : readField(entries, name);
  const isThere = isSet ? hasMember(entries, name) : field !== null;
  if (part.live.size === 0) return isThere ? 'was taken away and is back' : null;
  if (!isThere) return `was added and is lost (of ${collectionSize(entries)})`;
  if (field === null) return null;
  const value = decoder.decode(field);
  return part.values.has(value) ? null : `has the value ${value}, which nobody wrote,`;
}
